"""Plans: carried out at once or late, checked, and counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster.gpu_moves import state_usd
from archrl.cluster.gpu_plans import Migration, apply_late, apply_plan, evaluate
from archrl.cluster.invariants import check_invariants
from archrl.errors import ConfigError, ScenarioError
from tests.cluster.aged_scenes import aged_problems, hand_made, problem_of

PLAN = [Migration(0, 1), Migration(1, 0)]


def test_dollars_are_those_of_the_state():
    problem = problem_of(hand_made())
    state = problem.state()
    before = state_usd(state.handle, 0, problem.costs)
    outcome = apply_plan(state, 0, [Migration(0, 1)], problem.costs)
    after = state_usd(state.handle, 0, problem.costs)
    assert outcome.before_usd == before
    assert outcome.after_usd == after
    paid = problem.costs.replica_usd[1] + problem.costs.slow_hours[1] * (1.0 + 3.0)
    assert outcome.migration_usd == pytest.approx(paid)
    assert outcome.change_usd == pytest.approx(sum(after) - sum(before) + paid)
    assert outcome.carried_out == (Migration(0, 1, 1),)


def test_a_late_plan_loses_what_has_left_and_what_is_full():
    """Request 1 leaves at 1.5 h; where the arrival of 1 h comes first to a, the two whole GPUs there are gone."""
    problem = problem_of(hand_made())
    assert evaluate(problem, PLAN).dropped == 0
    late = evaluate(problem, PLAN, arrivals=1)
    assert (late.dropped, late.departed, late.carried_out) == (1, 1, (Migration(0, 1, 1),))
    assert evaluate(problem, [Migration(0, 1), Migration(2, 0)]).dropped == 0
    moved_on = problem.state()
    outcome = apply_late(moved_on, 0, [Migration(0, 1), Migration(2, 0)], (1, "first_fit"), problem.costs)
    assert (outcome.dropped, outcome.departed) == (1, 0)
    check_invariants(moved_on)


@given(aged_problems(), st.data())
def test_any_plan_leaves_a_sound_state(problem, data):
    requests, nodes = len(problem.aged.scenario), len(problem.aged.scenario.nodes)
    step = st.builds(Migration, st.integers(0, requests - 1), st.integers(0, nodes - 1), st.sampled_from([0, 1, 2, 3]))
    plan, state = data.draw(st.lists(step, max_size=6)), problem.state()
    events = data.draw(st.integers(0, requests - len(problem.aged))), "worst_fit"
    outcome = apply_late(state, 0, plan, events, problem.costs)
    check_invariants(state)
    assert len(outcome.carried_out) + outcome.dropped == len(plan)
    assert 0 <= outcome.departed <= outcome.dropped


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([Migration(6, 0)], r"plan\[0\].request = 6; allowed are 0 to 5"),
        ([Migration(0, 1), Migration(0, -1)], r"plan\[1\].node = -1; allowed are 0 to 2"),
        ([Migration(0, 1, 256)], r"plan\[0\].slots = 256; allowed are 0 to 255"),
    ],
)
def test_plans_of_another_snapshot(plan, message):
    with pytest.raises(ScenarioError, match=message):
        evaluate(problem_of(hand_made()), plan)


def test_events_that_do_not_follow():
    problem = problem_of(hand_made())
    with pytest.raises(ConfigError, match="got 3 arrivals; allowed are 0 to 2"):
        evaluate(problem, PLAN, arrivals=3)
    with pytest.raises(ConfigError, match="'bestfit'; allowed: .*did you mean 'best_fit'"):
        evaluate(problem, PLAN, placer="bestfit")
