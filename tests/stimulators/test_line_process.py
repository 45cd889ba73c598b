"""Lines that a program of its own drives: real programs, with stand-ins where a vendor's library would be."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pylsl
import pytest

from closedloop.config.line import LabJackTLine, LabJackU3Line, LslMarkerLine, NiDaqmxLine
from closedloop.errors import StimulatorError
from closedloop.stimulators.line import open_line
from closedloop.stimulators.lines.pipe_pair import ReplyKind
from closedloop.stimulators.lines.process import driven

PATIENCE_S = 10.0
U3_ON_DISK = """\
import os
from closedloop.standins.labjack_u3 import U3 as StandIn

class U3(StandIn):
    def _move(self, at_s, output, level):
        with open(os.environ["CLOSEDLOOP_TEST_EDGES"], "a") as file:
            file.write(f"{output} {level}\\n")
        super()._move(at_s, output, level)

    def write(self, packet, modbus=False, checksum=True):
        self.error = int(os.environ.get("CLOSEDLOOP_TEST_U3_ERROR", "0"))
        super().write(packet)
"""


@pytest.fixture
def vendor(tmp_path, monkeypatch):
    """Return a function that puts a module where programs look for a vendor's."""

    def put(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH")))))

    return put


@pytest.fixture
def edges(vendor, tmp_path, monkeypatch):
    """Put a stand-in for a LabJack U3 there; return a function that gives its edges."""
    path = tmp_path / "edges"
    monkeypatch.setenv("CLOSEDLOOP_TEST_EDGES", str(path))
    vendor("u3", U3_ON_DISK)
    return lambda: path.read_text().splitlines()


def replies_of(line, n):
    """Wait for a number of replies."""
    found = []
    until_s = time.monotonic() + PATIENCE_S
    while len(found) < n and time.monotonic() < until_s:
        found += line.take_replies()
        time.sleep(0.001)
    return found


def fire_until_fired(line, n):
    """Fire until a number of triggers were fired: on a machine that does other things some may come too late."""
    fired = []
    until_s = time.monotonic() + PATIENCE_S
    while len(fired) < n and time.monotonic() < until_s:
        os.write(line.fd, line.on)
        fired += [reply for reply in replies_of(line, 1) if reply.kind == ReplyKind.FIRED]
    return fired


def open_and_leave(line):
    with open_line(line):
        pass


def test_a_marker_goes_out_with_the_time_that_is_told():
    name = f"closedloop-test-{os.getpid()}"
    with open_line(LslMarkerLine(kind="lsl_marker", stream=name, marker="pulse")) as line:
        (info,) = pylsl.resolve_byprop("name", name, timeout=PATIENCE_S)
        inlet = pylsl.StreamInlet(info, recover=False)
        inlet.open_stream(timeout=PATIENCE_S)
        before_s = pylsl.local_clock()
        (reply,) = fire_until_fired(line, 1)
        (marker,), stamp_s = inlet.pull_sample(timeout=PATIENCE_S)
        inlet.close_stream()
    assert marker == "pulse"
    assert before_s <= reply.taken_s <= stamp_s <= reply.fired_s <= pylsl.local_clock()


def test_a_device_gives_one_pulse_for_each_trigger_and_is_left_low(edges):
    with open_line(LabJackU3Line(kind="labjack_u3", output="EIO1")) as line:
        assert line.off == b""
        assert len(fire_until_fired(line, 3)) == 3
        assert line.replies.granted in {"SCHED_FIFO", "ordinary scheduler"}
    assert edges() == ["9 0"] + ["9 1", "9 0"] * 3 + ["9 0"]  # made low at both ends, each pulse by itself


@pytest.mark.usefixtures("edges")
def test_an_error_that_the_device_names_is_one_clear_line(monkeypatch, one_line_error):
    monkeypatch.setenv("CLOSEDLOOP_TEST_U3_ERROR", "48")
    said = one_line_error(StimulatorError, open_and_leave, LabJackU3Line(kind="labjack_u3"))
    assert said == "line.kind = labjack_u3: LabJack U3: error 48 in step 1 of the packet"


@pytest.mark.parametrize(
    ("line", "package", "extra"),
    [
        (LabJackU3Line(kind="labjack_u3"), "LabJackPython", "labjack"),
        (LabJackTLine(kind="labjack_t"), "labjack-ljm", "labjack"),
        (NiDaqmxLine(kind="ni_daqmx"), "nidaqmx", "nidaqmx"),
    ],
    ids=["u3", "t", "ni"],
)
def test_a_library_that_is_not_installed_is_one_clear_line_with_its_extra(vendor, one_line_error, line, package, extra):
    # Whatever is installed here: as if it were not.
    for name in ("u3", "labjack", "nidaqmx"):
        vendor(name, "raise ImportError('not here')")
    said = one_line_error(StimulatorError, open_and_leave, line)
    assert said.startswith(f"line.kind = {line.kind}: {package} cannot be imported (")
    assert said.endswith(f"pip install 'closedloop[{extra}]'")


def test_a_library_without_its_vendors_own_is_one_clear_line(vendor, one_line_error):
    vendor("u3", "def U3(**_): raise RuntimeError('Could not load the Exodriver driver.\\n libusb')")
    said = one_line_error(StimulatorError, open_and_leave, LabJackU3Line(kind="labjack_u3"))
    assert said == "line.kind = labjack_u3: Could not load the Exodriver driver. libusb"


# Any program


SPEAKING = """\
import os, sys, time
from closedloop.stimulators.lines.pipe_pair import Reply, ReplyKind
triggers, replies = map(int, sys.argv[-2:])
def say(kind): os.write(replies, Reply(kind, -1, 0.0).packed())
"""


@contextmanager
def program(rest):
    with driven([sys.executable, "-P", "-c", SPEAKING + rest], "test") as line:
        yield line


def write_until_it_breaks(line):
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        try:
            os.write(line.fd, line.on)
        except BrokenPipeError:
            return
    pytest.fail("the pipe did not break")


def test_no_file_beside_the_session_takes_the_place_of_a_library(tmp_path, monkeypatch):
    (tmp_path / "pylsl.py").write_text("raise ImportError('not the library')")
    monkeypatch.chdir(tmp_path)
    with open_line(LslMarkerLine(kind="lsl_marker", stream=f"closedloop-test-{os.getpid()}", marker="pulse")) as line:
        assert line.replies.granted


def test_a_program_that_dies_breaks_the_pipe():
    with program("say(ReplyKind.READY); os.kill(os.getpid(), 9)") as line:
        write_until_it_breaks(line)


def test_a_program_that_ends_before_it_is_ready_is_one_clear_line():
    with (
        pytest.raises(StimulatorError, match=r"^line\.kind = test: .* ended before it was ready$"),
        program("sys.exit(0)"),
    ):
        pass


def test_a_program_that_does_not_end_is_killed_and_told(monkeypatch):
    monkeypatch.setattr("closedloop.stimulators.lines.process.END_S", 0.05)
    with (
        pytest.raises(StimulatorError, match=r"did not end within 0\.05 s and was killed: its output may "),
        program("say(ReplyKind.READY); time.sleep(60)"),
    ):
        pass


PARENT = """\
import os, sys
from closedloop.config.line import LabJackU3Line
from closedloop.stimulators.line import open_line
with open_line(LabJackU3Line(kind="labjack_u3")) as line:
    os.write(line.fd, line.on)
    print(line.replies.granted, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_loop_dies_the_program_takes_the_line_back_and_ends(edges, number):
    with subprocess.Popen(
        [sys.executable, "-P", "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        parent.stdout.readline()
        (child,) = children_of(parent.pid)
        before = len(edges())
        parent.send_signal(number)
        parent.wait(PATIENCE_S)
    until_s = time.monotonic() + PATIENCE_S
    while os.path.exists(f"/proc/{child}") and time.monotonic() < until_s:  # noqa: PTH110 - no file
        time.sleep(0.005)
    assert not os.path.exists(f"/proc/{child}")  # noqa: PTH110
    assert edges()[-1] == "4 0"
    assert len(edges()) >= before


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123
        return [int(word) for word in file.read().split()]
