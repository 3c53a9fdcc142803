"""Potential-based shaping of the learner's reward: what a placement will cost is felt when it is made.

The learner sees r + Phi(s') - Phi(s). Without discount the sum over an episode is that of r minus Phi of the empty
cluster, which is 0, so the objective that policies are judged by, undiscounted dollars to the horizon, is unchanged
(Ng, Harada and Russell, "Policy invariance under reward transformations", ICML 1999, with gamma = 1). A discounting
learner then discounts what a placement displaces, and no longer what it costs itself. Evaluations, and the returns that
runs report, are never shaped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import schema
from archrl.units import SECONDS_PER_HOUR


def node_hours_potential(state: Any) -> NDArray[np.float64]:
    """Minus the dollars that the busy nodes cost until the predicted end of what is on them or the horizon, (B,).

    With it, a request that lengthens the use of a node is charged for the extension at once, instead of over the hours
    to come.

    Args:
        state: `archrl.envs.placement.PlacementState` of B rows.
    """
    cluster = state.cluster
    now_s = cluster.now_s[:, None]
    until_s = np.minimum(cluster.node_table[:, :, schema.NODE_EMPTY_AT], cluster.end_s[:, None])
    left_s = np.maximum(until_s - now_s, 0.0)
    busy = cluster.node_table[:, :, schema.NODE_LIVE : schema.NODE_EMPTY_AT].any(axis=2)
    hours: NDArray[np.float64] = np.where(busy, left_s, 0.0) / SECONDS_PER_HOUR
    return -(hours @ cluster.node_hour_usd)


class Shaping:
    """Adds Phi(s') - Phi(s) to rewards, row by row. Phi is 0 after an episode: its next state is not looked at."""

    def __init__(self) -> None:
        self._before: NDArray[np.float64] = np.zeros(0)

    def start(self, state: Any) -> None:
        """Rows were reset."""
        self._before = node_hours_potential(state)

    def term(self, state: Any, ended: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What a step adds to the reward of every row, (B,); `ended` rows (B,) hold their next episode already."""
        after, before = node_hours_potential(state), self._before
        self._before = after
        return np.where(ended, 0.0, after) - before
