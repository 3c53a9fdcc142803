"""archrl/Autoscale-v0: how many replicas every service of a call graph runs.

## Description

Users' requests enter a call graph of services. Each service is a pool of replicas behind one queue; what it serves, it
hands on as calls. Every 15 seconds the policy sets something for every service: the target of its autoscaler, the
utilisation that it should run at, or (ablations and replays) the replicas themselves. Replicas cost money from the
decision on, and need time to start. Too few, and requests wait, are answered late, or are dropped. Demand is recorded
or synthetic; telemetry is late and noisy.

The model: arrivals go down the graph with every step, delays are Allen-Cunneen with Erlang C, backlogs are carried,
responses are composed bottom-up with a fitted log-normal; timeouts, retries, warm-up and interference can be switched
on. See `archrl.cluster.service_kernels`, `queueing` and `latency` for the equations, and docs/validation for what they
were compared with. The autoscaler is Kubernetes' HPA, exactly, with KEDA on top (`archrl.cluster.hpa`).

## Observation

A `Dict`, float32 unless said, in raw units:

| key | shape | content |
|---|---|---|
| `services` | (K, 21) | the services that the policy controls, columns `archrl.cluster.service_schema.SERVICE_FEATURES` |
| `cluster` | (6,) | time of day, share of the episode, worst 99th percentile / SLO, late requests, cores: columns `CLUSTER_FEATURES` |
| `action_mask` | (A,) int8 | exact mask, also in `info["action_mask"]` and `action_masks()` (not with `form="box"`) |

K is the number of services, or `critical`. Arrivals are counted, so that they vary as a Poisson count does, beside the
noise of the configuration. The time of day is that of the demand, which may run faster than the episode
(see `archrl.scenarios.demand_recorded`).

## Action

| `mode` | what is set per service | `form` |
|---|---|---|
| `target` | target of the HPA: a utilisation, or with `metric="queue"` requests per slot | `multi_discrete`: a level each; `discrete`: one level for all; `box`: -1 to 1, linear from the lowest to the highest level |
| `desired` | utilisation that the measured arrivals should run at; the replicas for it go to the HPA as an external metric | the same |
| `raw` | change of the replicas by a share of them, at once (ablation: no cluster does that) | the same |
| `wanted` | the external metric of the HPA itself: a number of replicas | `multi_discrete`: `MultiDiscrete(most replicas + 1)` |
| `replicas` | replicas, at once; how plans are replayed | the same |

In `target`, `desired` and `wanted` the HPA has the last word: tolerance, stabilisation windows and scaling policies
apply. Services that are not among the `critical` ones follow their HPA with a fixed target.

The mask covers all components. Levels are always allowed; a number of replicas must lie within the limits of its
service. A masked action is refused and counted in `info["violations"]`; nothing happens and no time passes, but the
decision counts. Time that refused actions left over passes after the last decision, with the replicas as they are.

## Reward

Minus the dollars of the step, divided by `reward_scale_usd` of the preset. Terms in `info["cost"]`:

| term | dollars |
|---|---|
| `cores` | core-hours of all replicas, those that start included |
| `slo` | requests of users that are answered after the SLO of their entry |
| `overload` | requests in a backlog at the end of the step, and requests that are dropped |
| `churn` | replicas that are started |

`info["constraint_cost"]` counts what constrained methods bound: minutes with the 99th percentile above the SLO (mean over
the entries), late requests, dropped requests.

## Start

Replicas for the first demand at a utilisation of 60 %, ready and warm, empty queues. Training, validation and test
draw from disjoint streams; recorded demand also from disjoint windows of the traces, and some trace families are for
testing only.

## End

Never terminated. Truncated after `num_steps` decisions.

## Arguments

`preset` ("tiny": 5 services, "boutique": 11, "small": 50, "medium": 5,000 in about 500 classes, "planet": 1,000,000,
for evaluation) and any field of `archrl.envs.autoscale_config.AutoscaleConfig` as an override; `split`, `render_mode`,
`copy`; `num_envs` and `autoreset_mode` for `gymnasium.make_vec`.

## Baselines

`archrl.baselines.autoscalers` (static peak, HPA, KEDA, moving window, predictive, SLO decomposition, fluid MPC), and the
clairvoyant dynamic program with its Lagrangian bound in `archrl.baselines.autoscale_bound`.

## References

Kubernetes documentation, "Horizontal Pod Autoscaling". KEDA documentation, "Scaling deployments". A. O. Allen, "Probability,
Statistics, and Queueing Theory", 1990 (delays). Rzadca et al., "Autopilot", EuroSys 2020. Hou et al., "Ursa", HPCA 2024
(SLO decomposition). Bronson et al., "Metastable failures in distributed systems", HotOS 2021 (retries).

## Version history

v0: first version.
"""  # noqa: E501 - tables

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from archrl.cluster import service_schema as schema
from archrl.cluster.service_load import check_attainable, check_scenario, load_scenario
from archrl.cluster.service_metrics import service_metrics
from archrl.cluster.service_state import ServiceState, allocate
from archrl.cluster.service_step import reset_rows, step_rows
from archrl.envs.autoscale_actions import ServiceActions
from archrl.envs.autoscale_config import AutoscaleConfig
from archrl.envs.autoscale_source import build_model
from archrl.envs.task import Outputs
from archrl.scenarios.service import ServiceScenario
from archrl.scenarios.service_source import ServiceSource
from archrl.seeding import Split

LARGE = float(np.finfo(np.float32).max)


class AutoscaleState(NamedTuple):
    """State of B rows and the buffers that belong to the task's interface."""

    services: ServiceState
    values: NDArray[np.float64]  # (B, S) what the kernels are told; NaN where the policy has no say
    table: NDArray[np.float32]  # (B, K, F) rows of the services that the policy controls
    mask: NDArray[np.int8]  # (B, A)
    terminated: NDArray[np.bool_]  # (B,) always False

    def fork(self) -> AutoscaleState:
        """An independent copy of all rows."""
        return AutoscaleState(self.services.copy(), *(array.copy() for array in self[1:]))  # type: ignore[arg-type]


class AutoscaleTask:
    """Autoscaling as a `Task`, over a source of scenarios."""

    cost_terms: tuple[str, ...] = schema.COST_TERMS
    constraint_terms: tuple[str, ...] = schema.CONSTRAINTS

    def __init__(self, config: AutoscaleConfig, source: ServiceSource, split: Split = "train") -> None:
        self.config, self.source, self.split = config, source, split
        self.name = f"autoscale-{config.preset}"
        self.reward_scale_usd = config.reward_scale_usd
        self.system = source.system
        self.model = build_model(config, self.system)
        self.actions = ServiceActions(config, self.system)
        self.action_space = self.actions.space
        self.observation_space = self._observation_space()

    @property
    def services(self) -> NDArray[np.int64]:
        """The services that the policy controls, (K,), ascending: the rows of the observed table."""
        return self.actions.services

    def sample(self, rng: np.random.Generator) -> ServiceScenario:
        """Draw one episode from the task's split."""
        return self.source.sample(rng, self.split)

    def allocate(self, num_envs: int) -> AutoscaleState:
        """State arrays for `num_envs` rows.

        Raises:
            InfeasibleError: an entry cannot meet its SLO even where nothing waits.
        """
        state = allocate(self.model, self.source.steps, num_envs)
        check_attainable(state, self.model)
        table = state.services
        if len(self.services) < len(self.system.table):
            table = np.zeros((num_envs, len(self.services), schema.NUM_SERVICE_FEATURES), np.float32)
        return AutoscaleState(
            state,
            values=np.full((num_envs, len(self.system.table)), np.nan),
            table=table,
            mask=np.repeat(self.actions.mask[None, :], num_envs, axis=0),
            terminated=np.zeros(num_envs, np.bool_),
        )

    def reset_rows(self, state: AutoscaleState, rows: NDArray[np.int64], scenarios: list[ServiceScenario]) -> None:
        """Put scenarios into rows and start their episodes; all of them are checked before a row is written."""
        for scenario in scenarios:
            check_scenario(state.services, self.model, scenario)
        for row, scenario in zip(rows, scenarios, strict=True):
            load_scenario(state.services, int(row), scenario)
        reset_rows(state.services.handle, np.asarray(rows, np.int64))
        self._show(state)

    def step(self, state: AutoscaleState, actions: NDArray[Any]) -> None:
        """Advance every row by one decision."""
        self.actions.write(actions, state.values)
        step_rows(state.services.handle, state.values)
        self._show(state)

    def _show(self, state: AutoscaleState) -> None:
        if state.table is not state.services.services:
            np.take(state.services.services, self.services, axis=1, out=state.table)

    def outputs(self, state: AutoscaleState) -> Outputs:
        """Views into the state."""
        services = state.services
        observation: dict[str, NDArray[Any]] = {"services": state.table, "cluster": services.cluster}
        if state.mask.shape[1]:
            observation["action_mask"] = state.mask
        return Outputs(
            observation,
            state.mask,
            services.step_cost_usd,
            state.terminated,
            services.truncated.view(np.bool_),
            services.refused.view(np.bool_),
            services.violations,
            services.step_counts,
        )

    def metrics(self, state: AutoscaleState, row: int) -> dict[str, float]:
        """Domain metrics of a row, see `archrl.cluster.service_metrics`."""
        return service_metrics(state.services, row)

    def render(self, state: AutoscaleState, row: int, mode: str) -> Any:
        """Text ("ansi") or bars of the services ("rgb_array")."""
        from archrl.envs.autoscale_render import render_ansi, render_rgb

        graph = self.system.graph
        return render_ansi(state.services, row, graph) if mode == "ansi" else render_rgb(state.services, row)

    def _observation_space(self) -> spaces.Dict:
        shape = (len(self.services), schema.NUM_SERVICE_FEATURES)
        low = np.array([-1.0, -1.0, 0.0, 0.0, 0.0, 0.0], np.float32)
        high = np.array([1.0, 1.0, 1.0, LARGE, 1.0, LARGE], np.float32)
        parts: dict[str, spaces.Space[Any]] = {
            "services": spaces.Box(0.0, LARGE, shape),
            "cluster": spaces.Box(low, high),
        }
        if len(self.actions.mask):
            parts["action_mask"] = spaces.MultiBinary(len(self.actions.mask))
        return spaces.Dict(parts)
