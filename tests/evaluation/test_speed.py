"""The speed benchmark: what is counted, in what order, and how it is judged. No test here measures time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import archrl  # noqa: F401 - registers the environments
from archrl.envs.placement_make import make_task
from archrl.errors import ConfigError
from archrl.evaluation import speed_autoscale, speed_cases, speed_rebalance
from archrl.evaluation.speed import Case, Clock, Sample, Target, measure, select, summarise, to_markdown, write_speed
from archrl.scenarios.reassignment_generator import generate_reassignment
from archrl.scenarios.reassignment_params import ReassignmentParams
from archrl.seeding import rng_for

FAST, SLOW = (
    Case("fast thing", "steps", lambda: lambda clock: 1.0),
    Case("slow thing", "steps", lambda: lambda clock: 1.0),
)
RATIO = speed_cases.ratio("fast / slow", "fast thing", "slow thing", 3.0)
QUICK = Target(
    "fast takes", ("fast thing",), lambda samples: samples["fast thing"].cpu_s, 0.5, "CPU-seconds", at_least=False
)
ROUNDS = [
    {"fast thing": Sample(100.0, 1.0, 2.0, {"share": share}), "slow thing": Sample(10.0, cpu_s, 2.0)}
    for share, cpu_s in ((1.0, 0.25), (2.0, 0.5), (9.0, 1.0))
]


def test_a_clock_counts_only_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from archrl.evaluation import speed

    ticks = iter(range(100))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(speed.time, "process_time", lambda: 0.5 * next(ticks))
    clock = Clock()
    for _ in range(2):
        with clock:
            pass
        next(ticks)
    assert clock.wall_s == 6.0
    assert clock.cpu_s == 1.0


def test_every_round_runs_every_case_in_order() -> None:
    order: list[str] = []

    def case(name: str) -> Case:
        def prepare() -> Any:
            order.append(f"prepare {name}")

            def run(clock: Clock) -> float:
                order.append(name)
                return 3.0

            return run

        return Case(name, "units", prepare)

    rounds = measure([case("a"), case("b")], 2)
    assert order == ["prepare a", "prepare b", "a", "b", "a", "b"]
    assert [samples["b"].units for samples in rounds] == [3.0, 3.0]
    with pytest.raises(ConfigError, match="rounds: got 0"):
        measure([], 0)


def test_ratios_are_taken_within_a_round_and_medians_over_rounds() -> None:
    """Rates 100 and 40, 20, 10: ratios 2.5, 5, 10."""
    summary = summarise([FAST, SLOW], [RATIO, QUICK], ROUNDS)
    assert summary["targets"][0]["value"] == {"median": 5.0, "low": 2.5, "high": 10.0}
    assert [target["verdict"] for target in summary["targets"]] == ["met", "MISSED"]
    assert [target["target"] for target in summary["targets"]] == [">= 3 x", "<= 0.5 CPU-seconds"]
    assert summary["cases"][0]["extra"]["share"]["median"] == 2.0
    assert summary["cases"][1]["per_cpu_second"] == {"median": 20.0, "low": 10.0, "high": 40.0}


def test_few_rounds_are_marked(tmp_path: Path) -> None:
    summary = summarise([FAST, SLOW], [RATIO], ROUNDS)
    assert "not to be quoted" in to_markdown(summary)
    assert "not to be quoted" not in to_markdown(summarise([FAST, SLOW], [RATIO], ROUNDS * 2))
    write_speed(summary, tmp_path, "typed")
    written = json.loads((tmp_path / "speed.json").read_text())
    assert written["targets"] == summary["targets"]
    assert written["run"]["command"] == "typed"
    assert "| fast / slow | 5 [2.5, 10] | >= 3 x | met |" in (tmp_path / "speed.md").read_text()


def test_what_is_not_timed_shows_no_rate() -> None:
    untimed = Case("fast thing", "rows", FAST.prepare, timed=False)
    summary = summarise([untimed], [], ROUNDS)
    assert "| fast thing | rows | n/a | n/a | n/a | share 2 [1, 9] |" in to_markdown(summary)


def test_only_takes_what_a_target_needs() -> None:
    """And every other target that these cases suffice for."""
    cases, targets = select([FAST, SLOW], [RATIO, QUICK], "fast / slow")
    assert (cases, targets) == ([FAST, SLOW], [RATIO, QUICK])
    assert select([FAST, SLOW], [RATIO, QUICK], "slow thing") == ([SLOW], [])
    assert select([FAST, SLOW], [RATIO, QUICK], None) == ([FAST, SLOW], [RATIO, QUICK])
    with pytest.raises(ConfigError, match="got 'fasst'"):
        select([FAST, SLOW], [RATIO], "fasst")


PROMISED = {speed_cases: {3.0, 10.0, 0.3, 0.4, 150.0, 1.0}, speed_autoscale: {10.0, 1.0, 4.0, 100.0, 20_000.0}}


@pytest.mark.parametrize("module", PROMISED, ids=["placement", "autoscaling"])
def test_every_promised_number_is_judged(module: Any) -> None:
    assert {target.limit for target in module.TARGETS} == PROMISED[module]
    names = {case.name for case in module.CASES}
    assert len(names) == len(module.CASES)
    assert all(names.issuperset(target.needs) for target in module.TARGETS)


def test_names_differ_between_environments() -> None:
    assert not {case.name for case in speed_cases.CASES} & {case.name for case in speed_autoscale.CASES}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ROWS", 6), ("STEPS", 20), ("SINGLE_STEPS", 40), ("DRAWS", 2), ("MODEL_STEPS", 3)):
        monkeypatch.setattr(speed_cases, name, value)


def test_the_recorded_batch_is_replayed_without_a_refusal(few: None) -> None:
    """What is timed are valid decisions: a refused one would be cheaper."""
    task = make_task("small", num_nodes=speed_cases.NODES)
    plan = speed_cases._record(task)
    state = task.allocate(6)
    task.reset_rows(state, np.arange(6), [task.sample(rng_for(row, "train", "episode", 0)) for row in range(6)])
    for actions in plan:
        task.step(state, actions)
    out = task.outputs(state)
    assert out.violations.sum() == 0
    assert (state.cluster.steps == 20).all()
    assert len(np.unique(plan)) > 20


def test_the_recorded_single_episode_is_replayed_without_a_refusal(few: None) -> None:
    env = gym.make("archrl/Placement-v0", preset="tiny")
    actions = speed_cases._record_single(env)
    refused = []
    env.reset(seed=0)
    for action in actions:
        _, _, terminated, truncated, info = env.step(action)
        refused.append(info["refused"])
        if terminated or truncated:
            env.reset()
    assert not any(refused)
    assert len(refused) == 40


@pytest.mark.parametrize("name", ["batch step", "make_vec", "CartPoleVectorEnv", "copy", "gym.make", "drawing"])
def test_cases_run(name: str, few: None) -> None:
    case = next(case for case in speed_cases.CASES if name in case.name)
    (samples,) = measure([case], 1)
    assert samples[case.name].units in (6 * 20, 40, 2)
    assert samples[case.name].rate > 0


def test_memory_of_a_batch_grows_by_the_same_for_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {}
    for rows in (4, 8, 16):
        speed_cases.print_memory(rows)
        sizes[rows] = float(capsys.readouterr().out.split()[2])
    assert sizes[16] - sizes[8] == pytest.approx(2 * (sizes[8] - sizes[4]), rel=0.01)


def test_training_cases_run_and_know_the_share_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from archrl_agents import speed as training

    for name, value in (("ROWS", 4), ("UPDATES", 1), ("SINGLE_STEPS", 16)):
        monkeypatch.setattr(training, name, value)
    file = {"algorithm": "maskable_ppo", "preset": "tiny", "n_steps": 8, "batch_size": 16, "stagger": False}
    config = training.load_train_config(file, ["num_envs=4"])
    batch = training.batch_training(config)()
    units, extra = batch(clock := Clock())
    assert units == 32
    assert 0 < extra[training.ENV_SHARE] < 100
    assert clock.wall_s > 0
    assert training.single_training(config, same=True)()(Clock()) == 32


def test_training_of_the_shared_policy_counts_decisions_for_services(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from archrl_agents import speed as training

    monkeypatch.setattr(training, "UPDATES", 1)
    file = {"algorithm": "service_ppo", "preset": "tiny", "env": {"mode": "desired"}, "n_steps": 4, "batch_size": 20}
    config = training.load_train_config(file | {"stagger": False}, ["num_envs=3"])
    units, extra = training.service_training(config)()(Clock())
    assert units == 4 * 3 * 5
    assert 0 < extra[training.ENV_SHARE] < 100


@pytest.fixture
def few_services(monkeypatch: pytest.MonkeyPatch) -> Any:
    sizes = {"ROWS": 3, "SERVICES": 600, "STEPS": 2, "COPIES": 2, "WARM_UP": 4, "TINY_ROWS": 4, "TINY_STEPS": 5}
    sizes |= {"SINGLE_STEPS": 6, "DP_STEPS": 12, "DP_LEVELS": 6, "DP_SERVICES": 9}
    for name, value in sizes.items():
        monkeypatch.setattr(speed_autoscale, name, value)
    speed_autoscale._rows.cache_clear()
    yield
    speed_autoscale._rows.cache_clear()


@pytest.mark.parametrize(
    ("case", "units"),
    [
        *((name, 2 * 1800) for name in (speed_autoscale.STEP, speed_autoscale.PARALLEL, speed_autoscale.COPY)),
        *((speed_autoscale.SINGLE, 6), (speed_autoscale.BATCH, 20), (speed_autoscale.DP, 9)),
    ],
)
def test_cases_of_autoscaling_run(case: str, units: int, few_services: None) -> None:
    (samples,) = measure([next(item for item in speed_autoscale.CASES if item.name == case)], 1)
    assert samples[case].units == units


def test_services_are_stepped_without_a_refusal_and_start_again_at_the_end(few_services: None) -> None:
    rows = speed_autoscale.Rows("small", 3, services=60, num_steps=8)
    clock = Clock()
    for _ in range(2):
        assert rows.play(clock) == 2 * 180
    assert (rows.state.services.step == 8).all()
    rows.play(clock)
    assert (rows.state.services.step == 4 + 2).all()
    assert rows.task.outputs(rows.state).violations.sum() == 0


def test_state_bytes_are_those_of_one_more_row(few_services: None) -> None:
    """Static tables are shared, so that a row more costs its state, and the same for each."""
    sizes = [speed_autoscale.state_bytes(make_services(rows)) for rows in (1, 2, 3)]
    assert sizes[2] - sizes[1] == sizes[1] - sizes[0] == sizes[0]


def make_services(rows: int) -> Any:
    return speed_autoscale.Rows("small", rows, services=60).state.services


def test_a_planet_reports_itself_from_another_process() -> None:
    run = speed_autoscale.planet(services=600, peak_rps=3000.0)()
    steps, found = run(Clock())
    assert steps == speed_autoscale.STEPS
    assert 0.01 < found["peak_gib"] < 4.0
    assert found["edges"] > 600
    assert all(found[name] > 0 for name in ("build_s", "step_wall_s", "step_cpu_s", "step_over_copy"))


def test_the_yardstick_of_the_dynamic_program_finds_the_same_costs(few_services: None) -> None:
    """And its plans cost what it says."""
    work = speed_autoscale.Planning()
    totals, _ = work.compiled()
    expected, chosen = work.numpy()
    np.testing.assert_allclose(totals, expected, rtol=1e-12)
    levels, services = chosen.T, np.arange(len(totals))
    rises = np.maximum(np.diff(levels, axis=1, prepend=work.start[:, None]), 0)
    cost = work.cost[services[:, None], np.arange(levels.shape[1]), levels].sum(axis=1)
    np.testing.assert_allclose(cost + (rises * work.up.T).sum(axis=1), expected, rtol=1e-12)


@pytest.mark.parametrize("kinds", [speed_rebalance.EVEN, speed_rebalance.SHIFTS_ONLY, speed_rebalance.SHIFTS_AND_SWAPS])
def test_a_case_of_the_local_search_runs_with_its_share_of_every_move(kinds):
    assert sum(kinds) == pytest.approx(1.0)
    small = generate_reassignment(np.random.default_rng(0), ReassignmentParams())
    done, found = speed_rebalance.searching(lambda: small, kinds, 1.0)()(Clock())
    assert done == speed_rebalance.MOVES
    assert found["state_gib"] > 0
