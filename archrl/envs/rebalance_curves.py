"""The world of `archrl/Rebalance-v0` over replicas with load curves, and its source: parts of the Tianchi cluster.

| cost term | dollars of a step |
|---|---|
| `score` | change of the competition's score, in nodes, x price of a node-hour x `keep_hours` |
| `migration` | slowdown, downtime and risk of a migration, see `archrl.scenarios.migration` |

The nodes of the trace whose initial deployment satisfies every hard constraint are cut into disjoint sets of nodes for
training, validation and test. An episode has some nodes of its split, with what runs on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.curve_evaluate import FREE_UTILISATION, evaluate_curves
from archrl.cluster.curve_state import CurveState, deploy
from archrl.cluster.rebalance_curve_kernels import start_row, step_row
from archrl.cluster.rebalance_curve_state import CURVE_TERMS, CurveRows, allocate
from archrl.cluster.rebalance_state import RebalanceState
from archrl.envs.rebalance_world import Picture
from archrl.errors import ConfigError, ScenarioError
from archrl.scenarios.curves import CurvePlacement, sample_nodes, select_nodes
from archrl.scenarios.migration import GIGABITS_PER_GIB, MigrationModel
from archrl.scenarios.rebalance import RebalanceScenario
from archrl.scenarios.splits import TRAIN_FRAC, VALIDATION_FRAC
from archrl.seeding import Split, rng_for
from archrl.units import MICRO


class CurvePrices(NamedTuple):
    """Dollars of an episode on load curves."""

    node_hour_usd: float
    keep_hours: float  # assumption: how long a state is kept
    migrations: MigrationModel

    def of(self, problem: CurvePlacement) -> NDArray[np.float64]:
        """(P,) dollars of one migration of each replica; its revenue is its share of a node's price, by mean CPU."""
        gigabits = GIGABITS_PER_GIB * problem.mem.max(axis=1) / MICRO
        hour_usd = problem.cpu.mean(axis=1) / problem.cpu_capacity.mean() * self.node_hour_usd
        usd: NDArray[np.float64] = self.migrations.cost_usd(gigabits, hour_usd, 2 * self.node_hour_usd)
        return usd[problem.service]


@dataclass(frozen=True)
class CurveParts:
    """Random parts of a deployment, `num_nodes` nodes each, disjoint between splits.

    Raises:
        ConfigError: a split has fewer feasible nodes than `num_nodes`.
    """

    problem: CurvePlacement
    num_nodes: int

    def __post_init__(self) -> None:
        least = min(part.num_nodes for part in self.splits.values())
        if self.num_nodes > least:
            raise ConfigError(
                f"part_nodes: got {self.num_nodes}; allowed: 1 to {least}, the nodes of the smallest split"
            )

    def draw(self, rng: np.random.Generator, split: Split) -> CurvePlacement:
        """One part of a split."""
        return sample_nodes(self.splits[split], rng, self.num_nodes)

    @property
    def most_replicas(self) -> int:
        """No part has more."""
        counts = [np.sort(np.bincount(part.initial, minlength=1))[-self.num_nodes :] for part in self.splits.values()]
        return int(max(count.sum() for count in counts))

    @cached_property
    def splits(self) -> dict[Split, CurvePlacement]:
        """All of each split."""
        wrong = [violation.node for violation in evaluate_curves(self.problem, self.problem.initial).violations]
        nodes = np.setdiff1d(np.arange(self.problem.num_nodes), wrong)
        nodes = rng_for(0, "train", "nodes of splits").permutation(nodes)
        cuts = [round(frac * len(nodes)) for frac in (TRAIN_FRAC, TRAIN_FRAC + VALIDATION_FRAC)]
        parts = (select_nodes(self.problem, np.sort(part).astype(np.int32)) for part in np.split(nodes, cuts))
        train, validation, test = parts
        return {"train": train, "validation": validation, "test": test}


class CurveWorld:
    """`World` over one `CurveState` for each row."""

    cost_terms: tuple[str, ...] = CURVE_TERMS

    def __init__(self, largest: tuple[int, int], prices: CurvePrices, screened: int) -> None:
        self.num_processes, self.num_nodes = largest
        self.prices, self.screened = prices, screened

    def allocate(self, rows: int, places: tuple[int, int]) -> CurveRows:
        """Rows without deployments."""
        largest = self.num_processes, self.num_nodes
        return CurveRows([None] * rows, allocate(rows, largest, places, self.screened))

    def check(self, scenario: RebalanceScenario) -> None:
        """Refuse a deployment that is larger than a row, or has replicas without a node.

        Raises:
            ScenarioError: what does not fit.
        """
        problem = scenario.problem
        if not isinstance(problem, CurvePlacement):
            raise ScenarioError(f"scenario.problem: got {type(problem).__name__}; allowed: CurvePlacement in this task")
        if len(problem) > self.num_processes or problem.num_nodes > self.num_nodes:
            raise ScenarioError(
                f"scenario.problem: {len(problem)} replicas on {problem.num_nodes} nodes; the rows of this task have "
                f"room for {self.num_processes} on {self.num_nodes}; make the task for a source that holds the problem"
            )
        if len(scenario.event):
            raise ScenarioError(f"scenario.event: {len(scenario.event)} events; allowed: none in this task")

    def load(self, shared: RebalanceState, own: CurveRows, row: int, scenario: RebalanceScenario) -> None:
        """Put a deployment into a row."""
        problem, world = scenario.problem, own.world
        own.deployments[row] = deploy(problem)
        world.price_usd[row] = self.prices.node_hour_usd * self.prices.keep_hours
        world.migration_usd[row, : len(problem)] = self.prices.of(problem)

    def start(self, shared: RebalanceState, own: CurveRows, rows: NDArray[np.int64]) -> None:
        """Begin the episodes of loaded rows."""
        for row in rows.tolist():
            start_row(shared.handle, _deployed(own, row).handle, own.world.handle, row)

    def step(self, shared: RebalanceState, own: CurveRows, actions: NDArray[np.int64]) -> None:
        """One decision of every row."""
        for row, action in enumerate(actions.tolist()):
            step_row(shared.handle, _deployed(own, row).handle, own.world.handle, row, action)

    def metrics(self, shared: RebalanceState, own: CurveRows, row: int) -> dict[str, float]:
        """Score at the start and now, nodes in use, dollars of migrations."""
        initial, deployment = float(own.world.initial_score[row]), _deployed(own, row)
        return {
            "initial_score": initial,
            "score": deployment.score,
            "saved_frac": (initial - deployment.score) / initial,
            "used_nodes": float(np.count_nonzero(deployment.replicas)),
            "moved_processes": float(_moved(own, row)),
            "migrations_usd": float(own.world.migrated_usd[row]),
        }

    def picture(self, own: CurveRows, row: int) -> Picture:
        """Peak CPU utilisation of each node."""
        deployment = _deployed(own, row)
        fill = deployment.cpu_used_peak / deployment.cpu_capacity
        return Picture(fill, np.full(len(fill), FREE_UTILISATION), deployment.node_score.copy(), _moved(own, row))


def _deployed(own: CurveRows, row: int) -> CurveState:
    deployment = own.deployments[row]
    assert deployment is not None, "a row is loaded before it is started"
    return deployment


def _moved(own: CurveRows, row: int) -> int:
    node = _deployed(own, row).node
    return int(np.count_nonzero(node != own.world.home[row, : len(node)]))
