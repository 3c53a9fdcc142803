"""A certified lower bound on the cost of any policy, for scenarios that are too large for a proven optimum.

"lp" solves the linear relaxation of `placement_lp`: node kinds instead of nodes, intervals instead of moments, and
the packing inequalities of `dual_feasible`. Its value is worked out from the duals by weak duality, so that it holds
whatever the solver's tolerances were and also when it was stopped early. "plans" raises it by column generation over
plans of single nodes (`plan_master`), which knows that nodes are whole and that requests do not move; every
Lagrangian bound on the way is certified too. "auto" takes plans for episodes of at most `plan_exact.MOST_REQUESTS`
requests.

Order of costs, which the tests check: lp <= plans <= optimum <= any policy.
"""

from __future__ import annotations

import time
from typing import Literal, get_args

import numpy as np

from archrl.baselines.placement_instance import build_instance
from archrl.baselines.placement_lp import best_relaxation, seconds_left
from archrl.baselines.plan_exact import MOST_REQUESTS
from archrl.baselines.plan_master import PlanMaster
from archrl.baselines.solution import Solution, Status
from archrl.errors import ConfigError
from archrl.scenarios.placement import PlacementScenario

Method = Literal["auto", "lp", "plans"]


def placement_lower_bound(scenario: PlacementScenario, time_limit_s: float = 60.0, method: Method = "auto") -> Solution:
    """A bound without a plan; 0 at least, whatever the time limit.

    Args:
        scenario: One episode.
        time_limit_s: Wall-clock limit, about: a search that has begun is finished.
        method: See the module docstring.

    Returns:
        A solution whose `actions` are None and whose status is "bound", or "time_limit" where more time might have
        given a higher one.

    Raises:
        ConfigError: an argument is out of range.
        ImportError: the extra "solvers" is not installed.
    """
    began = time.perf_counter()
    if not time_limit_s > 0:
        raise ConfigError(f"time_limit_s: got {time_limit_s!r}; allowed: a number of seconds above 0")
    if method not in get_args(Method):
        raise ConfigError(f"method: got {method!r}; allowed: {', '.join(get_args(Method))}")
    instance, deadline = build_instance(scenario), began + time_limit_s
    built = time.perf_counter() - began
    if method == "plans" or (method == "auto" and len(scenario) <= MOST_REQUESTS):
        master = PlanMaster(instance, deadline)
        master.generate()
        bound = master.bound_usd
    else:
        bound = best_relaxation(instance, deadline).bound_usd
    status: Status = "bound" if seconds_left(deadline) > 0 else "time_limit"
    return Solution(None, None, np.inf, bound, np.inf, status, time.perf_counter() - began, built)
