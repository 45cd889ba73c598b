"""What fires leaves in time or not at all, whatever the wire and the port are like; on real pseudo-terminals."""

import math
import os
import threading
import time
import tty

import pytest

from closedloop.errors import StimulatorError
from closedloop.stimulators import magstim_frames as frames
from closedloop.stimulators.departure import Departure, TooLateError
from closedloop.stimulators.magstim_link import Link
from closedloop.stimulators.port import Port

LIMIT_S = 0.02


@pytest.fixture
def wire():
    """Return a device's end of a pseudo-terminal and a port at the other."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    with Port(os.ttyname(theirs), baud=9600, name="Rig") as port:
        yield ours, port
    for fd in (ours, theirs):
        os.close(fd)


def in_time():
    return Departure(time.monotonic() + LIMIT_S, time.monotonic)


@pytest.mark.parametrize(("latest_s", "leaves"), [(5.0, True), (4.9, False), (math.nan, False)])
def test_it_leaves_until_its_latest_moment_and_never_later(latest_s, leaves):
    leaving, done = Departure(latest_s, lambda: 5.0), []

    def leave():
        with leaving:
            done.append(True)

    if leaves:
        leave()
    else:
        with pytest.raises(TooLateError):
            leave()
    assert (leaving.begun, leaving.left_s == 5.0, bool(done)) == (leaves,) * 3


def test_what_fails_within_it_may_have_left():
    leaving = Departure(5.0, lambda: 5.0)
    with pytest.raises(OSError, match="gone"), leaving:
        raise OSError("gone")
    assert leaving.begun
    assert leaving.left_s == 5.0


def test_a_noisy_wire_holds_no_command_back(wire):
    ours, port = wire
    link = Link(port)
    assert link.ask_once(frames.FIRE, in_time()) is None  # no answer: what comes now may be a late one
    assert os.read(ours, 16) == frames.FIRE.data
    ended = threading.Event()

    def babble():
        while not ended.wait(0.005):
            os.write(ours, b"\x00")

    noise = threading.Thread(target=babble)
    noise.start()
    try:
        time.sleep(0.02)
        leaving = in_time()
        threading.Timer(0.3, ended.set).start()
        assert link.ask_once(frames.FIRE, leaving) is None
    finally:
        ended.set()
        noise.join()
    assert os.read(ours, 16) == frames.FIRE.data
    assert leaving.begun


def test_a_port_that_takes_no_more_is_an_error_at_once_and_nothing_has_left(wire):
    ours, port = wire
    link = Link(port)
    os.set_blocking(ours, False)
    began_s = time.monotonic()
    with pytest.raises(StimulatorError, match=r"cannot be written|took"):  # noqa: PT012
        while True:
            port.write_at_once(b"x" * 64)
    filled_s = time.monotonic()
    with pytest.raises(StimulatorError, match=r"^Rig: the port \S+ cannot be written: "):
        link.ask_once(frames.FIRE, in_time())
    assert time.monotonic() - filled_s < 0.5
    assert filled_s - began_s < 0.5
    while True:
        try:
            assert frames.FIRE.data not in os.read(ours, 4096)
        except BlockingIOError:
            break
