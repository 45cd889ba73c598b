"""The C functions of the live loop: looked up before any is called, and by nothing but the live loop."""

import subprocess
import sys

import numba
import pylsl
import pytest

from closedloop.errors import NativeError

compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="the live loop runs compiled only")
PLAYBACK = (
    "closedloop.cli.app",
    "closedloop.cli.run",
    "closedloop.cli.check",
    "closedloop.cli.replay",
    "closedloop.session.run",
    "closedloop.session.replay",
    "closedloop.core.playback",
    "closedloop.calibration.calibrate",
)


def loaded_by(*modules):
    """Return which of closedloop's modules, and whether pylsl, a new interpreter has loaded after importing some."""
    script = f"import sys, {', '.join(modules)}; print(*sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    return {name for name in found.stdout.split() if name.startswith(("closedloop.", "pylsl"))}


@pytest.mark.skipif(bool(numba.config.BOUNDSCHECK), reason="what is imported does not hang on it, and compiles anew")
def test_playback_and_the_command_line_do_without_the_c_functions():
    loaded = loaded_by(*PLAYBACK)
    assert set(PLAYBACK) <= loaded
    assert not loaded & {"closedloop.core.native", "closedloop.core.live", "closedloop.session.live"}


def test_the_command_line_starts_without_the_streaming_library():
    assert not {name for name in loaded_by("closedloop.cli.app") if name.startswith("pylsl")}


@compiled_only
def test_a_function_that_is_missing_is_one_clear_line_with_library_and_version(one_line_error):
    from closedloop.core.native import require_symbols

    line = one_line_error(NativeError, require_symbols, {"liblsl": ("lsl_local_clock", "lsl_no_such_function")})
    assert line.startswith(f"liblsl ({pylsl.library_version() / 100:.2f} at ")
    assert ") has no function lsl_no_such_function: the live loop cannot run here" in line


@compiled_only
def test_a_function_that_the_c_library_lacks_is_told_as_its_own(one_line_error):
    from closedloop.core.native import require_symbols

    line = one_line_error(NativeError, require_symbols, {"the C library": ("no_such_function",)})
    assert line.startswith("the C library (of this system) has no function no_such_function: ")


@compiled_only
def test_functions_that_are_there_are_no_error():
    from closedloop.core.native import require_symbols

    require_symbols({"liblsl": ("lsl_local_clock",), "the C library": ("write",)})
