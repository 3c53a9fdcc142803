"""What each service of a row is charged for a step: the learner's view of the environment's cost.

A service pays for itself (cores, backlog, drops, starts) and for the late requests of the entries that it is on the way
of. Each of them is charged for all late requests: what an action of it saves or adds there is felt in full, whatever
the others do (a difference reward: Wolpert and Tumer, "Optimal payoff functions for members of collectives", 2001). So
the charges add up to more than the cost, unless they are shared. Evaluations and the returns that runs report are
always the environment's own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order

from archrl.cluster.service_state import ServiceState
from archrl.envs.autoscale import AutoscaleTask
from archrl.scenarios.service import ServiceSystem
from archrl.units import SECONDS_PER_HOUR


def services_behind(system: ServiceSystem) -> NDArray[np.bool_]:
    """Whether requests of an entry can reach a service, (N, S)."""
    graph, entries = system.graph, system.entries.service_idx
    calls = csr_matrix((np.ones(len(graph.dst)), graph.dst, graph.indptr), shape=(len(graph), len(graph)))
    reached = np.zeros((len(entries), len(graph)), np.bool_)
    for line, entry in enumerate(entries.tolist()):
        reached[line, breadth_first_order(calls, entry, return_predecessors=False)] = True
    return reached


class ServiceRewards:
    """Rewards of the K controlled services.

    Args:
        task: The decision problem.
        power: p in [0, 1]. The reward of a service is its charge over c^p m^(1 - p), with c what its full pool costs
            per step in cores and m the mean of c over the services.
        share_late: The controlled services on the way of a late request share its charge, instead of paying it each.
        limit: Of a charge, relative to the divisor; x above it counts as limit (1 + log(x / limit)). Overload is so
            dear that a learner would see nothing else. None: no limit.

    Attributes:
        divisor_usd: (K,) dollars that make a reward of -1.
    """

    def __init__(
        self, task: AutoscaleTask, power: float = 0.0, share_late: bool = False, limit: float | None = None
    ) -> None:
        config, table, self.limit = task.config, task.system.table, limit
        self.services = task.services
        on_the_way = services_behind(task.system)[:, self.services].astype(np.float64)
        if share_late:
            on_the_way /= np.maximum(on_the_way.sum(axis=1, keepdims=True), 1.0)
        self._late_usd = config.late_usd * on_the_way
        cores = (table.most_replicas * table.cpu_cores * table.weight)[self.services]
        pool_usd = cores * (config.core_hour_usd or 1.0) * config.step_seconds / SECONDS_PER_HOUR
        self.divisor_usd: NDArray[np.float64] = pool_usd**power * pool_usd.mean() ** (1.0 - power)

    def charges_usd(self, state: ServiceState) -> NDArray[np.float64]:
        """What each service is charged for the last step, (B, K)."""
        return state.own_usd[:, self.services] + state.late @ self._late_usd

    def of(self, state: ServiceState) -> NDArray[np.float64]:
        """Rewards of the last step, (B, K)."""
        charges = self.charges_usd(state) / self.divisor_usd
        if self.limit is not None:
            over = np.maximum(charges / self.limit, 1.0)
            charges = np.minimum(charges, self.limit) + self.limit * np.log(over)
        return -charges
