"""The linear scorer: its inputs on paper, its choices against brute force, its files against bad content."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archrl.cluster import schema
from archrl.cluster.fragmentation import fragmentation_change, mix_table
from archrl.envs.placement_make import make_task
from archrl.envs.shells import BatchEnv
from archrl.errors import ConfigError
from archrl.evaluation.conformance import check_policy
from archrl.evaluation.rollout import rollout
from archrl.seeding import rng_for
from archrl_agents import linear_policy
from archrl_agents.entrants import load_agent
from archrl_agents.linear_inputs import GROUPS, INPUTS, extension, group_of, write_inputs
from archrl_agents.linear_policy import LinearModel, LinearPolicy, load_model, save_model

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(0.0, 0.1, (len(GROUPS), len(INPUTS)))


def _node(slots: list[int], cpu: int = 30_000, live: tuple[int, ...] = (0,) * 6, empty_at: float = 0.0) -> Any:
    row = np.zeros(schema.NUM_NODE_FEATURES, np.float32)
    row[0], row[1], row[2 : 2 + len(slots)] = cpu, 262_144, slots
    row[schema.NODE_GPU_COUNT] = len(slots)
    row[schema.NODE_LIVE : schema.NODE_LIVE + 6], row[schema.NODE_EMPTY_AT] = live, empty_at
    return row


def _request(gpus: int, milli: int, cpu: int = 6_000, lifetime_s: float = 7_200.0) -> Any:
    req = np.zeros(schema.NUM_REQUEST_FEATURES, np.float32)
    req[schema.REQ_CPU], req[schema.REQ_MEM], req[schema.REQ_LIFETIME] = cpu, 131_072, lifetime_s
    req[schema.REQ_GPU_COUNT], req[schema.REQ_GPU_MILLI] = gpus, milli
    return req


def _named(row: Any, req: Any, change: float = 0.0) -> dict[str, float]:
    out = np.zeros(len(INPUTS))
    write_inputs(row, req, change, out)
    return dict(zip(INPUTS, out.tolist(), strict=True))


def test_inputs_of_a_share_on_paper() -> None:
    """30 cores, one slot with 600 and one empty of two; the share of 500 takes 6 cores."""
    found = _named(_node([600, 1000], live=(0, 1, 0, 0, 0, 0)), _request(1, 500), change=-250.0)
    assert found["fragmentation"] == -0.25
    assert found["cpu_left"] == pytest.approx(24 / 128)
    assert found["mem_left"] == pytest.approx(0.125)
    assert found["gpu_left"] == pytest.approx(1.1 / 8)
    assert (found["gpu_idle"], found["gpu_unused"], found["opens_slot"]) == (1 / 8, 0.0, 0.0)
    assert found["cores_per_gpu"] == pytest.approx(24 / 12 / 1.1)
    assert (found["cores_left"], found["opens_node"]) == (2.0, 0.0)


def test_a_share_opens_a_slot_only_where_no_slot_in_use_holds_it() -> None:
    assert _named(_node([400, 1000]), _request(1, 500))["opens_slot"] == 1.0
    assert _named(_node([500, 1000]), _request(1, 500))["opens_slot"] == 0.0
    assert _named(_node([400, 1000]), _request(1, 1000))["opens_slot"] == 0.0


def test_an_empty_node_is_opened_and_its_gpus_are_unused() -> None:
    found = _named(_node([1000, 1000]), _request(2, 1000))
    assert (found["opens_node"], found["gpu_unused"], found["gpu_left"], found["cores_per_gpu"]) == (1.0, 1.0, 0.0, 2.0)


def test_the_extension_is_what_the_request_adds_to_the_use_of_the_node() -> None:
    week = math.log1p(7 * 24)
    busy = _node([1000], live=(1, 0, 0, 0, 0, 0), empty_at=3_600.0)
    assert extension(busy, _request(0, 0), 0.0) == pytest.approx(math.log1p(1.0) / week)
    assert extension(busy, _request(0, 0, lifetime_s=1_800.0), 0.0) == 0.0
    assert extension(_node([1000], empty_at=3_600.0), _request(0, 0), 0.0) == pytest.approx(math.log1p(2.0) / week)


@pytest.mark.parametrize(("gpus", "milli", "group"), [(0, 0, 0), (1, 300, 1), (1, 1000, 2), (2, 1000, 3), (8, 1000, 3)])
def test_request_groups(gpus: int, milli: int, group: int) -> None:
    assert group_of(_request(gpus, milli)) == group


def _brute_force(weights: Any, mix: Any, seen: dict[str, Any]) -> set[int]:
    """All best nodes of one observation, within float32 rounding, one node after the other."""
    scores = {}
    table, req = mix_table(mix), seen["request"]
    for n in np.flatnonzero(seen["action_mask"][:-1]):
        row = seen["nodes"][n].copy()
        need = (req[schema.REQ_CPU], int(req[schema.REQ_GPU_COUNT]), req[schema.REQ_GPU_MILLI])
        node = (row[0], row[2:10], int(row[schema.NODE_GPU_TYPE]))
        change = fragmentation_change(node, need, table, False)
        named = _named(row, req, change) | {"extension": extension(row, req, seen["clock"][0])}
        scores[int(n)] = -named["fragmentation"] + float(weights[group_of(req)] @ np.array(list(named.values())))
    best = max(scores.values(), default=0.0)
    return {n for n, score in scores.items() if score > best - 1e-5}


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("weights", [np.zeros_like(WEIGHTS), WEIGHTS], ids=["fgd", "drawn"])
def test_every_choice_is_a_best_node(weights: Any, cached: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not cached:
        monkeypatch.setattr("archrl.cluster.observed.CACHE_BYTES", 0)
    task = make_task("tiny", max_gpus=8, num_nodes=12, num_requests=300, offered_load=0.9)
    env, policy = BatchEnv(task, 3), LinearPolicy(weights, task.mix, "linear")
    observation, _ = env.reset(seed=3)
    for _ in range(150):
        actions, _ = policy.predict(observation)
        for row, action in enumerate(actions):
            seen = {key: value[row] for key, value in observation.items()}
            best = _brute_force(weights, task.mix, seen)
            assert int(action) in best if best else action == task.num_nodes
        observation, *_ = env.step(actions)


def test_permuting_nodes_permutes_the_choice() -> None:
    task = make_task("tiny", num_requests=128, offered_load=0.9)
    env, rng = BatchEnv(task, 1), np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    for _ in range(40):
        order = rng.permutation(task.num_nodes)
        turned = {key: value.copy() for key, value in observation.items()}
        turned["nodes"] = observation["nodes"][:, order]
        turned["action_mask"] = np.concatenate(
            [observation["action_mask"][:, order], observation["action_mask"][:, -1:]], 1
        )
        here, there = (
            int(LinearPolicy(WEIGHTS, task.mix, "linear").predict(seen)[0][0]) for seen in (observation, turned)
        )
        same = here == there == task.num_nodes or np.array_equal(
            observation["nodes"][0, here], observation["nodes"][0, order[there]]
        )
        assert same, "another node with another content was chosen"
        observation, *_ = env.step(np.array([here]))


def test_one_observation_without_a_batch_axis_gives_one_action() -> None:
    task = make_task("tiny")
    observation, _ = BatchEnv(task, 2).reset(seed=1)
    policy = LinearPolicy(WEIGHTS, task.mix, "linear")
    alone = {key: value[1] for key, value in observation.items()}
    assert policy.predict(alone)[0] == policy.predict(observation)[0][1]


def test_candidates_are_refused_by_name() -> None:
    task = make_task("tiny", candidates=16)
    observation, _ = BatchEnv(task, 1).reset(seed=1)
    with pytest.raises(ConfigError, match="candidates=0"):
        LinearPolicy(WEIGHTS, task.mix, "linear").predict(observation)


weights_of_models = st.dictionaries(
    st.sampled_from(GROUPS), st.dictionaries(st.sampled_from(INPUTS), st.floats(-1e6, 1e6)), max_size=4
)


@settings(max_examples=50, deadline=None)
@given(weights=weights_of_models, step=st.integers(-1, 10_000))
def test_a_model_survives_its_file(weights: Any, step: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("model") / "model.json"
    save_model(LinearModel(weights, step), path)
    assert load_model(path) == LinearModel(weights, step)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "line 1"),
        ("[]", "model.json"),
        ('{"format": "other", "weights": {}, "step": 1}', "'other'"),
        (json.dumps({"format": linear_policy.FORMAT, "step": 1, "weights": {"gpu": {"cpu_left": 1}}}), "gpu.cpu_left"),
        (json.dumps({"format": linear_policy.FORMAT, "step": 1, "weights": {"one_gpu": {"cpu": 1}}}), "one_gpu.cpu"),
        ('{"format": "archrl linear scorer 1", "step": 1, "weights": {"one_gpu": {"cpu_left": NaN}}}', "nan"),
    ],
)
def test_a_broken_model_is_named(content: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=named.replace(".", r"\.")):
        load_model(path)


def test_a_model_plays_a_task_with_candidates_on_its_nodes(tmp_path: Path) -> None:
    """Same scenarios, same cost: candidates only change how actions are given."""
    save_model(LinearModel({"one_gpu": {"cpu_left": -0.5}}), tmp_path / "best_model.json")
    plain, short = make_task("tiny", "test"), make_task("tiny", "test", candidates=16)
    scenarios = [plain.sample(rng_for(seed, "test", 0)) for seed in range(3)]
    entrants = [load_agent(tmp_path, task) for task in (plain, short)]
    costs = [[e.cost_usd for e in rollout(item.task, item.policy, scenarios)] for item in entrants]
    assert costs[0] == costs[1]
    assert entrants[0].name == "best_model"


def test_a_linear_scorer_passes_the_checks_for_policies() -> None:
    task = make_task("tiny")
    check_policy(LinearPolicy(WEIGHTS, task.mix, "linear"), lambda: gym.make("archrl/Placement-v0", preset="tiny"))
