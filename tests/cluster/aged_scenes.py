"""Aged states for tests: a hand-made one, and hypothesis strategies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from archrl.cluster.aged import PLACERS, advance, load_aged, snapshot
from archrl.cluster.gpu_moves import MoveCosts, move_costs
from archrl.cluster.gpu_plans import Problem
from archrl.cluster.load import check_scenario
from archrl.cluster.state import ClusterState, StateSpec, allocate
from archrl.scenarios.aged import AgedPlacement
from archrl.scenarios.migration import MigrationModel
from archrl.scenarios.placement import RequestCatalogue
from archrl.scenarios.prices import LIST_PRICES
from tests.cluster.scenes import ints, scenario
from tests.cluster.strategies import fill, scenarios

KEEP_HOURS = 24.0
DETERMINISTIC_RULES = ("best_fit", "first_fit", "worst_fit", "fgd", "fgd_integer")


def costs(catalogue: RequestCatalogue, **changes: object) -> MoveCosts:
    return move_costs(catalogue, LIST_PRICES, MigrationModel(**changes), KEEP_HOURS)


def hand_made(**changes: object) -> AgedPlacement:
    """Halves of GPUs on a and on b, two whole GPUs on b, CPU only on c; two arrivals follow."""
    story = scenario([1, 1, 2, 0, 1, 2], [0, 0, 0, 0, 1, 2], [9, 1.5, 9, 9, 9, 9])
    return AgedPlacement(**{"scenario": story, "node_idx": ints(0, 1, 1, 2), "slots": ints(1, 1, 0b110, 0)} | changes)


def problem_of(aged: AgedPlacement, slot_rule: str = "best_fit") -> Problem:
    return Problem(aged, costs(aged.scenario.catalogue), slot_rule)


def put(aged: AgedPlacement, slot_rule: str = "best_fit") -> ClusterState:
    """A row that can be checked: `check_scenario`, load."""
    story = aged.scenario
    state = allocate(story.nodes, story.catalogue, story.mix, 1, StateSpec(len(story), slot_rule=slot_rule))
    check_scenario(state, story)
    load_aged(state, 0, aged)
    return state


@st.composite
def aged_problems(draw: st.DrawFn) -> Problem:
    """A random placer on a random scenario up to a random moment at which something runs."""
    story = draw(scenarios())
    rule, placer = draw(st.sampled_from(DETERMINISTIC_RULES)), draw(st.integers(0, len(PLACERS) - 1))
    state = fill([story], slot_rule=rule)
    moment = draw(st.integers(1, len(story)))
    advance(state.handle, 0, placer, moment)
    if not (state.request_int[0, : len(story), 1] >= 0).any():
        never = replace(story, departure_s=np.full(len(story), np.inf))
        state = fill([never], slot_rule=rule)
        advance(state.handle, 0, placer, moment)
        story = never
    assume((state.request_int[0, : len(story), 1] >= 0).any())
    return problem_of(snapshot(state, 0, story), rule)
