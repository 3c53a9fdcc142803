"""archrl/Rebalance-v0: migrate what runs on a cluster, a few migrations at a time.

## Description

Processes run on nodes, where they were put long ago. The policy migrates some of them, one after another, within a
budget of migrations, to lower what the state costs: load above the safety capacity of nodes, resources left in useless
proportions, and the migrations themselves. It is the machine reassignment problem of the Google ROADEF/EURO challenge
2012, played move by move: services have to be spread over locations, processes of one service never share a node,
services depend on others in their neighborhood, and some resources stay occupied on the old node until the end.

Every migration takes two decisions: which process, then to which node. Both have an exact mask. Stopping is always
allowed in the first one.

## Observation

A `Dict`, float32 unless said. All numbers are ratios, or amounts of cost as sign(x) ln(1 + |x|) of multiples of the
initial cost per process; so they have the same size on instances of all sizes.

| key | shape | content |
|---|---|---|
| `processes` | (C, 13) | candidate processes of the first decision, kept during the second |
| `chosen` | (13,) | the row of the chosen process, in the second decision |
| `destinations` | (D, 12) | candidate nodes of the second decision, zeros in the first |
| `summary` | (10,) | stage, budget left, cost against the start, size and utilisation |
| `process_idx` | (C,) int32 | index of each candidate process, -1 for an empty place |
| `destination_idx` | (D,) int32 | index of each candidate node, -1 for an empty place |
| `nodes` | (N, 6) | all nodes, only where `node_candidates` is None |
| `action_mask` | (A,) int8 | exact mask, also in `info["action_mask"]` and `action_masks()` |

With `process_candidates=C` candidates are movable processes only, by relief: by how much the cost of their node falls
when they leave, less what their move costs. Of the first `screened` times C the best move over all nodes is computed;
half of the places go to those with the best one, the others to the highest relief. Without `look_ahead` only relief
counts. With `node_candidates=D` the D nodes with the least change of the total cost are there among those that can take
the chosen process. The lowest index goes first among ties. In aged GPU states all processes are screened.
The shapes then do not depend on the instance, and a policy trained on one shape plays all others. Without these fields
candidates are all processes and all nodes, in their order.

## Action

`Discrete(A)`, A = max(C + 1, D). In the first decision (`summary[0]` is 0) action c < C chooses the process of place c
and action C stops. In the second one action d < D chooses the node of place d.

The mask allows exactly the processes that some node can take, and then exactly the candidate nodes that can take the
chosen process: capacity with transient resources, one process of a service per node, spread, and dependencies. A
process whose migration is waiting (`plan_delay`) is not movable. A masked action is refused and counted in
`info["violations"]`; nothing else changes, and the step counts towards the horizon.

## Reward

Minus the dollars of the step, divided by `reward_scale_usd`. The terms are changes, so that those of an episode add up
to final minus initial cost. Terms in `info["cost"]`:

| term | dollars |
|---|---|
| `load` | price per unit times the change of the load cost |
| `balance` | the same for the balance cost |
| `process_move`, `service_move`, `node_move` | the same for the move costs of the challenge, 0 with `costs="dollars"` |
| `migration` | with `costs="dollars"`: slowdown, downtime and risk of a live migration |
| `rejected` | `rejected_usd` for each arrival that fits nowhere |

The price per unit is `usd_per_unit`, or such that the cost at the start is worth `initial_usd`: 100 makes dollars
percent of the initial cost. Moves are counted against the state at the start, as in the challenge: moving back is
refunded, and a process that ends takes what its moves cost with it.

With `costs="dollars"` a migration copies the memory that `memory_resource` stands for; the process earns its share of
`node_hour_usd`.

## Start

An instance in its initial assignment. `source="generated"`: the generator, instances of one shape, or of the shape of a
recorded one with `like`; the splits draw from disjoint streams. `source="roadef2012"`: the instances of the challenge,
for the test split.

With `events_per_migration` above 0 processes arrive and end after every migration that is chosen. Arrivals are put
where load and balance cost rise least (lowest index among ties), or rejected; a departure that would break a constraint
is held back. With `plan_delay` d a migration is carried out when d more were chosen, or at the end of the episode; it
is dropped when it is no longer feasible by then. Migrations that wait are carried out in their order at the end, with
the events in between.

## End

Terminated by stopping, or with the last migration of the budget. Truncated after two steps for each migration of the
budget and `spare_steps` more, which takes refused actions; migrations that wait then are dropped.

## Arguments

`preset` ("tiny": 6 nodes and 30 processes, all of them candidates; "small": 12 and 100; "medium": 100 and 1,000, twelve
resources; "large": 100 and 5,000; "huge": 1,000 and 50,000) and any field of
`archrl.envs.rebalance_config.RebalanceConfig` as an override; `split`, `render_mode`, `copy`; `num_envs` and
`autoreset_mode` for `gymnasium.make_vec`.

## References

Google ROADEF/EURO Challenge 2011-2012, "Problem definition". Ding et al., "VMR2L", EuroSys 2025 (two-stage action,
budget of migrations, late plans). Clark et al., "Live Migration of Virtual Machines", NSDI 2005.

## Version history

v0: first version.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from archrl.cluster import rebalance_state as schema
from archrl.cluster.rebalance_state import RebalanceSpec, RebalanceState, allocate
from archrl.envs.rebalance_config import RebalanceConfig
from archrl.envs.rebalance_world import World
from archrl.envs.task import Outputs
from archrl.scenarios.rebalance import RebalanceScenario, RebalanceSource
from archrl.seeding import Split

LARGE = float(np.finfo(np.float32).max)


class RebalanceRows(NamedTuple):
    """B episodes: what all worlds share, and the state of the world."""

    shared: RebalanceState
    own: Any


class RebalanceTask:
    """Rebalancing as a `Task`, over a source of scenarios and a world."""

    def __init__(self, config: RebalanceConfig, source: RebalanceSource, world: World, split: Split = "train") -> None:
        self.config, self.source, self.world, self.split = config, source, world, split
        self.name = f"rebalance-{config.preset}"
        self.cost_terms: tuple[str, ...] = world.cost_terms
        self.reward_scale_usd = config.reward_scale_usd
        self.spec = RebalanceSpec(
            process_places=config.process_candidates or world.num_processes,
            node_places=config.node_candidates or world.num_nodes,
            nodes_shown=0 if config.node_candidates else world.num_nodes,
            cost_terms=len(world.cost_terms),
            settings=(
                config.plan_delay,
                config.events_per_migration,
                int(config.look_ahead),
                int(config.process_candidates is None),
                int(config.node_candidates is None),
            ),
        )
        self.action_space: spaces.Space[Any] = spaces.Discrete(self.spec.actions)
        self.observation_space = self._observation_space()

    def sibling(self, config: RebalanceConfig, split: Split) -> RebalanceTask:
        """The same source and world with other places to choose from, or another split."""
        return RebalanceTask(config, self.source, self.world, split)

    @property
    def stop(self) -> int:
        """The action that ends the episode, in the first decision of a migration."""
        return self.spec.process_places

    def sample(self, rng: np.random.Generator) -> RebalanceScenario:
        """Draw one episode from the task's split."""
        return self.source.sample(rng, self.split)

    def allocate(self, num_envs: int) -> RebalanceRows:
        """State arrays for `num_envs` rows."""
        own = self.world.allocate(num_envs, (self.spec.process_places, self.spec.node_places))
        return RebalanceRows(allocate(self.spec, num_envs), own)

    def reset_rows(self, state: RebalanceRows, rows: NDArray[np.int64], scenarios: list[RebalanceScenario]) -> None:
        """Put scenarios into rows and start their episodes; all of them are checked before a row is written."""
        for scenario in scenarios:
            self.world.check(scenario)
        for row, scenario in zip(rows, scenarios, strict=True):
            state.shared.budget[row], state.shared.horizon[row] = scenario.budget, scenario.horizon
            self.world.load(state.shared, state.own, int(row), scenario)
        self.world.start(state.shared, state.own, np.asarray(rows, np.int64))

    def step(self, state: RebalanceRows, actions: NDArray[np.int64]) -> None:
        """Advance every row by one decision."""
        self.world.step(state.shared, state.own, actions)

    def outputs(self, state: RebalanceRows) -> Outputs:
        """Views into the state."""
        shared = state.shared
        observation: dict[str, NDArray[Any]] = {
            "processes": shared.processes,
            "chosen": shared.chosen_process,
            "destinations": shared.destinations,
            "summary": shared.summary,
            "process_idx": shared.process_idx,
            "destination_idx": shared.destination_idx,
            "action_mask": shared.mask,
        }
        if self.spec.nodes_shown:
            observation["nodes"] = shared.nodes
        return Outputs(
            observation,
            shared.mask,
            shared.step_cost_usd,
            shared.terminated.view(np.bool_),
            shared.truncated.view(np.bool_),
            shared.refused.view(np.bool_),
            shared.violations,
        )

    def metrics(self, state: RebalanceRows, row: int) -> dict[str, float]:
        """Counters and the metrics of the world. What waits when an episode is truncated is dropped."""
        shared = state.shared
        counts = dict(zip(schema.COUNTERS, shared.counters[row].astype(float).tolist(), strict=True))
        if shared.truncated[row]:
            counts["dropped_migrations"] += float(shared.waiting[row])
        return counts | self.world.metrics(shared, state.own, row)

    def render(self, state: RebalanceRows, row: int, mode: str) -> Any:
        """Text ("ansi") or bars of the nodes ("rgb_array")."""
        from archrl.envs.rebalance_render import render_ansi, render_rgb

        picture = self.world.picture(state.own, row)
        return render_ansi(state.shared, picture, row) if mode == "ansi" else render_rgb(state.shared, picture, row)

    def _observation_space(self) -> spaces.Dict:
        spec, any_number = self.spec, (-LARGE, LARGE)
        processes, nodes = len(schema.PROCESS_FEATURES), len(schema.NODE_FEATURES)
        entries: dict[str, spaces.Space[Any]] = {
            "processes": spaces.Box(*any_number, (spec.process_places, processes)),
            "chosen": spaces.Box(*any_number, (processes,)),
            "destinations": spaces.Box(*any_number, (spec.node_places, len(schema.DESTINATION_FEATURES))),
            "summary": spaces.Box(*any_number, (len(schema.SUMMARY_FEATURES),)),
            "process_idx": spaces.Box(-1, self.world.num_processes - 1, (spec.process_places,), np.int32),
            "destination_idx": spaces.Box(-1, self.world.num_nodes - 1, (spec.node_places,), np.int32),
            "action_mask": spaces.MultiBinary(spec.actions),
        }
        if spec.nodes_shown:
            entries["nodes"] = spaces.Box(*any_number, (spec.nodes_shown, nodes))
        return spaces.Dict(entries)
