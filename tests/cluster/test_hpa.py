"""The HPA kernels against published traces, worked cases, and a controller written out word by word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster import hpa
from tests.reference.hpa import DOWN, UP, Hpa, Pod, Rules, proposal

TOLERANCE = (0.1, 0.1)


class Controller:
    """One service under the kernels, synchronised every `step_s` seconds."""

    def __init__(self, up: Rules = UP, down: Rules = DOWN, bounds: tuple[int, int] = (1, 10_000), step_s: float = 15.0):
        self.bounds, self.step_s, self.step = bounds, step_s, 0
        self.rules = tuple(self._rules(rules) for rules in (up, down))
        self.windows_s = (float(down.window_s), float(up.window_s))
        self.past, self.added, self.removed = (np.zeros(400, np.int32) for _ in range(3))

    def _rules(self, rules: Rules) -> tuple[np.ndarray, int]:
        rows = [(hpa.PODS if kind == "Pods" else hpa.PERCENT, value, period) for kind, value, period in rules.policies]
        return np.array(rows, np.float64).reshape(-1, 3), ["Max", "Min", "Disabled"].index(rules.select)

    def sync(self, current: int, proposed: int) -> int:
        wanted = hpa.stabilised(current, proposed, self.past, self.step, self.windows_s, self.step_s)
        events = (self.added, self.removed)
        limits = (
            hpa.fewest_replicas(current, events, self.step, self.rules[1], self.step_s),
            hpa.most_replicas(current, events, self.step, self.rules[0], self.step_s),
        )
        new = hpa.limited(current, wanted, limits, self.bounds)
        place = self.step % len(self.added)
        self.added[place], self.removed[place] = max(new - current, 0), max(current - new, 0)
        self.step += 1
        return int(new)

    def run(self, start: int, proposals: list[int]) -> list[int]:
        seen = [start]
        for proposed in proposals:
            seen.append(self.sync(seen[-1], proposed))
        return seen


# --- published traces (domain documentation: KEP-853 stories 1, 3, 5; the documentation's example; controller defaults)


def test_fifty_pods_at_ninety_percent_of_seventy_five_become_sixty():
    assert hpa.from_utilisation(50, (50, 0, 0), 50 * 900.0, 1000.0, 75, TOLERANCE) == 60


def test_a_ratio_within_the_tolerance_changes_nothing():
    assert hpa.from_utilisation(50, (50, 0, 0), 50 * 109 * 5.0, 1000.0, 50, TOLERANCE) == 50


def test_story_1_as_fast_as_possible():
    """900 % in 60 s, wanted 1,000: 1, 10, 100, 1000, one step a minute."""
    controller = Controller(up=Rules(0, [("Percent", 900, 60)]))
    assert controller.run(1, [1000] * 13)[1::4] == [10, 100, 1000, 1000]
    assert Controller(up=Rules(0, [("Percent", 900, 60)]), step_s=60.0).run(1, [1000] * 3) == [1, 10, 100, 1000]


def test_story_3_one_pod_every_five_minutes():
    seen = Controller(up=Rules(0, [("Pods", 1, 300)])).run(1, [1000] * 61)
    assert seen[1::20] == [2, 3, 4, 5]
    assert sorted(set(seen)) == [1, 2, 3, 4, 5]


def test_story_5_the_scale_down_window():
    """Window of 600 s, 5 pods a minute, recommendations each minute: only the eleventh gives 9."""
    recommendations = [10, 9, 8, 9, 9, 8, 9, 8, 9, 8, 7]
    controller = Controller(down=Rules(600, [("Pods", 5, 60)]), step_s=60.0)
    assert controller.run(10, recommendations)[1:] == [10] * 10 + [9]


def test_pods_or_percent_whichever_is_more():
    """4 pods or 10 % a minute, from 80 to 10."""
    controller = Controller(down=Rules(0, [("Pods", 4, 60), ("Percent", 10, 60)]), step_s=60.0)
    assert controller.run(80, [10] * 15) == [80, 72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10, 10]


def test_defaults_scale_up_by_the_larger_of_four_pods_and_double():
    assert Controller().run(1, [100] * 6) == [1, 5, 10, 20, 40, 80, 100]


def test_defaults_scale_down_300_seconds_after_the_last_high_recommendation():
    seen = Controller().run(50, [50, 50] + [20] * 25)
    drop = next(k for k in range(1, len(seen)) if seen[k] == 20)
    assert (drop - 2) * 15 == 300, "step 2 (15 s) had the last high one"
    assert seen[drop - 1] == 50


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
