"""Selectors: valid subsets, order of nodes, the bound of the potential by brute force, fitting, files."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from archrl.baselines.reassignment_subproblem import solve_subset
from archrl.envs.rebalance_make import make_task
from archrl.errors import ConfigError
from archrl.scenarios.reassignment_evaluate import evaluate
from archrl.seeding import rng_for
from archrl_agents.rebalance_selector import (
    INPUTS,
    Example,
    GainNetwork,
    NodeSelector,
    draw_sets,
    fit_selector,
    load_selector,
    node_table,
    set_inputs,
)

TINY = make_task("tiny", "test").sample(rng_for(0, "test", "selector")).problem
SMALL = make_task("small", "test").sample(rng_for(0, "test", "selector")).problem


def network() -> GainNetwork:
    torch.manual_seed(0)
    return GainNetwork()


@given(seed=st.integers(0, 2**63 - 1), nodes=st.integers(1, 14), processes=st.integers(1, 50), trained=st.booleans())
def test_subsets_are_valid(seed, nodes, processes, trained):
    select = NodeSelector(network() if trained else None, nodes, processes, proposals=16)
    word = np.array([seed], np.uint64)
    free, opened = select(SMALL, SMALL.initial, word)
    assert int(word[0]) != seed
    assert len(np.unique(opened)) == len(opened) == min(nodes, SMALL.num_nodes)
    assert len(np.unique(free)) == len(free) <= processes
    assert np.isin(SMALL.initial[free], opened).all()
    again = select(SMALL, SMALL.initial, np.array([seed], np.uint64))
    np.testing.assert_array_equal(again.processes, free)
    np.testing.assert_array_equal(again.nodes, opened)


def test_a_sub_problem_of_a_selection_can_be_solved():
    select = NodeSelector(network(), nodes=3, processes=20)
    found = solve_subset(SMALL, SMALL.initial, *select(SMALL, SMALL.initial, np.array([3], np.uint64)), node_limit=5)
    assert found is not None
    assert evaluate(SMALL, found.assignment).total == evaluate(SMALL, SMALL.initial).total + found.change


@given(seed=st.integers(0, 2**32 - 1))
def test_inputs_do_not_depend_on_the_order_of_the_nodes(seed):
    rng = np.random.default_rng(seed)
    table = node_table(SMALL, SMALL.initial)
    sets = draw_sets(table, rng, 8, 4)
    np.testing.assert_allclose(
        set_inputs(SMALL, table, rng.permuted(sets, axis=1)), set_inputs(SMALL, table, sets), rtol=1e-9, atol=1e-12
    )


def test_no_spread_of_two_processes_gains_more_than_the_potential():
    """All places of two processes on two nodes, without regard to constraints or what moves cost."""
    table, rng = node_table(TINY, TINY.initial), np.random.default_rng(0)
    column, gained = INPUTS.index("potential"), 0
    before = evaluate(TINY, TINY.initial)
    for _ in range(40):
        nodes = rng.choice(TINY.num_nodes, 2, replace=False)
        potential = table.unit * np.expm1(set_inputs(TINY, table, nodes[None])[0, column])
        free = rng.permutation(np.flatnonzero(np.isin(TINY.initial, nodes)))[:2]
        for places in product(nodes, repeat=len(free)):
            assignment = TINY.initial.copy()
            assignment[free] = places
            after = evaluate(TINY, assignment)
            gain = before.load + before.balance - after.load - after.balance
            assert gain <= potential * (1 + 1e-9) + 1e-6
            gained += gain > 0
    assert gained > 0


def test_fitting_finds_what_the_gain_depends_on(tmp_path):
    rng = np.random.default_rng(0)
    inputs = rng.random((400, len(INPUTS)))
    network, correlation = fit_selector([Example(row, 10.0 * row[0] ** 2, 1.0) for row in inputs], epochs=60)
    assert correlation > 0.95
    select = NodeSelector(network, nodes=3, processes=7, proposals=32)
    select.save(tmp_path / "selector.pt")
    loaded = load_selector(tmp_path / "selector.pt")
    assert (loaded.nodes, loaded.processes) == (3, 7)
    table = node_table(SMALL, SMALL.initial)
    sets = draw_sets(table, rng, 20, 3)
    np.testing.assert_array_equal(loaded.scores(SMALL, table, sets), select.scores(SMALL, table, sets))


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="examples: got 3"):
        fit_selector([Example(np.zeros(len(INPUTS)), 0.0, 1.0)] * 3)
    with pytest.raises(ConfigError, match="nodes=0"):
        NodeSelector(None, nodes=0)
    with pytest.raises(ConfigError, match="selector"):
        load_selector(tmp_path / "nothing.pt")
    torch.save({"inputs": ("other",), "nodes": 1, "processes": 1, "weights": {}}, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match="train it again"):
        load_selector(tmp_path / "other.pt")


def test_garbage_is_no_selector(tmp_path: Path) -> None:
    for content in (b"", b"garbage", b"\x80\x05garbage"):
        (tmp_path / "selector.pt").write_bytes(content)
        with pytest.raises(ConfigError, match="give a file that a selector has saved"):
            load_selector(tmp_path / "selector.pt")
