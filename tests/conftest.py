"""What holds for every test: where LSL may reach, what a test may leave behind, where recordings are.

The suite is run three times. The ordinary pass runs all; a pass with ``NUMBA_DISABLE_JIT=1`` runs the
tests marked ``uncompiled`` and compares what they hand to `same_as_compiled` with what the ordinary
pass stored; a pass with ``NUMBA_BOUNDSCHECK=1`` runs ``tests/core``, ``tests/estimators`` and
``tests/conformance``. The cache of compiled code (``CLOSEDLOOP_CACHE_DIR`` or the user's) is shared by all
runs: its folder is named by the sources, so that sharing it saves minutes and cannot bring back old code.
"""

import os
from pathlib import Path

# Before anything imports pylsl or matplotlib: both read these once. Not a default: whatever the shell
# of a lab computer says, a test's streams stay on this machine.
os.environ["LSLAPICFG"] = str(Path(__file__).with_name("lsl_loopback.cfg"))
os.environ["MPLBACKEND"] = "Agg"

import atexit
import gc
import multiprocessing
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import EntryPoint
from multiprocessing import resource_tracker

import numba
import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import ArrayLike

import closedloop
import closedloop.estimators.interface
from closedloop.jit import source_hash


def _settings_of_this_run() -> str:
    """Write LSL's settings for this run and its children, so that two runs never meet each other's streams."""
    text = Path(os.environ["LSLAPICFG"]).read_text()
    folder = tempfile.mkdtemp(prefix="closedloop-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "lsl_api.cfg"
    path.write_text(re.sub(r"(?m)^SessionID = .*$", f"SessionID = closedloop-tests-{os.getpid()}", text))
    return str(path)


# liblsl reads it when the first of its functions is called, which is later.
os.environ["LSLAPICFG"] = _settings_of_this_run()

# Compilation happens inside a first example, so no example has a deadline.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

GRACE_S = 2.0
"""How long what a test has told to end may take to be gone."""

LONGEST = (
    "integration/test_live.py",
    "integration/test_cli.py",
    "integration/test_readme.py",
    "session/test_run.py",
    "conformance/test_estimators.py",
    "live/test_stream_faults.py",
    "live/test_trigger_line.py",
    "live/test_loop.py",
    "live/test_stream_loss.py",
    "bench/test_latency.py",
)
"""Test files by the time that they take, those of half a minute and more on two cores."""

PROC = Path("/proc")
TCP_LISTEN = "0A"
"""State of a listening socket in ``/proc/net/tcp`` (``TCP_LISTEN`` in the kernel's tcp_states.h)."""


def pytest_report_header() -> list[str]:
    """Say which closedloop is tested, so that a checkout that hides the installed one is seen."""
    return [
        f"closedloop: {Path(closedloop.__file__).parent}",
        f"numba: compiled={not numba.config.DISABLE_JIT} boundscheck={numba.config.BOUNDSCHECK or 0}",
    ]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the core once, before workers start that would each do so: on a new checkout that takes a minute."""
    several = bool(session.config.getoption("numprocesses", None))
    if several and not hasattr(session.config, "workerinput") and not numba.config.DISABLE_JIT:
        import_module("closedloop.calibration.assemble")
        import_module("closedloop.core.replay")
        # The pass with bounds checking has no test of the live loop, which takes as long again to compile.
        if sys.platform == "linux" and not numba.config.BOUNDSCHECK:
            import_module("closedloop.core.live")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest in front of the others in their random order: no worker ends alone with one."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(f"{item.path.parent.name}/{item.path.name}", len(LONGEST)))


def child_processes() -> set[str]:
    """Name the children of this process, ended but never waited for included."""
    if not PROC.is_dir():
        return {f"process {child.pid}" for child in multiprocessing.active_children()}
    try:  # to ask the kernel takes 1 us, to read the table of all processes some 10 ms
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return set()
    # The standard library keeps this one for the life of the interpreter.
    tracker = getattr(resource_tracker._resource_tracker, "_pid", None)
    children = set()
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # it ended between the listing and the reading
            continue
        # The name may hold spaces and brackets: only what follows its last bracket splits safely.
        name, _, rest = text.partition("(")[2].rpartition(")")
        pid = int(stat.parent.name)
        if int(rest.split()[1]) == os.getpid() and pid != tracker:
            children.add(f"process {pid} ({name})")
    return children


def listening_sockets() -> set[str]:
    """Name the TCP sockets on which this process listens: each LSL outlet has one, whoever made it."""
    if not PROC.is_dir():
        return set()
    held = set()
    for descriptor in (PROC / "self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:  # closed since the listing, such as the listing's own
            continue
        if target.startswith("socket:"):
            held.add(target)
    if not held:  # the kernel's tables of all sockets take milliseconds to read
        return set()
    listening = set()
    for table in (PROC / "self/net/tcp", PROC / "self/net/tcp6"):
        if not table.exists():
            continue
        for row in table.read_text().splitlines()[1:]:
            _, address, _, state, *_, inode = row.split()[:10]
            if state == TCP_LISTEN and f"socket:[{inode}]" in held:
                port = int(address.rpartition(":")[2], 16)
                listening.add(f"listening socket on port {port} (an LSL outlet has one)")
    return listening


def alive() -> set[str]:
    """Name all that a test could leave behind: threads, child processes, outlets."""
    threads = {f"thread {thread.name!r} ({thread.ident})" for thread in threading.enumerate()}
    return threads | child_processes() | listening_sockets()


def left_behind(before: set[str]) -> list[str]:
    """Name what is alive and was not before, after the grace that its end may take."""
    if alive() <= before:
        return []
    gc.collect()  # what only a reference cycle holds is let go
    end = time.monotonic() + GRACE_S
    while (left := alive() - before) and time.monotonic() < end:
        time.sleep(0.01)
    return sorted(left)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread, a child process or an LSL outlet behind."""
    before = alive()
    yield
    if left := left_behind(before):
        pytest.fail(f"the test left behind: {', '.join(left)}", pytrace=False)


@pytest.fixture(scope="session")
def recordings_folder() -> Path:
    """Return the folder of real recordings, with ``eegmat/*.edf``; without one the test is skipped."""
    chosen = os.environ.get("CLOSEDLOOP_RECORDINGS")
    if not chosen:
        pytest.skip(
            "needs real EEG: set CLOSEDLOOP_RECORDINGS to a folder that holds eegmat/Subject08_1.edf and "
            "the others that `closedloop recordings list` names (PhysioNet, data set eegmat 1.0.0)"
        )
    folder = Path(chosen)
    if not any(folder.glob("eegmat/*.edf")):
        pytest.fail(f"CLOSEDLOOP_RECORDINGS = {chosen} has no eegmat/*.edf", pytrace=False)
    return folder.resolve()


@pytest.fixture
def one_line_error():
    """Return a function that gives the one line of an error, checked for noise."""

    def line_of(expected, call, *arguments):
        with pytest.raises(expected) as caught:
            call(*arguments)
        message = str(caught.value)
        assert "\n" not in message
        for noise in ("pydantic", "validation error", "type=", "input_value", "Traceback", "Value error"):
            assert noise not in message
        return message

    return line_of


@pytest.fixture
def announce(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that announces an estimator as an installed package would, for the length of a test."""
    real = closedloop.estimators.interface.entry_points

    def announce_under(name, design):
        class Point(EntryPoint):
            def load(self):
                return design

        def entry_points(*, group):
            point = Point(name, f"lab:{name}", group)
            return [*real(group=group), point] if group == "closedloop.estimators" else real(group=group)

        monkeypatch.setattr(closedloop.estimators.interface, "entry_points", entry_points)
        return name

    return announce_under


@pytest.fixture
def same_as_compiled(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Hand over a test's results: a compiled pass stores them, the uncompiled one compares to 1e-12.

    Call it once a test with arrays by name. Inputs must not depend on the session's random seed.
    """
    sources = source_hash(Path(closedloop.__file__).parent)
    name = re.sub(r"[^\w.]+", "-", request.node.nodeid)
    path = request.config.cache.mkdir("compiled") / f"{name}.npz"

    def store_or_compare(**results: ArrayLike) -> None:
        if not numba.config.DISABLE_JIT:
            np.savez(path, sources=sources, **results)
            return
        if not path.exists():
            pytest.fail("no compiled result of this test: run pytest first", pytrace=False)
        with np.load(path) as compiled:
            if compiled["sources"] != sources:
                pytest.fail("the compiled result is of other sources: run pytest first", pytrace=False)
            assert set(compiled.files) == {"sources", *results}
            for key, value in results.items():
                np.testing.assert_allclose(value, compiled[key], rtol=1e-12, atol=1e-12, err_msg=key)

    return store_or_compare
