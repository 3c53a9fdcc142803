"""Asks for the cache lines of rows that will be stepped soon.

At a batch of 1,024 rows the state is larger than the caches, and a step waits for memory: the current request, the next
departure, and the nodes of both are at unpredictable places. Sequential arrays need no help. Lines are requested in
three stages, `DISTANCE` rows apart, because each place is only known once the one before has arrived.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from archrl.cluster import schema
from archrl.cluster.jit import inlined

DISTANCE = 4
"""Rows between two stages; measured: 2 to 6 are alike."""
CACHE_LINE = 64
FEW_NODES = 256
NODE, LEAVER = schema.NODE, schema.LEAVER


@intrinsic
def _touch(typing_context: Any, array: Any, offset: Any) -> Any:
    """Prefetch the cache line of element `offset` (flat index) of a C-contiguous array, for reading and writing."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer.type], ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
        )
        builder.call(function, [pointer, word(1), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@inlined
def _touch_node(s, b, n):  # type: ignore[no-untyped-def]
    """A node's row is longer than a cache line."""
    columns = s.node_table.shape[2]
    first = (b * s.node_table.shape[1] + n) * columns
    _touch(s.node_table, first)
    _touch(s.node_table, first + columns // 2)
    _touch(s.node_table, first + columns - 1)


@inlined
def _touch_all(array, first, count):  # type: ignore[no-untyped-def]
    """`count` elements from `first` on, line by line."""
    step = CACHE_LINE // array.itemsize
    for k in range(0, count, step):
        _touch(array, first + k)


@inlined
def _touch_tables(s, b):  # type: ignore[no-untyped-def]
    """What choosing candidates for the row's next request reads of all nodes."""
    nodes, shapes, i = s.version.shape[1], s.fgd_score.shape[1], s.cursor[b] + 1
    if i < s.n_requests[b]:
        shape = s.spec_shape[s.request_int[b, i, schema.SPEC]]
        _touch_all(s.fgd_version, (b * shapes + shape) * nodes, nodes)
        _touch_all(s.fgd_score, (b * shapes + shape) * nodes, nodes)
        _touch_all(s.node_table, b * nodes * s.node_table.shape[2], nodes * s.node_table.shape[2])


@inlined
def prefetch(s, b, actions):  # type: ignore[no-untyped-def]
    """Three stages for the rows `b` + 3, 2 and 1 times `DISTANCE`."""
    rows, places = len(actions), s.request_int.shape[1]
    far, middle, near = b + 3 * DISTANCE, b + 2 * DISTANCE, b + DISTANCE
    if far < rows:
        current = far * places + s.cursor[far]
        for k in (current, current + 1):
            _touch(s.request_int, k * s.request_int.shape[2])
            _touch(s.request_real, k * s.request_real.shape[2])
        _touch(s.day, (far * s.day.shape[1] + s.cursor[far] + 1) * s.day.shape[2])
        _touch(s.departure, (far * places + s.departed[far]) * s.departure.shape[2])
        if s.candidates.shape[1] == 0 and actions[far] < s.node_table.shape[1]:
            _touch_node(s, far, actions[far])
    if middle < rows and s.departed[middle] < places:
        leaving = middle * places + int(s.departure[middle, s.departed[middle], LEAVER])
        _touch(s.request_int, leaving * s.request_int.shape[2])
    if near < rows and s.departed[near] < places:
        n = s.request_int[near, int(s.departure[near, s.departed[near], LEAVER]), NODE]
        if n >= 0:
            _touch_node(s, near, n)
    if 0 < s.version.shape[1] <= FEW_NODES and b + 1 < rows:
        _touch_tables(s, b + 1)
