"""A slow, plain model of a placement episode, written from the documentation and sharing no code with the kernels.

It keeps one thing, the list of live requests with their slots, and works everything else out again whenever it is
asked. Rules, in the words of the documentation:

* A step decides the current request, then moves the clock to the next arrival (after the last one: to the end of the
  episode). Whoever departs up to and at that moment leaves; nobody leaves later than the end.
* A node costs its hourly price while it holds a request.
* A refused action changes nothing, is counted, and uses up a step. There are as many steps as requests; what is then
  undecided is rejected.
* A shared request takes one GPU slot by the slot rule, whole GPUs take the first empty slots.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from archrl.scenarios.placement import PlacementScenario

SLOTS = 8
WHOLE = 1000


@dataclass
class ReferenceEpisode:
    """One episode; `step` returns the dollars of the step by term."""

    scenario: PlacementScenario
    slot_rule: str = "best_fit"
    allow_reject: bool = True
    fragmentation_usd: float = 0.0
    live: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)  # request -> (node, slots)
    rejected: list[int] = field(default_factory=list)
    empty_at: dict[int, float] = field(default_factory=dict)  # node -> latest predicted end since it was last empty
    cursor: int = 0
    steps: int = 0
    refused: int = 0

    def __post_init__(self) -> None:
        self.now = float(self.scenario.arrival_s[0])
        self.cost = {"rejected": 0.0, "node_hours": 0.0, "fragmentation": 0.0}

    # --- what the requests ask for

    def spec(self, request: int) -> dict[str, int]:
        table, u = self.scenario.catalogue, self.scenario.spec_idx[request]
        return {
            "cpu": int(table.cpu_milli[u]),
            "mem": int(table.mem_mib[u]),
            "gpus": int(table.gpu_count[u]),
            "milli": int(table.gpu_milli[u]),
            "types": int(table.gpu_type_mask[u]),
            "group": int(table.group_idx[u]),
            "limit": int(table.group_limit[u]),
            "priority": int(table.priority[u]),
        }

    def size_class(self, request: int) -> int:
        want = self.spec(request)
        if want["gpus"] == 0:
            return 0
        if want["milli"] < WHOLE:
            return 1
        return {1: 2, 2: 3, 3: 3, 4: 4, 5: 4, 6: 4, 7: 4, 8: 5}[want["gpus"]]

    # --- what the nodes have left

    def hosted(self, node: int) -> list[int]:
        return [request for request, (where, _) in self.live.items() if where == node]

    def cpu_free(self, node: int) -> int:
        return int(self.scenario.nodes.cpu_milli[node]) - sum(self.spec(r)["cpu"] for r in self.hosted(node))

    def mem_free(self, node: int) -> int:
        return int(self.scenario.nodes.mem_mib[node]) - sum(self.spec(r)["mem"] for r in self.hosted(node))

    def gpu_free(self, node: int) -> list[int]:
        free = [WHOLE if slot < self.scenario.nodes.gpu_count[node] else 0 for slot in range(SLOTS)]
        for request in self.hosted(node):
            for slot in self.live[request][1]:
                free[slot] -= self.spec(request)["milli"]
        return free

    def busy(self) -> list[int]:
        return [node for node in range(len(self.scenario.nodes)) if self.hosted(node)]

    # --- fragmentation, literally

    def fragmentation_of(self, node: int, cpu: int, gpu: list[int]) -> float:
        """F_n = sum_j p_j F_n(j)."""
        mix, kind = self.scenario.mix, int(self.scenario.nodes.gpu_type_idx[node])
        if kind < 0:
            return 0.0
        total = 0.0
        for j in range(len(mix.share)):
            need, count = int(mix.gpu_milli[j]), int(mix.gpu_count[j])
            allowed = int(mix.gpu_type_mask[j]) == -1 or kind in _bits(int(mix.gpu_type_mask[j]))
            enough = sum(free >= need for free in gpu) >= count
            runs = count > 0 and allowed and cpu >= mix.cpu_milli[j] and enough
            total += float(mix.share[j]) * sum(free for free in gpu if not runs or free < need)
        return total

    def fragmentation(self, node: int) -> float:
        return self.fragmentation_of(node, self.cpu_free(node), self.gpu_free(node))

    def change_with(self, node: int, request: int, slots: tuple[int, ...]) -> float:
        """Change of F_n, to 1e-6 milli-GPU, when `request` takes `slots`."""
        want, gpu = self.spec(request), self.gpu_free(node)
        for slot in slots:
            gpu[slot] -= want["milli"]
        after = self.fragmentation_of(node, self.cpu_free(node) - want["cpu"], gpu)
        return round(after - self.fragmentation(node), 6)

    def fgd_change(self, node: int, request: int) -> float:
        """The least change over the slots that could be taken."""
        want = self.spec(request)
        if want["gpus"] == 1 and want["milli"] < WHOLE:
            slots = [(slot,) for slot, free in enumerate(self.gpu_free(node)) if free >= want["milli"]]
            return min(self.change_with(node, request, choice) for choice in slots)
        return self.change_with(node, request, self.first_empty(node, want["gpus"]))

    # --- feasibility

    def fits(self, node: int, request: int) -> bool:
        want, table = self.spec(request), self.scenario.catalogue
        if self.cpu_free(node) < want["cpu"] or self.mem_free(node) < want["mem"]:
            return False
        if want["group"] >= 0:
            same = [r for r in self.hosted(node) if table.group_idx[self.scenario.spec_idx[r]] == want["group"]]
            if len(same) >= want["limit"]:
                return False
        if want["gpus"] == 0:
            return True
        kind = int(self.scenario.nodes.gpu_type_idx[node])
        if kind < 0 or (want["types"] != -1 and kind not in _bits(want["types"])):
            return False
        return sum(free >= want["milli"] for free in self.gpu_free(node)) >= want["gpus"]

    def mask(self) -> list[int]:
        """By node, then reject."""
        nodes = len(self.scenario.nodes)
        if self.cursor == len(self.scenario):
            return [0] * nodes + [1]
        feasible = [int(self.fits(node, self.cursor)) for node in range(nodes)]
        may_reject = self.allow_reject and self.spec(self.cursor)["priority"] == 0
        return [*feasible, int(may_reject or not any(feasible))]

    # --- GPU slots

    def first_empty(self, node: int, count: int) -> tuple[int, ...]:
        return tuple([slot for slot, free in enumerate(self.gpu_free(node)) if free == WHOLE][:count])

    def slots_by_rule(self, node: int, request: int) -> tuple[int, ...]:
        want, free = self.spec(request), self.gpu_free(node)
        if want["gpus"] == 0:
            return ()
        if want["milli"] == WHOLE:
            return self.first_empty(node, want["gpus"])
        able = [slot for slot in range(SLOTS) if free[slot] >= want["milli"]]
        if self.slot_rule == "random":
            uniform = float(np.float32(self.scenario.slot_uniform[request]))
            return (able[min(int(uniform * len(able)), len(able) - 1)],)
        badness = {
            "first_fit": lambda slot: 0,
            "best_fit": lambda slot: free[slot],
            "worst_fit": lambda slot: -free[slot],
            "fgd": lambda slot: self.change_with(node, request, (slot,)),
            "fgd_integer": lambda slot: -_integer_score(self.change_with(node, request, (slot,))),
        }[self.slot_rule]
        return (min(able, key=lambda slot: (badness(slot), slot)),)

    def slots_allowed(self, node: int, request: int, slots: tuple[int, ...]) -> bool:
        want, free = self.spec(request), self.gpu_free(node)
        return len(slots) == want["gpus"] and all(free[slot] >= want["milli"] for slot in slots)

    # --- the step

    def step(self, action: int, bits: int = 0) -> dict[str, float]:
        """`action`: node, or the number of nodes to reject. `bits` 0: slots by the rule."""
        before, potential = dict(self.cost), self.total_fragmentation()
        self.steps += 1
        if not self._decide(action, bits):
            self.refused += 1
        if self.steps == len(self.scenario):
            while self.cursor < len(self.scenario):
                self._reject()
        self.cost["fragmentation"] += self.fragmentation_usd * (self.total_fragmentation() - potential) / WHOLE
        return {term: self.cost[term] - before[term] for term in self.cost}

    def total_fragmentation(self) -> float:
        return sum(self.fragmentation(node) for node in range(len(self.scenario.nodes)))

    def _decide(self, action: int, bits: int) -> bool:
        if self.cursor == len(self.scenario) or not self.mask()[action]:
            return False
        if action == len(self.scenario.nodes):
            self._reject()
            return True
        slots = tuple(_bits(bits)) or self.slots_by_rule(action, self.cursor)
        if bits and not self.slots_allowed(action, self.cursor, slots):
            return False
        leaves = float(self.scenario.arrival_s[self.cursor] + self.scenario.predicted_lifetime_s[self.cursor])
        self.empty_at[action] = max(self.empty_at.get(action, 0.0), leaves)
        self.live[self.cursor] = (action, slots)
        self._next()
        return True

    def _reject(self) -> None:
        self.rejected.append(self.cursor)
        self.cost["rejected"] += float(self.scenario.value_usd[self.cursor])
        self._next()

    def _next(self) -> None:
        self.cursor += 1
        last = self.cursor == len(self.scenario)
        until = float(self.scenario.end_s if last else self.scenario.arrival_s[self.cursor])
        leaves = {request: float(self.scenario.departure_s[request]) for request in self.live}
        for moment in sorted({at for at in leaves.values() if at <= until} | {until}):
            price = sum(float(self.scenario.nodes.node_hour_usd[node]) for node in self.busy())
            self.cost["node_hours"] += price * (moment - self.now) / 3600.0
            self.now = moment
            for request in [request for request in self.live if leaves[request] <= moment]:
                del self.live[request]
        self.empty_at = {node: at for node, at in self.empty_at.items() if self.hosted(node)}


def _bits(mask: int) -> list[int]:
    return [k for k in range(64) if mask >> k & 1]


def _integer_score(change: float) -> int:
    """int(100 * sigmoid(-change / 1000))."""
    return int(100.0 / (1.0 + math.exp(change / 1000.0)))
