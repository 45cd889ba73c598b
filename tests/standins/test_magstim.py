"""Magstim stand-ins against the facts that are known of the devices; time is the test's own."""

import pytest

from closedloop.standins.magstim import BiStimStandIn, Magstim200StandIn
from closedloop.standins.magstim_rapid2 import FASTEST_HZ, POWERS, UNLOCK_CODE, Rapid2StandIn


def sealed(text):
    data = text if isinstance(text, bytes) else text.encode()
    return data + bytes([~sum(data) & 0xFF])


def ask(device, text, now_s):
    return device.receive(sealed(text), now_s)


def ready(device, now_s=0.0, enable="Q@"):
    """Take remote control, arm, and wait; return when it is ready."""
    ask(device, enable, now_s)
    assert ask(device, "EB", now_s) == sealed(b"E\x89")
    device.pass_time(now_s + 0.9)
    ask(device, "J@" if not isinstance(device, Rapid2StandIn) else "\\@", now_s + 0.9)
    device.pass_time(now_s + 1.0)
    assert device.ready
    return now_s + 1.0


def conflict(letter):
    return sealed(letter + "S")


def bad(letter):
    return sealed(letter + "?")


def test_remote_control_is_told_as_the_state_after_it():
    assert ask(Magstim200StandIn(), "Q@", 0.0) == bytes.fromhex("518925")


def test_arming_is_told_as_the_state_before_it():
    device = Magstim200StandIn()
    ask(device, "Q@", 0.0)
    assert ask(device, "EB", 0.1) == bytes.fromhex("458931")
    assert ask(device, "Q@", 0.2) == bytes.fromhex("518A24")


def test_it_is_ready_a_second_after_arming_and_the_armed_bit_is_clear_then():
    device = Magstim200StandIn()
    ask(device, "Q@", 0.0)
    ask(device, "EB", 0.0)
    assert ask(device, "Q@", 0.99) == bytes.fromhex("518A24")
    assert ask(device, "Q@", 1.01) == bytes.fromhex("518C22")


def test_a_request_in_single_bytes_is_answered_once_it_is_whole():
    device = Magstim200StandIn()
    assert [device.receive(bytes([byte]), 0.0) for byte in sealed("Q@")] == [b"", b"", bytes.fromhex("518925")]


def test_two_requests_at_once_are_answered_in_order():
    device = Magstim200StandIn()
    assert device.receive(sealed("Q@") + sealed("EB"), 0.0) == bytes.fromhex("518925458931")


def test_an_unfinished_request_is_forgotten():
    device = Magstim200StandIn()
    assert device.receive(b"Q", 0.0) == b""
    assert ask(device, "Q@", 1.0) == bytes.fromhex("518925")


def test_a_wrong_check_byte_does_nothing():
    device = Magstim200StandIn()
    assert device.receive(b"Q@\x00", 0.0) == bad("Q")
    assert not device.remote


@pytest.mark.parametrize("text", ["X@", "\\@", "B0", "z@"])
def test_an_unknown_command_is_answered_by_one_byte_without_a_check(text):
    assert ask(Magstim200StandIn(), text, 0.0) == b"?"


def test_the_version_ends_with_a_nul():
    assert ask(Rapid2StandIn(version="V9.0"), "ND", 0.0) == bytes.fromhex("4E56392E3000C4")


def test_without_remote_control_only_disarming_is_taken():
    device = Magstim200StandIn()
    assert ask(device, "EA", 0.0) == sealed(b"E\x09")
    assert ask(device, "EB", 0.0) == ask(device, "EH", 0.0) == bytes.fromhex("455367")
    assert ask(device, "@050", 0.0) == conflict("@")


def test_power_above_its_range_is_refused():
    device = Magstim200StandIn()
    ask(device, "Q@", 0.0)
    assert ask(device, "@101", 0.0) == bytes.fromhex("403F80")
    assert ask(device, "@0x1", 0.0) == bad("@")
    assert ask(device, "EZ", 0.0) == bad("E")


@pytest.mark.parametrize(("percent", "settled_s"), [(20, 1.0), (0, 3.0), (80, 0.5)])
def test_arming_conflicts_while_the_output_slews(percent, settled_s):
    device = Magstim200StandIn()  # at 30 %: 100 ms per percent down, 10 ms up
    ask(device, "Q@", 0.0)
    ask(device, f"@{percent:03d}", 0.0)
    assert ask(device, "EB", settled_s - 0.01) == conflict("E")
    assert ask(device, "EB", settled_s + 0.01) == sealed(b"E\x89")


@pytest.mark.parametrize(("percent", "recharge_s"), [(49, 2.0), (50, 3.0), (79, 3.0), (80, 4.0)])
def test_it_recharges_as_long_as_its_power_asks(percent, recharge_s):
    device = Magstim200StandIn()
    ask(device, "Q@", 0.0)
    ask(device, f"@{percent:03d}", 0.0)
    now_s = ready(device, 1.0)
    assert device.trigger(now_s)
    assert not device.trigger(now_s + 0.01)
    for step in range(int(recharge_s / 0.5)):
        assert not device.ready
        ask(device, "J@", now_s + 0.5 * step)
    assert ask(device, "EH", now_s + recharge_s - 0.01) == conflict("E")
    assert ask(device, "EH", now_s + recharge_s) == sealed(b"E\x8c")
    assert device.pulses_s == [now_s, now_s + recharge_s]


@pytest.mark.parametrize(("armed", "limit_s"), [(False, 10.0), (True, 1.0)])
def test_silence_disarms_and_drops_remote_control(armed, limit_s):
    device = Magstim200StandIn()
    ask(device, "Q@", 0.0)
    if armed:
        ask(device, "EB", 0.0)
    device.pass_time(limit_s - 0.01)
    assert device.remote
    device.pass_time(limit_s)
    assert not device.remote
    assert not device.armed


def test_a_refused_command_keeps_nothing_alive():
    device = Magstim200StandIn()
    ask(device, "Q@", 0.0)
    ask(device, "@999", 9.0)
    device.pass_time(10.0)
    assert not device.remote


def test_it_disarms_itself_after_60_s_without_firing():
    device = Magstim200StandIn()
    ready(device)
    for tick in range(3, 120):
        assert ask(device, "J@", 0.5 * tick)[1] == 0x8C
    assert ask(device, "J@", 60.0)[1] == 0x89


def test_firing_starts_the_60_s_again():
    device = Magstim200StandIn()
    ready(device)
    for tick in range(3, 159):
        ask(device, "EH" if tick == 40 else "J@", 0.5 * tick)
    assert device.ready
    for tick in range(159, 161):
        ask(device, "J@", 0.5 * tick)
    assert not device.armed


@pytest.mark.parametrize(
    ("action", "status"), [(("remove-coil",), 0x81), (("replace-coil",), 0x99), (("fatal-error", 12), 0xE9)]
)
def test_what_is_wrong_disarms_and_is_told(action, status):
    device = Magstim200StandIn()
    now_s = ready(device)
    device.actions[action[0]](now_s, *action[1:])
    assert not device.trigger(now_s)
    assert ask(device, "Q@", now_s) == sealed(bytes([0x51, status]))
    assert ask(device, "EB", now_s) == conflict("E")


def test_a_coil_that_is_attached_again_may_be_armed():
    device = Magstim200StandIn()
    device.actions["remove-coil"](0.0)
    device.actions["attach-coil"](0.1)
    ready(device)


def test_an_error_has_a_code():
    device = Magstim200StandIn()
    ask(device, "Q@", 0.0)
    device.actions["fatal-error"](0.0, 12)
    assert ask(device, "I@", 0.0) == sealed(b"I\xe9E12")


def test_a_hot_coil_disarms_and_is_told_in_tenths_of_a_degree():
    device = Magstim200StandIn()
    now_s = ready(device)
    device.actions["set-coil-temperature"](now_s, 40.0)
    assert device.armed
    device.actions["set-coil-temperature"](now_s, 40.1)
    assert ask(device, "F@", now_s) == sealed(b"F\x89401401")
    assert ask(device, "EB", now_s) == conflict("E")


def test_the_knob_turns_only_without_remote_control():
    device = Magstim200StandIn()
    device.actions["turn-knob"](0.0, 45)
    assert ask(device, "J@", 0.0) == sealed(b"J\x09045000000")
    ask(device, "Q@", 0.0)
    device.actions["turn-knob"](0.0, 99)
    assert device.power == 45


def test_a_stop_by_hand_disarms():
    device = Magstim200StandIn()
    now_s = ready(device)
    device.actions["press-stop"](now_s)
    assert not device.armed
    assert device.remote


def test_a_bistim_tells_its_parameters_and_its_mode():
    device = BiStimStandIn()
    ask(device, "R@", 0.0)
    ask(device, "Q@", 0.0)
    ask(device, "A030", 0.0)
    assert ask(device, "J@", 0.0) == bytes.fromhex("4A89 303330 303330 303130 75")
    ask(device, "Y@", 0.0)
    ask(device, "EB", 0.0)
    assert ask(device, "X@", 0.0) == bytes.fromhex("588A34E9")
    assert ask(device, "Z@", 0.0) == conflict("Z")


def test_a_bistim_falls_back_to_1_ms_and_to_10_ms():
    device = BiStimStandIn()
    ask(device, "Q@", 0.0)
    ask(device, "C025", 0.0)
    ask(device, "Y@", 0.0)
    assert device.interval_s == pytest.approx(0.001)
    ask(device, "Z@", 0.0)
    assert device.interval_s == pytest.approx(0.010)
    ask(device, "C000", 0.0)
    assert ask(device, "X@", 0.0) == sealed(b"X\x891")


def test_a_bistim_fires_two_pulses_an_interval_apart_and_recharges_for_4_s():
    device = BiStimStandIn()
    ask(device, "Q@", 0.0)
    ask(device, "A040", 0.0)
    now_s = ready(device)
    assert device.trigger(now_s)
    device.pass_time(now_s + 0.009)
    assert len(device.pulses_s) == 1
    device.pass_time(now_s + 0.011)
    assert device.pulses_s == pytest.approx([now_s, now_s + 0.010])
    for tick in range(1, 9):
        assert not device.ready
        ask(device, "J@", now_s + 0.01 + 0.5 * tick)
    assert device.ready


@pytest.mark.parametrize(("version", "length"), [("V5.0", 21), ("V7.0", 22), ("V8.1", 22), ("V9.0", 24), ("V10.0", 24)])
def test_a_rapid2s_parameters_are_as_long_as_its_firmware_says(version, length):
    assert len(ask(Rapid2StandIn(version=version), "\\@", 0.0)) == length


@pytest.mark.parametrize(
    ("version", "telling", "setting", "length"), [("V9.0", 7, "n0100", 4), ("V10.0", 8, "n00100", 6)]
)
def test_a_rapid2s_charge_delay_is_as_long_as_its_firmware_says(version, telling, setting, length):
    device = Rapid2StandIn(version=version)
    ask(device, "Q" + UNLOCK_CODE, 0.0)
    assert len(ask(device, setting, 0.0)) == length
    assert len(ask(device, "o@", 0.0)) == telling
    assert ask(device, "x@", 0.0) == sealed(b"x\x89\x38\x00\x04")


def test_an_old_rapid2_knows_neither_charge_delay_nor_system_status():
    assert ask(Rapid2StandIn(version="V7.0"), "x@", 0.0) == ask(Rapid2StandIn(version="V7.0"), "o@", 0.0) == b"?"


def test_a_rapid2_from_version_9_opens_by_its_code_only():
    device = Rapid2StandIn(version="V9.0")
    assert ask(device, "Q@", 0.0) == ask(device, "Q1111-00000000-00", 0.0) == bad("Q")
    assert ask(device, "Q" + UNLOCK_CODE, 0.0) == bytes.fromhex("518925")
    assert ask(Rapid2StandIn(version="V7.0"), "Q@", 0.0) == bytes.fromhex("518925")


def train(device, *, percent, decihertz, pulses):
    ask(device, "Q" + UNLOCK_CODE, 0.0)
    for text in ("[0010", f"@{percent:03d}", f"B{decihertz:04d}", f"D{pulses:05d}"):
        assert ask(device, text, 0.0)[1] & 0x80, text
    device.pass_time(5.0)
    return ready(device, 5.0, "Q" + UNLOCK_CODE)


def test_a_trigger_starts_one_train_whose_pulses_come_as_time_passes():
    device = Rapid2StandIn()
    now_s = train(device, percent=40, decihertz=200, pulses=5)
    assert device.trigger(now_s)
    assert device.pulses_s == [now_s]
    assert not device.trigger(now_s + 0.06)
    device.pass_time(now_s + 0.21)
    assert device.pulses_s == pytest.approx([now_s + 0.05 * i for i in range(5)])


def test_after_a_train_it_rests_by_the_energy_rule_with_its_parameters_locked():
    device = Rapid2StandIn()
    now_s = train(device, percent=73, decihertz=250, pulses=250)
    assert device.wait_s() == pytest.approx(21.95, abs=0.01)
    assert device.trigger(now_s)
    last_s = now_s + 249 / 25
    for tick in range(1, int((last_s + 21.9 - now_s) / 0.5)):
        assert not ask(device, "\\@", now_s + 0.5 * tick)[1] & 0x04
    ask(device, "EA", last_s + 21.5)
    assert ask(device, "B0100", last_s + 21.9) == conflict("B")
    assert ask(device, "B0100", last_s + 21.96)[2] & 0x04 == 0
    assert len(device.pulses_s) == 250


def test_a_short_train_rests_for_half_a_second():
    device = Rapid2StandIn()
    now_s = train(device, percent=20, decihertz=100, pulses=2)
    assert device.trigger(now_s)
    assert not device.trigger(now_s + 0.1 + 0.49)
    assert device.trigger(now_s + 0.1 + 0.51)


def test_a_train_that_is_stopped_gives_no_further_pulse():
    device = Rapid2StandIn()
    now_s = train(device, percent=40, decihertz=100, pulses=10)
    device.trigger(now_s)
    device.actions["press-stop"](now_s + 0.25)
    device.pass_time(now_s + 5.0)
    assert len(device.pulses_s) == 3


def test_a_host_that_falls_silent_in_a_train_ends_it_within_a_second():
    device = Rapid2StandIn()
    now_s = train(device, percent=30, decihertz=100, pulses=100)
    device.trigger(now_s)
    device.pass_time(now_s + 10.0)
    assert len(device.pulses_s) == 10  # the last command came 0.1 s before the trigger
    assert not device.remote


@pytest.mark.parametrize(("mains_v", "variant"), sorted(FASTEST_HZ))
def test_a_frequency_above_what_the_power_allows_is_refused(mains_v, variant):
    for percent, hz in zip(POWERS, FASTEST_HZ[mains_v, variant], strict=True):
        device = Rapid2StandIn(mains_v=mains_v, variant=variant)
        ask(device, "Q" + UNLOCK_CODE, 0.0)
        ask(device, f"@{percent:03d}", 0.0)
        assert ask(device, f"B{10 * hz + 1:04d}", 0.0) == bad("B")
        assert ask(device, f"B{10 * hz:04d}", 0.0)[:2] == b"B\x89"


def test_a_power_that_is_raised_over_its_frequency_cannot_be_armed():
    device = Rapid2StandIn()
    ask(device, "Q" + UNLOCK_CODE, 0.0)
    for text in ("[0010", "@030", "B1000", "@100"):
        ask(device, text, 0.0)
    assert ask(device, "EB", 5.0) == conflict("E")


def test_enhanced_power_reaches_110_percent_in_single_pulses_every_2_s():
    device = Rapid2StandIn()
    ask(device, "Q" + UNLOCK_CODE, 0.0)
    assert ask(device, "@110", 0.0) == bad("@")
    assert ask(device, "^@", 0.0)[:2] == b"^\x89"
    assert ask(device, "@110", 0.0) == sealed(b"@\x89")
    device.pass_time(2.0)
    now_s = ready(device, 2.0, "Q" + UNLOCK_CODE)
    assert device.trigger(now_s)
    ask(device, "x@", now_s + 0.8)
    ask(device, "x@", now_s + 1.6)
    assert not device.trigger(now_s + 1.99)
    assert device.trigger(now_s + 2.0)


@pytest.mark.parametrize("text", ["D00000", "D06001", "B0000"])
def test_a_train_outside_the_devices_range_is_refused(text):
    device = Rapid2StandIn()
    ask(device, "Q" + UNLOCK_CODE, 0.0)
    assert ask(device, text, 0.0) == bad(text[0])


def test_a_rapid2_that_rests_fires_at_no_trigger_and_takes_no_parameters():
    device = Rapid2StandIn()
    now_s = ready(device, 0.0, "Q" + UNLOCK_CODE)
    device.actions["rest"](now_s, 0.8)
    assert not device.trigger(now_s + 0.5)
    assert ask(device, "\\@", now_s + 0.6)[2] & 0x04
    ask(device, "EA", now_s + 0.7)
    assert ask(device, "B0100", now_s + 0.75) == conflict("B")
    assert ask(device, "B0100", now_s + 0.81)[:2] == b"B\x89"
