"""The utilisation plugins of the Kubernetes descheduler, one migration at a time.

`LowNodeUtilization`: a node is underutilised where the utilisation of every resource is at or below `thresholds`, and
overutilised where that of any resource is above `targetThresholds`. Processes are evicted from overutilised nodes, the
fullest first, until a node is no longer overutilised; the plugin does nothing where at most `numberOfNodes` nodes are
underutilised, all of them are, or none is overutilised. `HighNodeUtilization`: processes are evicted from underutilised
nodes, the emptiest first, so that other nodes are filled and these can be given back; the same conditions, and some
node must not be underutilised. All thresholds are percent; one value holds for all resources.

The descheduler evicts, and the scheduler finds the new node. Here it is an underutilised node that stays at or below
`targetThresholds`, or, with HighNodeUtilization, one that is not underutilised; where none can take the process, any
node that can. Among these kube-scheduler's `LeastAllocated` (or `MostAllocated`, which HighNodeUtilization is to be
used with) decides, by mean utilisation. Processes without a node to go to are not evicted (`nodeFit`).

What differs from the descheduler: nodes are classified again before every migration, with what the ones before it
changed, and a process is evicted once. The mean over the resources orders nodes, where the descheduler adds up
quantities of different units. Pods are evicted by priority; processes have none: `priority` says what stands for it.
With `useDeviationThresholds` thresholds are distances from the mean over the nodes; here that of the fullest resource.

Source: kubernetes-sigs/descheduler, README, and pkg/framework/plugins/nodeutilization. The defaults are those of its
example policies; the descheduler itself has none for the thresholds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscaler_params import Param, Params, choice
from archrl.baselines.rebalance_heuristics import Actions, Observation, Rebalancer, least
from archrl.cluster import rebalance_state as schema
from archrl.envs.rebalance import RebalanceTask
from archrl.errors import ConfigError

THRESHOLDS = Param("thresholds", 0.0, 100.0, default=20.0, doc="percent, at or below which a node is underutilised")
TARGET = Param("target_thresholds", 0.0, 100.0, default=50.0, doc="percent, above which a node is overutilised")
DEVIATION = choice("use_deviation_thresholds", ("no", "yes"), "no", "thresholds are distances from the mean")
NUMBER = Param("number_of_nodes", 0, 100_000, "int", 0, doc="nothing is done up to so many underutilised nodes")
PRIORITY = choice("priority", ("index", "move_cost", "relief"), "index", "which process of a node goes first")
Mask = NDArray[np.bool_]


class _Utilization(Rebalancer):
    """What both plugins share."""

    def __init__(self, task: RebalanceTask, params: Params, seed: int = 0) -> None:
        super().__init__(task, params, seed)
        if not task.spec.nodes_shown:
            raise ConfigError(
                f"policy {self.name!r}: the task shows no table of nodes (node_candidates="
                f"{task.config.node_candidates}); give it one with node_candidates=None"
            )

    def limits(self, seen: Observation) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Utilisation at or below which a node is underutilised, and above which it is overutilised; (B, 1) each.

        In the precision of the observation, so that a node exactly at a threshold is at it.
        """
        low, high = float(self.params["thresholds"]) / 100, float(self.params.get("target_thresholds", 100.0)) / 100
        rows = len(seen["summary"])
        if self.params.get("use_deviation_thresholds", "no") == "no":
            return np.full((rows, 1), low, np.float32), np.full((rows, 1), high, np.float32)
        nodes = seen["nodes"]
        there = nodes[:, :, schema.N_PRESENT]
        mean = (nodes[:, :, schema.N_MAX] * there).sum(axis=1, dtype=np.float64) / there.sum(axis=1)
        limits = np.maximum(mean[:, None] - low, 0.0), np.minimum(mean[:, None] + high, 1.0)
        return limits[0].astype(np.float32), limits[1].astype(np.float32)

    def first_of(self, seen: Observation, wanted: Mask, fullest: bool) -> Actions:
        """Of the wanted processes one on the fullest or emptiest node, by priority; stop where none is wanted."""
        table = seen["processes"]
        mean = table[:, :, schema.P_NODE_MEAN].astype(np.float64)
        order = np.where(wanted, -mean if fullest else mean, np.inf)
        wanted = wanted & (order == order.min(axis=1, keepdims=True))
        column = {"index": None, "move_cost": schema.P_MOVE, "relief": schema.P_RELIEF}[str(self.params["priority"])]
        rank = np.zeros(order.shape) if column is None else table[:, :, column]
        return least(-rank if column == schema.P_RELIEF else rank, wanted, self.task.stop)

    def movable(self, seen: Observation) -> Mask:
        """Processes that some node can take and that were not moved yet."""
        allowed = seen["action_mask"][:, : self.task.stop] == 1
        once: Mask = allowed & (seen["processes"][:, :, schema.P_AWAY] == 0)
        return once

    def acts(self, seen: Observation, low: NDArray[np.float32]) -> Mask:
        """(B, 1) whether there are enough underutilised nodes, and others beside them."""
        nodes = seen["nodes"]
        there = nodes[:, :, schema.N_PRESENT] == 1
        under = (there & (nodes[:, :, schema.N_MAX] <= low)).sum(axis=1, keepdims=True)
        some: Mask = (under > int(self.params["number_of_nodes"])) & (under < there.sum(axis=1, keepdims=True))
        return some


class LowNodeUtilization(_Utilization):
    """Evicts from overutilised nodes, for underutilised ones.

    Raises:
        ConfigError: `thresholds` above `target_thresholds`, without deviations.
    """

    name = "low_node_utilization"
    space = (THRESHOLDS, TARGET, DEVIATION, NUMBER, PRIORITY)
    first_trials = (
        {"thresholds": 10.0, "target_thresholds": 10.0, "use_deviation_thresholds": "yes"},
        {"thresholds": 0.0, "target_thresholds": 0.0, "use_deviation_thresholds": "yes", "priority": "relief"},
    )

    def __init__(self, task: RebalanceTask, params: Params, seed: int = 0) -> None:
        super().__init__(task, params, seed)
        low, high = float(params["thresholds"]), float(params["target_thresholds"])
        if params["use_deviation_thresholds"] == "no" and low > high:
            raise ConfigError(f"{self.name}.thresholds: got {low:g}; allowed: up to target_thresholds={high:g}")

    def choose_process(self, seen: Observation) -> Actions:
        """One on the fullest overutilised node."""
        low, high = self.limits(seen)
        wanted = self.movable(seen) & (seen["processes"][:, :, schema.P_NODE_MAX] > high)
        return self.first_of(seen, wanted & self.acts(seen, low), fullest=True)

    def choose_node(self, seen: Observation) -> Actions:
        """The least allocated underutilised one that does not become overutilised."""
        low, high = self.limits(seen)
        table = seen["destinations"]
        feasible, mean = table[:, :, schema.D_FEASIBLE] == 1, table[:, :, schema.D_MEAN_AFTER]
        fit = feasible & (table[:, :, schema.D_MAX] <= low) & (table[:, :, schema.D_MAX_AFTER] <= high)
        return least(mean, np.where(fit.any(axis=1, keepdims=True), fit, feasible), 0)


class HighNodeUtilization(_Utilization):
    """Evicts from underutilised nodes, so that they can be given back."""

    name = "high_node_utilization"
    space = (THRESHOLDS, NUMBER, PRIORITY)
    first_trials = ({"thresholds": 50.0}, {"thresholds": 80.0, "priority": "relief"})

    def choose_process(self, seen: Observation) -> Actions:
        """One on the emptiest underutilised node that runs something."""
        low, _ = self.limits(seen)
        wanted = self.movable(seen) & (seen["processes"][:, :, schema.P_NODE_MAX] <= low)
        return self.first_of(seen, wanted & self.acts(seen, low), fullest=False)

    def choose_node(self, seen: Observation) -> Actions:
        """The most allocated one that is not underutilised."""
        low, _ = self.limits(seen)
        table = seen["destinations"]
        feasible, mean = table[:, :, schema.D_FEASIBLE] == 1, table[:, :, schema.D_MEAN_AFTER]
        fit = feasible & (table[:, :, schema.D_MAX] > low)
        return least(-mean, np.where(fit.any(axis=1, keepdims=True), fit, feasible), 0)
