"""Clairvoyant placement, solved to proven optimality where time allows: `solve_placement`.

The problem is stated in `placement_model`, as a mixed-integer program that can be read beside its formulas. It is
solved by default through plans of single nodes (`plan_master`, `plan_pool`, `plan_branching`), which proves the
optimum of the preset `tiny` in seconds where the program as stated needs hours; `method="milp"` hands the program
itself to HiGHS, and the tests hold the two, and exhaustive search, against each other.

Episodes of more than `plan_exact.MOST_REQUESTS` requests get a searched plan (`plan_search`) and the bound of the
linear relaxation; their gap stays open.

The plan is checked and priced by `plan_replay`, the ledger of the environment in plain integers, so `objective_usd` is
what a replay costs. Priorities: a request of priority 1 may be rejected only where it fits nowhere. The models leave
that rule out, which keeps the bound valid. A plan that breaks it is repaired; its cost may then exceed the bound, and
the status is not "optimal" unless the two still agree. Presets `tiny` and `small` have priority 0 only. An environment
with `allow_reject=False` treats every request as priority 1, which a scenario does not know: its cost is bounded by
`bound_usd`, but the plan may not replay there.

HiGHS keeps one scheduler of threads per process: use one value of `threads` in a process, and start worker processes by
"spawn" (see `highs`).
"""

from __future__ import annotations

import time
from functools import cache
from typing import Literal, get_args

import numpy as np

from archrl.baselines.placement_instance import Instance, build_instance
from archrl.baselines.placement_lp import seconds_left
from archrl.baselines.placement_model import PlacementModel
from archrl.baselines.plan_exact import MOST_REQUESTS, PlanProof, prove_by_plans
from archrl.baselines.plan_replay import greedy_plan, plan_cost, repaired_plan
from archrl.baselines.plan_search import search_by_plans
from archrl.baselines.solution import Solution, Status, relative_gap
from archrl.errors import ConfigError, SolverError
from archrl.scenarios.placement import PlacementScenario
from archrl.scenarios.toy import toy_scenario

Method = Literal["auto", "plans", "milp"]
SLACK, SLACK_USD = 1e-6, 1e-6
"""What rounding may put a bound above a plan, relative and in $."""
LARGEST_MODEL = 3_000_000
"""Requests x nodes x events above which "auto" does not build the program as stated."""


def solve_placement(
    scenario: PlacementScenario,
    time_limit_s: float = 60.0,
    mip_gap: float = 1e-6,
    threads: int = 1,
    method: Method = "auto",
) -> Solution:
    """The cheapest way to place or reject the requests of a scenario by someone who knows all of them beforehand.

    Args:
        scenario: One episode.
        time_limit_s: Wall-clock limit, compiling aside. When it strikes, the best plan and bound so far are returned.
        mip_gap: Relative tolerance to which plan and bound must agree for the status "optimal".
        threads: Of HiGHS; the same in all calls of a process.
        method: "plans", "milp" (the program as stated), or "auto": plans, and the program if that leaves a gap.

    Returns:
        A plan that the environment can carry out, its cost, a certified bound on the cost of every policy, the gap.
        There always is a plan: the clairvoyant greedy one at least.

    Raises:
        ConfigError: an argument is out of range.
        SolverError: HiGHS failed.
        ImportError: the extra "solvers" is not installed.
    """
    _check(time_limit_s, mip_gap, threads, method)
    _compile_kernels()
    began = time.perf_counter()
    deadline = began + time_limit_s
    instance, priority = build_instance(scenario), scenario.catalogue.priority[scenario.spec_idx]
    actions, slots = greedy_plan(instance, priority)
    greedy_usd = plan_cost(instance, priority, actions, slots)
    built, proof = time.perf_counter() - began, PlanProof(actions, slots, greedy_usd, 0.0)
    if method != "milp" and len(scenario) <= MOST_REQUESTS:
        proof = prove_by_plans(instance, proof, mip_gap, deadline)
    elif method != "milp":
        proof = search_by_plans(instance, proof, deadline)
    open_gap = proof.objective_usd - proof.bound_usd > mip_gap * proof.objective_usd
    if method == "milp" or (method == "auto" and open_gap and seconds_left(deadline) > 0 and _buildable(instance)):
        built += _solve_model(instance, proof, (deadline, mip_gap, threads))
    plan = repaired_plan(instance, priority, proof.actions, proof.slots)
    objective = plan_cost(instance, priority, *plan)
    if objective > greedy_usd:
        plan, objective = (actions, slots), greedy_usd
    _check_bound(proof.bound_usd, objective)
    bound = min(proof.bound_usd, objective)
    gap = relative_gap(objective, bound)
    status: Status = "optimal" if gap <= mip_gap else "time_limit" if seconds_left(deadline) == 0.0 else "feasible"
    return Solution(*plan, objective, bound, gap, status, time.perf_counter() - began, built)


@cache
def _compile_kernels() -> None:
    """Solve a three-node story once per process, so that no time limit pays for compiling (about a minute)."""
    story = toy_scenario()
    instance = build_instance(story)
    moves = greedy_plan(instance, story.catalogue.priority[story.spec_idx])
    prove_by_plans(instance, PlanProof(*moves, np.inf, 0.0), 1e-6, np.inf)


def _solve_model(instance: Instance, proof: PlanProof, settings: tuple[float, float, int]) -> float:
    """Improve `proof` by the program as stated; the seconds spent on building it."""
    deadline, mip_gap, threads = settings
    began = time.perf_counter()
    model = PlacementModel(instance)
    built = time.perf_counter() - began
    answer = model.solve((proof.actions, proof.slots), seconds_left(deadline), mip_gap, threads)
    nobody_must = np.zeros(len(answer.actions), np.int32)
    objective = plan_cost(instance, nobody_must, answer.actions, answer.slots)
    if objective < proof.objective_usd:
        proof.actions, proof.slots, proof.objective_usd = answer.actions, answer.slots, objective
    proof.bound_usd = max(proof.bound_usd, answer.bound_usd)
    return built


def _check_bound(bound_usd: float, objective_usd: float) -> None:
    """A plan below the bound would mean that one of them is wrong; never hide it."""
    if bound_usd > objective_usd + SLACK_USD + SLACK * abs(objective_usd):
        raise SolverError(
            f"the bound {bound_usd:.9g} $ exceeds the cost {objective_usd:.9g} $ of a plan; keep the scenario and "
            "report it"
        )


def _buildable(instance: Instance) -> bool:
    count = len(instance.requests.cpu)
    return bool(2 * count * count * instance.counts.sum() <= LARGEST_MODEL)


def _check(time_limit_s: float, mip_gap: float, threads: int, method: str) -> None:
    for name, value, right, allowed in (
        ("time_limit_s", time_limit_s, time_limit_s > 0, "a number of seconds above 0"),
        ("mip_gap", mip_gap, 0 <= mip_gap < 1, "a fraction from 0 to below 1, such as 1e-6"),
        ("threads", threads, isinstance(threads, int) and threads >= 1, "an integer of at least 1"),
        ("method", method, method in get_args(Method), ", ".join(get_args(Method))),
    ):
        if not right:
            raise ConfigError(f"{name}: got {value!r}; allowed: {allowed}")
