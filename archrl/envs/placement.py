"""archrl/Placement-v0: online placement of requests on a cluster.

## Description

Requests (VMs, pods) arrive one after another and ask for CPU, memory and GPU: a share of one GPU or several whole ones.
The policy puts each request on a node, or rejects it. Requests leave after their lifetime. A rejected request loses its
revenue; a node costs money for every hour in which it holds at least one request. So the policy packs: too loose, and
large requests find no room; too eager, and nodes are paid for that serve little.

## Observation

A `Dict`, float32 unless said, in raw units (every integer below 2^24 is exact in float32):

| key | shape | content |
|---|---|---|
| `nodes` | (N, 22), or (K, 28) with candidates | node table, columns `archrl.cluster.schema.NODE_FEATURES`; with candidates also `archrl.cluster.scores.SCORES` |
| `request` | (30,) | the current request, columns `REQUEST_FEATURES` |
| `clock` | (5,) | time since the start, sine and cosine of the time of day, shares decided and arrived: columns `CLOCK_FEATURES` |
| `mix` | (12,) | share of requests, then of GPU demand, by size class |
| `action_mask` | (A,) int8 | exact mask, also in `info["action_mask"]` and `action_masks()` |
| `candidates` | (K,) int32 | node index of each candidate, -1 for an empty place (only with candidates) |

The time of day is that of the trace or generator, on which the daily rhythm of arrivals depends, and not of the
episode, whose clock is stretched to the chosen load and length. It stands still where there is none
(`inflation`, `overlays` above 1).

## Action

`Discrete(N + 1)`: a node, or N to reject. With `candidates=K`: `Discrete(K + 1)`, one of K candidate nodes, among which
the best node of every scoring rule is always present, float and integer score, lowest index among ties (`cost_aware`,
which knows prices, may prefer another one). With `slot_choice=True`: `MultiDiscrete([A, 256])`, the second
component the GPU slots as a bit mask, 0 for the slot rule (used to replay plans of exact methods).

The mask is exact: capacity of CPU, memory and GPU slots, allowed GPU types, anti-affinity limit. Rejecting is allowed
when the request fits nowhere, or has priority 0 and `allow_reject` is set. An action outside the space raises. A masked
action is refused and counted in `info["violations"]`; the cluster and the request stay as they are, and the step counts
towards the horizon.

## Reward

Minus the dollars of the step, divided by `reward_scale_usd` of the preset. Terms in `info["cost"]`:

| term | dollars |
|---|---|
| `rejected` | revenue of the rejected request within the episode |
| `node_hours` | hours until the next arrival times cost per hour, over nodes that are not empty |
| `fragmentation` | price times change of FGD fragmentation (potential-based, 0 by default) |

## Start

An empty cluster and the first request of a scenario. Scenarios: `timed` (arrivals and departures of the trace),
`inflation` (FGD's protocol), `synthetic` (fitted generator), `toy`. Training, validation and test draw from disjoint
streams, and `timed` from disjoint windows of the trace.

## End

Never terminated. Truncated after as many steps as the scenario has requests; requests that are still undecided then
(after refused actions) count as rejected.

## Arguments

`preset` ("toy", "tiny": 8 nodes, "small": 64, "medium": 256, "openb": the 1,213 GPU nodes of the trace) and any field of
`archrl.envs.placement_config.PlacementConfig` as an override; `split`, `render_mode`, `copy`; `num_envs` and
`autoreset_mode` for `gymnasium.make_vec`.

## Baselines

`archrl.baselines.heuristics` (random, first, best and worst fit, dot product, GPU packing, GPU clustering, FGD,
lifetime alignment), `placement_milp` (clairvoyant integer program), `placement_lower_bound`, and
`gpu_allocation_upper_bound` for inflation.

## References

Weng et al., "Beware of Fragmentation", USENIX ATC 2023 (trace, fragmentation, protocol). Grandl et al., "Multi-resource
Packing for Cluster Schedulers", SIGCOMM 2014 (dot product). Ling et al., "LAVA", MLSys 2025 (lifetime alignment).

## Version history

v0: first version.
"""  # noqa: E501 - tables

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from archrl.cluster import schema
from archrl.cluster.load import check_scenario, load_scenario
from archrl.cluster.metrics import placement_metrics
from archrl.cluster.scores import NUM_SCORES
from archrl.cluster.state import ClusterState, StateSpec, allocate, size_class
from archrl.cluster.step import reset_rows, step_rows
from archrl.envs.placement_config import PlacementConfig
from archrl.envs.task import Outputs
from archrl.scenarios.placement import PlacementScenario
from archrl.scenarios.source import ScenarioSource
from archrl.seeding import Split

LARGE = float(np.finfo(np.float32).max)
SLOT_MASKS = 256


class PlacementState(NamedTuple):
    """Cluster state of B rows and the buffers that belong to the task's interface."""

    cluster: ClusterState
    terminated: NDArray[np.bool_]  # (B,) always False
    mix: NDArray[np.float32]  # (B, 2 C)

    def fork(self) -> PlacementState:
        """An independent copy of all rows."""
        arrays: Any = [array.copy() for array in self[1:]]
        return PlacementState(self.cluster.copy(), *arrays)


class PlacementTask:
    """Online placement as a `Task`, over a source of scenarios."""

    cost_terms: tuple[str, ...] = schema.COST_TERMS

    def __init__(self, config: PlacementConfig, source: ScenarioSource, split: Split = "train") -> None:
        self.config, self.source, self.split = config, source, split
        self.name = f"placement-{config.preset}"
        self.reward_scale_usd = config.reward_scale_usd
        self.nodes, self.catalogue, self.mix = source.nodes, source.catalogue, source.mix
        self.num_nodes = len(source.nodes)
        self.num_actions = (config.candidates or self.num_nodes) + 1
        self.observation_space = self._observation_space()
        actions = [self.num_actions, SLOT_MASKS]
        self.action_space: spaces.Space[Any] = (
            spaces.MultiDiscrete(actions) if config.slot_choice else spaces.Discrete(self.num_actions)
        )
        self._slot_choice = config.slot_choice
        self._mix_row = _mix_shares(source)

    def sample(self, rng: np.random.Generator) -> PlacementScenario:
        """Draw one episode from the task's split."""
        return self.source.sample(rng, self.split)

    def allocate(self, num_envs: int) -> PlacementState:
        """State arrays for `num_envs` rows."""
        spec = StateSpec(
            num_requests=self.source.max_requests,
            num_candidates=self.config.candidates,
            slot_rule=self.config.slot_rule,
            allow_reject=self.config.allow_reject,
            track_fragmentation=self.config.track_fragmentation,
            fragmentation_usd_per_gpu=self.config.fragmentation_usd_per_gpu,
        )
        cluster = allocate(self.nodes, self.catalogue, self.mix, num_envs, spec)
        return PlacementState(
            cluster,
            terminated=np.zeros(num_envs, np.bool_),
            mix=np.repeat(self._mix_row[None, :], num_envs, axis=0),
        )

    def reset_rows(self, state: PlacementState, rows: NDArray[np.int64], scenarios: list[PlacementScenario]) -> None:
        """Put scenarios into rows and start their episodes; all of them are checked before a row is written."""
        for scenario in scenarios:
            check_scenario(state.cluster, scenario)
        for row, scenario in zip(rows, scenarios, strict=True):
            load_scenario(state.cluster, int(row), scenario)
        reset_rows(state.cluster.handle, np.asarray(rows, np.int64))

    def step(self, state: PlacementState, actions: NDArray[np.int64]) -> None:
        """Advance every row by one decision."""
        cluster = state.cluster
        if self._slot_choice:
            cluster.slots[:] = actions[:, 1]
            actions = np.ascontiguousarray(actions[:, 0])
        step_rows(cluster.handle, actions)

    def outputs(self, state: PlacementState) -> Outputs:
        """Views into the state."""
        cluster = state.cluster
        observation: dict[str, NDArray[Any]] = {
            "nodes": cluster.candidate_table if self.config.candidates else cluster.node_table,
            "request": cluster.request,
            "clock": cluster.clock,
            "mix": state.mix,
            "action_mask": cluster.mask,
        }
        if self.config.candidates:
            observation["candidates"] = cluster.candidates
        truncated = cluster.truncated.view(np.bool_)
        return Outputs(
            observation,
            cluster.mask,
            cluster.step_cost_usd,
            state.terminated,
            truncated,
            cluster.refused.view(np.bool_),
            cluster.violations,
        )

    def metrics(self, state: PlacementState, row: int) -> dict[str, float]:
        """Domain metrics of a row, see `archrl.cluster.metrics`."""
        return placement_metrics(state.cluster, row)

    def render(self, state: PlacementState, row: int, mode: str) -> Any:
        """Text ("ansi") or a heat map of the nodes ("rgb_array")."""
        from archrl.envs.render import render_ansi, render_rgb

        return render_ansi(state.cluster, row) if mode == "ansi" else render_rgb(state.cluster, row)

    def _observation_space(self) -> spaces.Dict:
        columns = schema.NUM_NODE_FEATURES + (NUM_SCORES if self.config.candidates else 0)
        rows = self.config.candidates or self.num_nodes
        low, high = np.zeros(columns, np.float32), np.full(columns, LARGE, np.float32)
        low[schema.NODE_GPU_TYPE], low[schema.NUM_NODE_FEATURES :] = -1.0, -LARGE
        clock_low = np.array([0.0, -1.0, -1.0, 0.0, 0.0], np.float32)
        clock_high = np.array([LARGE, 1.0, 1.0, 1.0, LARGE], np.float32)
        entries: dict[str, spaces.Space[Any]] = {
            "nodes": spaces.Box(np.tile(low, (rows, 1)), np.tile(high, (rows, 1))),
            "request": spaces.Box(0.0, LARGE, (schema.NUM_REQUEST_FEATURES,)),
            "clock": spaces.Box(clock_low, clock_high),
            "mix": spaces.Box(0.0, 1.0, (2 * schema.NUM_SIZE_CLASSES,)),
            "action_mask": spaces.MultiBinary(self.num_actions),
        }
        if self.config.candidates:
            entries["candidates"] = spaces.Box(-1, self.num_nodes - 1, (rows,), np.int32)
        return spaces.Dict(entries)


def _mix_shares(source: ScenarioSource) -> NDArray[np.float32]:
    """Share of requests, then of GPU demand, by size class, (2 C,)."""
    mix = source.mix
    classes = size_class(mix.gpu_count, mix.gpu_milli)
    gpu = mix.share * mix.gpu_count * mix.gpu_milli
    total = gpu.sum() or 1.0
    count = schema.NUM_SIZE_CLASSES
    shares = np.bincount(classes, mix.share, count), np.bincount(classes, gpu / total, count)
    return np.clip(np.concatenate(shares), 0.0, 1.0).astype(np.float32)
