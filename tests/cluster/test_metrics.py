"""Domain metrics against a cluster whose numbers are worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster.metrics import placement_metrics
from archrl.cluster.state import ClusterState
from tests.cluster.scenes import scenario
from tests.cluster.strategies import advance, fill, scenarios
from tests.reference.placement import ReferenceEpisode


def played(spec_idx: list[int], actions: list[int], **options: object) -> ClusterState:
    state = fill([scenario(spec_idx)], **options)
    for action in actions:
        assert advance(state, [action])[0]
    return state


def test_metrics_by_hand():
    """Half a GPU on a, one CPU request on c, one half rejected, a pair rejected; b stays empty."""
    metrics = placement_metrics(played([1, 0, 1, 2, 0], [0, 2, 3, 3]), 0)
    assert metrics == pytest.approx(
        {
            "gpu_allocation_frac": 500 / 6000,
            "cpu_allocation_frac": 3000 / 28000,
            "mem_allocation_frac": 3000 / 112_000,
            # of the 2 GPUs and 12 cores of the nodes in use
            "gpu_packing_density_frac": 500 / 2000,
            "cpu_packing_density_frac": 3000 / 12000,
            "empty_nodes_frac": 1 / 3,
            # a: 750 (see the test of the scores); b: a quarter of 4000 that the CPU requests do not use
            "fragmentation_gpu_frac": (750 + 1000) / 6000,
            "mem_packing_density_frac": 3000 / 48_000,
            # a request without GPU fits on every node
            "stranded_gpu_frac": 0.0,
            "stranded_cpu_frac": 0.0,
            "stranded_mem_frac": 0.0,
            "rejected_frac": 2 / 4,
            "rejected_cpu_only_frac": 0.0,
            "rejected_shared_gpu_frac": 1 / 2,
            "rejected_one_gpu_frac": 0.0,
            "rejected_two_gpus_frac": 1.0,
            "rejected_four_gpus_frac": 0.0,
            "rejected_eight_gpus_frac": 0.0,
        }
    )


def test_gpu_is_stranded_where_only_cpu_is_missing():
    """Six CPU requests and one half leave node a without cores: neither its GPU nor its memory can be used."""
    metrics = placement_metrics(played([1, *[0] * 6, 0], [0] * 7), 0)
    assert metrics["stranded_gpu_frac"] == pytest.approx(1500 / 6000)
    assert metrics["stranded_cpu_frac"] == 0.0
    assert metrics["stranded_mem_frac"] == pytest.approx((32_000 - 8_000) / 112_000)
    assert metrics["fragmentation_gpu_frac"] == pytest.approx((1500 + 1000) / 6000)


def test_an_empty_cluster_packs_nothing():
    metrics = placement_metrics(played([0], []), 0)
    assert metrics["empty_nodes_frac"] == 1.0
    assert [metrics[f"{kind}_packing_density_frac"] for kind in ("gpu", "cpu", "mem")] == [0.0, 0.0, 0.0]
    assert [metrics[f"{kind}_allocation_frac"] for kind in ("gpu", "cpu", "mem")] == [0.0, 0.0, 0.0]
    assert metrics["rejected_frac"] == 0.0


def test_fragmentation_is_reported_even_when_the_episode_does_not_track_it():
    actions, kinds = [0, 1, 2], [1, 2, 0, 0]
    tracked, untracked = (played(kinds, actions, track_fragmentation=flag) for flag in (True, False))
    assert placement_metrics(untracked, 0) == pytest.approx(placement_metrics(tracked, 0))
    assert placement_metrics(tracked, 0)["fragmentation_gpu_frac"] > 0


def stranded(model: ReferenceEpisode) -> dict[str, float]:
    """Free k on the nodes where no specification that asks for k fits (anti-affinity aside) / capacity, literally."""
    nodes, table = model.scenario.nodes, model.scenario.catalogue
    free = {"gpu": lambda n: sum(model.gpu_free(n)), "cpu": model.cpu_free, "mem": model.mem_free}
    wants = {"gpu": table.gpu_count, "cpu": table.cpu_milli, "mem": table.mem_mib}
    capacity = {"gpu": 1000 * nodes.gpu_count, "cpu": nodes.cpu_milli, "mem": nodes.mem_mib}

    def fits(n: int, u: int) -> bool:
        kind, mask = int(nodes.gpu_type_idx[n]), int(table.gpu_type_mask[u])
        typed = table.gpu_count[u] == 0 or (kind >= 0 and (mask == -1 or (mask >> kind) & 1))
        slots = sum(slot >= table.gpu_milli[u] for slot in model.gpu_free(n)) >= table.gpu_count[u]
        return typed and slots and model.cpu_free(n) >= table.cpu_milli[u] and model.mem_free(n) >= table.mem_mib[u]

    total = {}
    for k, left in free.items():
        lost = sum(
            left(n) for n in range(len(nodes)) if not any(wants[k][u] > 0 and fits(n, u) for u in range(len(table)))
        )
        total[f"stranded_{k}_frac"] = lost / capacity[k].sum() if capacity[k].sum() else 0.0
    return total


@given(story=scenarios(), plan=st.lists(st.integers(0, 4), min_size=14, max_size=14))
def test_fractions_equal_the_reference_and_stay_within_bounds(story, plan):
    state, model = fill([story]), ReferenceEpisode(story)
    for action in plan[: len(story)]:
        action = min(action, len(story.nodes))
        model.step(action)
        advance(state, [action])
        metrics, nodes = placement_metrics(state, 0), range(len(story.nodes))
        assert all(0.0 <= value <= 1.0 + 1e-9 for value in metrics.values())
        gpus = 1000 * int(story.nodes.gpu_count.sum())
        used = gpus - sum(sum(model.gpu_free(n)) for n in nodes)
        assert metrics["gpu_allocation_frac"] == pytest.approx(used / gpus if gpus else 0.0)
        busy = model.busy()
        cpu = sum(int(story.nodes.cpu_milli[n]) for n in busy)
        density = sum(int(story.nodes.cpu_milli[n]) - model.cpu_free(n) for n in busy) / cpu if cpu else 0.0
        assert metrics["cpu_packing_density_frac"] == pytest.approx(density)
        assert metrics["empty_nodes_frac"] == pytest.approx(1 - len(busy) / len(story.nodes))
        mem = sum(int(story.nodes.mem_mib[n]) for n in busy)
        density = sum(int(story.nodes.mem_mib[n]) - model.mem_free(n) for n in busy) / mem if mem else 0.0
        assert metrics["mem_packing_density_frac"] == pytest.approx(density)
        assert {k: metrics[k] for k in metrics if k.startswith("stranded")} == pytest.approx(stranded(model))
        assert metrics["rejected_frac"] == pytest.approx(len(model.rejected) / max(model.cursor, 1))
