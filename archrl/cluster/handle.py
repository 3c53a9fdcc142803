"""How a whole `ClusterState` enters a kernel: `view(state.handle)`, see `archrl.cluster.layout`."""

from __future__ import annotations

import numpy as np

from archrl.cluster import layout
from archrl.cluster.state import LAYOUT, ClusterState

view = layout.make_view("ClusterStateView", LAYOUT)


def bind(arrays: dict[str, np.ndarray]) -> ClusterState:
    """Build the state and its handle from named C-contiguous arrays (all fields but `handle`)."""
    return layout.bind(ClusterState, LAYOUT, arrays)
