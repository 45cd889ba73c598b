"""The C functions that the live loop calls: liblsl's, from pylsl's wheel, and the C library's.

Compiled code that calls a symbol which is not there ends the process without a word, so every one is
looked up when this module is imported, and a missing one is an error with its library and version. Only
the live loop imports it: everything else works where these are absent.

Addresses are integers (``array.ctypes.data``): the arrays behind them live as long as the loop runs.
"""

from typing import Any

import llvmlite.binding as llvm
import pylsl
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from pylsl import lib as pylsl_library

from closedloop.errors import NativeError
from closedloop.jit import inner

lsl_local_clock = types.ExternalFunction("lsl_local_clock", types.float64())
"""Time on this machine's monotonic clock, in s."""
lsl_pull_sample = types.ExternalFunction(
    "lsl_pull_sample_d", types.float64(types.intp, types.intp, types.int32, types.float64, types.intp)
)
"""Inlet, buffer of doubles, its length, time-out in s, error code -> time stamp in s; 0.0 where none came.

Whatever the stream's own format, its values arrive as doubles."""
lsl_samples_available = types.ExternalFunction("lsl_samples_available", types.uint32(types.intp))
"""Inlet -> samples that can be pulled at once."""
c_write = types.ExternalFunction("write", types.intp(types.int32, types.intp, types.intp))
"""File descriptor, buffer, its length -> bytes written, or -1."""
c_ioctl = types.ExternalFunction("ioctl", types.int32(types.int32, types.intp, types.intp))
"""File descriptor, request, address of what it is given or gives -> 0 or more, or -1.

C declares it with a variable list of arguments, and it is called here as if the third were an ordinary one. On Linux
that is the same call: x86-64 (System V) and aarch64 (AAPCS64) pass a variable pointer or integer in the register that
an ordinary one would have, and the count of vector registers, which x86-64 wants in ``al`` besides, is looked at by
functions only that save them. Where the two differ, as on Apple's aarch64, the live loop does not run."""
c_nanosleep = types.ExternalFunction("nanosleep", types.int32(types.intp, types.intp))
"""Two 64-bit integers, s and ns -> 0 where the time has passed."""
_errno_location = types.ExternalFunction("__errno_location", types.intp())

# The last of liblsl's is called by Python, before the loop begins.
_SYMBOLS: dict[str, tuple[str, ...]] = {
    "liblsl": ("lsl_local_clock", "lsl_pull_sample_d", "lsl_samples_available", "lsl_time_correction_ex"),
    "the C library": ("write", "ioctl", "nanosleep", "__errno_location"),
}


def require_symbols(wanted: dict[str, tuple[str, ...]]) -> None:
    """Look symbols up by library.

    Raises
    ------
    NativeError
        Where one is missing.
    """
    versions = {"liblsl": f"{pylsl.library_version() / 100:.2f} at {pylsl_library.lib._name}"}
    for library, symbols in wanted.items():
        for symbol in symbols:
            if llvm.address_of_symbol(symbol) is None:
                version = versions.get(library, "of this system")
                raise NativeError(
                    f"{library} ({version}) has no function {symbol}: the live loop cannot run here "
                    "(it needs Linux and pylsl 1.18 or later)"
                )


llvm.load_library_permanently(pylsl_library.lib._name)
require_symbols(_SYMBOLS)


@intrinsic  # type: ignore[untyped-decorator]
def _load_int32(typing_context: Any, address: Any) -> Any:
    """Return the 32-bit integer at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del context, signature
        pointer = builder.inttoptr(args[0], ir.IntType(32).as_pointer())
        return builder.load(pointer)

    return types.int32(types.intp), generate


@inner
def errno() -> int:
    """Return why the last call of the C library in this thread failed."""
    return int(_load_int32(_errno_location()))


@inner
def sleep(timespec: Any, seconds: float) -> None:
    """Wait; ``timespec`` is an int64 array of shape (3,) whose last element is its own address."""
    timespec[0] = int(seconds)
    timespec[1] = int((seconds - int(seconds)) * 1e9)
    c_nanosleep(timespec[2], 0)
