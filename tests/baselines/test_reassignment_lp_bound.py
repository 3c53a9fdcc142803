"""Linear and price bounds: below the optimum, exact in rational numbers, and against SciPy's linear program."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import approx_fprime, linprog

from archrl.baselines.highs import Program
from archrl.baselines.reassignment_bound import trivial_bound
from archrl.baselines.reassignment_lp_bound import certified_bound, linear_bound
from archrl.baselines.reassignment_price_bound import FRACTION, Prices, Relaxed, price_bound, trivial_prices
from archrl.errors import ConfigError
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_build import reassignment_from
from archrl.traces import ROADEF2012, read_roadef2012
from tests.baselines.reassignment_cases import least_cost_of_all, tiny

SEEDS = range(12)


def whole(prices: Prices) -> Prices:
    load, room, balance = (np.round(FRACTION * each).astype(np.int64) for each in prices)
    return Prices(load, room, balance)


def drawn_prices(problem: Reassignment, rng: np.random.Generator) -> Prices:
    load = rng.random(problem.capacity.shape) * problem.load_weight
    balance = rng.random((problem.num_nodes, 1)) * problem.balance_weight
    return Prices(load, rng.random(problem.capacity.shape), balance)


def relaxed_optimum(problem: Reassignment) -> float:
    """SciPy's optimum of the relaxation that prices stand for: x, e >= 0, d >= 0; capacities, load, balance."""
    processes, nodes, resources = len(problem), problem.num_nodes, problem.num_resources
    pairs, cells = processes * nodes, nodes * resources
    home = np.eye(nodes, dtype=bool)[problem.initial]
    way = problem.node_move_weight * problem.node_move_cost[problem.initial]
    moves = np.where(home, 0, way + problem.process_move_weight * problem.process_move_cost[:, None])
    cost = np.concatenate(
        [moves.ravel(), np.tile(problem.load_weight, nodes), np.repeat(problem.balance_weight, nodes)]
    )
    rows, sides = [], []
    held = np.zeros_like(problem.capacity)
    np.add.at(held, problem.initial, problem.requirement * problem.transient)
    for n in range(nodes):
        at = np.zeros((processes, nodes), bool)
        at[:, n] = True
        for r in range(resources):
            use = np.where(at, problem.requirement[:, r, None], 0).ravel()
            away = np.where(home & bool(problem.transient[r]), 0, use.reshape(at.shape)).ravel()
            excess = np.zeros(cells)
            excess[n * resources + r] = 1
            rows += [np.concatenate([away, np.zeros(cells + nodes)]), np.concatenate([use, -excess, np.zeros(nodes)])]
            sides += [problem.capacity[n, r] - held[n, r], problem.safety_capacity[n, r]]
        target = int(problem.balance_target[0])
        lack = np.where(at, (problem.requirement[:, 1] - target * problem.requirement[:, 0])[:, None], 0).ravel()
        rows.append(np.concatenate([lack, np.zeros(cells), -np.eye(nodes)[n]]))
        sides.append(problem.capacity[n, 1] - target * problem.capacity[n, 0])
    room = problem.capacity - held
    fits = (problem.requirement[:, None, :] <= room).all(axis=2) | home
    limits = [(0, int(fit)) for fit in fits.ravel()] + [(0, None)] * (cells + nodes)
    one = np.hstack([np.kron(np.eye(processes), np.ones(nodes)), np.zeros((processes, cells + nodes))])
    found = linprog(cost, A_ub=np.array(rows), b_ub=sides, A_eq=one, b_eq=np.ones(processes), bounds=limits)
    assert found.status == 0
    assert len(cost) == pairs + cells + nodes
    return float(found.fun)


@pytest.mark.parametrize("seed", SEEDS)
def test_bounds_are_in_order(seed: int) -> None:
    pytest.importorskip("highspy")
    problem = tiny(seed)
    optimum, trivial = least_cost_of_all(problem), trivial_bound(problem).total
    assert trivial <= price_bound(problem, iterations=50) <= optimum
    assert trivial <= linear_bound(problem) <= optimum


@pytest.mark.parametrize("seed", SEEDS)
def test_uniform_prices_give_the_trivial_bound(seed: int) -> None:
    problem = tiny(seed)
    assert Relaxed(problem).exact(whole(trivial_prices(problem))) == trivial_bound(problem).total


@pytest.mark.parametrize("seed", SEEDS)
def test_no_prices_prove_more_than_the_linear_program(seed: int) -> None:
    problem, rng = tiny(seed), np.random.default_rng(seed)
    most = np.ceil(relaxed_optimum(problem) - 1e-6)
    values = [Relaxed(problem).exact(whole(drawn_prices(problem, rng))) for _ in range(20)]
    assert max(values) <= most
    assert price_bound(problem, iterations=50) <= most


def test_prices_come_close_to_the_linear_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Temperatures for costs of hundreds instead of 1e9; over 12 instances half of what the trivial bound misses."""
    monkeypatch.setattr("archrl.baselines.reassignment_price_bound.TEMPERATURES", (10.0, 1.0, 0.1))
    monkeypatch.setattr("archrl.baselines.reassignment_price_bound.ENERGY", 1.0)
    problems = [tiny(seed) for seed in SEEDS]
    best = np.array([relaxed_optimum(problem) for problem in problems])
    found = np.array([price_bound(problem, iterations=300) for problem in problems])
    trivial = np.array([trivial_bound(problem).total for problem in problems])
    assert (best - trivial).sum() > 10
    assert (best - found).sum() < 0.5 * (best - trivial).sum()


def test_the_gradient_is_that_of_finite_differences() -> None:
    problem = tiny(2)
    relaxed, prices = Relaxed(problem), drawn_prices(problem, np.random.default_rng(1))
    sizes = np.cumsum([each.size for each in prices])[:-1]

    def value(flat: np.ndarray) -> float:
        load, room, balance = (
            part.reshape(-1, width) for part, width in zip(np.split(flat, sizes), (2, 2, 1), strict=True)
        )
        return relaxed.smoothed(Prices(load, room, balance), 5.0)[0]

    flat = np.concatenate([each.ravel() for each in prices])
    gradient = np.concatenate([each.ravel() for each in relaxed.smoothed(prices, 5.0)[1]])
    np.testing.assert_allclose(gradient, approx_fprime(flat, value, 1e-6), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("seed", range(5))
def test_rounding_never_lifts_a_bound(seed: int) -> None:
    """Against weak duality in rational numbers, with numbers of very different sizes."""
    rng = np.random.default_rng(seed)
    matrix = sparse.csr_matrix(rng.normal(size=(6, 8)) * 10.0 ** rng.integers(-3, 7, (6, 8)))
    cost, duals = rng.normal(size=8) * 1e9, rng.random(6) * 1e3
    program = Program(cost, np.full(8, 1e6), matrix, rng.normal(size=6) * 1e8, np.full(6, np.inf), 1e9 / 3)
    exact = Fraction(program.offset) + sum(map(_product, duals, program.row_lower))
    for column in range(8):
        reduced = Fraction(cost[column]) - sum(map(_product, duals, matrix.toarray()[:, column]))
        exact += min(Fraction(0), reduced) * Fraction(10**6)
    found = Fraction(certified_bound(program, duals))
    assert found <= exact
    assert exact - found < abs(exact) / 10**9


def _product(a: float, b: float) -> Fraction:
    return Fraction(a) * Fraction(b)


@pytest.mark.needs_data(ROADEF2012)
def test_the_linear_bound_of_a1_1(data_root: Path) -> None:
    """Between the bound from totals and the optimum."""
    pytest.importorskip("highspy")
    problem = reassignment_from(read_roadef2012(data_root, "a1_1"), "a1_1")
    assert 44_306_390 < linear_bound(problem) <= 44_306_501


@pytest.mark.needs_data(ROADEF2012)
def test_transient_resources_lift_the_price_bound_of_a2_2(data_root: Path) -> None:
    """The bound from totals is 13,590,090; the best published cost 746,097,632."""
    problem = reassignment_from(read_roadef2012(data_root, "a2_2"), "a2_2")
    assert 100_000_000 < price_bound(problem, iterations=60) <= 746_097_632


def test_limits_of_zero_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"time_limit_s: got 0\.0; allowed: a number of seconds above 0"):
        linear_bound(tiny(0), time_limit_s=0.0)
    with pytest.raises(ConfigError, match=r"time_limit_s: got 0\.0; allowed: a number above 0"):
        price_bound(tiny(0), time_limit_s=0.0)
    with pytest.raises(ConfigError, match="iterations: got 0"):
        price_bound(tiny(0), iterations=0)
