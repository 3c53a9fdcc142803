"""What a large neighbourhood frees: hand-made selections of processes and nodes for `solve_subset`.

A selector takes an instance, a feasible assignment and the state of a random stream, and returns a `Subset`. Every
selection is a function of these alone. `selector` gives those that are here; another one plugs in by its signature.

Random numbers: SplitMix64, a counter that is hashed (G. L. Steele, D. Lea and C. H. Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014), which gives whole arrays at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.reassignment_program import Floats
from archrl.errors import ConfigError
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_evaluate import usage

Word = NDArray[np.uint64]
GOLDEN = 0x9E3779B97F4A7C15
GREEDINESS = 4.0
"""Power of a rank's share in the chance to be drawn; 0 is uniform."""


class Subset(NamedTuple):
    """What a sub-problem frees."""

    processes: Ints  # (F,)
    nodes: Ints  # (K,) where they may go


class Size(NamedTuple):
    """How much a selection frees at most."""

    processes: int = 40
    nodes: int = 4


DEFAULT_SIZE = Size()
Selector = Callable[[Reassignment, Ints, Word], Subset]


def words(word: Word, count: int) -> Word:
    """Random 64-bit words, (count,); `word` (1,) is the state, which moves on."""
    start = np.uint64(word[0])
    with np.errstate(over="ignore"):
        x = start + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
        word[0] = start + np.uint64(count) * np.uint64(GOLDEN)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def draws(word: Word, count: int) -> Floats:
    """Random numbers in (0, 1), (count,), from `words`."""
    return ((words(word, count) >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def sample(word: Word, weights: Floats, count: int) -> Ints:
    """Distinct indices, drawn one after the other with chances in proportion to the weights that are left.

    What has weight 0 is never drawn. Source: P. S. Efraimidis and P. G. Spirakis, Weighted random sampling with a
    reservoir, Information Processing Letters 97 (2006).
    """
    with np.errstate(divide="ignore"):
        keys = np.log(draws(word, len(weights))) / weights
    most = min(count, int(np.count_nonzero(weights)))
    return np.argsort(-keys, kind="stable")[:most].astype(np.int64)


def random_nodes(problem: Reassignment, assignment: Ints, word: Word, size: Size) -> Subset:
    """Any nodes, and any processes that run there."""
    nodes = sample(word, np.ones(problem.num_nodes), size.nodes)
    return Subset(_some_on(assignment, nodes, word, size), nodes)


def costly_nodes(problem: Reassignment, assignment: Ints, word: Word, size: Size) -> Subset:
    """Half of the nodes from those with high load and balance costs, half any; and any processes that run there."""
    weights = _rank_weights(node_costs(problem, assignment))
    costly = sample(word, weights, (size.nodes + 1) // 2)
    others = np.ones(problem.num_nodes)
    others[costly] = 0.0
    nodes = np.concatenate([costly, sample(word, others, size.nodes - len(costly))])
    return Subset(_some_on(assignment, nodes, word, size), nodes)


def complementary_nodes(problem: Reassignment, assignment: Ints, word: Word, size: Size) -> Subset:
    """A costly node with those that have room where it has too much; and any processes that run there."""
    first = sample(word, _rank_weights(node_costs(problem, assignment)), 1)
    room = (problem.safety_capacity - usage(problem, assignment)) / np.maximum(problem.capacity.mean(axis=0), 1.0)
    fit = -(room @ (room[first[0]] * problem.load_weight))
    fit[first] = -np.inf
    weights = _rank_weights(fit)
    weights[first] = 0.0
    nodes = np.concatenate([first, sample(word, weights, size.nodes - 1)])
    return Subset(_some_on(assignment, nodes, word, size), nodes)


def related_services(problem: Reassignment, assignment: Ints, word: Word, size: Size) -> Subset:
    """A service with those that it needs or that need it; the nodes are some of theirs, and any others.

    Processes of the related services come first, then others of the same nodes.
    """
    seed = problem.service[sample(word, np.ones(len(problem)), 1)[0]]
    owner = np.repeat(np.arange(problem.num_services), np.diff(problem.dependency_start))
    kin = np.concatenate([[seed], problem.dependency[owner == seed], owner[problem.dependency == seed]])
    ours = np.flatnonzero(np.isin(problem.service, kin))
    ours = ours[sample(word, np.ones(len(ours)), size.processes)]
    weights = np.full(problem.num_nodes, 1e-3)
    weights[assignment[ours]] = 1.0
    nodes = sample(word, weights, size.nodes)
    ours = ours[np.isin(assignment[ours], nodes)]
    others = np.setdiff1d(_some_on(assignment, nodes, word, size), ours)
    more = others[sample(word, np.ones(len(others)), size.processes - len(ours))]
    return Subset(np.sort(np.concatenate([ours, more])), nodes)


def node_costs(problem: Reassignment, assignment: Ints) -> Ints:
    """Load and balance cost of each node, (N,)."""
    used = usage(problem, assignment)
    free = problem.capacity - used
    first, second = problem.balance_resources.T
    load = np.maximum(used - problem.safety_capacity, 0) @ problem.load_weight
    uneven = np.maximum(problem.balance_target * free[:, first] - free[:, second], 0)
    total: Ints = load + uneven @ problem.balance_weight
    return total


def _some_on(assignment: Ints, nodes: Ints, word: Word, size: Size) -> Ints:
    """Any processes of some nodes, ascending."""
    on = np.flatnonzero(np.isin(assignment, nodes))
    return np.sort(on[sample(word, np.ones(len(on)), size.processes)])


def _rank_weights(values: NDArray[np.int64] | Floats) -> Floats:
    """Weights that rise with the rank of a value."""
    rank = np.empty(len(values))
    rank[np.argsort(values, kind="stable")] = np.arange(1, len(values) + 1)
    return (rank / len(values)) ** GREEDINESS


SELECTORS: dict[str, Callable[[Reassignment, Ints, Word, Size], Subset]] = {
    "random_nodes": random_nodes,
    "costly_nodes": costly_nodes,
    "complementary_nodes": complementary_nodes,
    "related_services": related_services,
}


def selector(name: str, size: Size = DEFAULT_SIZE) -> Selector:
    """One of `SELECTORS` that frees at most `size`.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in SELECTORS:
        raise ConfigError(f"selector: got {name!r}; allowed: {', '.join(SELECTORS)}")
    chosen = SELECTORS[name]
    return lambda problem, assignment, word: chosen(problem, assignment, word, size)
