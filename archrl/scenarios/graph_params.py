"""Parameters of the generator of call graphs, with two sets of values."""

from __future__ import annotations

from pydantic import Field, model_validator

from archrl.config import Config


class GraphParams(Config):
    """Shape of a generated call graph. The defaults are tuned to the DGG sample, see `graph_report`."""

    entry_frac: float = Field(0.13, gt=0, lt=1)
    """Share of the services that take requests of users (13 %: arXiv 2504.13141)."""
    leaf_frac: float = Field(0.39, gt=0, lt=1)
    """Share of the services that call nobody (39 %: as above); the others, 48 %, call and are called."""
    levels: int = Field(10, ge=2, le=1000)
    """Most levels; S services have at most 2 + log2(S) / 2."""
    level_ratio: float = Field(0.7, gt=0, le=4)
    """Calling services of a level in proportion to those of the level above it."""
    fanout_alpha: float = Field(1.6, gt=0)
    """Exponent of the truncated Pareto distribution of callees per caller."""
    entry_fanout_min: float = Field(4.0, ge=1)
    """Its lower end for entries."""
    middle_fanout_min: float = Field(1.8, ge=1)
    """Its lower end for middle services."""
    fanout_max: float = Field(100.0, gt=1)
    """Its upper end."""
    shared_frac: float = Field(0.1, gt=0, le=1)
    """Share of the services that more than one service may call."""
    hot_frac: float = Field(0.7, ge=0, lt=1)
    """Share of the further calls that go to a service in proportion to its further callers; else all are alike."""
    core_callees: int = Field(4, ge=1)
    """Callees of a service that its requests use often."""
    entry_core_calls: float = Field(0.5, gt=0, lt=1)
    """Mean calls of an entry to each of these per request."""
    middle_core_calls: float = Field(0.04, gt=0, lt=1)
    """The same for a middle service."""
    core_spread: float = Field(0.25, gt=0, lt=1)
    """How much the core calls differ between callers: variance in units of mean * (1 - mean), Beta distributed."""
    rare_calls: float = Field(0.002, gt=0, le=1)
    """Mean calls to each of the other callees per request."""
    parallel_frac: float = Field(0.2, ge=0, lt=1)
    """Share of the edges that run at the same time as another one of the same caller."""
    stateful_frac: float = Field(0.5, ge=0, le=1)
    """Share of the leaf services that keep data."""
    database_frac: float = Field(0.083, ge=0, le=1)
    """Share of databases among these (349 of 4,206 in the DGG sample); the others are Memcached."""

    @model_validator(mode="after")
    def _consistent(self) -> GraphParams:
        if self.entry_frac + self.leaf_frac >= 1:
            raise ValueError(f"entry_frac + leaf_frac below 1; the sum is {self.entry_frac + self.leaf_frac:.6g}")
        if max(self.entry_fanout_min, self.middle_fanout_min) >= self.fanout_max:
            raise ValueError(f"entry_fanout_min and middle_fanout_min below fanout_max = {self.fanout_max:g}")
        return self


DGG_PARAMS = GraphParams()
"""Requests like those of the DGG sample: an entry and a few callees, rarely more levels."""
DEEP_PARAMS = GraphParams(middle_core_calls=0.8)
"""Requests that go deep, with sizes that differ widely: of 100,000 services, the call graph of a request has 5 in the
median and 40 in the 99 % quantile. Not fitted: the sample has only the most frequent call graphs, while those of the
whole trace are heavy-tailed (Luo et al., SoCC 2021)."""
