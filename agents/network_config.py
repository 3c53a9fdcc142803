"""Sizes and priors of the networks; free of torch, so that a command line can print its help at once."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from archrl.config import Config

Score = Literal["best_fit", "dot_product", "gpu_packing", "gpu_clustering", "fgd", "lifetime_alignment"]
"""Columns of `archrl.cluster.scores.SCORES`."""


class NetworkConfig(Config):
    """A `NodeNetwork`."""

    node_width: int = Field(32, ge=1, le=4096)
    """Width of a node's encoding; nearly all of the cost."""
    context_width: int = Field(64, ge=1, le=4096)
    """Width of the pooled context and of the heads for reject and value."""
    score_prior: Score | dict[Score, float] | None = None
    """Add `prior_scale` times this score, minus the best feasible one, to the logits: the untrained policy then acts
    as that heuristic with noise. A mapping gives weights of several scores; a small weight breaks ties of the others.
    `fgd` needs candidates."""
    prior_scale: float = Field(1.0, gt=0)
    """Logits per score point of the prior."""
    may_reject: bool = True
    """False: a request is only rejected where no node may take it."""
    q_prior: float = Field(0.1, ge=0)
    """Largest part of the prior in a Q-value (DQN); with a measured reward divisor, in standard deviations of the
    return. The larger, the more evidence it takes to leave the prior."""
    reject_bias: float = 0.0
    """Added to the logit of the reject action; negative: an untrained policy rejects less."""
