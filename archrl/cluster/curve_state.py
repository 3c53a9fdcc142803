"""`CurveState`: a deployment of replicas with curves, kept up to date from move to move.

Axes: S services, Z = S + 1 with a service that needs nothing at the end, Z1 = Z + 1, T points in time, N nodes, P
replicas, K further needs, E entries of the table of rules. Every change of a node is "one replica of service x leaves,
one of service y comes", where either may be the one that needs nothing (`nobody`): kernels have one case, not three.

A deployment of 68,224 replicas on 6,000 nodes takes 130 MiB, most of it `by_service`.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.curve_evaluate import CurveEvaluation, evaluate_curves
from archrl.cluster.layout import bind as bind_arrays
from archrl.cluster.layout import layout_of, make_view
from archrl.errors import InfeasibleError, ScenarioError
from archrl.scenarios.curves import CurvePlacement
from archrl.traces.tianchi2018 import NOT_PLACED

MOST_REPLICAS_OF_SERVICE = 2**15 - 1
"""Of one service, so that `by_service` has 16 bits."""


class CurveState(NamedTuple):
    """One deployment. `handle` is what kernels receive (see `layout`); the arrays own the memory."""

    # services and replicas, static
    service: Annotated[NDArray[np.int32], "P"]
    cpu: Annotated[NDArray[np.int32], "Z T"]  # micro-cores
    mem: Annotated[NDArray[np.int32], "Z T"]  # micro-GiB
    other: Annotated[NDArray[np.int32], "Z K"]
    cpu_peak: Annotated[NDArray[np.int32], "Z"]
    mem_peak: Annotated[NDArray[np.int32], "Z"]
    # rules by service, from both sides, static
    rule_start: Annotated[NDArray[np.int32], "Z1"]
    rule_other: Annotated[NDArray[np.int32], "E"]
    rule_limit: Annotated[NDArray[np.int32], "E"]
    rule_of_other: Annotated[NDArray[np.uint8], "E"]  # 1: limits this service beside the other; 0: the other beside it
    # nodes, static
    cpu_capacity: Annotated[NDArray[np.int32], "N"]
    mem_capacity: Annotated[NDArray[np.int32], "N"]
    other_capacity: Annotated[NDArray[np.int32], "N K"]
    per_cpu: Annotated[NDArray[np.float64], "N"]  # 1 / capacity
    # dynamic
    node: Annotated[NDArray[np.int32], "P"]  # NOT_PLACED without
    cpu_used: Annotated[NDArray[np.int32], "N T"]
    mem_used: Annotated[NDArray[np.int32], "N T"]
    other_used: Annotated[NDArray[np.int32], "N K"]
    cpu_used_peak: Annotated[NDArray[np.int32], "N"]
    mem_used_peak: Annotated[NDArray[np.int32], "N"]
    by_service: Annotated[NDArray[np.int16], "N S"]  # replicas by service
    replicas: Annotated[NDArray[np.int32], "N"]
    node_score: Annotated[NDArray[np.float64], "N"]  # 0 for a node that is not in use
    handle: NDArray[np.int64]

    @property
    def score(self) -> float:
        """Score of the deployment."""
        return float(self.node_score.sum())

    def copy(self) -> CurveState:
        """A fork: same static tables, own dynamic arrays."""
        arrays = {name: value if name in STATIC else value.copy() for name, value in self._asdict().items()}
        del arrays["handle"]
        return bind(arrays)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and deepcopy rebuild the handle: its addresses are only valid for the arrays that it was made for."""
        arrays = self._asdict()
        del arrays["handle"]
        return bind, (arrays,)


LAYOUT = layout_of(CurveState)
STATIC = frozenset(CurveState._fields[: CurveState._fields.index("node")])
curve_view = make_view("CurveStateView", LAYOUT)


def bind(arrays: dict[str, np.ndarray]) -> CurveState:
    """Build the state and its handle from named C-contiguous arrays (all fields but `handle`)."""
    return bind_arrays(CurveState, LAYOUT, arrays)


def deploy(problem: CurvePlacement) -> CurveState:
    """The state of the problem's initial deployment.

    Raises:
        InfeasibleError: It violates a hard constraint; the message names the first ones.
        ScenarioError: A service has more replicas than `by_service` can hold.
    """
    most = int(np.bincount(problem.service).max())
    if most > MOST_REPLICAS_OF_SERVICE:
        raise ScenarioError(f"service: {most} replicas of one; allowed: {MOST_REPLICAS_OF_SERVICE} of each at most")
    evaluation = evaluate_curves(problem, problem.initial)
    if not evaluation.feasible:
        raise InfeasibleError(infeasible_text(evaluation))
    return bind(_static(problem) | _dynamic(problem) | {"node_score": evaluation.node_score})


def infeasible_text(evaluation: CurveEvaluation, shown: int = 3) -> str:
    """What is violated where, the first few of all."""
    first = "; ".join(str(violation) for violation in evaluation.violations[:shown])
    return (
        f"initial: {len(evaluation.violations)} hard constraints are violated ({first}); allowed: a feasible "
        "deployment, where replicas may be without a node; take replicas off these nodes"
    )


def _static(problem: CurvePlacement) -> dict[str, np.ndarray]:
    cpu, mem, other = (np.pad(table, ((0, 1), (0, 0))) for table in (problem.cpu, problem.mem, problem.other))
    return {
        "service": problem.service,
        "cpu": cpu,
        "mem": mem,
        "other": other,
        "cpu_peak": cpu.max(axis=1),
        "mem_peak": mem.max(axis=1),
        **_rules(problem),
        "cpu_capacity": problem.cpu_capacity,
        "mem_capacity": problem.mem_capacity,
        "other_capacity": problem.other_capacity,
        "per_cpu": 1.0 / problem.cpu_capacity,
    }


def _rules(problem: CurvePlacement) -> dict[str, np.ndarray]:
    """Every rule under both of its services; one of a service with itself once, as a limit on itself."""
    owner = np.repeat(np.arange(problem.num_services), np.diff(problem.rule_start))
    pair = owner != problem.rule_other
    service = np.concatenate([owner[pair], problem.rule_other])
    order = np.argsort(service, kind="stable")
    sizes = np.bincount(service, minlength=problem.num_services + 1)
    return {
        "rule_start": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
        "rule_other": np.concatenate([problem.rule_other[pair], owner])[order].astype(np.int32),
        "rule_limit": np.concatenate([problem.rule_limit[pair], problem.rule_limit])[order],
        "rule_of_other": np.concatenate([np.zeros(pair.sum(), np.uint8), np.ones(len(owner), np.uint8)])[order],
    }


def _dynamic(problem: CurvePlacement) -> dict[str, np.ndarray]:
    placed = problem.initial != NOT_PLACED
    node, service = problem.initial[placed], problem.service[placed]
    count = np.zeros((problem.num_nodes, problem.num_services), np.int16)
    np.add.at(count, (node, service), 1)
    used = {}
    for name in ("cpu", "mem", "other"):
        table = getattr(problem, name)
        used[name] = np.zeros((problem.num_nodes, table.shape[1]), np.int32)
        np.add.at(used[name], node, table[service])
    return {
        "node": problem.initial.copy(),
        "by_service": count,
        **{f"{name}_used": array for name, array in used.items()},
        **{f"{name}_used_peak": used[name].max(axis=1) for name in ("cpu", "mem")},
        "replicas": np.bincount(node, minlength=problem.num_nodes).astype(np.int32),
    }
