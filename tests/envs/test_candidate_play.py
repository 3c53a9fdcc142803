"""Heuristics play the same with candidates as without: their optimum is always among the K candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archrl.baselines.heuristics import make_heuristic
from archrl.cluster import schema, scores
from archrl.cluster.invariants import check_invariants
from archrl.envs.placement_make import make_single, make_task
from archrl.envs.shells import SingleEnv
from archrl.evaluation.rollout import rollout
from archrl.seeding import rng_for
from tests.conftest import needs_data

FORMS = [(rule, {"score": form}) for rule in scores.RULES for form in ("float", "integer")]
FLEETS = {
    "inflation": {"preset": "tiny", "scenario": "inflation", "num_nodes": 60, "max_gpus": 8},
    "synthetic": {"preset": "tiny", "num_nodes": 40, "num_requests": 300, "offered_load": 0.9},
}


def placed(rule: str, forms: dict[str, str], fleet: dict[str, Any], scenario_seed: int = 0) -> np.ndarray:
    """Node of every request, or its status."""
    task = make_task(**fleet)
    scenario = task.sample(rng_for(scenario_seed, "test", "candidates"))
    shown: list[np.ndarray] = []
    rollout(task, make_heuristic(rule, task, **forms), [scenario], lambda state: shown.append(nodes_of(state)))
    return np.array([nodes[request] for request, nodes in enumerate(shown)])


def nodes_of(state: Any) -> np.ndarray:
    return state.cluster.request_int[0, :, schema.NODE].copy()


@pytest.mark.parametrize("fleet", FLEETS)
@pytest.mark.parametrize(("rule", "forms"), FORMS, ids=[f"{rule}-{forms['score']}" for rule, forms in FORMS])
def test_the_smallest_candidate_set_changes_no_heuristic(rule, forms, fleet):
    everywhere = placed(rule, forms, FLEETS[fleet])
    with_candidates = placed(rule, forms, FLEETS[fleet] | {"candidates": 14})
    assert (everywhere >= 0).sum() > 0.5 * len(everywhere)
    np.testing.assert_array_equal(with_candidates, everywhere)


@needs_data("openb_gpu2023")
def test_the_published_fleet_keeps_the_invariants():
    """Random allowed play on the 1,213 nodes; every 300 requests the whole state is recomputed."""
    env: SingleEnv = make_single("openb")
    _, info = env.reset(seed=0)
    rng = rng_for(0, "test", "openb")
    for step in range(1500):
        action = int(rng.choice(np.flatnonzero(info["action_mask"])))
        _, _, _, _, info = env.step(action)
        if step % 300 == 0:
            check_invariants(env.state.cluster)
    check_invariants(env.state.cluster)
    assert info["violations"] == 0
    assert env.state.cluster.busy_nodes[0] > 400


@needs_data("openb_gpu2023")
@pytest.mark.parametrize(("rule", "forms"), [("fgd", {"score": "integer"}), ("fgd", {"score": "float"})])
def test_fgd_plays_the_same_on_a_part_of_the_published_fleet(rule, forms):
    fleet = {"preset": "openb", "num_nodes": 100, "candidates": 0}
    np.testing.assert_array_equal(placed(rule, forms, fleet | {"candidates": 14}), placed(rule, forms, fleet))
