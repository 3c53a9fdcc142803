"""The ledger of the environment in plain integers: what a plan costs, and whether it can be carried out.

Written for checking, so independent of the models and kernels that find plans. A plan is an action and a GPU slot mask
per request, as in `Solution`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.placement_instance import Instance
from archrl.errors import SolverError
from archrl.units import GPU_MILLI, SECONDS_PER_HOUR

CHEAPEST = -1
"""Action of a plan that leaves the choice of the node to the rule of `repaired_plan`."""


@dataclass
class Replay:
    """Live requests of every node while a plan is carried out."""

    instance: Instance
    priority: NDArray[np.int32]
    """(P,) 1: may be rejected only when it fits nowhere."""
    kind_of: list[int] = field(init=False)
    hosted: list[dict[int, int]] = field(init=False)
    """By node: live request -> slot mask."""
    open_until_s: list[float] = field(init=False)
    cost_usd: float = 0.0

    def __post_init__(self) -> None:
        total = int(self.instance.counts.sum())
        self.kind_of = [0] * total
        for k, nodes in enumerate(self.instance.members):
            for n in nodes:
                self.kind_of[n] = k
        self.hosted = [{} for _ in range(total)]
        self.open_until_s = [-np.inf] * total

    @property
    def reject_action(self) -> int:
        """The action that rejects: the number of nodes."""
        return len(self.hosted)

    def release(self, now_s: float) -> None:
        """Let every request with departure <= now leave."""
        leaves = self.instance.requests.departure_s
        for node in self.hosted:
            for i in [i for i in node if leaves[i] <= now_s]:
                del node[i]

    def slots_for(self, i: int, n: int, wanted: int = 0) -> int | None:
        """Slot mask with which request i fits node n now, None if it does not; `wanted`: exactly this mask, 0: any."""
        requests, kind = self.instance.requests, self.instance.kinds[self.kind_of[n]]
        live = list(self.hosted[n])
        if not self.instance.allowed[i, self.kind_of[n]]:
            return None
        members = [*live, i]
        if requests.cpu[members].sum() > kind.cpu or requests.mem[members].sum() > kind.mem:
            return None
        group = requests.group[i]
        if group >= 0 and (requests.group[live] == group).sum() >= requests.limit[i]:
            return None
        return self._gpu_slots(i, n, wanted)

    def _gpu_slots(self, i: int, n: int, wanted: int) -> int | None:
        requests, count = self.instance.requests, self.instance.kinds[self.kind_of[n]].gpus
        used = [sum(int(requests.milli[j]) for j, m in self.hosted[n].items() if m >> g & 1) for g in range(count)]
        open_slots = [g for g in range(count) if used[g] + requests.milli[i] <= GPU_MILLI]
        if wanted:
            open_slots = [g for g in open_slots if wanted >> g & 1]
            if wanted != sum(1 << g for g in open_slots) or len(open_slots) != requests.gpus[i]:
                return None
        if len(open_slots) < requests.gpus[i]:
            return None
        fullest_first = sorted(open_slots, key=lambda g: (-used[g], g))
        return sum(1 << g for g in fullest_first[: requests.gpus[i]])

    def extra_usd(self, i: int, n: int) -> float:
        """Node-hours that request i adds to node n, $."""
        requests = self.instance.requests
        since = max(self.open_until_s[n], requests.arrival_s[i])
        hours = max(0.0, requests.paid_s[i] - since) / SECONDS_PER_HOUR
        return float(hours * self.instance.kinds[self.kind_of[n]].hour_usd)

    def place(self, i: int, n: int, slots: int) -> None:
        """Put request i on node n."""
        self.cost_usd += self.extra_usd(i, n)
        self.hosted[n][i] = slots
        self.open_until_s[n] = max(self.open_until_s[n], float(self.instance.requests.paid_s[i]))

    def reject(self, i: int) -> None:
        """Turn request i away."""
        self.cost_usd += float(self.instance.requests.value_usd[i])


def plan_cost(
    instance: Instance, priority: NDArray[np.int32], actions: NDArray[np.int64], slots: NDArray[np.uint8]
) -> float:
    """Cost of a plan in the environment, $.

    Raises:
        SolverError: an action is not feasible when its request arrives, or a request of priority 1 is rejected
            although it fits somewhere.
    """
    replay = Replay(instance, priority)
    reject = replay.reject_action
    for i, (n, mask) in enumerate(zip(actions.tolist(), slots.tolist(), strict=True)):
        replay.release(float(instance.requests.arrival_s[i]))
        if n == reject:
            if priority[i] and any(replay.slots_for(i, m) is not None for m in range(reject)):
                raise SolverError(f"plan: request {i} has priority 1 and fits, but is rejected; repair the plan first")
            replay.reject(i)
            continue
        if replay.slots_for(i, n, mask) != mask:
            raise SolverError(f"plan: request {i} does not fit node {n} with slot mask {mask} when it arrives")
        replay.place(i, n, mask)
    return replay.cost_usd


def repaired_plan(
    instance: Instance, priority: NDArray[np.int32], actions: NDArray[np.int64], slots: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Follow a plan as far as it goes, and the rules of the environment where it does not.

    A request that does not fit as planned, or whose action is `CHEAPEST`, goes to the node where it adds the least
    node-hours, if they cost less than its value. A request of priority 1 takes that node at any price, also where the
    plan rejects it. A plan that the environment can carry out comes back unchanged.

    Returns:
        Actions and slot masks, both (P,), that `plan_cost` accepts.
    """
    replay = Replay(instance, priority)
    out_n, out_m = np.full(len(actions), replay.reject_action, np.int64), np.zeros(len(actions), np.uint8)
    for i, (planned, wanted) in enumerate(zip(actions.tolist(), slots.tolist(), strict=True)):
        replay.release(float(instance.requests.arrival_s[i]))
        n, mask = _follow(replay, i, planned, wanted)
        if mask is None:
            replay.reject(i)
        else:
            replay.place(i, n, mask)
            out_n[i], out_m[i] = n, mask
    return out_n, out_m


def greedy_plan(instance: Instance, priority: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Every request where it adds the least node-hours given its true departure, or rejected where that is cheaper."""
    count = len(instance.requests.cpu)
    return repaired_plan(instance, priority, np.full(count, CHEAPEST, np.int64), np.zeros(count, np.uint8))


def _follow(replay: Replay, i: int, planned: int, wanted: int) -> tuple[int, int | None]:
    """Node and slot mask for request i; mask None: reject."""
    must_place = bool(replay.priority[i])
    if planned == replay.reject_action and not must_place:
        return planned, None
    if planned not in (replay.reject_action, CHEAPEST):
        for mask in (wanted, 0):
            if (found := replay.slots_for(i, planned, mask)) is not None:
                return planned, found
    fitting = [(replay.extra_usd(i, n), n) for n in range(replay.reject_action) if replay.slots_for(i, n) is not None]
    usd, n = min(fitting, default=(np.inf, replay.reject_action))
    if not fitting or (usd >= replay.instance.requests.value_usd[i] and not must_place):
        return replay.reject_action, None
    return n, replay.slots_for(i, n)
