"""What a rebalancing row is, rebuilt from its arrays and judged by the reference evaluator of machine reassignment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate, violations


def as_instance(problem: Reassignment, state: Any, row: int) -> tuple[Reassignment, np.ndarray, np.ndarray]:
    """The processes that run now as an instance of its own, their nodes, and their indices in the row."""
    model = state.own.model
    index = np.flatnonzero(model.node[row, : len(problem)] >= 0)
    running = replace(
        problem,
        service=problem.service[index],
        requirement=problem.requirement[index],
        process_move_cost=problem.process_move_cost[index],
        initial=model.initial[row, index].astype(np.int64),
    )
    return running, model.node[row, index].astype(np.int64), index


def feasible_moves(problem: Reassignment, state: Any, row: int) -> dict[int, dict[int, int]]:
    """Process -> node -> change of the total cost, for every feasible shift, by full evaluation of each."""
    instance, nodes, index = as_instance(problem, state, row)
    cost = evaluate(instance, nodes).total
    found: dict[int, dict[int, int]] = {}
    for place, process in enumerate(index):
        for node in range(problem.num_nodes):
            after = nodes.copy()
            after[place] = node
            if node != nodes[place] and not violations(instance, after):
                found.setdefault(int(process), {})[node] = evaluate(instance, after).total - cost
    return found
