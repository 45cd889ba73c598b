"""The MagPro's driver against its stand-in, over a pseudo-terminal; device times are those of the test's own clock."""

from contextlib import contextmanager

import numpy as np
import pytest
from pydantic import ValidationError

from closedloop.config.device import Stimulator as Profile
from closedloop.errors import StimulatorError
from closedloop.standins.magpro import MagPro as StandIn
from closedloop.standins.terminal import NO_FAULTS, Terminal, WireFaults
from closedloop.stimulators.magpro import SETTINGS_EVERY_S, SWITCH_S, MagPro
from closedloop.stimulators.magpro_settings import MagProSettings
from closedloop.stimulators.status import Identity

REPLY_S, SOON_S = 0.3, 0.06
"""Where an answer comes, however late this machine is, and where none does."""


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


def profile(**limits):
    text = {"min_interval_s": 0.01, "max_pulses_per_session": 5000, "max_percent_of_maximum": 80.0} | limits
    latency = {"latency_s": 0.005, "origin": "a test"}
    return Profile.model_validate(
        {"kind": "stimulator", "name": "Rig", "driver": "magpro", "latency": latency, "limits": text}
    )


class Rig:
    """A stand-in, its wire and the driver that speaks to it."""

    def __init__(self, model, options, faults, limits, settings):
        self.clock = Clock()
        self.device = StandIn(model, **options)
        self.terminal = Terminal(self.device, clock=self.clock, faults=faults)
        chosen = {"port": self.terminal.path, "model": model, "reply_s": REPLY_S} | settings
        self.driver = MagPro(
            profile(**limits), MagProSettings.model_validate(chosen), clock=self.clock, sleep=self.clock.sleep
        )


@contextmanager
def open_rig(model="X100", *, options=None, faults=NO_FAULTS, limits=None, configured=True, **settings):
    rig = Rig(model, options or {}, faults, limits or {}, settings)
    with rig.terminal, rig.driver:
        if configured:
            rig.driver.configure()
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


def test_it_says_which_device_answers():
    with open_rig(configured=False) as rig:
        assert rig.driver.identity == Identity("MagVenture MagPro X100", serial_number="2049")


def test_it_is_left_disabled_and_at_0_when_opened_and_when_closed():
    rig = Rig("X100", {}, NO_FAULTS, {}, {})
    rig.device.receive(bytes.fromhex("FE 02 02 01 CF FF FE 02 01 32 C6 FF"), 0.0)
    with rig.terminal:
        with rig.driver:
            assert (rig.device.state.enabled, rig.device.state.percent) == (False, 0)
            rig.driver.set_intensity(40.0)
            assert rig.device.state.percent == 40
        assert (rig.device.state.enabled, rig.device.state.percent) == (False, 0)


def test_another_device_is_refused_and_left_alone():
    rig = Rig("X100", {}, NO_FAULTS, {}, {"model": "R30"})
    rig.device.actions["press-enable"](0.0)
    with rig.terminal:
        said = refusal(rig.driver.__enter__)
        assert said == f"{rig.terminal.path} leads to a MagPro X100, not to the R30 that is set"
        assert rig.device.state.enabled


def test_a_device_that_does_not_answer_is_one_clear_line():
    rig = Rig("X100", {"hangs_when_malformed": True}, NO_FAULTS, {}, {"reply_s": SOON_S})
    rig.device.receive(b"xx", 0.0)
    with rig.terminal:
        said = refusal(rig.driver.__enter__)
        assert said.startswith(f"status: no answer at {rig.terminal.path} to 4 attempts of {SOON_S:g} s each")
        assert refusal(lambda: rig.driver.identity) == "open it before it is asked what it is"
        assert refusal(rig.driver.status) == "it is not open: use it in a with block"


def test_a_line_that_babbles_is_one_clear_line():
    class Babble:
        pulses_s, actions = (), {}

        def receive(self, _data, _now_s):
            return bytes(5000)

        def pass_time(self, _now_s):
            return b""

    with Terminal(Babble(), clock=lambda: 0.0) as terminal:
        settings = MagProSettings(port=terminal.path, model="X100", reply_s=REPLY_S)
        said = refusal(MagPro(profile(), settings).__enter__)
        assert said.startswith(f"{terminal.path} sent ")
        assert "bytes without a pause (at most 4096)" in said


def test_the_port_is_free_again_once_it_is_closed():
    with Terminal(StandIn(), clock=lambda: 0.0) as terminal:
        for _ in range(2):
            with MagPro(profile(), MagProSettings(port=terminal.path, model="X100", reply_s=REPLY_S)):
                pass


def test_an_intensity_is_not_changed_while_it_is_armed():
    with open_rig() as rig:
        rig.driver.set_intensity(50.0)
        with rig.driver.armed():
            assert refusal(rig.driver.set_intensity, 40.0) == "disarm before the intensity is changed"
            assert refusal(rig.driver.configure) == "disarm before the settings are changed"
            assert refusal(rig.driver.set_train, 1, 1.0) == "disarm before the train is changed"
            assert refusal(arm, rig.driver) == "disarm before it is armed again"
            assert rig.driver.status().ready
        assert rig.device.state.percent == 50


def test_an_intensity_that_reads_back_as_another_is_a_fault():
    with open_rig() as rig:
        set_amplitude = rig.device._set_amplitude
        rig.device._set_amplitude = lambda values: set_amplitude(bytes((values[0] + 1,)))
        said = refusal(rig.driver.set_intensity, 50.0)
        rig.device._set_amplitude = set_amplitude
        assert said == "intensity = 50 % reads back as 51 %: was the knob turned?"
        assert rig.driver.status().fault == "the amplitude was changed by hand from 50 to 51 %"


def test_mode_waveform_and_direction_are_set_and_read_back():
    chosen = {"mode": "power", "waveform": "half-sine", "current_direction": "reverse"}
    with open_rig("X100+Option", **chosen) as rig:
        now = rig.device.state.settings
        assert (now.mode, now.waveform, now.direction) == (1, 2, 1)
        assert rig.driver.status().fault == ""


def test_settings_that_the_device_does_not_take_are_refused():
    with open_rig(configured=False, waveform="monophasic") as rig:
        rig.device._settle = lambda _values, _now_s: b""
        assert refusal(rig.driver.configure) == (
            "what was set does not read back: the waveform is biphasic, not monophasic"
        )
        assert refusal(arm, rig.driver).startswith("configure it first")


def test_an_r30s_odd_model_does_not_matter():
    with open_rig("R30", options={"odd_model_byte": True}) as rig, rig.driver.armed():
        assert rig.driver.status().ready


def test_the_delays_are_set_where_that_is_wanted_and_left_where_not():
    with open_rig(configured=False) as rig:
        rig.device.state.delays = (5.0, -2.0, 100)
        rig.driver.configure()
        assert rig.device.state.delays == (5.0, -2.0, 100)
    with open_rig(configured=False, charge_delay_ms=300) as rig:
        rig.device.state.delays = (5.0, -2.0, 100)
        rig.driver.configure()
        assert rig.device.state.delays == (0.0, -2.0, 300)


def test_it_is_armed_for_the_block_and_no_longer():
    with open_rig() as rig:
        rig.driver.set_intensity(50.0)
        assert not rig.driver.status().ready
        with rig.driver.armed():
            assert rig.driver.status().ready
            assert rig.terminal.trigger()
        assert not rig.terminal.trigger()
        with pytest.raises(ZeroDivisionError), rig.driver.armed():
            raise ZeroDivisionError
        assert not rig.device.state.enabled
    assert len(rig.device.pulses_s) == 1


def test_it_is_not_armed_before_it_is_configured():
    with open_rig(configured=False) as rig:
        assert refusal(arm, rig.driver) == "configure it first: what one trigger starts is not known"


def test_a_device_that_is_not_enabled_in_time_is_refused_and_disabled():
    with open_rig() as rig:
        rig.device._enable = lambda **_on: b""
        started_s = rig.clock.now_s
        assert refusal(arm, rig.driver) == "it was not enabled within 2 s"
        assert rig.clock.now_s - started_s == pytest.approx(SWITCH_S, abs=0.1)


def test_a_device_that_cannot_be_disabled_is_told_as_such():
    def stay_enabled():
        with open_rig() as rig:
            enable = rig.device._enable
            rig.device._enable = lambda **_on: enable(on=True)
            said.append(refusal(arm, rig.driver))

    said = []
    said.append(refusal(stay_enabled))
    assert said == 2 * ["it was not disabled within 2 s; it may still be enabled: press Disable at the device"]


HANDS = {
    "knob": ("turn-knob", (61.0,), "the amplitude was changed by hand from 50 to 61 %"),
    "coil off": ("remove-coil", (), "no coil; it was disabled at its panel, or by itself"),
    "other coil": ("attach-coil", (99.0,), "the coil's type 99 is not known"),
    "hot": ("set-coil-temperature", (41.0,), "the coil is hot: 41 °C (at most 40)"),
    "disabled": ("press-disable", (), "it was disabled at its panel, or by itself"),
    "mode": ("change-mode", (2.0,), "by hand, the mode is twin, not standard"),
}


@pytest.mark.parametrize(("action", "values", "fault"), HANDS.values(), ids=HANDS.keys())
def test_what_a_hand_does_while_it_is_armed_is_a_fault_in_words(action, values, fault):
    with open_rig() as rig:
        rig.driver.set_intensity(50.0)
        with rig.driver.armed():
            rig.terminal.act(action, *values)
            status = rig.driver.status()
            assert status.fault == fault
            assert not status.ready
        assert not rig.device.state.enabled


@pytest.mark.parametrize("name", ["knob", "other coil", "hot", "mode"])
def test_what_a_hand_did_before_keeps_it_from_being_armed(name):
    action, values, fault = HANDS[name]
    with open_rig() as rig:
        rig.driver.set_intensity(50.0)
        rig.terminal.act(action, *values)
        assert refusal(arm, rig.driver) == f"it cannot be armed: {fault}"


def test_a_current_that_a_hand_reversed_keeps_it_from_being_armed():
    with open_rig() as rig:
        rig.terminal.act("change-direction", 1.0)
        assert refusal(arm, rig.driver) == "it cannot be armed: by hand, the current direction is reverse, not normal"


def test_a_current_that_a_hand_reverses_while_it_is_armed_is_a_fault_within_some_seconds():
    """The status does not tell it; the settings do, which are read now and then."""
    with open_rig() as rig, rig.driver.armed():
        rig.clock.sleep(1.0)
        assert rig.driver.status().ready  # what was set last is in force by now
        rig.terminal.act("change-direction", 1.0)
        rig.clock.sleep(SETTINGS_EVERY_S + 0.1)
        status = rig.driver.status()
        assert (status.ready, status.fault) == (False, "by hand, the current direction is reverse, not normal")


def test_a_page_to_which_a_hand_turns_is_a_fault_since_a_trigger_may_start_a_sequence_there():
    with open_rig() as rig:
        with rig.driver.armed():
            rig.terminal.act("turn-page", 2.0)
            status = rig.driver.status()
            assert not status.ready
            assert status.fault == "by hand, its screen is at page 2, not 1: a trigger may start something else there"
        rig.terminal.act("turn-page", 1.0)
        assert rig.driver.status().fault == ""


def test_settings_that_take_longer_than_usual_are_waited_for_and_those_that_take_for_ever_are_refused():
    with open_rig(configured=False, waveform="half-sine") as rig:
        rig.terminal.act("settle-after", 0.8)
        rig.driver.configure()
    with open_rig(configured=False, waveform="half-sine") as rig:
        rig.terminal.act("settle-after", 60.0)
        said = "what was set does not read back: the waveform is biphasic, not half-sine"
        assert refusal(rig.driver.configure) == said


def test_a_device_was_told_nothing_malformed_in_all_that_a_session_does():
    with open_rig(options={"hangs_when_malformed": True}, trains=True, charge_delay_ms=100) as rig:
        rig.driver.set_intensity(50.0)
        rig.driver.set_train(5, 10.0)
        rig.driver.set_train(1, 1.0)
        with rig.driver.armed():
            assert rig.driver.fire() == "yes"
    assert not rig.device.hung


def test_a_device_that_was_enabled_at_its_panel_is_a_fault():
    with open_rig() as rig:
        rig.terminal.act("press-enable")
        status = rig.driver.status()
        assert (status.armed, status.ready, status.fault) == (True, False, "it was enabled at its panel")


def test_a_status_tells_intensity_and_temperature():
    with open_rig(status_every_s=0.25) as rig:
        rig.driver.set_intensity(50.0)
        status = rig.driver.status()
        assert (status.percent_of_maximum, status.coil_temperature_c) == (50.0, 23.0)
        assert rig.driver.status_every_s == 0.25


def test_a_train_starts_at_one_trigger():
    with open_rig(trains=True) as rig:
        rig.driver.set_intensity(50.0)
        rig.driver.set_train(3, 50.0)
        with rig.driver.armed():
            rig.terminal.trigger()
            rig.clock.sleep(1.0)
            assert rig.driver.status().ready
            assert refusal(rig.driver.fire) == "a train of 3 pulses starts by the trigger input only"
        assert np.diff(rig.device.pulses_s) == pytest.approx([0.02, 0.02])
        rig.driver.set_train(1, 1.0)
        with rig.driver.armed():
            rig.terminal.trigger()
            rig.clock.sleep(1.0)
            assert rig.driver.status().ready
    assert len(rig.device.pulses_s) == 4


def test_a_train_that_is_not_taken_leaves_it_unconfigured():
    with open_rig(trains=True) as rig:
        rig.device._set_train = lambda _values: b""
        assert "what was set does not read back: DeviceTrain(" in refusal(rig.driver.set_train, 3, 50.0)
        assert refusal(arm, rig.driver).startswith("configure it first")


TRAINS = {
    "none": (0, 1.0, {}, "a train of 0 pulses is not within 1 to 2000"),
    "too many": (2100, 1.0, {}, "a train of 2100 pulses is not within 1 to 2000"),
    "not a hundred": (1050, 1.0, {}, "a train of 1050 pulses: above 1000 the device takes whole hundreds only"),
    "too fast": (2, 101.0, {}, "frequency = 101 Hz is not within 0.1 to 100 of the X100"),
    "no rate": (2, float("nan"), {}, "frequency = nan Hz is not within 0.1 to 100 of the X100"),
    "between": (2, 1.5, {}, "frequency = 1.5 Hz: the device takes steps of 0.1 Hz up to 1 Hz, of 1 Hz above"),
    "finer": (2, 0.25, {}, "frequency = 0.25 Hz: the device takes steps of 0.1 Hz up to 1 Hz, of 1 Hz above"),
    "closer than the limit": (
        2,
        20.0,
        {"min_interval_s": 0.1},
        "frequency = 20 Hz: pulses 0.05 s apart are closer than the device's limits.min_interval_s = 0.1",
    ),
    "beyond a session": (40, 10.0, {"max_pulses_per_session": 30}, "a train of 40 pulses is not within 1 to 30"),
}


@pytest.mark.parametrize(("pulses", "frequency_hz", "limits", "said"), TRAINS.values(), ids=TRAINS.keys())
def test_a_train_that_cannot_be_is_refused(pulses, frequency_hz, limits, said):
    with open_rig(trains=True, limits=limits) as rig:
        assert refusal(rig.driver.set_train, pulses, frequency_hz) == said


def test_a_page_that_is_not_turned_leaves_it_unconfigured():
    with open_rig(trains=True) as rig:
        rig.device._turn_page = lambda _page: b""
        assert refusal(rig.driver.set_train, 3, 50.0) == "what was set does not read back: page 1 instead of 2"
        assert refusal(arm, rig.driver).startswith("configure it first")


def test_a_slow_model_has_slow_trains_and_some_have_none():
    with open_rig("R30", trains=True) as rig:
        assert refusal(rig.driver.set_train, 2, 31.0) == "frequency = 31 Hz is not within 0.1 to 30 of the R30"
    with open_rig("R30") as rig:
        said = "a train of 2 pulses: settings.trains is false, so one trigger gives one pulse"
        assert refusal(rig.driver.set_train, 2, 10.0) == said


def test_a_pulse_over_the_wire_is_confirmed():
    with open_rig() as rig:
        assert refusal(rig.driver.fire) == "arm it before it is fired"
        rig.driver.set_intensity(50.0)
        with rig.driver.armed():
            assert rig.driver.fire() == "yes"
    assert len(rig.device.pulses_s) == 1


def test_a_pulse_that_nobody_told_of_is_unknown_and_never_tried_again():
    with open_rig() as rig, rig.driver.armed():  # at 0 % the slope is 0
        assert rig.driver.fire() == "unknown"
    assert len(rig.device.pulses_s) == 1


def test_an_older_pulses_frame_confirms_no_newer_pulse():
    with open_rig() as rig:
        rig.driver.set_intensity(50.0)
        with rig.driver.armed():
            rig.terminal.trigger()
            assert rig.driver.status().ready  # its frame is on the wire by now
            rig.terminal.act("press-disable")
            assert rig.driver.fire() == "unknown"
            assert rig.driver.pulses_told == 1


def test_a_stale_half_frame_hides_no_answer():
    with open_rig() as rig:
        for _ in range(5):
            rig.terminal.act("leave-half-frame")
            assert rig.driver.status().fault == ""
        assert rig.driver.refused == 0


def test_garbage_at_the_beginning_does_not_matter():
    with open_rig(faults=WireFaults(garbage=b"\x00\xff\xfe\x0d\xfe\xfe\x00")) as rig, rig.driver.armed():
        assert rig.driver.status().ready


def test_a_device_that_hangs_while_it_is_armed_stays_enabled_and_that_is_told():
    """It has no keep-alive: only a hand, or an interlock, disables it now."""

    def hang(driver, device):
        with driver.armed():
            device.hung = True
            assert "no answer" in refusal(driver.status)
            assert driver.refused == 1

    def session():
        with open_rig(reply_s=SOON_S) as rig:
            assert refusal(hang, rig.driver, rig.device).endswith("press Disable at the device")
            rig.clock.sleep(3600.0)
            assert rig.terminal.trigger()

    assert refusal(session).endswith("it may still be enabled: press Disable at the device")


def test_what_was_counted_is_told_after_it_is_closed():
    with open_rig() as rig:
        rig.driver.set_intensity(50.0)
        with rig.driver.armed():
            rig.terminal.trigger()
    assert (rig.driver.pulses_told, rig.driver.recovered, rig.driver.refused) == (1, 0, 0)
    assert refusal(rig.driver.status) == "it is not open: use it in a with block"


WIRES = {
    "sound": (NO_FAULTS, 1000),
    "split": (WireFaults(split=True), 150),
    "merged": (WireFaults(merge=True), 60),
    "damaged": (WireFaults(dropped=0.001, corrupted=0.001, garbage=b"\xfe\xfe"), 1000),
    "all of it": (WireFaults(split=True, merge=True, dropped=0.003, corrupted=0.003, garbage=b"\xff"), 30),
}


@pytest.mark.parametrize(("faults", "pulses"), WIRES.values(), ids=WIRES.keys())
def test_no_pulse_is_lost_or_doubled_on_any_wire(faults, pulses):
    damaged = faults.dropped > 0
    with open_rig(faults=faults, reply_s=SOON_S if damaged else REPLY_S) as rig:
        rig.driver.set_intensity(50.0)
        delivered, known = 0, 0
        with rig.driver.armed():
            for _ in range(pulses):
                assert rig.driver.status().fault == ""
                delivered += 1
                known += rig.driver.fire() == "yes"
                rig.clock.sleep(0.2)
            assert rig.driver.status().ready  # the last command has arrived
        assert len(rig.device.pulses_s) == delivered
        assert rig.driver.refused == 0
        if damaged:
            assert rig.terminal.dropped + rig.terminal.corrupted > 0
            assert 0.8 * pulses < known <= rig.driver.pulses_told <= pulses
            assert rig.driver.recovered > 0 or pulses < 1000
        else:
            assert known == rig.driver.pulses_told == pulses


class HardOfHearing(StandIn):
    """Hears all but each 97th byte."""

    heard = 0

    def receive(self, data, now_s):
        first, self.heard = self.heard, self.heard + len(data)
        return super().receive(bytes(byte for k, byte in enumerate(data, first) if k % 97), now_s)


def test_a_command_that_is_lost_on_its_way_is_asked_again_unless_it_fires():
    with open_rig(reply_s=SOON_S) as rig:
        rig.device.__class__ = HardOfHearing
        rig.driver.set_intensity(50.0)
        said = []
        with rig.driver.armed():
            for _ in range(60):
                fired = len(rig.device.pulses_s)
                said.append(rig.driver.fire())
                assert rig.driver.status().fault == ""
                assert len(rig.device.pulses_s) - fired == (said[-1] == "yes")
        assert set(said) == {"yes", "unknown"}
        assert rig.driver.recovered > 0
        assert rig.driver.refused == 0


BAD_SETTINGS = [{"baud": 0}, {"model": "X200"}, {"mode": "twin"}, {"waveform": "biphasic-burst"}, {"settle_s": -1.0}]


@pytest.mark.parametrize("wrong", [*BAD_SETTINGS, {"port": ""}, {"coil_types": []}, {"charge_delay_ms": 12001}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        MagProSettings.model_validate({"port": "/dev/ttyUSB0", "model": "X100"} | wrong)
