"""The wire of a stand-in, from the side of a program that opens its port."""

import pytest

from closedloop.errors import StimulatorError
from closedloop.standins.terminal import Terminal, WireFaults
from closedloop.stimulators.port import Port


class Echo:
    """Answers what it hears; its clock's whole seconds come unasked."""

    def __init__(self):
        self.pulses_s = []
        self.actions = {"knock": lambda now_s, times=1.0: self.pulses_s.extend([now_s] * int(times))}
        self.told_s = 0

    def receive(self, data, _now_s):
        return data

    def pass_time(self, now_s):
        sent = b"." * (int(now_s) - self.told_s)
        self.told_s = int(now_s)
        return sent

    def trigger(self, now_s):
        self.pulses_s.append(now_s)
        return True


def read(port, n, timeout_s=2.0):
    taken = b""
    while len(taken) < n:
        data = port.read(timeout_s)
        if not data:
            break
        taken += data
    return taken


@pytest.mark.parametrize("faults", [WireFaults(), WireFaults(split=True), WireFaults(merge=True)])
def test_what_is_sent_is_answered_in_order(faults):
    with (
        Terminal(Echo(), clock=lambda: 0.0, faults=faults) as terminal,
        Port(terminal.path, baud=9600, name="Echo") as port,
    ):
        for word in (b"one", b"\xff\xfe\x00\n\r", b"\x03\x11\x13"):
            port.write(word)
            assert read(port, len(word)) == word


def test_time_passes_as_the_test_says():
    now = [0.0]
    with Terminal(Echo(), clock=lambda: now[0]) as terminal, Port(terminal.path, baud=9600, name="Echo") as port:
        assert port.read(0.02) == b""
        now[0] = 60.5
        assert read(port, 60) == b"." * 60


def test_lost_and_turned_bytes_are_counted():
    with (
        Terminal(Echo(), clock=lambda: 0.0, faults=WireFaults(dropped=0.2, corrupted=0.2)) as terminal,
        Port(terminal.path, baud=9600, name="Echo") as port,
    ):
        port.write(bytes(1000))
        taken = port.drain(0.2)
    assert len(taken) == 1000 - terminal.dropped
    assert sum(byte != 0 for byte in taken) == terminal.corrupted
    assert 120 < terminal.dropped < 280
    assert 120 < terminal.corrupted < 280


def test_garbage_comes_before_the_first_answer():
    with (
        Terminal(Echo(), clock=lambda: 0.0, faults=WireFaults(garbage=b"\x00\x00")) as terminal,
        Port(terminal.path, baud=9600, name="Echo") as port,
    ):
        port.write(b"ab")
        assert read(port, 4) == b"\x00\x00ab"


def test_hands_and_triggers_reach_the_device():
    echo = Echo()
    with Terminal(echo, clock=lambda: 7.0) as terminal:
        terminal.act("knock", 2.0)
        assert terminal.trigger()
    assert echo.pulses_s == [7.0] * 3


def test_a_plug_that_is_pulled_is_one_clear_line():
    with Terminal(Echo(), clock=lambda: 0.0) as terminal, Port(terminal.path, baud=9600, name="Echo") as port:
        terminal.vanish()
        with pytest.raises(StimulatorError, match=rf"^Echo: the port {terminal.path} cannot be read: ") as caught:
            port.read(1.0)
        assert "\n" not in str(caught.value)
        with pytest.raises(StimulatorError, match="cannot be written"):
            port.write(b"x")


def test_a_port_that_is_not_there_says_so(tmp_path):
    with pytest.raises(StimulatorError, match=r"^Echo: the port \S+none cannot be opened: there is no such port$"):
        Port(str(tmp_path / "none"), baud=9600, name="Echo")


def test_a_port_that_is_in_use_says_so():
    with (
        Terminal(Echo(), clock=lambda: 0.0) as terminal,
        Port(terminal.path, baud=9600, name="Echo"),
        pytest.raises(StimulatorError, match="cannot be opened: another program uses it"),
    ):
        Port(terminal.path, baud=9600, name="Echo")


def test_a_file_that_is_no_port_says_so(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StimulatorError, match="cannot be opened: ") as caught:
        Port(str(tmp_path / "file"), baud=9600, name="Echo")
    assert "\n" not in str(caught.value)
