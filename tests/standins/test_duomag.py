"""A stand-in for a DuoMAG, by the bytes that a public driver uses and with times that the test gives."""

import pytest

from closedloop.standins.duomag import HOT_ADC, PERIOD_S, RECHARGE_S, DuoMag

FIRE = b"\x79\x79"


def charged(percent=50):
    device = DuoMag()
    device.receive(bytes((percent, percent)), 0.0)
    return device


def told(device, now_s):
    """Return the next frame without its sync byte."""
    frame = device.pass_time(now_s)
    assert len(frame) == 16
    assert frame[0] == 0xFF
    return frame[1:]


def test_an_intensity_counts_once_it_came_twice():
    device = DuoMag()
    device.receive(b"\x32", 0.0)
    assert device.percent == 0
    device.receive(b"\x32", 0.0)
    assert device.percent == 50


def test_a_single_byte_does_nothing_and_the_next_pair_counts():
    device = charged()
    device.receive(b"\x33\x34\x79", 0.0)
    assert device.percent == 50
    assert device.pulses_s == []
    device.receive(b"\x79", 0.0)
    assert device.pulses_s == [0.0]


@pytest.mark.parametrize("code", [101, 0x78, 0x7A, 0x7F])
def test_a_code_that_is_not_known_does_nothing(code):
    device = charged()
    before = dict(vars(device))
    device.receive(bytes((code, code)), 0.0)
    assert vars(device) == before


def test_the_stream_goes_on_whatever_happens():
    device = DuoMag()
    frames = [device.pass_time(0.3 * k * PERIOD_S) for k in range(41)]  # the fourth step is the first beyond a period
    assert [len(frame) for frame in frames] == [16, 0, 0, 0] * 10 + [16]


def test_of_the_frames_that_a_jump_in_time_missed_the_last_comes_alone():
    device = DuoMag()
    device.pass_time(0.0)
    assert len(device.pass_time(60.0)) == 16


def test_the_stream_tells_intensity_and_coil():
    payload = told(charged(), 1.0)
    # coil data fine and host heard; idle and charged; coil type 1
    assert payload == bytes((0, 50, 40, 30, 30, 0, 0, 0b11, 0b101, 0, 0, 0, 0, 0, 1))


@pytest.mark.parametrize(("percent", "bits"), [(53, 3), (47, 0b11101), (100, 15), (0, 0b10000)])
def test_a_turned_knob_is_told_once_as_a_signed_number_of_5_bits(percent, bits):
    device = charged()
    device.actions["turn-knob"](0.0, float(percent))
    assert told(device, 1.0)[:2] == bytes((bits, percent))
    assert told(device, 2.0)[0] == 0


def test_a_pulse_leaves_it_uncharged_until_it_recharged():
    device = charged()
    assert device.trigger(1.0)
    assert told(device, 1.0)[8] == 0
    assert not device.trigger(1.0 + RECHARGE_S / 2)
    payload = told(device, 1.0 + RECHARGE_S)
    assert payload[8] == 0b101
    assert payload[5] == 1  # the trigger that gave no pulse
    assert device.trigger(1.0 + RECHARGE_S)
    assert device.pulses_s == [1.0, 1.0 + RECHARGE_S]


def test_a_trigger_is_told():
    device = charged()
    device.trigger(1.0)
    assert told(device, 1.0)[0] == 1 << 5


def test_the_delay_of_recharging_comes_before_it():
    device = charged()
    # 60 steps (0b01111_00) of 2 ms (unit 5) are 120 ms
    device.receive(bytes((0b100_01111,) * 2 + (0b101_101_00,) * 2), 0.0)
    assert device.recharge.seconds == pytest.approx(0.12)
    assert told(device, 0.5)[9:12] == bytes((0, 60, 5 << 4))
    device.trigger(1.0)
    assert not device.trigger(1.2)
    assert device.trigger(1.0 + 0.12 + RECHARGE_S)


def test_the_trigger_outputs_delay_is_set_alike():
    device = DuoMag()
    device.receive(bytes((0b110_11111,) * 2 + (0b111_111_11,) * 2), 0.0)
    assert told(device, 1.0)[9:12] == bytes((127, 0, 7))


@pytest.mark.parametrize(
    ("act", "errors"),
    [
        (lambda device: device.actions["remove-coil"](0.0), (1 << 5, 0b01)),
        (lambda device: device.actions["set-coil-temperature"](0.0, HOT_ADC + 1), (0, 1 << 4 | 0b11)),
    ],
    ids=["no coil", "hot"],
)
def test_without_a_cool_coil_it_gives_no_pulse_and_says_so(act, errors):
    device = charged()
    act(device)
    assert tuple(told(device, 0.5)[6:8]) == errors
    assert not device.trigger(1.0)
    device.receive(FIRE, 1.0)
    assert (device.pulses_s, device.omitted) == ([], 2)


def test_a_coil_that_is_attached_again_works():
    device = charged()
    device.actions["remove-coil"](0.0)
    device.actions["attach-coil"](0.0, 2.0)
    assert told(device, 0.5)[14] == 2
    assert device.trigger(1.0)


def test_at_0_it_gives_no_pulse():
    assert not charged(0).trigger(1.0)


def test_of_a_doubled_byte_one_may_be_lost_and_then_it_counts_for_nothing():
    device = charged()
    device.actions["lose-byte"](0.0)
    device.receive(FIRE, 0.0)
    assert device.pulses_s == []
    device.receive(bytes((50, 50)) + FIRE, 0.0)
    assert device.pulses_s == [0.0]


def test_temperatures_may_be_255_like_the_sync_byte():
    device = charged()
    device.actions["say-255"](0.0)
    payload = told(device, 0.5)
    assert (payload[3], payload[4], payload[12], payload[13]) == (255, 255, 0, 254)
