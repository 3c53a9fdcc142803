"""Plans: feasible, never worse than the policy, better than chance alone could make them worse, in time."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
import torch

from archrl.envs.rebalance_make import make_task
from archrl.errors import ConfigError
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.rollout import rollout
from archrl.scenarios.reassignment_evaluate import evaluate, violations
from archrl_agents import rebalance_search
from archrl_agents.policy import AgentPolicy
from archrl_agents.rebalance_network import RebalancePolicy
from archrl_agents.rebalance_plan import plan_with_agent
from archrl_agents.rebalance_rows import copy_row, empty_rows

TASK = make_task("small", split="test", budget=4)
LONG_S = 1e5  # kernels may have to be compiled first


def agent(task=TASK) -> AgentPolicy:
    torch.manual_seed(0)
    return AgentPolicy(RebalancePolicy(task.observation_space, task.action_space, lambda _: 0.0), "untrained")


def scenario(index: int = 0, task=TASK):
    return draw_scenarios(task, "test", seed=0, count=index + 1)[index]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_plan_is_feasible_at_every_step_and_costs_what_it_says(index):
    drawn = scenario(index)
    plan = plan_with_agent(agent(), TASK, drawn, LONG_S, branches=(4,), waves=2)
    problem, assignment = drawn.problem, drawn.problem.initial.copy()
    for process, node in plan.moves:
        assignment[process] = node
        assert violations(problem, assignment) == []
    before, after = evaluate(problem, problem.initial).total, evaluate(problem, assignment).total
    assert 0 < len(plan.moves) <= drawn.budget
    assert plan.change_usd == pytest.approx(100.0 * (after - before) / before, rel=1e-9)
    assert plan.metrics["cost"] == after


@pytest.mark.parametrize("index", [0, 3])
def test_the_guess_is_the_episode_that_the_evaluator_plays(index):
    drawn = scenario(index)
    plan = plan_with_agent(agent(), TASK, drawn, LONG_S, branches=(), waves=0)
    (episode,) = rollout(TASK, agent(), [drawn])
    assert plan.guess_usd == pytest.approx(episode.cost_usd)


def test_the_plan_is_no_worse_than_the_policy_on_all_processes():
    narrow = make_task("small", split="test", budget=4, process_candidates=4, screened=1)
    wide = make_task("small", split="test", budget=4, process_candidates=4, screened=64)
    gained = 0
    for index in range(6):
        drawn = scenario(index, narrow)
        plan = plan_with_agent(agent(narrow), narrow, drawn, LONG_S, branches=(), waves=0)
        (episode,) = rollout(wide, agent(wide), [drawn])
        assert plan.change_usd <= episode.cost_usd + 1e-9
        gained += plan.change_usd < plan.guess_usd - 1e-9
    assert gained


def test_search_is_never_worse_and_improves_most_instances():
    better = 0
    for index in range(6):
        drawn = scenario(index)
        guess, ahead, more = (
            plan_with_agent(agent(), TASK, drawn, LONG_S, branches=branches, waves=waves).change_usd
            for branches, waves in (((), 0), ((8,), 0), ((8, 16), 3))
        )
        assert more <= ahead + 1e-9
        assert ahead <= guess + 1e-9
        better += more < guess - 1e-9
    assert better >= 4


def test_with_a_number_of_waves_the_plan_depends_on_the_seed_alone():
    def moves(seed: int) -> list[tuple[int, int]]:
        return plan_with_agent(agent(), TASK, scenario(1), LONG_S, seed=seed, branches=(), waves=3).moves

    assert moves(1) == moves(1)


def test_nothing_is_begun_that_would_end_after_the_deadline(monkeypatch):
    """A clock that goes on by one second with every look, so that a decision takes a few: one at most ends late."""
    ticks = count()
    monkeypatch.setattr(rebalance_search.time, "perf_counter", lambda: float(next(ticks)))
    plan = plan_with_agent(agent(), TASK, scenario(), 40.0)
    assert 30.0 < plan.seconds <= 44.0
    assert plan.change_usd < 0
    assert plan.history[-1].change_usd == plan.change_usd


def test_a_copied_row_goes_on_as_the_row_itself():
    drawn = scenario()
    one, three = empty_rows(TASK, 1, drawn), empty_rows(TASK, 3, scenario(2))
    out, copies = TASK.outputs(one), TASK.outputs(three)
    for _ in range(3):
        TASK.step(one, out.action_mask.argmax(axis=1).astype(np.int64))
    copy_row(one, 0, three, 2)
    while not out.terminated[0]:
        action = out.action_mask[0].argmax()
        TASK.step(one, np.array([action]))
        TASK.step(three, np.array([action, action, TASK.stop]))
        assert (copies.cost_usd[:2] == out.cost_usd).all()
        for key, value in out.observation.items():
            np.testing.assert_array_equal(copies.observation[key][:2], np.repeat(value, 2, axis=0))


@pytest.mark.parametrize("fields", [{"plan_delay": 2}, {"events_per_migration": 1}])
def test_a_world_that_moves_is_refused(fields):
    task = make_task("tiny", split="test", **fields)
    with pytest.raises(ConfigError, match=next(iter(fields))):
        plan_with_agent(agent(task), task, scenario(0, task))


@pytest.mark.parametrize("fields", [{"deadline_s": 0.0}, {"deadline_s": float("nan")}, {"branches": (1,)}])
def test_arguments_out_of_range_are_refused(fields):
    with pytest.raises(ConfigError, match="plan: got"):
        plan_with_agent(agent(), TASK, scenario(), **fields)
