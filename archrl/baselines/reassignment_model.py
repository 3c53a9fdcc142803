"""The exact integer program of a part of a reassignment instance, built straight as arrays.

Some processes are free, the others stay where an assignment has them; the free ones may go to some nodes, or stay.
With every process free and every node open it is the whole instance. One binary column x per possible pair of a free
process and a node; the columns behind them are continuous and take the right value by themselves.

    minimise  move costs . x + sum w e + sum w d + w M
    one_node     sum_n x_pn = 1                                                       free p
    conflict     sum_{p of s} x_pn <= 1                                               service s, node n
    capacity     used + held + sum_p R_pr x_pn <= C_nr      (transient: not at home)  node n, resource r
    load         used + sum_p R_pr x_pn - e_nr <= SC_nr                               node n, resource r
    balance      target A_n1 - A_n2 <= d_nq,  A = C - used - sum_p R_p x_pn           node n, balance cost q
    moved        processes of s away from home <= M                                   service s
    spread       sum_l y_sl >= spreadMin_s,  y_sl <= sum_{p of s, n in l} x_pn        service s, location l
    dependency   sum_{n in h} x_pn <= z_th <= sum_{q of t, n in h} x_qn      free p of s, s needs t, neighborhood h
    budget       sum_p (1 - x_p,home) + those moved already <= most          where moves are limited

Pairs that no feasible assignment can have, and rows that cannot bind, are left out; load and balance costs that are
linear over all that can happen go into the costs of x. The cost of the program is the change of the cost of the
assignment. Definition: Google ROADEF/EURO Challenge 2011-2012, "Problem definition".
"""

from __future__ import annotations

import numpy as np

from archrl.baselines.reassignment_part import needs_of, part_of
from archrl.baselines.reassignment_program import Builder, PartModel
from archrl.scenarios.reassignment import Ints, Reassignment


def build_part(
    problem: Reassignment, assignment: Ints, processes: Ints, nodes: Ints, max_moved: int | None = None
) -> PartModel:
    """The program in which `processes` may go to `nodes` or stay, from a feasible assignment (P,).

    With `max_moved` at most so many processes of the whole instance may be away from their initial nodes.
    """
    program = Builder(part_of(problem, assignment, processes, nodes))
    _one_node(program)
    _conflict(program)
    for r in range(problem.num_resources):
        _capacity(program, r)
        _load(program, r)
    for q in range(len(problem.balance_target)):
        _balance(program, q)
    _moved(program)
    _spread(program)
    _dependency(program)
    _needed_by_fixed(program)
    if max_moved is not None:
        _budget(program, max_moved)
    return program.finish()


def _budget(program: Builder, max_moved: int) -> None:
    """At most so many processes are away from home, the fixed ones included."""
    home = np.flatnonzero(program.home)
    least = len(program.part.free) + int(program.part.moved.sum()) - max_moved
    if least > 0:
        program.add_rows([least], [np.inf], (np.zeros(len(home), np.int64), home, np.array(1)))


def _one_node(program: Builder) -> None:
    ones = np.ones(len(program.part.free))
    program.add_rows(ones, ones, (program.part.process, np.arange(len(program.home)), np.array(1)))


def _conflict(program: Builder) -> None:
    part = program.part
    key = program.service * part.problem.num_nodes + part.node
    _, row, count = np.unique(key, return_inverse=True, return_counts=True)
    several = count > 1
    renumbered = np.cumsum(several) - 1
    pairs = np.flatnonzero(several[row])
    height = int(several.sum())
    program.add_rows(np.full(height, -np.inf), np.ones(height), (renumbered[row[pairs]], pairs, np.array(1)))


def _limit(program: Builder, amount: Ints, room: Ints, price: int | None) -> None:
    """Rows sum of `amount` (X,) x <= `room` (T,) per touched node; above it at `price` per unit, if there is one."""
    height, row = len(room), program.row_of_pair
    most, least = _extremes(program, amount, height)
    binding = most > room
    if price is not None:
        linear = least >= room
        program.cost[0] = program.cost[0] + np.where(linear[row], price * amount, 0)
        binding &= ~linear
    renumbered, count = np.cumsum(binding) - 1, int(binding.sum())
    pairs = np.flatnonzero(binding[row] & (amount != 0))
    entries = [(renumbered[row[pairs]], pairs, amount[pairs])]
    if price is not None:
        now = np.bincount(row, program.here * amount, height).astype(np.int64) - room
        columns = program.add_columns(
            np.full(count, price), np.zeros(count), (most - room)[binding], np.maximum(0, now[binding])
        )
        entries.append((np.arange(count), columns, np.array(-1)))
    program.add_rows(np.full(count, -np.inf), room[binding], *entries)


def _extremes(program: Builder, amount: Ints, height: int) -> tuple[Ints, Ints]:
    """Upper and lower bound of the sum of amount x per touched node."""
    row = program.row_of_pair
    most = np.bincount(row, np.maximum(amount, 0), height).astype(np.int64)
    least = np.bincount(row, np.minimum(amount, 0), height).astype(np.int64)
    return most, least


def _capacity(program: Builder, r: int) -> None:
    part = program.part
    amount = program.requirement[:, r]
    if part.problem.transient[r]:
        amount = np.where(program.home, 0, amount)
    _limit(program, amount, part.problem.capacity[part.touched, r] - part.fixed[:, r] - part.held[:, r], None)


def _load(program: Builder, r: int) -> None:
    part = program.part
    room = part.problem.safety_capacity[part.touched, r] - part.fixed[:, r]
    _limit(program, program.requirement[:, r], room, int(part.problem.load_weight[r]))


def _balance(program: Builder, q: int) -> None:
    part, problem = program.part, program.part.problem
    first, second = problem.balance_resources[q]
    target = int(problem.balance_target[q])
    free = problem.capacity[part.touched] - part.fixed
    amount = program.requirement[:, second] - target * program.requirement[:, first]
    _limit(program, amount, free[:, second] - target * free[:, first], int(problem.balance_weight[q]))


def _moved(program: Builder) -> None:
    part, problem = program.part, program.part.problem
    home = np.flatnonzero(program.home)
    free_of = np.bincount(problem.service[part.free], minlength=problem.num_services)
    least = part.moved + free_of - np.bincount(program.service[home], minlength=problem.num_services)
    base = int(least.max())
    services = np.flatnonzero((part.moved + free_of > base) & (free_of > 0))
    away = part.free[part.assignment[part.free] != problem.initial[part.free]]
    now = part.moved + np.bincount(problem.service[away], minlength=problem.num_services)
    most = program.add_columns([problem.service_move_weight], [base], [len(problem)], [now.max()])
    row = np.full(problem.num_services, -1)
    row[services] = np.arange(len(services))
    home = home[row[program.service[home]] >= 0]
    program.add_rows(
        (part.moved + free_of)[services],
        np.full(len(services), np.inf),
        (row[program.service[home]], home, np.array(1)),
        (np.arange(len(services)), np.full(len(services), most[0]), np.array(1)),
    )


def _spread(program: Builder) -> None:
    part, problem = program.part, program.part.problem
    missing = problem.spread_min - part.at_location.sum(axis=1)
    services = np.unique(problem.service[part.free])
    services = services[missing[services] > 0]
    location = problem.location[part.node]
    pairs = np.flatnonzero((missing[program.service] > 0) & ~part.at_location[program.service, location])
    keys, place = np.unique(program.service[pairs] * part.at_location.shape[1] + location[pairs], return_inverse=True)
    start = np.bincount(place, program.here[pairs], len(keys)) > 0
    count = len(keys)
    columns = program.add_columns(np.zeros(count), np.zeros(count), np.ones(count), start)
    program.add_rows(
        np.full(count, -np.inf),
        np.zeros(count),
        (np.arange(count), columns, np.array(1)),
        (place, pairs, np.array(-1)),
    )
    row = np.searchsorted(services, keys // part.at_location.shape[1])
    program.add_rows(missing[services], np.full(len(services), np.inf), (row, columns, np.array(1)))


def _dependency(program: Builder) -> None:
    """Free processes need a service in the neighborhood that they go to."""
    part, problem = program.part, program.part.problem
    neighborhood = problem.neighborhood[part.node]
    width = part.in_neighborhood.shape[1]
    pair, needed = needs_of(problem, program.service)
    open_ = ~part.in_neighborhood[needed, neighborhood[pair]] & (needed != program.service[pair])
    pair, needed = pair[open_], needed[open_]
    places, place = np.unique(needed * width + neighborhood[pair], return_inverse=True)
    keys, row = np.unique(part.process[pair] * len(places) + place, return_inverse=True)
    there = _presence(program, places, width)
    program.add_rows(
        np.full(len(keys), -np.inf),
        np.zeros(len(keys)),
        (row, pair, np.array(1)),
        (np.arange(len(keys)), there[keys % max(1, len(places))], np.array(-1)),
    )


def _presence(program: Builder, places: Ints, width: int) -> Ints:
    """Columns that are 1 at most, and 0 where no free process of the service is in the neighborhood of a place."""
    helpers_row, helpers = _pairs_of(program, places // width, places % width)
    count = len(places)
    start = np.bincount(helpers_row, program.here[helpers], count) > 0
    columns = program.add_columns(np.zeros(count), np.zeros(count), np.ones(count), start)
    program.add_rows(
        np.full(count, -np.inf),
        np.zeros(count),
        (np.arange(count), columns, np.array(1)),
        (helpers_row, helpers, np.array(-1)),
    )
    return columns


def _needed_by_fixed(program: Builder) -> None:
    """Fixed processes need a service whose processes in their neighborhood are all free."""
    part, problem = program.part, program.part.problem
    is_free = np.zeros(problem.num_services, np.bool_)
    is_free[problem.service[part.free]] = True
    owner = np.repeat(np.arange(problem.num_services), np.diff(problem.dependency_start))
    relevant = np.flatnonzero(is_free[problem.dependency] & (owner != problem.dependency))
    needed = problem.dependency[relevant]
    entry, neighborhood = np.nonzero(part.in_neighborhood[owner[relevant]] & ~part.in_neighborhood[needed])
    width = part.in_neighborhood.shape[1]
    keys = np.unique(needed[entry] * width + neighborhood)
    row, pairs = _pairs_of(program, keys // width, keys % width)
    program.add_rows(np.ones(len(keys)), np.full(len(keys), np.inf), (row, pairs, np.array(1)))


def _pairs_of(program: Builder, services: Ints, neighborhoods: Ints) -> tuple[Ints, Ints]:
    """For a list of (service, neighborhood): (index into the list, pair) of all pairs of both."""
    width = program.part.in_neighborhood.shape[1]
    key = program.service * width + program.part.problem.neighborhood[program.part.node]
    order = np.argsort(key, kind="stable")
    wanted = services * width + neighborhoods
    first = np.searchsorted(key[order], wanted)
    count = np.searchsorted(key[order], wanted, side="right") - first
    index = np.repeat(np.arange(len(wanted)), count)
    inner = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return index, order[first[index] + inner]
