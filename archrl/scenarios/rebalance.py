"""`RebalanceScenario`: everything exogenous of one rebalancing episode, and the sources that draw it.

Events are the arrivals and departures that go on while a plan is carried out, in their order: event e >= 0 is the
arrival of process e, and e < 0 the departure of process -1 - e. Arrivals are processes of the instance without an
initial node, after those that run from the start. Each is another process of the service of a random process of the
start, and needs what that one needs. A departure is of a random process among those that run if every arrival finds a
place; where it does not run, nothing happens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from archrl.errors import ConfigError
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_generator import generate_reassignment
from archrl.scenarios.reassignment_params import ReassignmentParams
from archrl.seeding import Split, rng_for

STEPS_PER_MIGRATION = 2
"""Choose a process, choose its destination."""
NO_NODE = -1


@dataclass(frozen=True)
class RebalanceScenario:
    """A state to rebalance, what it may take, and what happens meanwhile."""

    problem: Any  # `Reassignment` with its arrivals, `CurvePlacement` or `AgedPlacement`
    budget: int  # migrations that may be chosen
    horizon: int  # decisions
    event: Ints  # (E,)
    name: str = ""

    def __len__(self) -> int:
        """Most decisions of the episode."""
        return self.horizon

    def fingerprint(self) -> str:
        """SHA-256 over the state, what is allowed, and what happens meanwhile."""
        numbers = f"{self.problem.fingerprint()}\0{self.budget}\0{self.horizon}\0"
        return hashlib.sha256(numbers.encode() + np.ascontiguousarray(self.event).tobytes()).hexdigest()


class Allowance(NamedTuple):
    """What an episode allows, from the number of processes that run at its start."""

    budget: int | None  # migrations; None: by `budget_frac`
    budget_frac: float  # of the processes
    spare_steps: int  # decisions beyond those that the budget needs

    def migrations(self, processes: int) -> int:
        """The budget of a state, 1 or more."""
        return self.budget if self.budget is not None else max(1, round(self.budget_frac * processes))

    def horizon(self, migrations: int) -> int:
        """Most decisions."""
        return STEPS_PER_MIGRATION * migrations + self.spare_steps


class Traffic(NamedTuple):
    """Arrivals and departures while a plan is carried out."""

    events_per_migration: int
    arrival_frac: float  # of the events; the others are departures

    def events(self, migrations: int) -> int:
        """E of an episode."""
        return self.events_per_migration * migrations


STILL = Traffic(0, 0.5)
"""Nothing happens but migrations."""


def reassignment_scenario(
    problem: Reassignment, allowance: Allowance, traffic: Traffic, rng: np.random.Generator
) -> RebalanceScenario:
    """One episode on an instance."""
    migrations = allowance.migrations(len(problem))
    grown, event = _with_events(problem, traffic, traffic.events(migrations), rng)
    return RebalanceScenario(grown, migrations, allowance.horizon(migrations), event, problem.name)


def _with_events(
    problem: Reassignment, traffic: Traffic, count: int, rng: np.random.Generator
) -> tuple[Reassignment, Ints]:
    """The instance with its arrivals at the end, and the events."""
    if count == 0:
        return problem, np.zeros(0, np.int64)
    arrives = rng.random(count) < traffic.arrival_frac
    template = rng.integers(len(problem), size=count)
    running, event = list(range(len(problem))), np.zeros(count, np.int64)
    uniform = rng.random(count)
    for k in range(count):
        if arrives[k] or not running:
            event[k] = len(problem) + np.count_nonzero(event[:k] >= 0)
            running.append(int(event[k]))
        else:
            event[k] = -1 - running.pop(int(uniform[k] * len(running)))
    template = template[event >= 0]
    grown = replace(
        problem,
        service=np.concatenate([problem.service, problem.service[template]]),
        requirement=np.concatenate([problem.requirement, problem.requirement[template]]),
        process_move_cost=np.concatenate([problem.process_move_cost, problem.process_move_cost[template]]),
        initial=np.concatenate([problem.initial, np.full(len(template), NO_NODE, np.int64)]),
    )
    return grown, event


class RebalanceSource(Protocol):
    """Where the episodes of a task come from. It has no state and no randomness of its own."""

    def sample(self, rng: np.random.Generator, split: Split) -> RebalanceScenario:
        """Draw one episode of a split; everything random comes from `rng`."""


@dataclass(frozen=True)
class GeneratedSource:
    """Instances of one shape, a new one each episode, or one of a fixed set of each split."""

    params: ReassignmentParams
    allowance: Allowance
    traffic: Traffic = STILL
    instances: int = 0
    """0: a new instance each episode; K: each split has K instances."""

    @property
    def largest(self) -> list[Reassignment]:
        """Rows that hold these hold every episode, arrivals left out."""
        problem = generate_reassignment(rng_for(0, "train", "largest"), self.params)
        return [replace(problem, dependency=np.zeros(max(self.params.dependencies, 1), np.int64))]

    def sample(self, rng: np.random.Generator, split: Split) -> RebalanceScenario:
        """Draw one episode."""
        if self.instances:
            number = int(rng.integers(self.instances))
            problem = _instance(self.params, split, number)
        else:
            problem = generate_reassignment(rng, self.params, "generated")
        return reassignment_scenario(problem, self.allowance, self.traffic, rng)


_INSTANCES: dict[tuple[str, Split, int], Reassignment] = {}


def _instance(params: ReassignmentParams, split: Split, number: int) -> Reassignment:
    """Instance `number` of the fixed set of a split; it is drawn once per process."""
    key = (params.model_dump_json(), split, number)
    if key not in _INSTANCES:
        _INSTANCES[key] = generate_reassignment(rng_for(number, split, "instances"), params, f"generated_{number}")
    return _INSTANCES[key]


@dataclass(frozen=True)
class RecordedSource:
    """Given instances, for evaluation: agents are trained on generated ones."""

    problems: Mapping[str, Reassignment]
    allowance: Allowance
    traffic: Traffic = STILL

    @property
    def largest(self) -> list[Reassignment]:
        """The instances."""
        return list(self.problems.values())

    def sample(self, rng: np.random.Generator, split: Split) -> RebalanceScenario:
        """Draw one of the instances.

        Raises:
            ConfigError: another split than test.
        """
        if split != "test":
            raise ConfigError(
                f"split: got {split!r} with recorded instances; allowed: 'test', they are for evaluation; train on "
                "source='generated', with `like` for instances of the same shape"
            )
        names = sorted(self.problems)
        problem = self.problems[names[int(rng.integers(len(names)))]]
        return reassignment_scenario(problem, self.allowance, self.traffic, rng)


@dataclass(frozen=True)
class DrawnSource:
    """States that a function draws: parts of a recorded cluster, or clusters that a placer has filled."""

    draw: Callable[[np.random.Generator, Split], Any]
    allowance: Allowance

    def sample(self, rng: np.random.Generator, split: Split) -> RebalanceScenario:
        """Draw one episode."""
        problem = self.draw(rng, split)
        migrations = self.allowance.migrations(len(problem))
        return RebalanceScenario(problem, migrations, self.allowance.horizon(migrations), np.zeros(0, np.int64))
