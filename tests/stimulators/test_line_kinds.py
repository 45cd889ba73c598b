"""Serial ports, control lines and parallel ports: what is done to them, and what is said where that cannot be."""

import errno
import fcntl
import os
import struct
import termios
import time
from contextlib import contextmanager

import pytest

from closedloop.config.line import BoxLine, BytesLine, Exchange, ParallelLine, SerialControlLine
from closedloop.errors import StimulatorError
from closedloop.standins.boxes import Bbtk, RawByteBox
from closedloop.standins.table import BOXES
from closedloop.standins.terminal import Terminal
from closedloop.stimulators.line import open_line
from closedloop.stimulators.lines import parallel
from closedloop.stimulators.lines.serial_port import speed
from closedloop.stimulators.port import Port


@pytest.fixture
def terminal():
    """Return a pseudo-terminal's two ends and its path, as a system hands it out: cooked."""
    ours, theirs = os.openpty()
    yield ours, theirs, os.ttyname(theirs)
    for fd in (ours, theirs):
        os.close(fd)


def open_and_leave(line):
    with open_line(line):
        pass


def until(condition):
    end_s = time.monotonic() + 5.0
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.002)
    return condition()


@pytest.mark.parametrize("baud", [9600, 115200, 128000, 2_000_000])
def test_a_serial_port_lets_every_byte_through_at_its_speed(terminal, baud):
    ours, _, path = terminal
    with open_line(BytesLine(path=path, on="0a0d0311137f00ff", off=None, baud=baud)) as line:
        assert speed(line.fd) == baud  # also one that has no name
        os.write(line.fd, line.on)
        assert os.read(ours, 64) == line.on
        os.write(ours, b"\x03\x1a\r")  # an answer is not taken for a key
        assert os.read(line.fd, 64) == b"\x03\x1a\r"


def test_a_serial_port_is_left_as_it_was_found(terminal):
    _, theirs, path = terminal
    before = termios.tcgetattr(theirs)
    with open_line(BytesLine(path=path, off=None, baud=57600)):
        assert termios.tcgetattr(theirs) != before
    assert termios.tcgetattr(theirs) == before


def test_a_serial_port_whose_speed_is_not_told_keeps_it(terminal):
    _, theirs, path = terminal
    before = speed(theirs)
    with open_line(BytesLine(path=path, off=None)):
        assert speed(theirs) == before


def test_a_port_that_another_program_uses_is_one_clear_line(terminal, one_line_error):
    path = terminal[2]
    with Port(path, baud=9600, name="a driver's"):
        said = one_line_error(StimulatorError, open_and_leave, BytesLine(path=path))
    assert said == f"line.path = {path} cannot be opened: another program uses it"
    with open_line(BytesLine(path=path)), pytest.raises(StimulatorError, match="another program uses it"):
        Port(path, baud=9600, name="a driver's")


def test_a_port_that_is_not_permitted_is_one_clear_line(tmp_path, monkeypatch, one_line_error):
    def refuse(*_arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # to the superuser, who may run this, all is permitted
    for line in (BytesLine(path="/dev/null"), ParallelLine(kind="parallel", path="/dev/null")):
        said = one_line_error(StimulatorError, open_and_leave, line)
        assert said == (
            "line.path = /dev/null cannot be opened: not permitted; add yourself to the group that owns it (dialout "
            "or lp on Debian)"
        )


# Boxes that are spoken to when they are opened


@contextmanager
def opened(name, standin, **changes):
    """Open a shipped box's line on a stand-in."""
    from closedloop.config.load import load_device

    with Terminal(standin) as terminal:
        line = load_device(name).line.model_copy(update={"path": terminal.path, **changes})
        with open_line(line) as box:
            yield box, terminal


@pytest.mark.parametrize("name", BOXES)
def test_a_shipped_box_gives_an_edge_for_each_trigger(name):
    standin = RawByteBox(width_s=0.005) if name == "trigger-arduino" else BOXES[name]()  # without its start
    with opened(name, standin, settle_s=0.0) as (line, _):
        for n in range(1, 4):
            os.write(line.fd, line.on)
            assert until(lambda n=n: len(standin.pulses_s) == n)
            if line.off:
                os.write(line.fd, line.off)
            assert until(lambda: standin.output.state == 0)
    assert len(standin.pulses_s) == 3
    assert standin.output.state == 0
    assert not getattr(standin, "unknown", b"")


def test_a_box_that_starts_anew_when_it_is_opened_is_left_alone_until_it_hears():
    standin = RawByteBox(width_s=0.005, boot_s=0.15)
    with opened("trigger-arduino", standin, settle_s=0.2) as (line, _):
        os.write(line.fd, line.on)
        assert until(lambda: len(standin.pulses_s) == 1)
    deaf = RawByteBox(width_s=0.005, boot_s=5.0)
    with opened("trigger-arduino", deaf, settle_s=0.0) as (line, _):
        os.write(line.fd, line.on)
        time.sleep(0.02)
    assert deaf.taken == []


def test_another_box_that_answers_is_one_clear_line():
    with (
        pytest.raises(StimulatorError, match=r"5858 \('XX'\) has to answer 2323 \('##'\), and nothing came") as caught,
        opened("trigger-bbtk", RawByteBox(), setup=(Exchange(send="2323", answer="5858", within_s=0.05),)),
    ):
        pass
    assert str(caught.value).endswith("and nothing came within 0.05 s: is this the right box?")
    assert "\n" not in str(caught.value)


def write_on(line):
    for _ in range(100_000):
        os.write(line.fd, line.on)


def test_a_box_that_takes_no_bytes_any_more_fails_the_write_and_holds_nothing_up():
    with opened("trigger-bbtk", Bbtk()) as (line, terminal):
        terminal.jammed = True
        began_s = time.monotonic()
        with pytest.raises(BlockingIOError):
            write_on(line)
        assert time.monotonic() - began_s < 2.0
        terminal.jammed = False  # what is left goes out


def test_a_pipe_is_told_nothing_at_its_opening(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    line = BytesLine(path=str(path), setup=(Exchange(send="5252", answer="5858"),), settle_s=5.0, baud=9600)
    with open_line(line):
        assert os.read(reading, 16) == b"\x00"
    os.close(reading)


# Control lines


def test_a_terminal_without_control_lines_is_one_clear_line(terminal, one_line_error):
    path = terminal[2]
    said = one_line_error(StimulatorError, open_and_leave, SerialControlLine(kind="serial_control", path=path))
    assert said == f"line.path = {path} is a port without control lines, such as a pseudo-terminal"


def test_a_file_that_is_no_port_has_no_control_lines(one_line_error):
    line = SerialControlLine(kind="serial_control", path="/dev/null")
    assert one_line_error(StimulatorError, open_and_leave, line) == "line.path = /dev/null is no serial port"


@pytest.fixture
def calls(monkeypatch):
    """Let every ioctl but those of terminals succeed, and return what was asked: no such port is at hand."""
    made = []

    def ioctl(_fd, request, argument=0):
        made.append((request, argument))
        return argument

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    return made


RTS, DTR = struct.pack("i", 0x004), struct.pack("i", 0x002)
SET, CLEAR = 0x5416, 0x5417
"""TIOCM_RTS, TIOCM_DTR, TIOCMBIS and TIOCMBIC, as Linux's headers have them for x86 and ARM."""


@pytest.mark.parametrize(
    ("line", "active", "mask", "on", "off"),
    [("rts", "high", RTS, SET, CLEAR), ("dtr", "high", DTR, SET, CLEAR), ("rts", "low", RTS, CLEAR, SET)],
)
def test_a_control_line_is_moved_by_the_call_that_says_so_and_is_idle_at_both_ends(
    terminal, calls, line, active, mask, on, off
):
    settings = SerialControlLine(kind="serial_control", path=terminal[2], line=line, active=active)
    with open_line(settings) as opened:
        assert (opened.on_request, opened.on, opened.off_request, opened.off) == (on, mask, off, mask)
        assert calls[-1] == (off, mask)
        calls.clear()
    assert calls == [(off, mask)]


def test_a_line_whose_fall_fires_does_not_fall_when_it_is_closed(terminal, calls):
    _, theirs, path = terminal
    for active, falls in (("high", True), ("low", False)):
        before = termios.tcgetattr(theirs)
        before[2] |= termios.HUPCL
        termios.tcsetattr(theirs, termios.TCSANOW, before)
        open_and_leave(SerialControlLine(kind="serial_control", path=path, active=active))
        assert bool(termios.tcgetattr(theirs)[2] & termios.HUPCL) == falls


def test_a_port_may_belong_to_the_stimulators_driver_as_well_where_that_is_said(terminal, calls):
    path = terminal[2]
    with Port(path, baud=9600, name="a driver's"):
        open_and_leave(SerialControlLine(kind="serial_control", path=path, shared=True))
        with pytest.raises(StimulatorError, match="another program uses it"):
            open_and_leave(SerialControlLine(kind="serial_control", path=path))


# Parallel ports


def test_the_requests_of_a_parallel_port_are_those_of_its_driver():
    # linux/ppdev.h, as a public library for Python has them
    assert (parallel.EXCLUSIVE, parallel.CLAIM, parallel.RELEASE) == (0x708F, 0x708B, 0x708C)
    assert (parallel.WRITE_DATA, parallel.DIRECTION) == (0x40017086, 0x40047090)


def test_a_parallel_port_is_claimed_driven_and_given_back(calls):
    line = ParallelLine(kind="parallel", path="/dev/null", on="04", off="01")
    with open_line(line) as opened:
        assert calls[:2] == [(0x708F, 0), (0x708B, 0)]
        assert calls[2:] == [(0x40047090, bytes(4)), (0x40017086, b"\x01")]
        assert (opened.on_request, opened.on) == (0x40017086, b"\x04")
        assert (opened.off_request, opened.off) == (0x40017086, b"\x01")
        calls.clear()
    assert calls == [(0x40017086, b"\x01"), (0x708C, 0)]


def test_a_machine_without_the_port_is_told_what_to_load(tmp_path, one_line_error):
    path = tmp_path / "parport0"
    said = one_line_error(StimulatorError, open_and_leave, ParallelLine(kind="parallel", path=str(path)))
    assert said == (
        f"line.path = {path} cannot be opened: there is no such port; where the machine has one, load its driver: "
        "modprobe parport_pc ppdev"
    )


def test_a_file_that_is_no_parallel_port_is_one_clear_line(one_line_error):
    line = ParallelLine(kind="parallel", path="/dev/null")
    assert one_line_error(StimulatorError, open_and_leave, line) == "line.path = /dev/null is no parallel port"


def test_a_parallel_port_that_printers_hold_is_one_clear_line(monkeypatch, one_line_error):
    def ioctl(_fd, request, *_argument):
        if request == parallel.CLAIM:
            raise OSError(errno.ENXIO, "No such device or address")

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    said = one_line_error(StimulatorError, open_and_leave, ParallelLine(kind="parallel", path="/dev/null"))
    assert said.startswith("line.path = /dev/null cannot be opened: another program or driver holds it")


def test_a_box_that_was_not_looked_up_is_one_clear_line(one_line_error):
    said = one_line_error(StimulatorError, open_and_leave, BoxLine(box="trigger-bbtk"))
    assert said.startswith("line.box = trigger-bbtk: load the profile from its file")
