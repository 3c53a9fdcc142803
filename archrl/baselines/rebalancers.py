"""All policies of `archrl/Rebalance-v0` that do not learn, by name.

For example `make_rebalancer("low_node_utilization", task, {"thresholds": 30.0})`, and, for a policy that plans,
`make_rebalancer("milp", task, {"time_limit_s": 2.0}, scenarios=scenarios)`.
"""

from __future__ import annotations

from collections.abc import Sequence

from archrl.baselines.autoscaler_params import Params
from archrl.baselines.rebalance_descheduler import HighNodeUtilization, LowNodeUtilization
from archrl.baselines.rebalance_heuristics import Greedy, Random, Rebalancer, Stop, complete_params
from archrl.baselines.rebalance_plans import LocalSearch, Milp, PlannedPolicy, Pop
from archrl.config import closest_match, load_config, to_dict
from archrl.envs.rebalance import RebalanceTask
from archrl.errors import ConfigError
from archrl.scenarios.rebalance import RebalanceScenario

PRACTICE: dict[str, type[Rebalancer]] = {
    cls.name: cls for cls in (Stop, Random, Greedy, LowNodeUtilization, HighNodeUtilization)
}
"""Policies that act on the observation alone."""
PLANNED: dict[str, type[PlannedPolicy]] = {cls.name: cls for cls in (LocalSearch, Milp, Pop)}
"""Policies that plan from the state at the start."""
REBALANCERS: dict[str, type[Rebalancer]] = {**PRACTICE, **PLANNED}


def rebalancer_class(name: str) -> type[Rebalancer]:
    """The class of a policy.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in REBALANCERS:
        raise ConfigError(f"policy: got {name!r}; allowed: {', '.join(REBALANCERS)}{closest_match(name, REBALANCERS)}")
    return REBALANCERS[name]


def own_task(name: str, task: RebalanceTask) -> RebalanceTask:
    """The task as a policy plays it: the same world, other places.

    Raises:
        ConfigError: there is no policy of that name.
    """
    fields = rebalancer_class(name).task_fields(task)
    return task.sibling(load_config(to_dict(task.config) | fields, type(task.config)), task.split)


def make_rebalancer(
    name: str,
    task: RebalanceTask,
    params: Params | None = None,
    seed: int = 0,
    scenarios: Sequence[RebalanceScenario] | None = None,
) -> tuple[Rebalancer, RebalanceTask]:
    """A policy and the variant of the task that it plays.

    Args:
        name: One of `REBALANCERS`.
        task: Whose world is played.
        params: Parameters that differ from the defaults.
        seed: Of the policy's own random choices.
        scenarios: Those of the rollout, in its order, for planned policies.

    Raises:
        ConfigError: an unknown policy or parameter, a value that is not allowed, or a planned policy without scenarios.
    """
    cls, own = rebalancer_class(name), own_task(name, task)
    complete = complete_params(cls, params)
    if not issubclass(cls, PlannedPolicy):
        return cls(own, complete, seed), own
    if scenarios is None:
        raise ConfigError(f"policy {name!r}: it plans from the state at the start; give it `scenarios`")
    return cls(own, complete, scenarios), own
