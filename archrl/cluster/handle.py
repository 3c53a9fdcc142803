"""How a whole `ClusterState` enters a kernel: as the address of one integer array.

Numba unpacks every array of an argument on every call (about 0.25 microseconds each) and passes a tuple of arrays by
value from function to function. Kernels instead take `state.handle`, which holds sizes and addresses, and call
`view(handle)`: a one-pointer value whose attributes are the arrays of `ClusterState` by the same names. Hot loops bind
an attribute to a local name first. The arrays must outlive the call: keep the `ClusterState`, not only its handle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, models, register_model
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

from archrl.cluster.state import FIELDS, SIZES, ClusterState


def bind(arrays: dict[str, np.ndarray]) -> ClusterState:
    """Build the state and its handle from named C-contiguous arrays (all fields but `handle`)."""
    sizes: dict[str, int] = {}
    for name, (dtype, symbols) in FIELDS.items():
        array = arrays[name]
        if array.dtype != dtype or not array.flags.c_contiguous or array.ndim != len(symbols):
            raise TypeError(f"{name}: {array.dtype} array of shape {array.shape}; needed is {dtype} {symbols}")
        for symbol, length in zip(symbols, array.shape, strict=True):
            if sizes.setdefault(symbol, length) != length:
                raise TypeError(f"{name}: axis {symbol} has {length} entries, other arrays have {sizes[symbol]}")
    addresses = [arrays[name].ctypes.data for name in FIELDS]
    handle = np.array([sizes[symbol] for symbol in SIZES] + addresses, np.int64)
    return ClusterState(**{name: arrays[name] for name in FIELDS}, handle=handle)


class _ViewType(types.Type):
    """Numba type of `view(handle)`: the address of the handle's data."""

    def __init__(self) -> None:
        super().__init__(name="ClusterStateView")


_VIEW = _ViewType()
register_model(_ViewType)(models.OpaqueModel)


@intrinsic
def view(typing_context: Any, handle: Any) -> Any:
    """The arrays of a `ClusterState` from its handle, inside a kernel."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.bitcast(data, cgutils.voidptr_t)

    return _VIEW(handle), codegen


@infer_getattr
class _ViewAttributes(AttributeTemplate):
    """Typing: every field of `ClusterState` is a C-contiguous array attribute."""

    key = _ViewType

    def generic_resolve(self, typ: Any, attr: str) -> types.Array | None:
        if attr not in FIELDS:
            return None
        dtype, axes = FIELDS[attr]
        return types.Array(from_dtype(dtype), len(axes), "C")


@lower_getattr_generic(_ViewType)
def _load_array(context: Any, builder: Any, typ: Any, value: Any, attr: str) -> Any:
    """Lowering: an array over the memory that the handle points to; it owns nothing."""
    dtype, axes = FIELDS[attr]
    array_type = types.Array(from_dtype(dtype), len(axes), "C")
    word = context.get_value_type(types.intp)
    words = builder.bitcast(value, word.as_pointer())

    def entry(index: int) -> Any:
        load = builder.load(builder.gep(words, [context.get_constant(types.intp, index)]))
        load.set_metadata("invariant.load", builder.module.add_metadata([]))
        return load

    shape = [entry(SIZES.index(axis)) for axis in axes]
    strides: list[Any] = []
    step = context.get_constant(types.intp, dtype.itemsize)
    for length in reversed(shape):
        strides.insert(0, step)
        step = builder.mul(step, length)
    array = context.make_array(array_type)(context, builder)
    address = entry(len(SIZES) + list(FIELDS).index(attr))
    populate_array(
        array,
        data=builder.inttoptr(address, array.data.type),
        shape=shape,
        strides=strides,
        itemsize=context.get_constant(types.intp, dtype.itemsize),
        meminfo=None,
    )
    return array._getvalue()


@intrinsic
def borrowed(typing_context: Any, array: Any) -> Any:
    """The same array without its reference count, inside a kernel: rows of it are then free to make.

    Counting costs two atomic operations for every row of a loop. The caller must hold the array meanwhile.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        unowned = context.make_array(signature.args[0])(context, builder, args[0])
        unowned.meminfo = cgutils.get_null_value(unowned.meminfo.type)
        return unowned._getvalue()

    return array(array), codegen
