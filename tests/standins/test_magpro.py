"""A stand-in for a MagPro, by the bytes that others saw and with times that the test gives."""

import pytest

from closedloop.standins.magpro import SETTLE_S, TEMPERATURE_EVERY_S, MagPro
from closedloop.standins.magpro_wire import check, frame, interval_index

STATUS = bytes.fromhex("FE 01 00 00 FF")
ENABLE, DISABLE = bytes.fromhex("FE 02 02 01 CF FF"), bytes.fromhex("FE 02 02 00 91 FF")
FIRE = bytes.fromhex("FE 02 03 01 0B FF")
HALF = bytes.fromhex("FE 02 01 32 C6 FF")
SETTINGS = bytes.fromhex("FE 0B 09 00 00 00 00 00 00 00 00 00 00 2B FF")


def bodies(sent):
    """Cut what the device sent by its lengths alone: it never sends anything but whole frames, unless told to."""
    found = []
    while sent:
        end = sent[1] + 4
        assert (sent[0], sent[end - 1], sent[end - 2]) == (0xFE, 0xFF, check(sent[2 : end - 2]))
        found.append(sent[2 : end - 2])
        sent = sent[end:]
    return found


def enabled(percent=50, **options):
    device = MagPro(**options)
    device.receive(frame(bytes((1, percent))) + ENABLE, 0.0)
    return device


def test_the_check_has_the_published_check_value():
    assert check(b"123456789") == 0xA1


def test_the_status_is_a_frame_of_13_bytes():
    sent = MagPro("X100").receive(STATUS, 0.0)
    assert len(sent) == 13
    # X100 (1), biphasic (1), standard (0), disabled; serial number 2049; 23 °C; coil 60; nothing set
    assert bodies(sent) == [bytes((0, 0b001_0_01_00, 0, 8, 1, 23, 60, 0, 0))]


def test_the_extended_status_and_the_settings_have_the_lengths_that_others_saw():
    device = MagPro()
    assert len(device.receive(bytes.fromhex("FE 01 05 3F FF"), 0.0)) == 19
    assert len(device.receive(SETTINGS, 0.0)) == 14


def test_an_amplitude_is_answered_with_8_bytes_and_its_value():
    sent = MagPro().receive(HALF, 0.0)
    assert len(sent) == 8
    assert bodies(sent)[0][:3] == bytes((1, 50, 0))


def test_both_amplitudes_can_be_set():
    device = MagPro()
    device.receive(bytes.fromhex("FE 03 01 32 28 F6 FF"), 0.0)
    assert (device.state.percent, device.state.percent_b) == (50, 40)


@pytest.mark.parametrize(("model", "length"), [("X100", 24), ("R30", 8)])
def test_an_x100_says_three_times_that_it_is_enabled(model, length):
    sent = MagPro(model).receive(ENABLE, 0.0)
    assert len(sent) == length
    assert all(body[3] & 16 for body in bodies(sent))


def test_a_command_may_come_in_pieces():
    device = MagPro()
    assert [device.receive(bytes((byte,)), 0.0) for byte in STATUS][:-1] == [b""] * 4
    assert device.receive(STATUS[:2], 0.0) + device.receive(STATUS[2:] + STATUS, 0.0) == 2 * MagPro().receive(
        STATUS, 0.0
    )


def test_a_pulse_is_told_with_its_slope():
    device = enabled()
    assert bodies(device.receive(FIRE, 1.0)) == [bytes((2, 80, 0, 0b001_1_01_00))]
    assert device.pulses_s == [1.0]


def test_a_disabled_device_fires_at_nothing():
    device = MagPro()
    assert device.receive(FIRE, 0.0) == b""
    assert not device.trigger(0.0)
    assert device.pulses_s == []


def test_a_trigger_fires_and_is_told_unasked():
    device = enabled()
    assert device.trigger(2.0)
    assert device.pulses_s == [2.0]
    assert [body[0] for body in bodies(device.pass_time(2.0))] == [2]


def test_it_stays_enabled_for_ever():
    device = enabled()
    device.pass_time(1e6)
    assert device.trigger(1e6)


def test_temperatures_come_between_all_else():
    device = MagPro()
    device.pass_time(0.0)
    sent = device.receive(HALF, TEMPERATURE_EVERY_S)
    assert [body[0] for body in bodies(sent)] == [3, 1]


def test_settings_are_not_acknowledged_and_in_force_only_later():
    device = MagPro()
    command = frame(bytes((9, 1, 1, 1, 1, 2, 3, 0, 100, 0, 100)))
    assert device.receive(command, 0.0) == b""
    # its answer: 9, 0, model, mode, direction, waveform, burst, interval's index twice, ratio's index
    (before,) = bodies(device.receive(SETTINGS, SETTLE_S - 0.01))
    (after,) = bodies(device.receive(SETTINGS, SETTLE_S))
    assert before[3:6] == bytes((0, 0, 1))
    assert after[3:6] == bytes((1, 1, 2))


@pytest.mark.parametrize(("interval_ms", "index"), [(100, 0), (20, 80), (10, 100), (15, 90), (0.5, 195), (5, 150)])
def test_an_interval_is_read_back_as_its_place_on_the_scale(interval_ms, index):
    assert interval_index(interval_ms) == index


def test_an_r30_may_say_a_model_that_is_none():
    (body,) = bodies(MagPro("R30", odd_model_byte=True).receive(SETTINGS, 0.0))
    assert body[2] == 88


def test_a_hand_turns_the_knob_changes_the_mode_and_disables():
    device = enabled()
    device.actions["turn-knob"](1.0, 61.0)
    device.actions["change-mode"](1.0, 2.0)
    device.actions["press-disable"](1.0)
    first = bodies(device.pass_time(1.0))[0]
    assert first[:2] == bytes((1, 61))
    (status,) = bodies(device.receive(STATUS, 1.0))
    assert status[1] == 0b001_0_01_10
    device.actions["press-enable"](2.0)
    assert device.trigger(2.0)


def test_a_device_without_a_coil_is_disabled_and_cannot_be_enabled():
    device = enabled()
    device.actions["remove-coil"](1.0)
    device.receive(ENABLE, 1.0)
    assert not device.trigger(1.0)
    device.actions["attach-coil"](2.0)
    device.receive(ENABLE, 2.0)
    assert device.trigger(2.0)


def test_a_hot_coil_is_told():
    device = MagPro()
    device.actions["set-coil-temperature"](0.0, 43.0)
    assert bodies(device.pass_time(0.0))[0][:3] == bytes((3, 43, 60))


def timed(control, percent=50):
    device = enabled(percent)
    # 10 Hz, 3 pulses, 2 trains, 1 s from the last pulse of a train to the first of the next
    device.receive(frame(bytes((11, 1, control, 0, 100, 0, 3, 0, 2, 0, 10, 0))), 0.0)
    device.receive(bytes.fromhex("FE 03 07 02 00 EB FF"), 0.0)
    return device


def test_on_the_timing_page_a_trigger_starts_the_trains():
    device = timed(2)
    assert device.trigger(10.0)
    sent = b"".join(device.pass_time(10.0 + k / 100) for k in range(300))
    assert device.pulses_s == pytest.approx([10.0, 10.1, 10.2, 11.2, 11.3, 11.4])
    assert [body[0] for body in bodies(sent)].count(2) == 6


def test_a_train_that_is_disabled_ends():
    device = timed(2)
    device.trigger(10.0)
    device.receive(DISABLE, 10.15)
    device.pass_time(20.0)
    assert device.pulses_s == pytest.approx([10.0, 10.1])


def test_under_external_trigger_each_trigger_is_a_pulse():
    device = timed(1)
    assert device.trigger(10.0)
    device.pass_time(20.0)
    assert device.pulses_s == [10.0]


def test_the_inputs_delay_comes_between_trigger_and_pulse():
    device = enabled()
    device.receive(frame(bytes((10, 1, 0, 15, 0, 0, 0, 0))), 0.0)
    device.trigger(1.0)
    assert device.pulses_s == []
    device.pass_time(1.01)
    assert device.pulses_s == pytest.approx([1.0015])


def test_in_twin_mode_a_trigger_gives_two_pulses():
    device = enabled()
    device.actions["change-mode"](0.0, 2.0)
    device.trigger(1.0)
    device.pass_time(2.0)
    assert device.pulses_s == pytest.approx([1.0, 1.01])


def test_a_malformed_frame_is_passed_over():
    damaged = STATUS[:-2] + b"\x01\xff"
    assert MagPro().receive(damaged + STATUS, 0.0) == MagPro().receive(STATUS, 0.0)


@pytest.mark.parametrize("damaged", [STATUS[:-2] + b"\x01\xff", frame(b"\x77"), frame(b"\x02"), frame(b"\x09\x01\x00")])
def test_a_malformed_frame_may_silence_it_until_it_is_started_again(damaged):
    device = enabled(hangs_when_malformed=True)
    device.receive(damaged, 0.0)
    assert device.hung
    assert device.receive(STATUS, 1.0) == b""
    assert device.pass_time(100.0) == b""
    assert device.trigger(100.0)  # it stays enabled
    device.actions["restart"](101.0)
    assert not device.trigger(101.0)
    assert bodies(device.receive(STATUS, 101.0))[-1][0] == 0


def test_a_stale_half_frame_comes_before_one_answer():
    device = MagPro()
    device.actions["leave-half-frame"](0.0)
    sent = device.receive(STATUS, 0.0)
    assert sent[:6] == MagPro().receive(SETTINGS, 0.0)[:6]
    assert sent[6:] == device.receive(STATUS, 0.0) == MagPro().receive(STATUS, 0.0)


def test_settings_may_take_longer_to_be_in_force():
    device = MagPro()
    device.actions["settle-after"](0.0, 2.0)
    device.receive(frame(bytes((9, 1, 1, 1, 1, 2, 3, 0, 100, 0, 100))), 0.0)
    (before,) = bodies(device.receive(SETTINGS, 1.99))
    (after,) = bodies(device.receive(SETTINGS, 2.0))
    assert (before[3], after[3]) == (0, 1)


def test_a_hand_turns_the_page_and_that_is_told():
    device = MagPro()
    device.actions["turn-page"](0.0, 2.0)
    assert bodies(device.pass_time(0.0))[0][:3] == bytes((8, 2, 0))


def test_that_it_hangs_can_be_asked_for_later():
    device = enabled()
    device.actions["hang-when-malformed"](0.0)
    device.receive(frame(b"\x77"), 0.0)
    assert device.hung
