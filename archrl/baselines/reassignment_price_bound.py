"""Lower bound of machine reassignment from prices of resources: `price_bound`, for instances of every size.

The constraints and costs of nodes are relaxed with prices. With U the usage, A = C - U, and H the transient resources
held by moved processes, for any a in [0, w_r], c >= 0 and b in [0, w_q]

    cost >= sum_nr a (U - SC) + sum_nr c (U + H - C) + sum_nq b (target A_r1 - A_r2) + moves

The right side is a sum over processes, each of which then takes its cheapest node: P x N x R operations. Left out are
conflict, spread, dependency and the cost of service moves. With all nodes priced alike it is the trivial bound; other
prices see where capacities, and room that transient resources take, bind.

Good prices come from L-BFGS-B on the bound with the minimum smoothed to -T log sum exp(-cost / T) (Nesterov, "Smooth
minimization of non-smooth functions", Mathematical Programming 103, 2005). The bound itself is evaluated in integers,
with prices that are whole multiples of 1 / `FRACTION`: it depends on no tolerance, however the prices were found.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from archrl.baselines.reassignment_bound import trivial_bound
from archrl.baselines.reassignment_part import has_room
from archrl.baselines.reassignment_program import Floats
from archrl.errors import ConfigError
from archrl.scenarios.reassignment import Reassignment

Numbers = NDArray[Any]
"""Floats, or integers in multiples of 1 / `FRACTION`."""
FRACTION = 2**10
TEMPERATURES = (1e4, 1e3, 1e2)
"""T, in units of cost; each search starts from the prices of the one before."""
ITERATIONS = 700
"""Most steps of a search."""
MEMORY = 30
"""Steps that L-BFGS-B remembers."""
CHUNK = 2**15
"""Pairs of a process and a node that are priced at a time."""
ENERGY = 1e6
"""Cost that is 1 for L-BFGS-B."""


class Prices(NamedTuple):
    """Prices of a unit, as floats or as multiples of 1 / `FRACTION`."""

    load: Numbers  # (N, R) above safety capacity
    room: Numbers  # (N, R) of capacity
    balance: Numbers  # (N, Q)


class Relaxed:
    """The relaxed problem of an instance."""

    def __init__(self, problem: Reassignment) -> None:
        self.problem = problem
        self.shapes = [problem.capacity.shape] * 2 + [(problem.num_nodes, len(problem.balance_target))]
        held = np.zeros_like(problem.capacity)
        np.add.at(held, problem.initial, problem.requirement * problem.transient)
        self.room = problem.capacity - held
        self.way = problem.node_move_weight * problem.node_move_cost
        everything = np.arange(len(problem)), np.arange(problem.num_nodes)
        self.forbidden = ~has_room(problem, *everything, held)
        self.forbidden[everything[0], problem.initial] = False
        self.size = max(1, CHUNK // problem.num_nodes)

    def node_prices(self, prices: Prices) -> Numbers:
        """What a unit of usage costs on each node, (N, R)."""
        unit: Numbers = prices.load + prices.room
        for q, (first, second) in enumerate(self.problem.balance_resources):
            unit[:, first] -= self.problem.balance_target[q] * prices.balance[:, q]
            unit[:, second] += prices.balance[:, q]
        return unit

    def constant(self, prices: Prices) -> Numbers:
        """The part of the bound that is no process's, as addends per node."""
        first, second = self.problem.balance_resources.T
        capacity = self.problem.capacity
        uneven = self.problem.balance_target * capacity[:, first] - capacity[:, second]
        spent = (prices.load * self.problem.safety_capacity + prices.room * self.room).sum(axis=1)
        addends: Numbers = (prices.balance * uneven).sum(axis=1) - spent
        return addends

    def costs(self, prices: Prices, unit: Numbers, chunk: slice, scale: int) -> Numbers:
        """Price of each process of a chunk on each node, times `scale`; not yet barred where forbidden."""
        problem = self.problem
        home, requirement = problem.initial[chunk], problem.requirement[chunk].astype(unit.dtype)
        moves = problem.process_move_weight * problem.process_move_cost[chunk, None] + self.way[home]
        costs: Numbers = requirement @ unit.T + scale * moves
        at_home = requirement * (unit[home] - prices.room[home] * problem.transient)
        costs[np.arange(len(home)), home] = at_home.sum(axis=1)
        return costs

    def chunks(self) -> list[slice]:
        """Slices of processes."""
        return [slice(i, min(i + self.size, len(self.problem))) for i in range(0, len(self.problem), self.size)]

    def exact(self, prices: Prices) -> int:
        """The bound of prices that are multiples of 1 / `FRACTION`, rounded up; all in integers."""
        total, unit = sum(self.constant(prices).tolist()), self.node_prices(prices)
        barred = np.iinfo(np.int64).max
        for chunk in self.chunks():
            costs = self.costs(prices, unit, chunk, FRACTION)
            costs[self.forbidden[chunk]] = barred
            total += sum(costs.min(axis=1).tolist())
        return int(-(-total // FRACTION))

    def smoothed(self, prices: Prices, temperature: float) -> tuple[float, Prices]:
        """The smoothed bound and its gradient."""
        problem, unit = self.problem, self.node_prices(prices)
        usage, held_less = np.zeros((2, *self.room.shape))
        total = float(self.constant(prices).sum())
        for chunk in self.chunks():
            home, requirement = problem.initial[chunk], problem.requirement[chunk].astype(np.float64)
            share = self.costs(prices, unit, chunk, 1)
            share[self.forbidden[chunk]] = np.inf
            least = share.min(axis=1, keepdims=True)
            np.exp((least - share) / temperature, out=share)
            weight = share.sum(axis=1, keepdims=True)
            total += float((least - temperature * np.log(weight)).sum())
            share /= weight
            usage += share.T @ requirement
            np.add.at(held_less, home, share[np.arange(len(home)), home, None] * requirement * problem.transient)
        free = problem.capacity - usage
        first, second = problem.balance_resources.T
        uneven = problem.balance_target * free[:, first] - free[:, second]
        return total, Prices(usage - problem.safety_capacity, usage - held_less - self.room, uneven)


def price_bound(problem: Reassignment, time_limit_s: float = 50.0, iterations: int = ITERATIONS) -> int:
    """No feasible assignment costs less; at least the trivial bound. The same every time unless the limit strikes.

    Args:
        problem: The instance.
        time_limit_s: Wall-clock limit of the search for prices.
        iterations: Most steps per temperature.

    Raises:
        ConfigError: an argument is not above 0.
    """
    for name, value in (("time_limit_s", time_limit_s), ("iterations", iterations)):
        if not value > 0:
            raise ConfigError(f"{name}: got {value!r}; allowed: a number above 0")
    deadline = time.perf_counter() + time_limit_s
    priced = Relaxed(problem)
    best, prices = trivial_bound(problem).total, trivial_prices(problem)
    for temperature in TEMPERATURES:
        prices = _improved(priced, prices, temperature, deadline, iterations)
        load, room, balance = (np.round(FRACTION * each).astype(np.int64) for each in prices)
        whole = Prices(load, room, balance)
        if _representable(problem, whole):
            best = max(best, priced.exact(whole))
    return best


def trivial_prices(problem: Reassignment) -> Prices:
    """The prices, the same on all nodes, with which the bound is the trivial one."""
    used = problem.requirement.sum(axis=0)
    free = problem.capacity.sum(axis=0) - used
    first, second = problem.balance_resources.T
    load = np.where(used > problem.safety_capacity.sum(axis=0), problem.load_weight, 0)
    balance = np.where(problem.balance_target * free[first] > free[second], problem.balance_weight, 0)
    nothing = np.zeros(problem.capacity.shape)
    return Prices(nothing + load, nothing, np.zeros((problem.num_nodes, len(balance))) + balance)


def _improved(priced: Relaxed, start: Prices, temperature: float, deadline: float, iterations: int) -> Prices:
    """Prices at which the smoothed bound is higher; amounts are counted in capacities."""
    problem = priced.problem
    scale = np.maximum(problem.capacity, 1) / ENERGY
    scales = _flat(Prices(scale, scale, np.repeat(scale.max(axis=1, keepdims=True), start.balance.shape[1], axis=1)))
    dearest = np.broadcast_to(problem.balance_weight, priced.shapes[2])
    limits = Prices(np.broadcast_to(problem.load_weight, priced.shapes[0]), np.full(priced.shapes[1], np.inf), dearest)
    upper = _flat(limits) * scales
    best: list[Floats] = [_flat(start) * scales]

    def objective(point: Floats) -> tuple[float, Floats]:
        value, gradient = priced.smoothed(_shaped(point / scales, priced.shapes), temperature)
        return -value / ENERGY, -_flat(gradient) / scales / ENERGY

    def note(point: Floats) -> None:
        best[0] = point.copy()
        if time.perf_counter() >= deadline:
            raise StopIteration

    if time.perf_counter() < deadline:
        options = {"maxiter": iterations, "maxfun": 10 * iterations, "maxcor": MEMORY, "ftol": 1e-12, "gtol": 1e-9}
        bounds = np.stack([np.zeros(len(upper)), upper], axis=1)
        minimize(objective, best[0], jac=True, method="L-BFGS-B", bounds=bounds, callback=note, options=options)
    return _shaped(np.clip(best[0], 0.0, upper) / scales, priced.shapes)


def _representable(problem: Reassignment, prices: Prices) -> bool:
    """Whether no sum of the exact evaluation can leave 64 bits."""
    largest = sum(float(np.abs(each).max(initial=0)) for each in prices) * (1.0 + problem.balance_target.max(initial=0))
    amount = max(float(problem.requirement.sum(axis=1).max()), float(problem.capacity.sum(axis=1).max()))
    return bool(4.0 * largest * amount < 2.0**62)


def _flat(prices: Prices) -> Floats:
    return np.concatenate([np.asarray(each, np.float64).ravel() for each in prices])


def _shaped(values: Floats, shapes: list[tuple[int, ...]]) -> Prices:
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    load, room, balance = (part.reshape(shape) for part, shape in zip(np.split(values, ends), shapes, strict=True))
    return Prices(load, room, balance)
