"""Frames of a MagPro, against the bytes that others saw on its wire, and readers of damaged ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.stimulators import magpro_frames as frames

VECTORS = {
    "get status": ("FE 01 00 00 FF", frames.ask_status()),
    "amplitude 50 %": ("FE 02 01 32 C6 FF", frames.set_amplitude(50)),
    "amplitude 0": ("FE 02 01 00 C4 FF", frames.set_amplitude(0)),
    "amplitude 50 and 40 %": ("FE 03 01 32 28 F6 FF", frames.encode(b"\x01\x32\x28")),
    "enable": ("FE 02 02 01 CF FF", frames.enable(on=True)),
    "disable": ("FE 02 02 00 91 FF", frames.enable(on=False)),
    "fire": ("FE 02 03 01 0B FF", frames.fire()),
    "fire, as some do": ("FE 01 03 E2 FF", frames.encode(b"\x03")),
    "start a train": ("FE 01 04 61 FF", frames.encode(b"\x04")),
    "extended status": ("FE 01 05 3F FF", frames.encode(b"\x05")),
    "a train of 40 at 10 Hz, 75 times, 11 s apart": (
        "FE 09 06 00 64 00 28 00 4B 00 6E 63 FF",
        frames.encode(b"\x06" + b"".join(number.to_bytes(2, "big") for number in (100, 40, 75, 110))),
    ),
    "page 2": ("FE 03 07 02 00 EB FF", frames.set_page(frames.TIMING_PAGE)),
    "get settings": ("FE 0B 09 00 00 00 00 00 00 00 00 00 00 2B FF", frames.ask_settings()),
    "get delays": ("FE 02 0A 00 E7 FF", frames.ask_delays()),
    "get train": ("FE 02 0B 00 23 FF", frames.ask_train()),
    "get page": ("FE 02 0C 00 4D FF", frames.ask_page()),
}
STALE = bytes.fromhex("FE 04 02 00 00 1C 39 FF")
"""Seen by others before the answer that they had asked for."""
STATUS = frames.encode(bytes((0x00, 0b0011_0101, 0x00, 0x08, 0x01, 25, 60, 50, 40)))

bodies = st.binary(min_size=1, max_size=frames.LONGEST_BODY)


@pytest.mark.parametrize(("told", "made"), VECTORS.values(), ids=VECTORS.keys())
def test_a_command_has_the_bytes_that_others_saw(told, made):
    assert made == bytes.fromhex(told)


def test_the_check_has_the_published_check_value():
    assert frames.crc8(b"123456789") == 0xA1


def test_the_settings_are_told_byte_by_byte():
    # command, write, model, mode, direction, waveform, 2 pulses (index 3), 10 ms in tenths, a ratio of 1 in hundredths
    assert frames.set_settings(3, 1, 1, 2) == frames.encode(bytes((9, 1, 3, 1, 1, 2, 3, 0, 100, 0, 100)))


def test_a_delay_before_the_pulse_is_negative_in_two_bytes():
    assert frames.set_delays(0.0, -9.9, 300) == frames.encode(bytes((10, 1, 0, 0, 0xFF, 0x9D, 0x01, 0x2C)))


def test_a_train_is_told_byte_by_byte():
    # external start, 0.3 Hz in tenths, 1100 pulses, 1 train, 1 s in tenths, no warning
    assert frames.set_train(2, 0.3, 1100) == frames.encode(bytes((11, 1, 2, 0, 3, 0x04, 0x4C, 0, 1, 0, 10, 0)))


def test_a_status_says_what_its_bits_and_bytes_mean():
    (body,) = frames.FrameReader().take(STATUS)
    assert frames.DeviceStatus.parse(body) == frames.DeviceStatus(
        model=1, mode=1, waveform=1, enabled=True, serial_number=2049, temperature_c=25, coil_type=60, percent=50
    )


def test_the_settings_are_read_past_an_r30s_odd_model():
    # its low byte first: 0x0102 would be 258, which no interval has
    body = bytes((0x09, 0, 88, 0, 1, 1, 3, 0x64, 0x00, 80))
    assert frames.DeviceSettings.parse(body) == frames.DeviceSettings(0, 1, 1, 3, 100)


def test_delays_and_trains_are_read_as_they_are_set():
    assert frames.DeviceDelays.parse(b"\x0a\x00\x00\x0f\xff\x9d\x01\x2c") == frames.DeviceDelays(1.5, -9.9, 300)
    body = b"\x0b\x00\x12\x00\x64\x00\x28\x00\x01\x00\x0a\x00\x64\x0a"
    assert frames.DeviceTrain.parse(body) == frames.DeviceTrain(2, 10.0, 40, 1)


def test_only_a_slope_tells_of_a_pulse():
    assert frames.pulse_slope(b"\x02\x50\x00\x14") == 0x50
    assert frames.pulse_slope(STALE[2:6]) is None  # what comes where it is enabled
    assert frames.pulse_slope(b"\x01\x50\x00\x14") is None
    assert frames.pulse_slope(b"\x02\x50\x00") is None


def test_a_stale_frame_before_the_answer_is_a_frame_of_its_own():
    assert list(frames.FrameReader().take(STALE + STATUS)) == [STALE[2:-2], STATUS[2:-2]]


@given(st.lists(bodies, max_size=6), st.data())
def test_frames_are_found_in_any_pieces(sent, data):
    wire = b"".join(map(frames.encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    reader = frames.FrameReader()
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert [body for piece in pieces for body in reader.take(piece)] == sent
    assert reader.damaged == 0


@given(st.binary(max_size=20).filter(lambda garbage: 0xFE not in garbage), bodies)
def test_garbage_before_a_frame_is_passed_over(garbage, body):
    assert list(frames.FrameReader().take(garbage + frames.encode(body))) == [body]


@pytest.mark.parametrize("kept", range(1, len(STATUS)))
def test_a_half_frame_hides_none_once_the_line_is_silent(kept):
    reader = frames.FrameReader()
    found = list(reader.take(STATUS[:kept] + STALE))
    assert found + list(reader.give_up()) == [STALE[2:-2]]
    assert reader.damaged > 0


@given(st.integers(8, 8 * len(STATUS) - 1))
def test_a_turned_bit_is_never_taken_for_an_answer(bit):
    damaged = bytearray(STATUS)
    damaged[bit // 8] ^= 1 << bit % 8
    reader = frames.FrameReader()
    assert [*reader.take(bytes(damaged)), *reader.give_up()] == []


@given(st.binary(max_size=200))
def test_no_bytes_are_held_back_for_ever(noise):
    reader = frames.FrameReader()
    for _ in (*reader.take(noise), *reader.give_up()):
        pass
    assert list(reader.take(STATUS)) == [STATUS[2:-2]]
