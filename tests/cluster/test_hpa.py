"""The HPA kernels against published traces, worked cases, and a controller written out word by word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster import hpa
from tests.reference.hpa import Hpa, Pod, Rules, proposal
from tests.validation.hpa_traces import TOLERANCE, TRACES, Controller

# --- published traces


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def test_the_published_traces(trace):
    assert trace.replay() == trace.published


def test_story_1_is_as_fast_in_steps_of_15_seconds():
    """900 % in 60 s, wanted 1,000: 1, 10, 100, 1000, one step a minute."""
    seen = Controller(up=Rules(0, [("Percent", 900, 60)])).run(1, [1000] * 13)
    assert seen[1::4] == [10, 100, 1000, 1000]


def test_story_3_waits_five_minutes_in_steps_of_15_seconds():
    seen = Controller(up=Rules(0, [("Pods", 1, 300)])).run(1, [1000] * 61)
    assert seen[1::20] == [2, 3, 4, 5]
    assert sorted(set(seen)) == [1, 2, 3, 4, 5]


# --- cases of our own: pods that are not ready, pods without metrics


@pytest.mark.parametrize(
    ("current", "pods", "usage", "target", "expected"),
    [
        (4, (3, 1, 0), 3 * 400.0, 40, 4),  # at the target: nothing
        (4, (3, 1, 0), 3 * 700.0, 40, 6),  # 70/40; unready counts 0: 52/40 -> ceil(1.3 * 4) = 6
        (4, (3, 1, 0), 3 * 550.0, 40, 4),  # 55/40 with the unready one at 0 is 41/40: within the tolerance
        (4, (2, 2, 0), 2 * 600.0, 50, 4),  # 60/50 up, filled in 30/50 down: the direction flips
        (4, (3, 1, 0), 3 * 200.0, 40, 2),  # down: unready pods play no part, ceil(0.5 * 3)
        (4, (3, 0, 1), 3 * 200.0, 40, 4),  # down: the missing one at 100 % makes 40/40
        (5, (4, 0, 1), 4 * 100.0, 50, 3),  # down: (400 + 1000) / 5 = 28 %: ceil(0.56 * 5) = 3
        (4, (3, 0, 1), 3 * 800.0, 40, 6),  # up: the missing one at 0: 60/40 -> ceil(1.5 * 4)
        (6, (3, 2, 1), 3 * 900.0, 30, 9),  # up: both at 0: 45/30 -> ceil(1.5 * 6)
        (4, (0, 4, 0), 0.0, 50, 4),  # no metric at all
        (3, (3, 0, 0), 3 * 2000.0, 150, 4),  # targets above 100 %
        (3, (2, 0, 1), 2 * 500.0, 150, 2),  # ... count missing pods at the target: (1000 + 1500) / 3 = 83 of 150 %
    ],
)
def test_unready_and_missing_pods(current, pods, usage, target, expected):
    found = hpa.from_utilisation(current, pods, usage, 1000.0, target, TOLERANCE)
    each = int(usage / pods[0]) if pods[0] else 0
    listed = [Pod(each)] * pods[0] + [Pod(0, ready=False)] * pods[1] + [Pod(None)] * pods[2]
    assert found == expected == proposal(current, listed, 1000, target)


def test_a_tolerance_of_its_own_in_each_direction():
    ratio = lambda percent, tolerance: hpa.from_utilisation(  # noqa: E731
        100, (100, 0, 0), 1000.0 * percent, 1000.0, 100, tolerance
    )
    assert ratio(105, (0.1, 0.0)) == 105
    assert ratio(95, (0.1, 0.0)) == 100
    assert ratio(95, (0.0, 0.1)) == 95
    assert ratio(105, (0.0, 0.1)) == 100


def test_average_values():
    assert hpa.from_average_value(4, 4.3, 1.0, TOLERANCE) == 4
    assert hpa.from_average_value(4, 4.5, 1.0, TOLERANCE) == 5
    assert hpa.from_average_value(0, 0.2, 1.0, TOLERANCE) == 1
    assert hpa.from_average_value(4, 0.0, 1.0, TOLERANCE) == 0


def test_select_policies():
    both = [("Pods", 2, 60), ("Percent", 50, 60)]
    assert Controller(up=Rules(0, both, "Min")).run(10, [100])[1] == 12
    assert Controller(up=Rules(0, both, "Max")).run(10, [100])[1] == 15
    assert Controller(up=Rules(0, both, "Disabled")).run(10, [100])[1] == 10
    assert Controller(down=Rules(0, both, "Min")).run(10, [1])[1] == 8
    assert Controller(down=Rules(0, both, "Max")).run(10, [1])[1] == 5
    assert Controller(down=Rules(0, both, "Disabled")).run(10, [1])[1] == 10


# --- word by word

POLICIES = st.lists(
    st.tuples(st.sampled_from(["Pods", "Percent"]), st.integers(1, 150), st.sampled_from([15, 20, 60, 100])),
    min_size=1,
    max_size=3,
)
RULES = st.builds(
    Rules, st.sampled_from([0, 10, 15, 40, 60, 300]), POLICIES, st.sampled_from(["Max", "Min", "Disabled"])
)


@given(up=RULES, down=RULES, bounds=st.tuples(st.integers(1, 5), st.integers(5, 60)), start=st.integers(1, 60),
       proposals=st.lists(st.integers(0, 80), max_size=40))  # fmt: skip
def test_the_controller_does_what_the_words_say(up, down, bounds, start, proposals):
    kernels, words, current = Controller(up, down, bounds), Hpa(*bounds, up, down), start
    for step, proposed in enumerate(proposals):
        expected = words.sync(15.0 * step, current, proposed)
        assert kernels.sync(current, proposed) == expected
        current = expected


@given(usage=st.lists(st.one_of(st.none(), st.integers(0, 3000)), min_size=1, max_size=9),
       unready=st.integers(0, 5), target=st.integers(1, 200), current=st.integers(1, 20))  # fmt: skip
def test_the_proposal_is_what_the_words_say(usage, unready, target, current):
    listed = [Pod(value) for value in usage] + [Pod(100, ready=False)] * unready
    known = [value for value in usage if value is not None]
    pods = (len(known), unready, len(usage) - len(known))
    assert hpa.from_utilisation(current, pods, float(sum(known)), 1000.0, target, TOLERANCE) == proposal(
        current, listed, 1000, target
    )
