"""A lower bound of machine reassignment that depends on totals only.

The sum over the nodes of max(0, x) is at least max(0, sum of x), and the sums of U, C and SC over the nodes do not
depend on the assignment. Moves cost nothing at least.
"""

from __future__ import annotations

import numpy as np

from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_evaluate import CostTerms


def trivial_bound(problem: Reassignment) -> CostTerms:
    """The least that each term of the cost can be, from totals over the nodes; `.total` bounds the cost."""
    used = problem.requirement.sum(axis=0)
    excess = np.maximum(used - problem.safety_capacity.sum(axis=0), 0)
    available = problem.capacity.sum(axis=0) - used
    first, second = problem.balance_resources.T
    unbalanced = np.maximum(problem.balance_target * available[first] - available[second], 0)
    return CostTerms(
        load=int(problem.load_weight @ excess),
        balance=int(problem.balance_weight @ unbalanced),
        process_move=0,
        service_move=0,
        node_move=0,
    )
