"""What a large neighborhood search frees next, by a network: nodes that promise the most gain per second.

`NodeSelector` has the signature of the selectors of the search, (instance, assignment, random word) -> processes and
nodes. It draws sets of nodes, predicts the gain per CPU-second of each, and takes the most promising one. What it
predicts from has the same size on instances of all sizes, and does not depend on the order of the nodes of a set.

The strongest input is the `potential` of a set: its load and balance cost now, less what they would be if the usage of
the set could be spread over its nodes at will. Both costs are convex in the usage, so no assignment of the same
processes to the same nodes gains more (move costs aside).

Training is regression on realised gains, see `fit_selector`; the gains come from whoever solves sub-problems.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archrl.errors import ConfigError
from archrl.files import staged_file
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_evaluate import capacity_usage, evaluate, usage

Floats = NDArray[np.float64]
Word = NDArray[np.uint64]
INPUTS = (
    "potential",  # log of multiples of the initial cost per process, as all costs here
    "potential_share",  # of the cost of the set
    "cost",
    "cost_highest",  # of a single node
    "load_potential",  # the part of the load cost
    "processes",  # log of the number on the nodes
    "away",  # share of them that are not where they began
    "held",  # transient resources held by processes that are gone, mean share of the capacity
    "free_least",  # free share of the scarcest resource, mean over nodes
    "free_mean",
    "size_mean",  # of a process on these nodes, share of the mean capacity
    "size_uneven",  # standard deviation over mean of these sizes
    "locations",  # distinct ones, share of the nodes
    "move_cost",  # mean cost of moving between the nodes, against the initial cost per process
)
HIDDEN = 32
PROPOSALS = 256
"""Sets that are drawn for every choice."""
GREEDINESS = 3.0
"""Power of a rank's share by node cost in the chance of the first node of a set."""


class Freed(NamedTuple):
    """What a sub-problem frees."""

    processes: Ints  # (F,) ascending
    nodes: Ints  # (K,) where they may go


class Example(NamedTuple):
    """One solved sub-problem."""

    inputs: Floats  # (len(INPUTS),)
    gain: float
    """Fall of the cost, in multiples of the initial cost per process; 0 where nothing was found."""
    seconds: float


class GainNetwork(nn.Module):
    """log(1 + gain per second), (M,), of sets with the given inputs, (M, len(INPUTS))."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        width = len(INPUTS)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.layers = nn.Sequential(
            nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Predictions."""
        found: Tensor = self.layers((inputs - self.mean) / self.deviation).squeeze(-1)
        return found


class NodeTable(NamedTuple):
    """What the inputs of a set are sums and means of; N nodes, R resources."""

    used: Ints  # (N, R)
    free: Floats  # (N, R) share of the capacity that is left, transient resources counted
    held: Floats  # (N,)
    load: Floats  # (N,) load cost
    balance: Floats  # (N,) balance cost
    count: Ints  # (N,) processes
    away: Ints  # (N,)
    size: Floats  # (N,) sum of the sizes of the processes
    size_squares: Floats  # (N,)
    unit: float  # initial cost per process


def node_table(problem: Reassignment, assignment: Ints) -> NodeTable:
    """The nodes of an assignment."""
    used, capacity = usage(problem, assignment), np.maximum(problem.capacity, 1)
    counted = capacity_usage(problem, assignment)
    sizes = (problem.requirement / capacity.mean(axis=0)).mean(axis=1)
    nodes = problem.num_nodes
    load, balance = set_costs(problem, used, problem.safety_capacity, problem.capacity)
    return NodeTable(
        used,
        1.0 - counted / capacity,
        ((counted - used) / capacity).mean(axis=1),
        load,
        balance,
        np.bincount(assignment, minlength=nodes),
        np.bincount(assignment[assignment != problem.initial], minlength=nodes),
        np.bincount(assignment, sizes, minlength=nodes),
        np.bincount(assignment, sizes**2, minlength=nodes),
        max(evaluate(problem, problem.initial).total, 1) / len(problem),
    )


def set_costs(problem: Reassignment, used: Ints, safety: Ints, capacity: Ints) -> tuple[Floats, Floats]:
    """Load and balance cost, (M,) each, of M nodes, or of M sets of nodes taken as one; (M, R) each."""
    load = np.maximum(used - safety, 0) @ problem.load_weight
    free = capacity - used
    first, second = problem.balance_resources.T
    uneven = np.maximum(problem.balance_target * free[:, first] - free[:, second], 0) @ problem.balance_weight
    return load.astype(np.float64), uneven.astype(np.float64)


def set_inputs(problem: Reassignment, table: NodeTable, sets: Ints) -> Floats:
    """Inputs (M, len(INPUTS)) of M sets of K nodes, (M, K)."""
    pooled = [values[sets].sum(axis=1) for values in (table.used, problem.safety_capacity, problem.capacity)]
    load, balance = set_costs(problem, *pooled)
    own_load, own_cost = table.load[sets].sum(axis=1), (table.load + table.balance)[sets]
    cost = own_cost.sum(axis=1)
    potential = np.maximum(cost - load - balance, 0.0)
    count = np.maximum(table.count[sets].sum(axis=1), 1)
    size = table.size[sets].sum(axis=1) / count
    spread = np.sqrt(np.maximum(table.size_squares[sets].sum(axis=1) / count - size**2, 0.0))
    move = problem.node_move_cost[sets[:, :, None], sets[:, None, :]].mean(axis=(1, 2)) * problem.node_move_weight
    locations = np.sort(problem.location[sets], axis=1)
    columns = (
        np.log1p(potential / table.unit),
        potential / np.maximum(cost, 1.0),
        np.log1p(cost / table.unit),
        np.log1p(own_cost.max(axis=1) / table.unit),
        np.log1p(np.maximum(own_load - load, 0.0) / table.unit),
        np.log1p(count),
        table.away[sets].sum(axis=1) / count,
        table.held[sets].mean(axis=1),
        table.free[sets].min(axis=2).mean(axis=1),
        table.free[sets].mean(axis=(1, 2)),
        size,
        spread / np.maximum(size, 1e-9),
        (1 + (np.diff(locations, axis=1) != 0).sum(axis=1)) / sets.shape[1],
        np.log1p(move / table.unit),
    )
    return np.stack(columns, axis=1).astype(np.float64)


def draw_sets(table: NodeTable, rng: np.random.Generator, count: int, size: int) -> Ints:
    """Sets of nodes, (count, size): the first one costly by rank, the others any, all distinct."""
    nodes = len(table.load)
    size = min(size, nodes)
    rank = np.empty(nodes)
    rank[np.argsort(table.load + table.balance, kind="stable")] = np.arange(1, nodes + 1)
    keys = rng.random((count, nodes))
    first = rng.choice(nodes, count, p=rank**GREEDINESS / (rank**GREEDINESS).sum())
    keys[np.arange(count), first] = 2.0
    sets: Ints = np.argsort(-keys, axis=1)[:, :size].astype(np.int64)
    return sets


def processes_on(assignment: Ints, nodes: Ints, most: int, rng: np.random.Generator) -> Ints:
    """Processes on some nodes, ascending; any of them where there are more than `most`."""
    on = np.flatnonzero(np.isin(assignment, nodes)).astype(np.int64)
    return np.sort(rng.choice(on, most, replace=False)) if len(on) > most else on


class NodeSelector:
    """Selector of a large neighborhood search; a function of its arguments alone.

    Args:
        network: Trained by `fit_selector`; None: takes the set of the highest potential, which needs no training.
        nodes: Nodes K that are freed.
        processes: Most processes that are freed.
        proposals: Sets that are drawn for every choice; 1: a random set.
    """

    def __init__(
        self, network: GainNetwork | None, nodes: int = 4, processes: int = 40, proposals: int = PROPOSALS
    ) -> None:
        if min(nodes, processes, proposals) < 1:
            raise ConfigError(
                f"selector: got nodes={nodes}, processes={processes}, proposals={proposals}; allowed: 1 or more each"
            )
        self.network, self.nodes, self.processes, self.proposals = network, nodes, processes, proposals

    def __call__(self, problem: Reassignment, assignment: Ints, word: Word) -> Freed:
        """Processes and nodes to free; `word` (1,) is the state of the random stream, which moves on."""
        rng = np.random.default_rng(int(word[0]))
        word[0] = rng.integers(2**64, dtype=np.uint64)
        table = node_table(problem, assignment)
        sets = draw_sets(table, rng, self.proposals, self.nodes)
        chosen = sets[int(np.argmax(self.scores(problem, table, sets)))]
        return Freed(processes_on(assignment, chosen, self.processes, rng), chosen)

    def scores(self, problem: Reassignment, table: NodeTable, sets: Ints) -> Floats:
        """Promise of every set, (M,)."""
        inputs = set_inputs(problem, table, sets)
        if self.network is None:
            return inputs[:, INPUTS.index("potential")]
        with torch.no_grad():
            found: Floats = self.network(torch.as_tensor(inputs, dtype=torch.float32)).double().numpy()
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network, whole or not at all."""
        assert self.network is not None
        content = {"inputs": INPUTS, "nodes": self.nodes, "processes": self.processes}
        with staged_file(path) as temporary:
            torch.save(content | {"weights": self.network.state_dict()}, temporary)


def load_selector(path: str | os.PathLike[str]) -> NodeSelector:
    """The selector that was written there.

    Raises:
        ConfigError: there is none, or one with other inputs.
    """
    try:
        content = torch.load(Path(path), weights_only=True)
        names = tuple(content["inputs"])
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise ConfigError(f"selector {os.fspath(path)}: {error}; give a file that a selector has saved") from error
    if names != INPUTS:
        raise ConfigError(
            f"selector {os.fspath(path)}: trained with inputs {names}, there are {INPUTS}; train it again"
        )
    network = GainNetwork()
    network.load_state_dict(content["weights"])
    return NodeSelector(network, content["nodes"], content["processes"])


def fit_selector(
    examples: Sequence[Example], seed: int = 0, epochs: int = 200, learning_rate: float = 3e-3
) -> tuple[GainNetwork, float]:
    """A network fitted to solved sub-problems, and the correlation of ranks with the gains of a fifth that it was not.

    Args:
        examples: At least 10.
        seed: Of weights, split and batches.
        epochs: Passes over the examples; the weights that predict the fifth best are kept.
        learning_rate: Of Adam.

    Raises:
        ConfigError: there are fewer examples.
    """
    from scipy.stats import spearmanr

    if len(examples) < 10:
        raise ConfigError(f"examples: got {len(examples)}; allowed: 10 or more")
    inputs = torch.tensor(np.array([example.inputs for example in examples]), dtype=torch.float32)
    rates = torch.tensor([np.log1p(e.gain / max(e.seconds, 1e-3)) for e in examples], dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        order = torch.randperm(len(examples))
        held, used = order[: len(order) // 5], order[len(order) // 5 :]
        network = GainNetwork()
        network.mean.copy_(inputs[used].mean(dim=0))
        network.deviation.copy_(inputs[used].std(dim=0).clamp(min=1e-3))
        _fit(network, (inputs, rates), (used, held), epochs, learning_rate)
    with torch.no_grad():
        found = network(inputs[held])
    return network, float(spearmanr(found.numpy(), rates[held].numpy()).statistic)


def _fit(
    network: GainNetwork, data: tuple[Tensor, Tensor], parts: tuple[Tensor, Tensor], epochs: int, learning_rate: float
) -> None:
    """Adam on the squared error, with the weights of the best epoch on the second part in the end."""
    (inputs, rates), (used, held) = data, parts
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, weight_decay=1e-4)
    best, kept = np.inf, {name: value.clone() for name, value in network.state_dict().items()}
    for _ in range(epochs):
        for batch in used[torch.randperm(len(used))].split(128):
            loss = nn.functional.mse_loss(network(inputs[batch]), rates[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            error = float(nn.functional.mse_loss(network(inputs[held]), rates[held]))
        if error < best:
            best, kept = error, {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)
