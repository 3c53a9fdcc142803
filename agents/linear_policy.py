"""A linear scorer of nodes: the policy that `evolution` trains. Needs no torch; a model is a small JSON file.

The request goes to the feasible node with the largest

    score_n = -(change of FGD fragmentation, GPUs) + w_group . inputs_n        inputs: `linear_inputs.INPUTS`

and is rejected only where no node holds it. With w = 0 this is FGD with float scores. The same weights act on any
number of nodes: nodes are scored one by one, so permuting them permutes the scores.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.fragmentation import mix_table
from archrl.cluster.observed import NodeCache, node_cache
from archrl.errors import ConfigError
from archrl.files import write_text_atomic
from archrl.scenarios.placement import PodMix
from archrl_agents.linear_inputs import GROUPS, INPUTS, choose_rows

FORMAT = "archrl linear scorer 1"
Weights = dict[str, dict[str, float]]
"""Weight by group and input; what is left out is 0."""


@dataclass(frozen=True)
class LinearModel:
    """Weights, and what is known of their training."""

    weights: Weights
    step: int = -1
    """Generation of the training run; -1: unknown."""

    def matrix(self) -> NDArray[np.float64]:
        """Weights as (len(GROUPS), len(INPUTS)).

        Raises:
            ConfigError: a group or an input is unknown, or a weight is not finite.
        """
        table = np.zeros((len(GROUPS), len(INPUTS)))
        for group, row in self.weights.items():
            for name, weight in row.items():
                if group not in GROUPS or name not in INPUTS or not np.isfinite(weight):
                    raise ConfigError(
                        f"weights: got {group}.{name} = {weight!r}; allowed: finite numbers for groups "
                        f"{', '.join(GROUPS)} and inputs {', '.join(INPUTS)}"
                    )
                table[GROUPS.index(group), INPUTS.index(name)] = weight
        return table


def save_model(model: LinearModel, path: Path) -> None:
    """Write a model, whole or not at all.

    Raises:
        ArchrlError: the file cannot be written; an older one is kept.
    """
    fields = {"format": FORMAT, "step": model.step, "weights": model.weights}
    write_text_atomic(path, json.dumps(fields, indent=1) + "\n")


def load_model(path: Path) -> LinearModel:
    """Read a model.

    Raises:
        ConfigError: no such file, or no linear scorer in it.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields["format"] != FORMAT:
            raise ConfigError(f"model {path}: format is {fields['format']!r}; allowed: {FORMAT!r}")
        model = LinearModel(fields["weights"], int(fields["step"]))
        model.matrix()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"model {path}: {error}; give the {FORMAT} of a training run") from error
    return model


class LinearPolicy:
    """`predict` over a linear scorer. Acts on node tables, not on candidates.

    Args:
        weights: (len(GROUPS), len(INPUTS)), see `LinearModel.matrix`.
        mix: Workload mix of the task, by which fragmentation is measured.
        name: Name in tables.
        training_seed: Seed of the training run.
    """

    information = "online"

    def __init__(self, weights: NDArray[np.float64], mix: PodMix, name: str, training_seed: int = 0) -> None:
        self.name, self.training_seed = name, training_seed
        self._weights, self._mix = np.ascontiguousarray(weights, np.float64), mix_table(mix)
        self._cache: NodeCache | None = None

    def predict(
        self,
        observation: dict[str, NDArray[Any]],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.int64], Any]:
        """Actions for observations of one environment (no batch axis) or of a batch.

        Raises:
            ConfigError: the environment has candidates.
        """
        if "candidates" in observation:
            raise ConfigError("observation: has candidates; a linear scorer acts on nodes: set candidates=0")
        single = observation["action_mask"].ndim == 1
        keys = ("nodes", "request", "clock", "action_mask")
        seen = tuple(observation[key][None] if single else observation[key] for key in keys)
        rows, nodes = seen[0].shape[:2]
        if self._cache is None or not self._cache.fits(rows, nodes):
            self._cache = node_cache(rows, nodes, self._cache)
        out = np.empty(rows, np.int64)
        choose_rows(seen, self._weights, self._mix, self._cache, out)
        return (out[0] if single else out), state
