"""A state is a NamedTuple of annotated arrays; this module reads its layout, makes its memory and opens it to kernels.

Numba unpacks every array of an argument on every call (about 0.25 microseconds each) and passes a tuple of arrays by
value from function to function. Kernels instead take `state.handle`, which holds sizes and addresses, and call the
`view` of the layout: a one-pointer value whose attributes are the arrays by the same names. Hot loops bind an attribute
to a local name first. The arrays must outlive the call: keep the state, not only its handle.

    class State(NamedTuple):
        price_usd: Annotated[NDArray[np.float64], "B T"]  # axes by symbol; equal symbols have equal lengths
        handle: NDArray[np.int64]  # always the last field

    LAYOUT = layout_of(State)
    view = make_view("StateView", LAYOUT)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, models, register_model
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

CACHE_LINE_BYTES = 64
Arrays = dict[str, np.ndarray]
StateT = TypeVar("StateT")


class Layout(NamedTuple):
    """Type and axes of every array of a state, and the axes in the order in which a handle lists their lengths."""

    fields: dict[str, tuple[np.dtype[Any], tuple[str, ...]]]
    sizes: tuple[str, ...]


def layout_of(cls: type[Any]) -> Layout:
    """The layout of a state, read off the annotations of all its fields but `handle`."""
    fields = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        if name != "handle":
            array, axes = get_args(hint)
            scalar = get_args(get_args(array)[1])[0]
            fields[name] = (np.dtype(scalar), tuple(axes.split()))
    return Layout(fields, tuple(dict.fromkeys(symbol for _, axes in fields.values() for symbol in axes)))


def bind(cls: Callable[..., StateT], layout: Layout, arrays: Arrays) -> StateT:
    """Build a state and its handle from named C-contiguous arrays (all fields but `handle`).

    Raises:
        TypeError: an array has another type or shape than the layout says.
    """
    sizes: dict[str, int] = {}
    for name, (dtype, symbols) in layout.fields.items():
        array = arrays[name]
        if array.dtype != dtype or not array.flags.c_contiguous or array.ndim != len(symbols):
            raise TypeError(f"{name}: {array.dtype} array of shape {array.shape}; needed is {dtype} {symbols}")
        for symbol, length in zip(symbols, array.shape, strict=True):
            if sizes.setdefault(symbol, length) != length:
                raise TypeError(f"{name}: axis {symbol} has {length} entries, other arrays have {sizes[symbol]}")
    addresses = [arrays[name].ctypes.data for name in layout.fields]
    handle = np.array([sizes[symbol] for symbol in layout.sizes] + addresses, np.int64)
    return cls(**{name: arrays[name] for name in layout.fields}, handle=handle)


def carve(layout: Layout, sizes: dict[str, int], given: Arrays) -> Arrays:
    """Zeroed arrays for all fields that are not `given`, in one block, so that it can be backed with large pages."""
    shapes = {
        name: (dtype, tuple(sizes[axis] for axis in axes))
        for name, (dtype, axes) in layout.fields.items()
        if name not in given
    }
    lengths = {name: int(np.prod(shape)) * dtype.itemsize for name, (dtype, shape) in shapes.items()}
    room = sum(length + -length % CACHE_LINE_BYTES for length in lengths.values())
    block = np.zeros(room + CACHE_LINE_BYTES, np.uint8)
    offset, arrays = -block.ctypes.data % CACHE_LINE_BYTES, {}
    for name, (dtype, shape) in shapes.items():
        arrays[name] = block[offset : offset + lengths[name]].view(dtype).reshape(shape)
        offset += lengths[name] + -lengths[name] % CACHE_LINE_BYTES
    return arrays


def make_view(name: str, layout: Layout) -> Any:
    """The function by which kernels turn a handle of this layout into attributes."""
    view_type = type(name, (types.Type,), {"__init__": lambda self: types.Type.__init__(self, name=name)})
    instance = view_type()
    register_model(view_type)(models.OpaqueModel)
    _teach_types(view_type, layout)
    _teach_loads(view_type, layout)

    @intrinsic
    def view(typing_context: Any, handle: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            return builder.bitcast(data, cgutils.voidptr_t)

        return instance(handle), codegen

    return view


def _teach_types(view_type: type[types.Type], layout: Layout) -> None:
    """Typing: every field is a C-contiguous array attribute."""

    @infer_getattr
    class _Attributes(AttributeTemplate):
        key = view_type

        def generic_resolve(self, typ: Any, attr: str) -> types.Array | None:
            if attr not in layout.fields:
                return None
            dtype, axes = layout.fields[attr]
            return types.Array(from_dtype(dtype), len(axes), "C")


def _teach_loads(view_type: type[types.Type], layout: Layout) -> None:
    """Lowering: an array over the memory that the handle points to; it owns nothing."""
    names = list(layout.fields)

    @lower_getattr_generic(view_type)
    def load_array(context: Any, builder: Any, typ: Any, value: Any, attr: str) -> Any:
        dtype, axes = layout.fields[attr]
        array_type = types.Array(from_dtype(dtype), len(axes), "C")
        words = builder.bitcast(value, context.get_value_type(types.intp).as_pointer())

        def entry(index: int) -> Any:
            load = builder.load(builder.gep(words, [context.get_constant(types.intp, index)]))
            load.set_metadata("invariant.load", builder.module.add_metadata([]))
            return load

        shape = [entry(layout.sizes.index(axis)) for axis in axes]
        strides: list[Any] = []
        step = context.get_constant(types.intp, dtype.itemsize)
        for length in reversed(shape):
            strides.insert(0, step)
            step = builder.mul(step, length)
        array = context.make_array(array_type)(context, builder)
        populate_array(
            array,
            data=builder.inttoptr(entry(len(layout.sizes) + names.index(attr)), array.data.type),
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
