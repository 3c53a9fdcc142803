"""Ties that follow an order of the nodes drawn once per run: the rule of the published FGD runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ConfigError


class OrderedNodes:
    """A policy that sees the nodes in another order; a rule "lowest node first" then follows that order.

    The authors' simulator breaks ties by the lowest node name and puts a random prefix before all names in every run
    (hkust-adsl/kubernetes-scheduler-simulator, `pkg/simulator/simulator.go` and the vendored `generic_scheduler.go`),
    so its ties follow a random order that stays the same for the whole run.

    Args:
        policy: Acts on whole node tables, as the heuristics do.
        order: (N,) node index at each place of the new order; a permutation.
        name: Name in tables; the policy's own name by default.

    Raises:
        ConfigError: `order` is no permutation.
    """

    def __init__(self, policy: Any, order: NDArray[np.int64], name: str | None = None) -> None:
        order = np.asarray(order, np.int64)
        if not np.array_equal(np.sort(order), np.arange(len(order))):
            raise ConfigError(f"order: {len(order)} entries that are no permutation; use rng.permutation(num_nodes)")
        self.name = name or str(policy.name)
        self.information, self.training_seed = policy.information, policy.training_seed
        self._policy, self._places = policy, np.append(order, len(order))
        self._nodes = np.empty((0, 0, 0), np.float32)

    def predict(
        self,
        observation: Mapping[str, NDArray[Any]],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.int64], Any]:
        """Actions for observations of one environment (no batch axis) or of a batch.

        Raises:
            ConfigError: the observation has candidates, or another number of nodes.
        """
        self._check(observation)
        single = observation["action_mask"].ndim == 1
        batch = {key: value[None] if single else value for key, value in observation.items()}
        nodes, order = batch["nodes"], self._places[:-1]
        if self._nodes.shape != nodes.shape:
            self._nodes = np.empty(nodes.shape, nodes.dtype)
        np.take(nodes, order, axis=1, out=self._nodes, mode="clip")
        seen = batch | {"nodes": self._nodes, "action_mask": batch["action_mask"][:, self._places]}
        chosen, state = self._policy.predict(seen, state, episode_start, deterministic)
        actions = self._places[np.asarray(chosen)]
        return (actions[0] if single else actions), state

    def _check(self, observation: Mapping[str, NDArray[Any]]) -> None:
        found, expected = observation["action_mask"].shape[-1] - 1, len(self._places) - 1
        if "candidates" in observation or found != expected:
            kind = "candidates" if "candidates" in observation else "nodes"
            raise ConfigError(
                f"order: has {expected} nodes, but the observation has {found} {kind}; use a task with candidates=0 on "
                "the fleet of the order"
            )
