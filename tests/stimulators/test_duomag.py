"""The DuoMAG's driver against its stand-in, over a pseudo-terminal; the test's own clock runs ahead as it is asked."""

import itertools
import time
from contextlib import contextmanager

import pytest
from pydantic import ValidationError

from closedloop.config.device import Stimulator as Profile
from closedloop.errors import StimulatorError
from closedloop.standins.duomag import HOT_ADC
from closedloop.standins.duomag import DuoMag as StandIn
from closedloop.standins.terminal import NO_FAULTS, Terminal, WireFaults
from closedloop.stimulators.duomag import DuoMag
from closedloop.stimulators.duomag_settings import DuoMagSettings
from closedloop.stimulators.status import Identity

TICK_S = 0.02
"""Whoever asks for the time moves it: the stand-in's own loop asks every 2 ms, so the device lives 10 times as fast."""
SOON_S = 0.06
"""Where no answer comes."""


def profile(**limits):
    text = {"min_interval_s": 0.5, "max_pulses_per_session": 5000, "max_percent_of_maximum": 80.0} | limits
    latency = {"latency_s": 0.005, "origin": "a test"}
    return Profile.model_validate(
        {"kind": "stimulator", "name": "Rig", "driver": "duomag", "latency": latency, "limits": text}
    )


class Rig:
    """A stand-in, its wire and the driver that speaks to it."""

    def __init__(self, device, faults, settings):
        ticks = itertools.count()
        self.device = device
        self.terminal = Terminal(device, clock=lambda: TICK_S * next(ticks), faults=faults)
        chosen = DuoMagSettings.model_validate({"port": self.terminal.path} | settings)
        self.driver = DuoMag(profile(), chosen, clock=self.terminal._clock, sleep=lambda _seconds: None)


@contextmanager
def open_rig(device=None, *, faults=NO_FAULTS, percent=50.0, configured=True, **settings):
    rig = Rig(device or StandIn(), faults, settings)
    with rig.terminal, rig.driver:
        if configured:
            rig.driver.configure()
        rig.driver.set_intensity(percent)
        yield rig


def refusal(action, *values):
    """Return the one clear line with which something is refused."""
    with pytest.raises(StimulatorError) as caught:
        action(*values)
    said = str(caught.value)
    assert said.startswith("Rig: ")
    assert "\n" not in said
    return said.removeprefix("Rig: ")


def arm(driver):
    with driver.armed():
        pass


def wait_until_ready(driver):
    while not (status := driver.status()).ready:
        assert status.fault == ""


def test_it_says_which_device_answers():
    with open_rig() as rig:
        assert rig.driver.identity == Identity("Deymed DuoMAG")


def test_its_intensity_is_0_whenever_it_is_not_armed():
    rig = Rig(StandIn(), NO_FAULTS, {})
    rig.device.actions["turn-knob"](0.0, 70.0)
    with rig.terminal, rig.driver:
        assert rig.device.percent == 0
        rig.driver.configure()
        rig.driver.set_intensity(40.0)
        assert rig.device.percent == 0
        with rig.driver.armed():
            assert rig.device.percent == 40
            assert rig.driver.status().ready
        assert rig.device.percent == 0
        assert not rig.terminal.trigger()
        with pytest.raises(ZeroDivisionError), rig.driver.armed():
            raise ZeroDivisionError
        assert rig.device.percent == 0


class Silent(StandIn):
    def pass_time(self, _now_s):
        return b""


class Other(StandIn):
    """Streams, but not what a DuoMAG does."""

    def pass_time(self, now_s):
        return super().pass_time(now_s)[:14]


@pytest.mark.parametrize("device", [Silent(), Other()], ids=["silent", "another"])
def test_a_device_that_tells_no_state_is_one_clear_line(device):
    rig = Rig(device, NO_FAULTS, {"reply_s": SOON_S})
    with rig.terminal:
        assert refusal(rig.driver.__enter__).startswith(f"{rig.terminal.path} told no state for {SOON_S:g} s: is the ")
        assert refusal(lambda: rig.driver.identity) == "it is not open: use it in a with block"
        assert refusal(rig.driver.status) == "it is not open: use it in a with block"


def test_nothing_is_changed_while_it_is_armed():
    with open_rig() as rig, rig.driver.armed():
        assert refusal(rig.driver.set_intensity, 40.0) == "disarm before the intensity is changed"
        assert refusal(rig.driver.configure) == "disarm before the settings are changed"
        assert refusal(arm, rig.driver) == "disarm before it is armed again"
        assert rig.driver.status().ready


def test_it_is_not_armed_before_it_is_configured_nor_at_0():
    with open_rig(configured=False) as rig:
        assert refusal(arm, rig.driver) == "configure it first"
        rig.driver.configure()
        rig.driver.set_intensity(0.0)
        assert refusal(arm, rig.driver) == "intensity = 0 %: set one above 0 before it is armed"


def test_delays_are_set_where_that_is_wanted():
    with open_rig(recharge_delay_ms=120.0, output_delay_ms=0.35) as rig:
        # 120 steps of 1 ms, 7 of 0.05 ms
        assert (rig.device.recharge.steps, rig.device.recharge.unit) == (120, 4)
        assert (rig.device.output.steps, rig.device.output.unit) == (7, 0)


def test_a_delay_that_the_device_cannot_have_is_refused():
    with open_rig(configured=False, recharge_delay_ms=129.0) as rig:
        assert refusal(rig.driver.configure) == (
            "settings.recharge_delay_ms = 129 is not 0 to 127 steps of 0.05, 0.1, 0.2, 0.5, 1, 2, 5 or 10"
        )


def test_one_trigger_gives_one_pulse_only():
    with open_rig() as rig:
        rig.driver.set_train(1, 1.0)
        assert refusal(rig.driver.set_train, 2, 10.0) == "pulses = 2 at 10 Hz: one trigger starts 1 pulse here"


HANDS = {
    "knob": ("turn-knob", (61.0,), "the amplitude was changed by hand from 50 to 61 %"),
    "coil off": ("remove-coil", (), "no coil"),
    "other coil": ("attach-coil", (7.0,), "the coil's type 7 is not among 70BF, 70BF-COOL"),
    "hot": ("set-coil-temperature", (HOT_ADC + 1.0,), "the coil is hot"),
}


@pytest.mark.parametrize(("action", "values", "fault"), HANDS.values(), ids=HANDS.keys())
def test_what_a_hand_does_while_it_is_armed_is_a_fault_in_words(action, values, fault):
    with open_rig() as rig:
        with rig.driver.armed():
            rig.terminal.act(action, *values)
            status = rig.driver.status()
            assert status.fault == fault
            assert not status.ready
            assert refusal(rig.driver.fire) == f"it is not ready to fire: {fault}"
        assert rig.device.percent == 0


@pytest.mark.parametrize(("action", "values", "fault"), HANDS.values(), ids=HANDS.keys())
def test_what_a_hand_did_before_keeps_it_from_being_armed(action, values, fault):
    with open_rig() as rig:
        rig.terminal.act(action, *values)
        assert refusal(arm, rig.driver) == f"it cannot be armed: {fault.replace('from 50', 'from 0')}"
        assert not rig.terminal.trigger() or action != "remove-coil"


def test_a_status_tells_the_intensity():
    with open_rig(status_every_s=0.25) as rig:
        assert rig.driver.status_every_s == 0.25
        assert rig.driver.status().percent_of_maximum == 0.0
        with rig.driver.armed():
            status = rig.driver.status()
            assert (status.armed, status.percent_of_maximum, status.coil_temperature_c) == (True, 50.0, None)


def test_a_pulse_over_the_wire_is_confirmed():
    with open_rig() as rig:
        assert refusal(rig.driver.fire) == "arm it before it is fired"
        with rig.driver.armed():
            assert rig.driver.fire() == "yes"
    assert len(rig.device.pulses_s) == 1


def test_a_device_that_recharges_is_not_ready():
    with open_rig(recharge_delay_ms=1270.0) as rig, rig.driver.armed():
        assert rig.driver.fire() == "yes"
        assert not rig.driver.status().ready
        assert refusal(rig.driver.fire) == "it is not ready to fire: it recharges"
        wait_until_ready(rig.driver)


def test_a_device_that_does_not_recharge_is_not_armed():
    with open_rig() as rig:
        rig.device._charged_s = float("inf")
        assert refusal(arm, rig.driver) == "it did not recharge within 2 s"
        assert rig.device.percent == 0


class Quiet(StandIn):
    """Tells nothing for a while, until it is spoken to."""

    quiet = False

    def receive(self, data, now_s):
        self.quiet = False
        return super().receive(data, now_s)

    def pass_time(self, now_s):
        return b"" if self.quiet else super().pass_time(now_s)


def test_a_pulse_after_a_silence_is_unknown():
    with open_rig(Quiet()) as rig, rig.driver.armed():
        assert rig.driver.status().ready
        rig.device.quiet = True
        time.sleep(0.03)  # far longer by its own fast clock
        rig.driver._speak().latest()  # what it had still said is not there any more
        assert rig.driver.fire() == "unknown"
    assert len(rig.device.pulses_s) == 1


def test_what_it_told_last_counts_when_it_is_fired():
    with open_rig(recharge_delay_ms=1270.0) as rig, rig.driver.armed():
        assert rig.driver.status().ready
        assert rig.terminal.trigger()
        time.sleep(0.03)  # it tells a state each 2 ms or so, by its own fast clock
        assert refusal(rig.driver.fire) == "it is not ready to fire: it recharges"
    assert len(rig.device.pulses_s) == 1


class Deaf(StandIn):
    """Hears nothing that is a command to fire, or, once deaf for good, nothing."""

    for_good = False

    def receive(self, data, now_s):
        return super().receive(b"" if self.for_good else data.replace(b"\x79\x79", b""), now_s)


def test_a_pulse_that_nothing_shows_is_unknown_and_never_tried_again():
    with open_rig(Deaf(), reply_s=0.2) as rig, rig.driver.armed():
        assert rig.driver.fire() == "unknown"
    assert rig.device.pulses_s == []


def test_a_device_that_cannot_be_turned_to_0_is_told_as_such():
    def lose(driver, device):
        with driver.armed():
            device.for_good = True

    def session():
        with open_rig(Deaf(), reply_s=SOON_S) as rig:
            said = refusal(lose, rig.driver, rig.device)
            assert said.startswith(f"intensity = 0 % does not read back within 4 attempts of {SOON_S:g} s each: ")
            assert said.endswith("it may still fire at a trigger: turn it off at the device")
            assert rig.driver.refused == 1
            assert rig.terminal.trigger()  # it has no keep-alive

    assert refusal(session).endswith("turn it off at the device")


def test_255_as_a_value_hides_no_state():
    device = StandIn(odd_bytes=(255, 255, 0, 254))
    device.coil_adc = 120
    with open_rig(device, faults=WireFaults(garbage=b"\xff\xff\x00")) as rig, rig.driver.armed():
        assert rig.driver.status().ready


WIRES = {
    "sound": (NO_FAULTS, 100),
    "split": (WireFaults(split=True), 15),
    "merged": (WireFaults(merge=True), 30),
    "damaged": (WireFaults(dropped=0.002, corrupted=0.002, garbage=b"\xff\xff"), 100),
}


@pytest.mark.parametrize(("faults", "pulses"), WIRES.values(), ids=WIRES.keys())
def test_no_pulse_is_lost_or_doubled_on_any_wire(faults, pulses):
    with open_rig(faults=faults) as rig:
        delivered, known = 0, 0
        with rig.driver.armed():
            for _ in range(pulses):
                wait_until_ready(rig.driver)
                delivered += 1
                known += rig.driver.fire() == "yes"
            assert rig.driver.status().fault == ""
        assert len(rig.device.pulses_s) == delivered
        assert 0.8 * pulses < known <= pulses
        assert rig.driver.refused == 0
        assert (rig.terminal.dropped + rig.terminal.corrupted > 0) == (faults.dropped > 0)


@pytest.mark.parametrize("wrong", [{"baud": 0}, {"port": ""}, {"coils": []}, {"coils": ["80BF"]}, {"reply_s": 0.0}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        DuoMagSettings.model_validate({"port": "/dev/ttyUSB0"} | wrong)
