"""Every heuristic against its published formula, written out here on tiny cases, and what all of them must satisfy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archrl.baselines.heuristics import HEURISTICS, CostAware, FragmentationGradientDescent, ScoreFit, make_heuristic
from archrl.cluster import schema
from archrl.cluster.scores import RULES
from archrl.envs.placement_make import make_task
from archrl.errors import ConfigError
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.rollout import rollout
from archrl.scenarios.placement import PlacementScenario, PodMix
from archrl.seeding import rng_for
from tests.cluster.strategies import advance, fill, scenarios

FORMS = [(score, tie) for score in ("float", "integer") for tie in ("lowest", "random")]


def observation_of(state) -> dict[str, np.ndarray]:
    return {
        "nodes": state.node_table,
        "request": state.request,
        "clock": state.clock,
        "action_mask": state.mask,
    }


class Seen:
    """One observed row in the words of the formulas."""

    def __init__(self, state, row: int, node: int) -> None:
        table, request = state.node_table[row, node].astype(float), state.request[row].astype(float)
        self.cpu_free, self.slots = table[0], table[2:10][: int(table[12])]
        self.gpu_free, self.type = self.slots.sum(), int(table[13])
        self.live = table[schema.NODE_LIVE : schema.NODE_LIVE + 6]
        self.empty_at = table[schema.NODE_EMPTY_AT]
        self.cpu, self.gpus, self.milli, self.lifetime = request[0], int(request[2]), request[3], request[6]
        self.size = int(request[schema.REQ_SIZE_CLASS : schema.REQ_SIZE_CLASS + 6].argmax())
        self.now = float(state.clock[row, 0])


def best_fit(s: Seen) -> float:
    left = 0.5 * (s.cpu_free - s.cpu) / 128_000 + 0.5 * (s.gpu_free - s.gpus * s.milli) / 8_000
    return (1 - left) * 100


def gpu_packing(s: Seen, integer: bool) -> float:
    if s.gpus == 0:
        return 0.0
    idle, third = int((s.slots == 1000).sum()), 33 if integer else 100 / 3
    if idle == len(s.slots):
        return max(third - idle, idle)
    fitting = sorted(free for free in s.slots if free >= s.milli)[: s.gpus]
    fresh = sum(free == 1000 for free in fitting)
    if fresh:
        return max(50 - fresh, third)
    left = sum(fitting) * 100 / 1000
    return max(100 - (math.floor(math.floor(left) / 10) if integer else left / 10), 50)


def gpu_clustering(s: Seen, integer: bool) -> float:
    if s.gpus == 0:
        return 0.0
    kinds = {size for size in range(1, 6) if s.live[size] > 0}
    within = 25 * (8000 - s.gpu_free) / 8000
    base = (75 if kinds == {s.size} else 50) if s.size in kinds else (25 if not kinds else 0)
    return (math.floor(within) if integer else within) + base


def score_by_hand(rule: str, s: Seen, integer: bool) -> float:
    if rule == "gpu_packing":
        value = gpu_packing(s, integer)
    elif rule == "gpu_clustering":
        value = gpu_clustering(s, integer)
    elif rule == "lifetime_alignment":
        return best_fit(s) - max(0.0, s.now + s.lifetime - max(s.empty_at, s.now))
    elif rule == "dot_product":
        dot = s.cpu_free / 128_000 * s.cpu / 128_000 + s.gpu_free / 8_000 * s.gpus * s.milli / 8_000
        value = (1 - dot / 2) * 100
    else:
        value = {"first_fit": 0.0, "best_fit": best_fit(s), "worst_fit": 100 - best_fit(s)}[rule]
    return math.floor(value) if integer else value


def fragmentation(slots, cpu_free: float, gpu_type: int, mix: PodMix) -> float:
    total = 0.0
    for share, cpu, gpus, milli, types in zip(
        mix.share, mix.cpu_milli, mix.gpu_count, mix.gpu_milli, mix.gpu_type_mask, strict=True
    ):
        typed = gpu_type >= 0 and (int(types) >> gpu_type) & 1
        runs = gpus > 0 and typed and cpu <= cpu_free and sum(free >= milli for free in slots) >= gpus
        total += share * (sum(free for free in slots if free < milli) if runs else sum(slots))
    return total


def fgd_score(s: Seen, mix: PodMix, integer: bool) -> float:
    before, after = fragmentation(s.slots, s.cpu_free, s.type, mix), []
    if s.gpus == 0:
        after = [fragmentation(s.slots, s.cpu_free - s.cpu, s.type, mix)]
    elif s.milli < 1000:
        for place in np.flatnonzero(s.slots >= s.milli):
            slots = s.slots.copy()
            slots[place] -= s.milli
            after.append(fragmentation(slots, s.cpu_free - s.cpu, s.type, mix))
    else:
        slots = s.slots.copy()
        slots[np.flatnonzero(slots == 1000)[: s.gpus]] = 0
        after = [fragmentation(slots, s.cpu_free - s.cpu, s.type, mix)]
    score = max(100 / (1 + math.exp(round(value - before, 6) / 1000)) for value in after)
    return math.floor(score) if integer else score


def assert_chooses_a_best_node(policy, state, by_hand, tie: str) -> None:
    chosen, _ = policy.predict(observation_of(state))
    for row, action in enumerate(chosen):
        feasible = np.flatnonzero(state.mask[row, :-1])
        if len(feasible) == 0:
            assert action == state.mask.shape[1] - 1
            continue
        values = np.array([by_hand(Seen(state, row, node)) for node in feasible])
        best = feasible[values >= values.max() - 1e-4]
        assert action in best
        exact = feasible[values == values.max()]
        if tie == "lowest" and len(best) == len(exact):
            assert action == exact[0]


@settings(max_examples=25)
@given(story=scenarios(), rule=st.sampled_from([r for r in RULES if r != "fgd"]),
       form=st.sampled_from(FORMS), moves=st.lists(st.floats(0, 0.99), max_size=10))  # fmt: skip
def test_score_rules_choose_as_the_formula_says(story: PlacementScenario, rule: str, form, moves):
    state, policy = fill([story]), ScoreFit(rule, *form)
    for move in moves[: len(story) - 1]:
        assert_chooses_a_best_node(policy, state, lambda s: score_by_hand(rule, s, form[0] == "integer"), form[1])
        allowed = np.flatnonzero(state.mask[0])
        advance(state, [int(allowed[int(move * len(allowed))])])


@settings(max_examples=25)
@given(story=scenarios(), form=st.sampled_from(FORMS), moves=st.lists(st.floats(0, 0.99), max_size=10))
def test_fgd_chooses_as_the_formula_says_and_its_cache_never_shows(story: PlacementScenario, form, moves):
    state = fill([story])
    lasting = FragmentationGradientDescent(story.mix, *form)
    for move in moves[: len(story) - 1]:
        fresh = FragmentationGradientDescent(story.mix, *form)
        by_hand = lambda s: fgd_score(s, story.mix, form[0] == "integer")  # noqa: E731
        assert_chooses_a_best_node(fresh, state, by_hand, form[1])
        if form[1] == "lowest":
            again = FragmentationGradientDescent(story.mix, *form)
            assert lasting.predict(observation_of(state))[0] == again.predict(observation_of(state))[0]
        allowed = np.flatnonzero(state.mask[0])
        advance(state, [int(allowed[int(move * len(allowed))])])


def test_doing_nothing_costs_the_value_of_all_requests():
    """Requests that must run are placed; the rest is rejected."""
    task = make_task("toy")
    (story,) = draw_scenarios(task, "test", 0, 1)
    (episode,) = rollout(task, make_heuristic("reject_all", task), [story])
    assert episode.costs_usd == {"rejected": pytest.approx(story.value_usd.sum()), "node_hours": 0, "fragmentation": 0}
    forced = make_task("toy", allow_reject=False)
    (episode,) = rollout(forced, make_heuristic("reject_all", forced), [story])
    assert episode.violations == 0
    assert episode.costs_usd["node_hours"] > 0


def test_random_ties_are_even_and_seeded():
    task = make_task("tiny")
    state = task.allocate(400)
    scenario = task.sample(rng_for(0, "test", 1))
    task.reset_rows(state, np.arange(400), [scenario] * 400)
    observation = task.outputs(state).observation
    feasible = np.flatnonzero(observation["action_mask"][0, :-1])
    picks = [make_heuristic("first_fit", task, seed, tie="random").predict(observation)[0] for seed in (0, 0, 1)]
    assert (picks[0] == picks[1]).all()
    assert (picks[0] != picks[2]).any()
    counts = np.bincount(picks[0], minlength=task.num_nodes)[feasible]
    expected = 400 / len(feasible)
    assert len(feasible) > 2
    assert (np.abs(counts - expected) < 5 * math.sqrt(expected)).all()
    random = make_heuristic("random", task, 3).predict(observation)[0]
    assert set(random) == set(feasible)


def test_cost_aware_weighs_extension_against_value():
    task = make_task("toy")
    state = task.allocate(1)
    task.reset_rows(state, np.arange(1), [task.sample(rng_for(0, "test"))])
    observation = task.outputs(state).observation
    hours = float(observation["request"][0, schema.REQ_LIFETIME]) / 3600
    value = float(observation["request"][0, schema.REQ_VALUE])
    feasible = np.flatnonzero(observation["action_mask"][0, :-1])
    price = task.nodes.node_hour_usd[feasible]
    cheapest = feasible[price.argmin()]
    ratio = value / (hours * price.min())
    assert CostAware(task.nodes.node_hour_usd, 0.9 * ratio).predict(observation)[0] == cheapest
    reject_allowed = observation["action_mask"][0, -1] == 1
    strict = CostAware(task.nodes.node_hour_usd, 1.1 * ratio).predict(observation)[0]
    assert strict == (task.num_nodes if reject_allowed else cheapest)


@pytest.mark.parametrize("name", list(HEURISTICS))
def test_heuristics_act_alike_on_candidates_and_on_all_nodes(name: str):
    """The optimum of every rule is among the candidates, so the cost is that of the whole table (random aside)."""
    scenario_task = make_task("tiny", num_nodes=30, num_requests=120, offered_load=0.4)
    narrow = make_task("tiny", num_nodes=30, num_requests=120, offered_load=0.4, candidates=16)
    story = [scenario_task.sample(rng_for(k, "test")) for k in range(3)]
    whole = rollout(scenario_task, make_heuristic(name, scenario_task), story)
    few = rollout(narrow, make_heuristic(name, narrow), story)
    assert [e.violations for e in whole + few] == [0] * 6
    if name not in ("random", "cost_aware"):
        assert [e.cost_usd for e in few] == pytest.approx([e.cost_usd for e in whole], rel=1e-9)


def test_one_environment_is_a_batch_of_one():
    task = make_task("tiny")
    state = task.allocate(3)
    task.reset_rows(state, np.arange(3), [task.sample(rng_for(k, "test")) for k in range(3)])
    observation = task.outputs(state).observation
    for name in HEURISTICS:
        if name == "random":
            continue
        policy = make_heuristic(name, task)
        batch, _ = policy.predict(observation)
        single = [policy.predict({key: value[row] for key, value in observation.items()})[0] for row in range(3)]
        assert np.shape(single[0]) == ()
        assert list(batch) == single


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda task: make_heuristic("bestfit", task), "best_fit"),
        (lambda task: make_heuristic("best_fit", task, score="int"), "integer"),
        (lambda task: make_heuristic("fgd", task, tie="first"), "lowest"),
        (lambda task: make_heuristic("cost_aware", task, threshold=-1.0), "threshold"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ConfigError, match=words):
        call(make_task("toy"))
