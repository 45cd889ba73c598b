"""Faults on request: each of those that a driver has to stand is there by its name."""

import pytest

from closedloop.errors import ConfigError, StimulatorError
from closedloop.standins.faults import parse_faults
from closedloop.standins.magpro import MagPro
from closedloop.standins.table import STANDINS
from closedloop.standins.terminal import NO_FAULTS, Terminal, WireFaults
from closedloop.stimulators.port import Port

EVERYWHERE = ["split", "merge", "dropped", "corrupted=0.5", "deaf", "mishears", "garbage", "vanishes-after=10"]
OF_DEVICES = {
    "magstim-200-squared": ["remove-coil", "set-coil-temperature=41", "replace-coil", "fatal-error=12", "turn-knob=40"],
    "magstim-bistim-squared": ["remove-coil", "set-coil-temperature=41", "fatal-error", "press-stop"],
    "magstim-rapid-squared": ["remove-coil", "set-coil-temperature=41", "fatal-error", "rest=20"],
    "magventure-r30": ["remove-coil", "set-coil-temperature=41", "turn-knob=40", "turn-page=2", "settle-after=2"],
    "magventure-x100": ["leave-half-frame", "hang-when-malformed", "change-direction=1", "press-disable"],
    "duomag": ["remove-coil", "set-coil-temperature=201", "turn-knob=40", "lose-byte", "say-255"],
}


def test_every_stand_in_has_faults_of_its_own():
    assert set(OF_DEVICES) == set(STANDINS)


@pytest.mark.parametrize("device", STANDINS)
def test_each_fault_is_there_by_its_name(device):
    standin = STANDINS[device]()
    faults = parse_faults([*EVERYWHERE, *OF_DEVICES[device]], standin.actions)
    assert faults.wire == WireFaults(
        split=True,
        merge=True,
        dropped=0.01,
        corrupted=0.5,
        garbage=bytes(16),
        deaf=0.01,
        mishears=0.01,
        vanishes_after=10,
    )
    assert [name for name, _ in faults.actions] == [text.partition("=")[0] for text in OF_DEVICES[device]]
    for name, values in faults.actions:
        standin.actions[name](0.0, *values)  # each with the number that it needs


def test_no_fault_is_a_sound_wire():
    assert parse_faults([], ["remove-coil"]).wire == NO_FAULTS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fire", r"^--fault = fire: there is no such fault \(there: split, merge, .*, vanishes-after, remove-coil\)$"),
        ("deaf=much", r"^--fault = deaf=much: much is no number$"),
        ("deaf=", r"^--fault = deaf=: nothing is no number$"),
        ("deaf=1.5", r"^--fault = deaf=1\.5: a share is within 0 and 1, a number of bytes at least 0$"),
        ("dropped=nan", r"^--fault = dropped=nan: a share is within 0 and 1, a number of bytes at least 0$"),
        (
            "vanishes-after=-1",
            r"^--fault = vanishes-after=-1: a share is within 0 and 1, a number of bytes at least 0$",
        ),
    ],
)
def test_a_fault_that_cannot_be_is_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        parse_faults([text], ["remove-coil"])


class Listener:
    """Answers with how many bytes it has heard, and how many of them were not 0."""

    def __init__(self):
        self.pulses_s, self.actions = [], {}
        self.heard = b""

    def receive(self, data, _now_s):
        self.heard += data
        return b""

    def pass_time(self, _now_s):
        return b""

    def trigger(self, _now_s):
        return False


def test_a_device_that_is_hard_of_hearing_loses_and_mistakes_bytes():
    listener = Listener()
    faults = WireFaults(deaf=0.2, mishears=0.2)
    with (
        Terminal(listener, clock=lambda: 0.0, faults=faults) as terminal,
        Port(terminal.path, baud=9600, name="Listener") as port,
    ):
        port.write(bytes(1000))
        port.drain(0.2)
    assert len(listener.heard) == 1000 - terminal.dropped
    assert sum(byte != 0 for byte in listener.heard) == terminal.corrupted
    assert 120 < terminal.dropped < 280
    assert 120 < terminal.corrupted < 280


def test_a_plug_that_is_pulled_after_some_bytes_is_one_clear_line():
    device = MagPro()
    ask = bytes.fromhex("FE 01 00 00 FF")
    with (
        Terminal(device, clock=lambda: 0.0, faults=WireFaults(vanishes_after=20)) as terminal,
        Port(terminal.path, baud=38400, name="Rig") as port,
    ):
        port.write(ask)
        assert len(port.read(1.0)) == 13

        def go_on():
            for _ in range(100):
                port.write(ask)
                port.read(1.0)

        with pytest.raises(StimulatorError, match=r"^Rig: the port \S+ cannot be ") as caught:
            go_on()
        assert "\n" not in str(caught.value)
        assert terminal.sent == 20
