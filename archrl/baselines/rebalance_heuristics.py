"""What practitioners do to rebalance a cluster, as policies of `archrl/Rebalance-v0`, by name.

    policy, task = make_rebalancer("greedy", task)

Every policy acts on the observation, in all worlds. It plays a variant of the task of its own, in which all processes
and all nodes are shown: candidate sets belong to those who need them. What happens in the world and what it costs does
not change with them. Rules of the Kubernetes descheduler: `rebalance_descheduler`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscaler_params import Param, Params, Value, resolve
from archrl.cluster import rebalance_state as schema
from archrl.envs.rebalance import RebalanceTask
from archrl.seeding import rng_for

Observation = Mapping[str, NDArray[Any]]
Actions = NDArray[np.int64]
ALL_SHOWN: dict[str, Any] = {"process_candidates": None, "node_candidates": None, "look_ahead": False}
"""Fields of the task in which every process and every node has a place, its index."""
MOST_LOOKED_AT = 1_000_000
"""Pairs of a process and a node up to which the best move of every process is computed at every decision."""


class Rebalancer:
    """Base of the policies: batching, the two stages, and the stop.

    Args:
        task: What it plays; with the fields of `task_fields`.
        params: All of `space`, see `complete_params`.
        seed: Of its own random choices.
    """

    name: ClassVar[str] = ""
    space: ClassVar[tuple[Param, ...]] = ()
    """What can be tuned."""
    first_trials: ClassVar[tuple[Params, ...]] = ()
    """What tuning tries after the defaults."""
    information = "online"
    training_seed = -1

    def __init__(self, task: RebalanceTask, params: Params, seed: int = 0) -> None:
        self.task, self.params = task, params
        self.rng = rng_for(seed, "test", "policy", self.name)

    @classmethod
    def task_fields(cls, task: RebalanceTask) -> dict[str, Any]:
        """Fields of `RebalanceConfig` that belong to the policy and not to the world."""
        return ALL_SHOWN

    def predict(
        self, observation: Observation, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """Actions for observations of one environment (no batch axis) or of a batch."""
        single = observation["action_mask"].ndim == 1
        seen = {key: value[None] for key, value in observation.items()} if single else observation
        second = seen["summary"][:, schema.S_STAGE] == 1
        actions = np.full(len(second), self.task.stop, np.int64)
        for rows, choose in ((~second, self.choose_process), (second, self.choose_node)):
            if rows.any():
                actions[rows] = choose(seen if rows.all() else {key: value[rows] for key, value in seen.items()})
        return (actions[0] if single else actions), state

    def choose_process(self, seen: Observation) -> Actions:
        """First decision of the rows: the place of a process, or to stop."""
        raise NotImplementedError

    def choose_node(self, seen: Observation) -> Actions:
        """Second decision of the rows: the place of a node."""
        raise NotImplementedError


def least(values: NDArray[Any], allowed: NDArray[np.bool_], none: int) -> Actions:
    """Place of the least value among the allowed ones of every row, first among ties; `none` without one."""
    found = np.where(allowed, values, np.inf).argmin(axis=1)
    places: Actions = np.where(allowed.any(axis=1), found, none).astype(np.int64, copy=False)
    return places


class Stop(Rebalancer):
    """Does nothing."""

    name = "stop"

    def choose_process(self, seen: Observation) -> Actions:
        """Stops."""
        return np.full(len(seen["summary"]), self.task.stop, np.int64)

    def choose_node(self, seen: Observation) -> Actions:
        """The first that can take the process, if somebody else has chosen one."""
        return least(np.zeros(seen["action_mask"].shape), seen["action_mask"] == 1, 0)


class Random(Rebalancer):
    """Moves a random movable process to a random node that can take it, until the budget is spent."""

    name = "random"

    def choose_process(self, seen: Observation) -> Actions:
        """A random one."""
        allowed = seen["action_mask"][:, : self.task.stop] == 1
        return least(self.rng.random(allowed.shape), allowed, self.task.stop)

    def choose_node(self, seen: Observation) -> Actions:
        """A random one."""
        allowed = seen["action_mask"] == 1
        return least(self.rng.random(allowed.shape), allowed, 0)


class Greedy(Rebalancer):
    """Best improvement: the migration that lowers the total cost most, until none does.

    On tasks of more than `MOST_LOOKED_AT` pairs of a process and a node it chooses among the candidates of the preset,
    for which the best move is computed.
    """

    name = "greedy"

    def __init__(self, task: RebalanceTask, params: Params, seed: int = 0) -> None:
        super().__init__(task, params, seed)
        self._beside = task.config.source == "tianchi2018" or task.config.costs == "dollars"

    @classmethod
    def task_fields(cls, task: RebalanceTask) -> dict[str, Any]:
        """All processes with their best moves, where these are few enough."""
        few = task.world.num_processes * task.world.num_nodes <= MOST_LOOKED_AT
        return (ALL_SHOWN if few else {}) | {"look_ahead": True}

    def choose_process(self, seen: Observation) -> Actions:
        """The one with the best move, if that saves anything.

        `best_change` holds the change of the state's cost; where migrations are paid beside it, `move_cost` is their
        price.
        """
        table = seen["processes"]
        change = table[:, :, schema.P_BEST].astype(np.float64)
        if self._beside:
            change = unsquashed(change) + unsquashed(table[:, :, schema.P_MOVE].astype(np.float64))
        allowed = (seen["action_mask"][:, : self.task.stop] == 1) & (change < 0)
        return least(change, allowed, self.task.stop)

    def choose_node(self, seen: Observation) -> Actions:
        """The one with the least change."""
        table = seen["destinations"]
        return least(table[:, :, schema.D_CHANGE], table[:, :, schema.D_FEASIBLE] == 1, 0)


def unsquashed(value: NDArray[Any]) -> NDArray[Any]:
    """The inverse of `rebalance_kernels.squashed`, in units."""
    amount: NDArray[Any] = np.sign(value) * np.expm1(np.abs(value))
    return amount


def complete_params(cls: type[Rebalancer], params: Params | None = None) -> dict[str, Value]:
    """All parameters of a policy: `params`, and defaults for the rest.

    Raises:
        ConfigError: an unknown parameter, or a value that is not allowed.
    """
    return resolve(cls.name, cls.space, params)
