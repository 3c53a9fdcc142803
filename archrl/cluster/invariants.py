"""Consistency of a `ClusterState`: everything that the kernels keep incrementally, recomputed from the placements.

The record that counts is which request is where and in which GPU slots (`request_int`), with the scenario and the
static tables. `check_invariants` derives the rest from it with NumPy, without any kernel, and compares: capacity, GPU
slots, derived columns, counters, ledger, departures, the exact mask. Use it in tests and after writing a state by hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import schema
from archrl.cluster.state import (
    PARAM_ALLOW_REJECT,
    PARAM_FRAG_USD,
    PARAM_TRACK_FRAG,
    ClusterState,
)
from archrl.errors import ArchrlError, ScenarioError
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE, SECONDS_PER_DAY, SECONDS_PER_HOUR

USD_TOLERANCE = 1e-9
"""Relative tolerance of sums of dollars: the kernels add in order of time, the check in order of request."""
MILLI_TOLERANCE = 1e-6
"""Relative tolerance of fragmentation (float32 in the node table)."""


class InvariantError(ArchrlError, AssertionError):
    """A state contradicts itself: a kernel is wrong, or the arrays were written by hand. Lists every contradiction."""


def check_invariants(state: ClusterState, row: int | None = None) -> None:
    """Check one row, or all of them.

    Raises:
        InvariantError: with a line for every contradiction: row, field, what it holds and what it should be.
        ScenarioError: a row holds no scenario; load one and reset the row first.
    """
    problems: list[str] = []
    for b in range(len(state.cursor)) if row is None else (row,):
        if state.n_requests[b] == 0:
            raise ScenarioError(f"row {b} holds no scenario; call load_scenario and reset_rows first")
        check = _Row(state, b, problems)
        check.episode()
        if not check.broken:
            check.capacity()
            check.slots()
            check.derived()
            check.counters()
            check.ledger()
            check.offered()
    if problems:
        raise InvariantError("the cluster state contradicts itself:\n  " + "\n  ".join(problems))


class _Row:
    """The checks of one row; `live` are the requests that are on a node."""

    def __init__(self, state: ClusterState, b: int, problems: list[str]) -> None:
        self.s, self.b, self.problems = state, b, problems
        self.count = int(state.n_requests[b])
        self.real, self.whole = state.request_real[b, : self.count], state.request_int[b, : self.count]
        self.spec, self.node = self.whole[:, schema.SPEC], self.whole[:, schema.NODE]
        self.cursor, self.now_s = int(state.cursor[b]), float(state.now_s[b])
        self.num_nodes = len(state.cpu_capacity)
        self.broken = False

    def same(self, field: str, held: Any, expected: Any, tolerance: float = 0.0) -> None:
        """Note a contradiction unless `held` equals `expected`, up to a relative tolerance (absolute below 1)."""
        held, expected = np.asarray(held), np.asarray(expected)
        with np.errstate(invalid="ignore"):
            off = np.abs(held - expected.astype(np.float64)) > tolerance * np.maximum(1.0, np.abs(expected))
        bad = off | ~np.isfinite(held)
        if bad.any():
            where = tuple(int(k) for k in np.argwhere(bad)[0])
            at = str(list(where)) if where else ""
            self.problems.append(f"row {self.b}: {field}{at} is {held[where]}, should be {expected[where]}")

    def true(self, ok: bool | np.bool_, message: str) -> None:
        """Note `message` unless `ok`."""
        if not ok:
            self.problems.append(f"row {self.b}: {message}")

    def episode(self) -> None:
        """Status of every request, the clock and the departures. Sets `broken` when nothing else can be derived."""
        before, s, b = len(self.problems), self.s, self.b
        self.true(0 <= self.cursor <= self.count, f"cursor is {self.cursor}, allowed is 0 to {self.count}")
        self.true((self.spec >= 0).all() and (self.spec < len(s.spec_cpu)).all(), "spec_idx outside the catalogue")
        self.true((self.node < self.num_nodes).all(), f"a request is on a node above {self.num_nodes - 1}")
        self.true((self.node >= schema.NODE_DEPARTED).all(), "a request has an unknown status")
        self.true((self.node[: self.cursor] != schema.NODE_UNDECIDED).all(), "a decided request has no decision")
        self.true((self.node[self.cursor :] == schema.NODE_UNDECIDED).all(), "a request was decided before its turn")
        self.broken = len(self.problems) > before
        if self.broken:
            return
        last = self.cursor == self.count
        self.same("now_s", self.now_s, s.end_s[b] if last else self.real[self.cursor, schema.ARRIVAL_S])
        ascending, leaver = s.departure[b, : self.count].T
        if not np.array_equal(np.sort(leaver), np.arange(self.count)):
            self.problems.append(f"row {self.b}: departure.request_idx is no permutation")
            return
        self.true((ascending[1:] >= ascending[:-1]).all(), "departure.departure_s is not ascending")
        gone = np.empty(self.count, bool)
        gone[leaver.astype(int)] = ascending <= self.now_s
        self.true(not (gone & (self.node >= 0)).any(), "a request is on its node after its departure")
        self.true(not (~gone & (self.node == schema.NODE_DEPARTED)).any(), "a request left before its departure")
        self.same("departed", s.departed[b], gone.sum())

    @property
    def live(self) -> NDArray[np.intp]:
        """Requests on a node."""
        return np.flatnonzero(self.node >= 0)

    def per_node(self, values: Any) -> NDArray[np.int64]:
        """Sum of a value of the live requests by node, (N,)."""
        total = np.zeros(self.num_nodes, np.int64)
        np.add.at(total, self.node[self.live], values)
        return total

    def capacity(self) -> None:
        """Used CPU and memory is the sum of what is hosted, within capacity; types and anti-affinity hold."""
        s, b, spec = self.s, self.b, self.spec[self.live]
        for name, free, capacity, need in (
            ("cpu", s.cpu_free[b], s.cpu_capacity, s.spec_cpu),
            ("mem", s.mem_free[b], s.mem_capacity, s.spec_mem),
        ):
            self.same(f"{name}_free", free, capacity - self.per_node(need[spec]))
            self.true((free >= 0).all(), f"{name}_free is negative on node {int(free.argmin())}")
        gpu_type = s.gpu_type[self.node[self.live]]
        allowed = (gpu_type >= 0) & ((s.spec_types[spec] >> np.maximum(gpu_type, 0)) & 1 == 1)
        self.true((allowed | (s.spec_gpus[spec] == 0)).all(), "a request is on a GPU type that it does not allow")
        for group in range(s.group_live.shape[2]):
            member = s.spec_group[spec] == group
            self.same(f"group_live[:, {group}]", s.group_live[b, :, group], self.per_node(member))
            most = np.zeros(self.num_nodes, np.int64)
            np.maximum.at(most, self.node[self.live], s.spec_group_limit[spec] * member)
            self.true((s.group_live[b, :, group] <= most).all(), f"group {group} exceeds its limit on a node")

    def slots(self) -> None:
        """GPU slots: as many as asked for, on GPUs that exist, never more than 1000 milli in one."""
        s, spec, node = self.s, self.spec[self.live], self.node[self.live]
        bits = (self.whole[self.live, schema.SLOTS][:, None] >> np.arange(MAX_GPUS_PER_NODE)) & 1
        self.same("number of slots", bits.sum(axis=1), s.spec_gpus[spec])
        self.true((self.whole[self.live, schema.SLOTS] >> MAX_GPUS_PER_NODE == 0).all(), "slot bits above the last GPU")
        used = np.zeros((self.num_nodes, MAX_GPUS_PER_NODE), np.int64)
        np.add.at(used, node, bits * s.spec_milli[spec][:, None])
        exists = np.arange(MAX_GPUS_PER_NODE) < s.gpu_count[:, None]
        free = self.column(schema.NODE_GPU_FREE, MAX_GPUS_PER_NODE)
        self.same("gpu_free_milli", free, GPU_MILLI * exists - used)
        self.true(((free >= 0) & (free <= GPU_MILLI)).all(), f"a GPU slot is outside 0 to {GPU_MILLI} milli")

    def column(self, first: int, count: int) -> NDArray[np.float32]:
        """Columns of the row's node table, (N, count)."""
        columns: NDArray[np.float32] = self.s.node_table[self.b, :, first : first + count]
        return columns

    def derived(self) -> None:
        """What the kernels keep beside the free resources equals its recomputation."""
        s, b, spec = self.s, self.b, self.spec[self.live]
        free = self.column(schema.NODE_GPU_FREE, MAX_GPUS_PER_NODE)
        self.same("gpu_room", s.gpu_room[b], np.maximum(free.max(axis=1), GPU_MILLI * (free == GPU_MILLI).sum(axis=1)))
        self.same("allocated_gpu_milli", s.allocated_gpu_milli[b], (s.spec_gpus * s.spec_milli)[spec].sum())
        for column, values in (
            (schema.NODE_CPU_FREE, s.cpu_free[b]),
            (schema.NODE_MEM_FREE, s.mem_free[b]),
            (schema.NODE_CPU_CAPACITY, s.cpu_capacity),
            (schema.NODE_MEM_CAPACITY, s.mem_capacity),
            (schema.NODE_GPU_COUNT, s.gpu_count),
            (schema.NODE_GPU_TYPE, s.gpu_type),
        ):
            self.same(f"node_table.{schema.NODE_FEATURES[column]}", s.node_table[b, :, column], values)
        for size, name in enumerate(schema.SIZE_CLASSES):
            held = s.node_table[b, :, schema.NODE_LIVE + size]
            self.same(f"node_table.live_{name}", held, self.per_node(s.spec_class[spec] == size))
        busy = self.per_node(np.ones(len(spec), np.int64)) > 0
        self.same("busy_nodes", s.busy_nodes[b], busy.sum())
        self.same("busy_usd_per_hour", s.busy_usd_per_hour[b], s.node_hour_usd[busy].sum(), USD_TOLERANCE)
        empty_at, leaves = self.column(schema.NODE_EMPTY_AT, 1)[:, 0], np.zeros(self.num_nodes, np.float32)
        predicted = self.real[:, schema.ARRIVAL_S] + self.real[:, schema.LIFETIME_S]
        np.maximum.at(leaves, self.node[self.live], predicted[self.live].astype(np.float32))
        self.same("node_table.empty_at_s of empty nodes", empty_at[~busy], np.zeros((~busy).sum()))
        self.true((empty_at >= leaves).all(), "node_table.empty_at_s is before the predicted end of a request")
        if s.params[PARAM_TRACK_FRAG]:
            held = s.node_table[b, :, schema.NODE_FRAGMENTATION]
            self.same("node_table.fragmentation_milli", held, fragmentation_of(s, s.cpu_free[b], free), MILLI_TOLERANCE)

    def counters(self) -> None:
        """Arrived, rejected and refused add up to the decisions and steps made."""
        s, b, decided = self.s, self.b, self.spec[: self.cursor]
        is_rejected = self.node[: self.cursor] == schema.NODE_REJECTED
        classes = schema.NUM_SIZE_CLASSES
        self.same("arrived", s.arrived[b], np.bincount(s.spec_class[decided], minlength=classes))
        self.same("rejected", s.rejected[b], np.bincount(s.spec_class[decided][is_rejected], minlength=classes))
        self.same("arrived_gpu_milli", s.arrived_gpu_milli[b], (s.spec_gpus * s.spec_milli)[decided].sum())
        steps, violations = int(s.steps[b]), int(s.violations[b])
        self.true(bool(s.truncated[b]) == (steps >= self.count), f"truncated is {s.truncated[b]} after {steps} steps")
        if s.truncated[b]:
            self.true(self.cursor == self.count, "the episode was truncated with undecided requests")
            self.true(0 <= violations <= steps, f"violations is {violations}, allowed is 0 to {steps}")
        else:
            self.same("violations", violations, steps - self.cursor)

    def ledger(self) -> None:
        """Rejections and fragmentation are exact sums; node-hours lie between nothing and every node all the time."""
        s, b = self.s, self.b
        cost, step = s.cost_usd[b], s.step_cost_usd[b]
        value = self.real[self.node == schema.NODE_REJECTED, schema.VALUE_USD].sum()
        self.same("cost_usd.rejected", cost[schema.COST_REJECTED], value, USD_TOLERANCE)
        hours = (self.now_s - self.real[0, schema.ARRIVAL_S]) / SECONDS_PER_HOUR
        most = hours * s.node_hour_usd.sum() * (1 + USD_TOLERANCE) + USD_TOLERANCE
        paid = cost[schema.COST_NODE_HOURS]
        self.true(0.0 <= paid <= most, f"cost_usd.node_hours is {paid}, allowed is 0 to {most}")
        if s.params[PARAM_TRACK_FRAG]:
            exists = np.arange(MAX_GPUS_PER_NODE) < s.gpu_count[:, None]
            empty = fragmentation_of(s, s.cpu_capacity, GPU_MILLI * exists)
            grown = (self.column(schema.NODE_FRAGMENTATION, 1).sum(dtype=np.float64) - empty.sum()) / GPU_MILLI
            tolerance = MILLI_TOLERANCE * max(1.0, empty.sum() / GPU_MILLI) * self.count
            price = s.params[PARAM_FRAG_USD]
            self.same("cost_usd.fragmentation", cost[schema.COST_FRAGMENTATION], price * grown, tolerance)
        self.true(np.isfinite(step).all(), "step_cost_usd is not finite")
        above = step[: schema.COST_FRAGMENTATION] > cost[: schema.COST_FRAGMENTATION] * (1 + USD_TOLERANCE)
        self.true(not above.any(), "step_cost_usd exceeds the ledger since reset")

    def offered(self) -> None:
        """Mask, request and clock show the request to decide, and the mask is brute-force feasibility."""
        s, b, last = self.s, self.b, self.cursor == self.count
        feasible = np.zeros(self.num_nodes, bool) if last else feasible_nodes(s, b, int(self.spec[self.cursor]))
        request = np.zeros(schema.NUM_REQUEST_FEATURES, np.float32)
        reject = True
        if not last:
            u = int(self.spec[self.cursor])
            request[:] = s.spec_features[u]
            request[schema.REQ_LIFETIME] = self.real[self.cursor, schema.LIFETIME_S]
            request[schema.REQ_VALUE] = self.real[self.cursor, schema.VALUE_USD]
            reject = not feasible.any() or (s.params[PARAM_ALLOW_REJECT] != 0 and s.spec_priority[u] == 0)
        self.same("request", s.request[b], request)
        if s.candidates.shape[1] == 0:
            self.same("mask", s.mask[b, :-1], feasible)
        else:
            self.candidates(feasible)
        self.same("mask of reject", s.mask[b, -1], reject)
        angle = 2.0 * np.pi * self.now_s / SECONDS_PER_DAY
        gpu_capacity = GPU_MILLI * s.gpu_count.sum()
        demand = s.arrived_gpu_milli[b] / gpu_capacity if gpu_capacity else 0.0
        clock = np.array([self.now_s, np.sin(angle), np.cos(angle), self.cursor / self.count, demand])
        self.same("clock", s.clock[b], clock, MILLI_TOLERANCE)

    def candidates(self, feasible: NDArray[np.bool_]) -> None:
        """Candidates are feasible nodes, ascending, as many as there are places; their rows are the nodes' rows."""
        s, b = self.s, self.b
        chosen, mask = s.candidates[b], s.mask[b, :-1]
        used = chosen[chosen >= 0]
        self.same("number of candidates", len(used), min(len(chosen), int(feasible.sum())))
        self.same("mask of candidates", mask, np.arange(len(chosen)) < len(used))
        self.true((np.diff(used) > 0).all(), f"candidates are not ascending: {chosen}")
        self.true(feasible[used].all(), f"a candidate is not feasible: {chosen}")
        table = s.candidate_table[b, : len(used), : schema.NUM_NODE_FEATURES]
        self.same("candidate_table", table, s.node_table[b, used])


def feasible_nodes(state: ClusterState, row: int, u: int) -> NDArray[np.bool_]:
    """(N,) whether specification `u` fits on each node: every hard constraint, straight from its definition."""
    s = state
    ok: NDArray[np.bool_] = (s.cpu_free[row] >= s.spec_cpu[u]) & (s.mem_free[row] >= s.spec_mem[u])
    if s.spec_group[u] >= 0:
        ok &= s.group_live[row, :, s.spec_group[u]] < s.spec_group_limit[u]
    if s.spec_gpus[u] == 0:
        return ok
    free = s.node_table[row, :, schema.NODE_GPU_FREE : schema.NODE_GPU_FREE + MAX_GPUS_PER_NODE]
    ok &= (free >= s.spec_milli[u]).sum(axis=1) >= s.spec_gpus[u]
    ok &= (s.gpu_type >= 0) & ((s.spec_types[u] >> np.maximum(s.gpu_type, 0)) & 1 == 1)
    return ok


def fragmentation_of(state: ClusterState, cpu_free: NDArray[Any], gpu_free: NDArray[Any]) -> NDArray[np.float64]:
    """(N,) FGD fragmentation in milli-GPU, summed over the entries of the mix (docstring of `cluster.fragmentation`).

    Args:
        state: For the static tables.
        cpu_free: (N,) milli-cores.
        gpu_free: (N, S) milli-GPU.
    """
    s, total = state, np.asarray(gpu_free, np.float64).sum(axis=1)
    fragmented = (1.0 - s.mix_share.sum()) * total
    for j, share in enumerate(s.mix_share):
        large = gpu_free >= s.mix_milli[j]
        runs = (cpu_free >= s.mix_cpu[j]) & (large.sum(axis=1) >= s.mix_gpus[j])
        runs &= (s.gpu_type >= 0) & ((s.mix_types[j] >> np.maximum(s.gpu_type, 0)) & 1 == 1)
        fragmented += share * np.where(runs, np.where(large, 0, gpu_free).sum(axis=1), total)
    return np.where(s.gpu_type < 0, 0.0, fragmented)
