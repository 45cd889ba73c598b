"""Loads and stores of shared indices that compiled code and Python both see.

A plain load in a compiled loop may be hoisted and never see another thread's write. Every index
or flag that two threads share therefore goes, on both sides, through these two functions: one
writer each, int64, acquire on the load and release on the store, so that what was written before
an index moved is there for whoever sees it moved. Uncompiled they are plain accesses, for tests in
one thread.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from closedloop.jit import compiled


def _element(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    view = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, view, [index])


@intrinsic  # type: ignore[untyped-decorator]
def _load(typing_context: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _element(context, builder, signature.args[0], args[0], args[1])
        return builder.load_atomic(pointer, "acquire", 8, typ=ir.IntType(64))

    return types.int64(array, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def _store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _element(context, builder, signature.args[0], args[0], args[1])
        builder.store_atomic(args[2], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), generate


if numba.config.DISABLE_JIT:

    def load_acquire(array: NDArray[np.int64], index: int) -> int:
        """Return ``array[index]``; compiled, what was written before it is visible afterwards."""
        return int(array[index])

    def store_release(array: NDArray[np.int64], index: int, value: int) -> None:
        """Set ``array[index]``; compiled, all earlier writes are visible to whoever sees it."""
        array[index] = value

else:

    @compiled(types.int64(types.int64[::1], types.intp))
    def load_acquire(array: NDArray[np.int64], index: int) -> int:
        """Return ``array[index]``; what was written before it is visible afterwards."""
        value: int = _load(array, index)
        return value

    @compiled(types.void(types.int64[::1], types.intp, types.int64))
    def store_release(array: NDArray[np.int64], index: int, value: int) -> None:
        """Set ``array[index]``; all earlier writes are visible to whoever sees it."""
        _store(array, index, value)
