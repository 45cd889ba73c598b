"""Magstim drivers against stand-ins behind a real pseudo-terminal; the devices' time is the test's own."""

from contextlib import ExitStack, contextmanager

import pytest
from pydantic import ValidationError

from closedloop.config.device import DeviceLimits, Latency, Stimulator
from closedloop.errors import StimulatorError
from closedloop.standins.magstim import BiStimStandIn, Magstim200StandIn
from closedloop.standins.magstim_rapid2 import UNLOCK_CODE, Rapid2StandIn
from closedloop.standins.terminal import NO_FAULTS, Terminal, WireFaults
from closedloop.stimulators.magstim import BiStim, Magstim200
from closedloop.stimulators.magstim_rapid2 import Rapid2, Rapid2Settings
from closedloop.stimulators.magstim_session import MagstimSettings
from closedloop.stimulators.status import Identity, Status

PROFILE = Stimulator(
    kind="stimulator",
    name="Rig",
    driver="magstim",
    latency=Latency(latency_s=0.0, origin="none"),
    limits=DeviceLimits(min_interval_s=0.1, max_pulses_per_session=2000, max_percent_of_maximum=90.0),
)
DRIVERS = {Magstim200StandIn: Magstim200, BiStimStandIn: BiStim, Rapid2StandIn: Rapid2}


class Clock:
    """A test's own time."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s

    def sleep(self, duration_s):
        self.now_s += duration_s


class Bench:
    """A stand-in, its wire, and the driver that is open on it."""

    def __init__(self, standin, terminal, driver, clock):
        self.standin, self.terminal, self.driver, self.clock = standin, terminal, driver, clock

    def sleep(self, duration_s):
        """Let time pass and keep the device alive, as whoever has a driver must."""
        until_s = self.clock() + duration_s
        while (left_s := until_s - self.clock()) > 1e-9:
            self.clock.sleep(min(left_s, self.driver.status_every_s))
            self.driver.status()


def settings_of(driver, path, **changes):
    if driver is Rapid2:
        given = {"mains_v": 240, "variant": "super", "unlock_code": UNLOCK_CODE} | changes
        return Rapid2Settings(port=path, **given)
    return MagstimSettings(port=path, **changes)


@contextmanager
def bench(standin, *, faults=NO_FAULTS, driver=None, **changes):
    clock = Clock()
    kind = driver or DRIVERS[type(standin)]
    with Terminal(standin, clock=clock, faults=faults) as terminal:
        made = kind(PROFILE, settings_of(kind, terminal.path, **changes), clock=clock, sleep=clock.sleep)
        with made:
            yield Bench(standin, terminal, made, clock)


def standins():
    return [Magstim200StandIn(), BiStimStandIn(), *(Rapid2StandIn(version=f"V{n}.0") for n in (5, 7, 8, 9, 10))]


@pytest.mark.parametrize("standin", standins(), ids=lambda s: f"{type(s).__name__}-{s.version}")
def test_it_sets_arms_fires_and_leaves_the_device_disarmed_and_free(standin):
    standin.actions["turn-knob"](0.0, 60)
    with bench(standin) as rig:
        driver = rig.driver
        assert driver.identity == Identity(DRIVERS[type(standin)].model, firmware=standin.version)
        assert driver.status_every_s == 5.0
        driver.set_intensity(45)
        assert standin.power == 45
        with driver.armed():
            assert driver.status_every_s == 0.5
            status = driver.status()
            assert (status.armed, status.ready, status.fault, status.percent_of_maximum) == (True, True, "", 45.0)
            assert rig.terminal.trigger()
            rig.sleep(4.5)
            assert driver.fire() == "yes"
            assert not driver.status().ready
        assert not standin.armed
        assert driver.status() == Status(False, False, "", 45.0, 25.0)
        assert (driver.recovered, driver.refused) == (0, 0)
    assert len(standin.pulses_s) == 2
    assert not standin.remote


def test_the_output_is_waited_for():
    with bench(Magstim200StandIn()) as rig:
        rig.driver.set_intensity(0)  # 30 percent down
        assert 3.0 <= rig.clock() <= 3.2
        rig.driver.set_intensity(90)
        assert 3.9 <= rig.clock() <= 4.2
        with rig.driver.armed():
            pass


@pytest.mark.parametrize(
    ("percent", "said"),
    [
        (90.5, "Rig: intensity = 90.5 % of the maximum is not within 0 to 90"),
        (-1.0, "Rig: intensity = -1 % of the maximum is not within 0 to 90"),
        (float("nan"), "Rig: intensity = nan % of the maximum is not within 0 to 90"),
        (50.5, "Rig: intensity = 50.5 % of the maximum is not a whole number"),
    ],
)
def test_an_intensity_that_cannot_be_is_refused(percent, said):
    with bench(Magstim200StandIn()) as rig:
        with pytest.raises(StimulatorError) as caught:
            rig.driver.set_intensity(percent)
        assert str(caught.value) == said
        assert rig.standin.power == 30


def test_while_it_is_armed_nothing_is_changed():
    with bench(Rapid2StandIn()) as rig, rig.driver.armed():
        with pytest.raises(StimulatorError, match=r"^Rig: disarm before the intensity is changed$"):
            rig.driver.set_intensity(20)
        with pytest.raises(StimulatorError, match=r"^Rig: disarm before the train is changed$"):
            rig.driver.set_train(2, 10.0)
        with pytest.raises(StimulatorError, match=r"^Rig: disarm before it is armed again$"), rig.driver.armed():
            pass
        assert rig.driver.status().ready


def test_it_fires_armed_only():
    with bench(Magstim200StandIn()) as rig:
        with pytest.raises(StimulatorError, match=r"^Rig: it cannot fire: it is not armed$"):
            rig.driver.fire()
        with rig.driver.armed():
            assert rig.driver.fire() == "yes"
            with pytest.raises(StimulatorError, match=r"^Rig: it did not fire: its state does not allow it$"):
                rig.driver.fire()
    assert len(rig.standin.pulses_s) == 1


def test_an_acknowledgement_that_is_lost_is_unknown_and_the_pulse_is_not_asked_for_again():
    standin, asked = Magstim200StandIn(), []
    answer = standin._answer

    def note(request, now_s):
        asked.append(request)
        return answer(request, now_s)

    standin._answer = note
    with bench(standin) as rig, rig.driver.armed():
        rig.terminal.faults = WireFaults(dropped=1.0)
        assert rig.driver.fire() == "unknown"
        assert sum(request[:2] == b"EH" for request in asked) == 1
        rig.terminal.faults = NO_FAULTS
        assert rig.driver.status().fault == ""
        assert len(rig.standin.pulses_s) == 1


@pytest.mark.parametrize(
    ("action", "fault"),
    [
        (("remove-coil",), "coil missing; disarmed by itself"),
        (("replace-coil",), "replace the coil; disarmed by itself"),
        (("fatal-error", 12), "fatal error E12; disarmed by itself"),
        (("press-stop",), "it was disarmed at its front panel, or by an interlock"),
    ],
)
def test_what_goes_wrong_while_it_is_armed_is_said(action, fault):
    with bench(Magstim200StandIn()) as rig, rig.driver.armed():
        rig.terminal.act(*action)
        status = rig.driver.status()
        assert (status.armed, status.ready, status.fault) == (False, False, fault)


def test_a_device_whose_timer_is_about_to_disarm_it_says_so_and_is_not_ready():
    with bench(Magstim200StandIn()) as rig, rig.driver.armed():
        rig.sleep(45.0)
        status = rig.driver.status()
        assert (status.expiring, status.armed, status.ready, status.fault) == (False, True, True, "")
        rig.sleep(6.0)
        status = rig.driver.status()
        assert (status.expiring, status.armed, status.ready, status.fault) == (True, True, False, "")
        rig.sleep(10.0)  # nobody has wound it up: a human has to look
        status = rig.driver.status()
        assert (status.expiring, status.armed, status.ready) == (False, False, False)
        assert status.fault == "it was disarmed at its front panel, or by an interlock"


@pytest.mark.parametrize("how", ["by command", "by its line"])
def test_a_device_that_has_fired_since_was_stopped_by_a_hand(how):
    with bench(Magstim200StandIn()) as rig, rig.driver.armed():
        rig.sleep(30.0)
        if how == "by command":
            assert rig.driver.fire() == "yes"
        else:
            assert rig.terminal.trigger()
            rig.driver.note_trigger(0.0)
        rig.sleep(48.5)
        assert rig.driver.status().ready
        rig.terminal.act("press-stop")
        status = rig.driver.status()
        assert not status.expiring
        assert status.fault == "it was disarmed at its front panel, or by an interlock"


@pytest.mark.parametrize(("percent", "hz"), [(30, 100), (31, 75), (100, 25), (110, 25)])
def test_a_rapid_recharges_as_its_highest_frequency_demands(percent, hz):
    with bench(Rapid2StandIn()) as rig:
        rig.standin._output.percent = percent  # above 100: a hand has switched enhanced power on
        rig.driver.status()
        rig.driver.status()
        assert rig.driver.recharge_s == pytest.approx(1.0 / hz)


def test_a_hot_coil_is_said_within_ten_seconds_and_cannot_be_armed():
    with bench(Magstim200StandIn()) as rig:
        rig.driver.status()
        rig.terminal.act("set-coil-temperature", 41.5)
        rig.sleep(10.0)
        assert rig.driver.status().fault == "coil hot: 41.5 °C is above 40"
        with (
            pytest.raises(StimulatorError, match=r"^Rig: it cannot be armed: coil hot: 41\.5 °C is above 40$"),
            rig.driver.armed(),
        ):
            pass


def test_a_missing_coil_cannot_be_armed():
    with bench(Magstim200StandIn()) as rig:
        rig.terminal.act("remove-coil")
        with pytest.raises(StimulatorError, match=r"^Rig: it cannot be armed: coil missing$"), rig.driver.armed():
            pass


def test_a_host_that_was_silent_learns_that_remote_control_is_lost():
    with bench(Magstim200StandIn()) as rig, rig.driver.armed():
        rig.clock.sleep(1.5)
        assert rig.driver.status().fault == "remote control lost; disarmed by itself"


def test_a_host_that_dies_leaves_a_device_that_disarms_itself_in_a_second():
    standin = Magstim200StandIn()
    clock = Clock()
    with Terminal(standin, clock=clock) as terminal:
        driver = Magstim200(PROFILE, MagstimSettings(port=terminal.path), clock=clock, sleep=clock.sleep)
        with pytest.raises(StimulatorError, match="cannot be"), driver, driver.armed():  # noqa: PT012
            assert terminal.trigger()
            terminal.vanish()
            driver.status()
    standin.pass_time(clock() + 1.0)
    assert not standin.armed
    assert not standin.trigger(clock() + 1.0)


def test_a_device_that_does_not_get_ready_is_disarmed():
    standin = Magstim200StandIn()
    with bench(standin) as rig:
        standin._events = list  # it hangs: nothing happens by itself
        with (
            pytest.raises(StimulatorError, match=r"^Rig: it is not ready 2 s after it was armed$"),
            rig.driver.armed(),
        ):
            pass
        assert not standin.armed
    assert 2.0 <= rig.clock() <= 2.3


def test_an_error_in_the_block_disarms():
    standin = Magstim200StandIn()
    with pytest.raises(ZeroDivisionError), bench(standin) as rig, rig.driver.armed():
        1 / (not standin.armed)
    assert not standin.armed
    assert not standin.remote


def test_a_device_that_an_earlier_program_left_armed_is_disarmed_first():
    standin = Magstim200StandIn()
    for request in (b"Q@", b"EB"):
        standin.receive(request + bytes([~sum(request) & 0xFF]), 0.0)
    with bench(standin) as rig:
        assert not standin.armed
        assert rig.driver.status().fault == ""


def test_a_device_that_keeps_itself_armed_is_an_error_when_it_is_left():
    standin = Magstim200StandIn()
    with (
        bench(standin) as rig,
        pytest.raises(StimulatorError, match=r"^Rig: it says that it is armed still, after it was disarmed$"),
        rig.driver.armed(),
    ):
        standin._disarm = lambda _at_s: None


@pytest.mark.parametrize(
    ("standin", "driver", "said"),
    [
        (BiStimStandIn(), Magstim200, r"\(firmware V5\.0\) is no Magstim 200²"),
        (Magstim200StandIn(), BiStim, r"\(firmware V5\.0\) is no BiStim²"),
        (Magstim200StandIn(), Rapid2, r"\(firmware V5\.0\) is no Rapid²"),
        (Rapid2StandIn(), Magstim200, r"\(firmware V9\.0\) is no Magstim 200²"),
        (Rapid2StandIn(), BiStim, r"\(firmware V9\.0\) is no BiStim²"),
    ],
)
def test_another_device_is_refused(standin, driver, said):
    with pytest.raises(StimulatorError, match=rf"^Rig: the device at \S+ {said}$"), bench(standin, driver=driver):
        pass


@pytest.mark.parametrize("version", ["V4.0", "V11.0", "Horizon"])
def test_an_unknown_firmware_is_refused(version):
    standin = Rapid2StandIn()
    standin.version = version
    with (
        pytest.raises(StimulatorError, match=rf"^Rig: firmware {version} is not known: from 5 to 10 are$"),
        bench(standin),
    ):
        pass


def test_a_device_that_does_not_answer_is_said():
    class Silent(Magstim200StandIn):
        def receive(self, _data, _now_s):
            return b""

    with pytest.raises(StimulatorError, match=r"^Rig: the device at \S+ does not answer$"):  # noqa: SIM117
        with bench(Silent(), driver=Magstim200):
            pass


def test_a_device_that_speaks_another_language_is_said():
    class Babble(Magstim200StandIn):
        def receive(self, _data, _now_s):
            return bytes(range(256)) * 3

    with (
        pytest.raises(StimulatorError, match=r"^Rig: the device at \S+ sends nothing that is whole in 3 attempts$"),
        bench(Babble(), driver=Magstim200),
    ):
        pass


def test_an_unlock_code_is_asked_for_by_its_firmware_only():
    with (
        pytest.raises(StimulatorError, match=r"^Rig: settings.unlock_code = null: firmware 9 asks for its unit's$"),
        bench(Rapid2StandIn(), unlock_code=None),
    ):
        pass
    with bench(Rapid2StandIn(version="V8.0"), unlock_code=None) as rig:
        assert rig.standin.remote


def test_an_unlock_code_of_another_unit_is_refused_and_not_told():
    with (
        pytest.raises(StimulatorError, match="unlock_code is not this unit's") as caught,
        bench(Rapid2StandIn(), unlock_code="1234-12345678-12"),
    ):
        pass
    assert "1234" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"unlock_code": "123"}, {"mains_v": 230}, {"variant": "mini"}, {"speed": 1}, {"baud": 0}]
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError):
        settings_of(Rapid2, "/dev/null", **wrong)


def test_a_driver_that_is_not_open_says_so():
    driver = Magstim200(PROFILE, MagstimSettings(port="/dev/null"))
    for call in (driver.status, driver.fire, lambda: driver.set_intensity(10.0), lambda: driver.set_train(1, 1.0)):
        with pytest.raises(StimulatorError, match=r"^Rig: it is not open: use it in a with block$"):
            call()


def test_a_driver_that_was_closed_says_so_and_opens_again():
    standin = Magstim200StandIn()
    with bench(standin) as rig:
        with pytest.raises(StimulatorError, match=r"^Rig: it is open already$"), rig.driver:
            pass
        rig.driver.__exit__(None, None, None)
        with pytest.raises(StimulatorError, match="not open"):
            rig.driver.status()
        with rig.driver:
            assert rig.driver.status().fault == ""


def test_a_driver_of_single_pulses_refuses_a_train():
    for standin in (Magstim200StandIn(), BiStimStandIn()):
        with bench(standin) as rig:
            rig.driver.set_train(1, 1.0)
            assert rig.driver.wait_after_train_s == 0.0
            with pytest.raises(StimulatorError, match=r"^Rig: pulses = 2 at 10 Hz: one trigger starts 1 pulse here$"):
                rig.driver.set_train(2, 10.0)


def test_a_bistim_gives_no_second_pulse():
    standin = BiStimStandIn()
    standin.power_b = 40
    with bench(standin) as rig, rig.driver.armed():
        assert rig.terminal.trigger()
        rig.sleep(1.0)
        assert len(standin.pulses_s) == 1
        standin.power_b = 40
        assert rig.driver.status().fault == "a second pulse of 40 % is set"


def test_a_bistim_that_follows_another_is_refused():
    class Follower(BiStimStandIn):
        mode = b"R"

    with pytest.raises(StimulatorError, match=r"^Rig: mode = R: it follows another stimulator; connect to the first$"):  # noqa: SIM117
        with bench(Follower(), driver=BiStim):
            pass


@pytest.mark.parametrize("version", ["V5.0", "V7.0", "V9.0", "V10.0"])
def test_a_trigger_starts_the_train_that_was_set_and_the_device_rests_no_longer_than_told(version):
    with bench(Rapid2StandIn(version=version)) as rig:
        rig.driver.set_intensity(73)
        rig.driver.set_train(100, 25.0)
        wait_s = rig.driver.wait_after_train_s
        assert rig.standin.wait_s() <= wait_s <= 1.2 * rig.standin.wait_s()
        with rig.driver.armed():
            start_s = rig.clock()
            assert rig.terminal.trigger()
            rig.sleep(99 / 25)
            assert rig.standin.pulses_s == pytest.approx([start_s + i / 25 for i in range(100)])
            status = rig.driver.status()
            assert (status.armed, status.ready, status.fault) == (True, False, "")
            rig.sleep(wait_s + 0.01)
            assert rig.driver.status().ready


def test_after_a_train_a_trigger_may_start_one_pulse_again():
    with bench(Rapid2StandIn()) as rig:
        rig.driver.set_train(5, 10.0)
        rig.driver.set_train(1, 0.0)
        assert rig.driver.wait_after_train_s == 0.0
        with rig.driver.armed():
            assert rig.terminal.trigger()
            rig.sleep(1.0)
    assert len(rig.standin.pulses_s) == 1


def test_while_the_device_rests_it_cannot_be_armed_and_its_train_cannot_be_changed():
    with bench(Rapid2StandIn()) as rig:
        rig.driver.set_train(5, 10.0)
        with rig.driver.armed():
            assert rig.terminal.trigger()
            rig.sleep(0.5)
        with (
            pytest.raises(StimulatorError, match=r"^Rig: it cannot be armed: it rests after a train$"),
            rig.driver.armed(),
        ):
            pass
        with pytest.raises(StimulatorError, match=r"^Rig: it cannot be set to .*: its state does not allow it$"):
            rig.driver.set_train(4, 10.0)


@pytest.mark.parametrize(
    ("pulses", "frequency_hz", "said"),
    [
        (0, 10.0, "pulses = 0 is not within 1 to 6000"),
        (6001, 10.0, "pulses = 6001 is not within 1 to 6000"),
        (2, 10.05, "frequency = 10.05 Hz is not in steps of 0.1"),
        (2, float("nan"), "frequency = nan Hz is not in steps of 0.1"),
        (2, 0.0, "frequency = 0 Hz at 70 % is not within 0.1 to 40"),
        (2, 40.1, "frequency = 40.1 Hz at 70 % is not within 0.1 to 40"),
        (1, 40.1, "frequency = 40.1 Hz at 70 % is not within 0 to 40"),
        (1, float("nan"), "frequency = nan Hz is not in steps of 0.1"),
        # 63000 / (123.4 J x 20 Hz) = 25.5 s
        (520, 20.0, "a train of 520 pulses at 20 Hz and 70 % lasts 26.0 s, longer than 25.5"),
    ],
)
def test_a_train_that_the_device_cannot_give_is_refused(pulses, frequency_hz, said):
    with bench(Rapid2StandIn()) as rig:
        rig.driver.set_intensity(70)
        with pytest.raises(StimulatorError) as caught:
            rig.driver.set_train(pulses, frequency_hz)
        assert str(caught.value) == f"Rig: {said}"
        assert not rig.standin.train_mode


def test_an_intensity_at_which_the_train_cannot_be_given_is_refused():
    with bench(Rapid2StandIn()) as rig:
        rig.driver.set_intensity(40)
        rig.driver.set_train(30, 50.0)
        with pytest.raises(StimulatorError, match=r"^Rig: frequency = 50 Hz at 55 % is not within 0\.1 to 48$"):
            rig.driver.set_intensity(55)
        assert rig.standin.power == 40


def test_an_intensity_at_which_triggers_come_too_fast_is_refused():
    with bench(Rapid2StandIn()) as rig:
        rig.driver.set_intensity(40)
        rig.driver.set_train(1, 50.0)
        with pytest.raises(StimulatorError, match=r"^Rig: frequency = 50 Hz at 55 % is not within 0 to 48$"):
            rig.driver.set_intensity(55)
        rig.driver.set_train(1, 20.0)
        rig.driver.set_intensity(55)


def test_enhanced_power_is_refused():
    standin = Rapid2StandIn()
    standin.enhanced = True
    with (
        pytest.raises(StimulatorError, match=r"^Rig: enhanced power is on: switch it off at the device$"),
        bench(standin),
    ):
        pass
    assert not standin.remote


def test_garbage_at_the_opening_does_no_harm():
    with bench(Magstim200StandIn(), faults=WireFaults(garbage=b"\x00\x00?E\x89N")) as rig:
        assert rig.driver.status().fault == ""


WIRES = [
    (Rapid2StandIn, 230, WireFaults(split=True)),
    (Magstim200StandIn, 30, WireFaults(merge=True)),
    (Magstim200StandIn, 120, WireFaults(dropped=0.003, seed=2)),
    (BiStimStandIn, 20, WireFaults(dropped=0.003, corrupted=0.003, split=True, seed=4)),
    (Rapid2StandIn, 600, WireFaults(corrupted=0.003, seed=3)),
]


@pytest.mark.parametrize(("kind", "n_pulses", "faults"), WIRES)
def test_on_a_bad_wire_every_pulse_is_recorded_and_none_is_doubled(kind, n_pulses, faults):
    recorded_s, answers = [], []
    with ExitStack() as stack:
        rig = stack.enter_context(bench(kind(), faults=faults))
        stack.enter_context(rig.driver.armed())
        while len(recorded_s) < n_pulses:
            if not rig.driver.status().ready:
                rig.clock.sleep(0.7)
                continue
            recorded_s.append(rig.clock())
            if len(recorded_s) % 2:
                answers.append(rig.driver.fire())
            else:
                assert rig.terminal.trigger()
            rig.clock.sleep(0.3)
        damaged = rig.terminal.dropped + rig.terminal.corrupted
        recovered = rig.driver.recovered
    assert rig.standin.pulses_s == recorded_s
    if damaged:
        assert recovered > 0
        assert answers.count("unknown") <= damaged - recovered
    else:
        assert set(answers) == {"yes"}


def test_the_bad_wires_carry_a_thousand_pulses():
    assert sum(n_pulses for _, n_pulses, _ in WIRES) == 1000


def test_a_question_that_stays_damaged_is_asked_three_times_and_counted():
    with bench(Magstim200StandIn()) as rig:
        rig.terminal.faults = WireFaults(corrupted=1.0)
        with pytest.raises(
            StimulatorError, match=r"^Rig: the device at \S+ sends nothing that is whole in 3 attempts$"
        ):
            rig.driver.status()
        assert rig.terminal.corrupted == 3 * 9  # a temperature's answer has 9 bytes
        rig.terminal.faults = NO_FAULTS
        assert rig.driver.status().fault == ""
        assert (rig.driver.recovered, rig.driver.refused) == (0, 1)


def test_an_arming_whose_first_answer_is_lost_is_no_error():
    standin = Magstim200StandIn()
    with bench(standin) as rig:
        answer, lost = standin._answer, []

        def lose_the_first(request, now_s):
            said = answer(request, now_s)
            if request[:2] == b"EB" and not lost:
                lost.append(said)
                return b""
            return said

        standin._answer = lose_the_first
        with rig.driver.armed():  # the second arming is a conflict: it is armed already
            assert rig.driver.status().ready
        assert lost == [bytes.fromhex("458931")]
        assert rig.driver.recovered == 1


def test_a_value_that_is_not_taken_over_is_an_error():
    standin = Magstim200StandIn()
    with bench(standin) as rig:
        standin._output.set = lambda *_: None
        with pytest.raises(StimulatorError, match=r"^Rig: intensity = 30 % was read back where 50 % was set$"):
            rig.driver.set_intensity(50)
        with (
            pytest.raises(StimulatorError, match="cannot be armed: intensity is 30 %, not the 50 % that was set"),
            rig.driver.armed(),
        ):
            pass
        assert not standin.armed
