"""The GPU allocation bound: closed forms, and the published runs of the openb trace below it."""

from __future__ import annotations

import numpy as np
import pytest

from archrl.baselines.inflation_bound import gpu_allocation_upper_bound
from archrl.errors import ScenarioError
from archrl.scenarios.placement import NodeTable, RequestCatalogue

pytest.importorskip("highspy")


def fleet(*nodes: tuple[int, int, int]) -> NodeTable:
    """Nodes as (cores, GPUs, GPU type)."""
    cores, gpus, kinds = (np.array(column, np.int32) for column in zip(*nodes, strict=True))
    return NodeTable(
        name=tuple(f"n{n}" for n in range(len(nodes))),
        cpu_milli=cores * 1000,
        mem_mib=np.full(len(nodes), 1000, np.int32),
        gpu_count=gpus,
        gpu_type_idx=kinds,
        node_hour_usd=np.ones(len(nodes)),
        gpu_types=("A", "B"),
    )


def specs(*rows: tuple[int, int, int], mask: int = -1) -> RequestCatalogue:
    """Specifications as (cores, GPUs, milli per GPU)."""
    cores, gpus, milli = (np.array(column, np.int32) for column in zip(*rows, strict=True))
    none = np.zeros(len(rows), np.int32)
    return RequestCatalogue(
        cpu_milli=cores * 1000,
        mem_mib=none,
        gpu_count=gpus,
        gpu_milli=milli,
        gpu_type_mask=np.full(len(rows), mask, np.int64),
        group_idx=none - 1,
        group_limit=none,
        priority=none,
    )


def bound(nodes: NodeTable, table: RequestCatalogue, *counts: int) -> float:
    return gpu_allocation_upper_bound(nodes, table, np.array(counts)).bound_frac


def test_shares_that_do_not_divide_a_gpu_leave_a_rest():
    nodes = fleet((100, 8, 0), (100, 8, 0))
    assert bound(nodes, specs((1, 1, 810)), 1000) == pytest.approx(0.81)
    assert bound(nodes, specs((1, 1, 470)), 1000) == pytest.approx(0.94)
    assert bound(nodes, specs((1, 1, 340)), 1000) == pytest.approx(0.68)
    assert bound(nodes, specs((1, 1, 500)), 1000) == pytest.approx(1.0)


def test_cores_run_out_before_gpus():
    """Eight cores and two GPUs: of requests for five cores and a GPU one fits; rounding sees it, fractions do not."""
    assert bound(fleet((8, 2, 0)), specs((5, 1, 1000)), 10) == pytest.approx(0.5)


def test_few_arrivals_bound_by_their_own_demand():
    nodes = fleet((100, 8, 0))
    assert bound(nodes, specs((1, 1, 500), (1, 2, 1000)), 3, 1) == pytest.approx(3.5 / 8)
    assert bound(nodes, specs((1, 1, 500), (1, 0, 0)), 0, 50) == pytest.approx(0.0)


def test_gpu_types_that_nobody_may_use_stay_empty():
    nodes = fleet((100, 4, 0), (100, 4, 1))
    assert bound(nodes, specs((1, 1, 1000), mask=0b10), 100) == pytest.approx(0.5)


def test_requests_for_many_gpus_need_nodes_with_as_many():
    nodes = fleet((100, 2, 0), (100, 8, 0))
    assert bound(nodes, specs((1, 4, 1000)), 100) == pytest.approx(0.8)


def test_more_arrivals_never_lower_the_bound():
    nodes, table = fleet((20, 4, 0), (6, 2, 1)), specs((3, 1, 700), (1, 1, 250), (9, 2, 1000))
    grown = [bound(nodes, table, k, 2 * k, k) for k in range(6)]
    assert grown == sorted(grown)
    assert grown[-1] <= 1.0


def test_out_of_time_the_bound_is_weak_but_holds():
    found = gpu_allocation_upper_bound(fleet((100, 8, 0)), specs((1, 1, 810)), np.array([1000]), time_limit_s=1e-9)
    assert 0.81 - 1e-9 <= found.bound_frac <= 1.0


@pytest.mark.parametrize("counts", [[1, 2], [-1]])
def test_counts_that_do_not_fit_are_refused(counts: list[int]):
    with pytest.raises(ScenarioError, match="spec_counts"):
        gpu_allocation_upper_bound(fleet((8, 1, 0)), specs((1, 1, 500)), np.array(counts))


@pytest.mark.needs_data("openb_gpu2023")
def test_published_runs_stay_below_the_bound_of_the_real_trace():
    """FGD allocates 95.23 % of the GPUs when 100 % of their capacity has arrived (USENIX ATC'23, ten seeds)."""
    from archrl.envs.placement_make import make_task
    from archrl.evaluation.evaluate import draw_scenarios

    task = make_task("openb", split="test")
    story = draw_scenarios(task, "test", 0, 1)[0]
    table = story.catalogue
    arrived = (table.gpu_count * table.gpu_milli)[story.spec_idx].cumsum() / (1000 * story.nodes.gpu_count.sum())
    counts = np.bincount(story.spec_idx[arrived <= 1.0], minlength=len(table))
    found = gpu_allocation_upper_bound(story.nodes, table, counts)
    assert 0.9523 < found.bound_frac < 0.985
    assert found.status == "Optimal"
