"""Commands of a DuoMAG, and its stream where it is joined anywhere and damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.stimulators import duomag_frames as frames

PLAIN = bytes((0, 50, 40, 30, 30, 7, 0, 0b11, 0b101, 3, 60, 0b101_0_010, 0, 0, 1))
STATE = frames.DuoState(percent=50, omitted=7, faults=(), charged=True, recharge=(60, 5), output=(3, 2), coil_type=1)

payloads = st.tuples(*(st.integers(0, highest) for _, highest in frames.LAYOUT)).map(bytes)


def changed(**values):
    """Return the plain payload with other values at the bytes of these names."""
    names = [name for name, _ in frames.LAYOUT]
    return bytes(values.get(name, byte) for name, byte in zip(names, PLAIN, strict=True))


def frame(payload):
    return bytes((frames.SYNC,)) + payload


def test_each_byte_is_sent_twice():
    assert frames.set_intensity(50) == b"\x32\x32"
    assert frames.fire() == b"\x79\x79"
    assert frames.set_delay(frames.RECHARGE, 60, 5) == bytes((0b100_01111,) * 2 + (0b101_101_00,) * 2)
    assert frames.set_delay(frames.OUTPUT, 127, 7) == bytes((0b110_11111,) * 2 + (0b111_111_11,) * 2)


@pytest.mark.parametrize(
    ("delay_ms", "code"),
    [(0.0, (0, 0)), (6.35, (127, 0)), (6.4, (64, 1)), (120.0, (120, 4)), (128.0, (64, 5)), (1270.0, (127, 7))],
)
def test_a_delay_is_steps_of_the_finest_unit_that_it_fits(delay_ms, code):
    assert frames.delay_code(delay_ms) == code


@pytest.mark.parametrize("delay_ms", [0.01, 6.36, 127.3, 129.0, 1271.0, 1280.0, -1.0])
def test_a_delay_that_no_unit_gives_is_none(delay_ms):
    assert frames.delay_code(delay_ms) is None


def test_a_frame_says_what_its_bytes_mean():
    assert frames.DuoState.parse(PLAIN) == STATE


ERRORS = {
    "errors": {6: "the power part is too hot", 5: "no coil", 4: "the voltage is not held", 3: "it cannot recharge"},
    "more_errors": {
        6: "the fan is stuck",
        4: "the coil is hot",
        3: "the resistor is too hot",
        2: "the discharging part is too hot",
    },
}


@pytest.mark.parametrize(
    ("name", "bit", "said"), [(name, bit, said) for name, bits in ERRORS.items() for bit, said in bits.items()]
)
def test_each_error_is_told_in_words(name, bit, said):
    fine = {"errors": 0, "more_errors": frames.COIL_DATA_OK}[name]
    assert frames.DuoState.parse(changed(**{name: fine | 1 << bit})).faults == (said,)


def test_a_coil_that_cannot_be_read_is_a_fault_of_its_own():
    assert frames.DuoState.parse(changed(more_errors=0)).faults == ("the coil's data cannot be read",)
    assert frames.DuoState.parse(changed(more_errors=0, errors=1 << 5)).faults == ("no coil",)


def test_a_device_that_is_not_charged_says_so():
    assert not frames.DuoState.parse(changed(charge=0b100)).charged


@given(st.lists(payloads, min_size=1, max_size=6), st.data())
def test_frames_are_found_in_any_pieces(sent, data):
    wire = b"".join(map(frame, sent)) + bytes((frames.SYNC,))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    reader = frames.StreamReader()
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert [state for piece in pieces for state in reader.take(piece)] == [frames.DuoState.parse(one) for one in sent]


@given(payloads, st.integers(1, frames.FRAME_BYTES - 1))
def test_a_value_of_255_is_never_taken_for_a_sync_byte(payload, joined):
    """Wherever one joins a stream that repeats a frame, what is found is that frame and no other."""
    wire = (4 * frame(payload) + bytes((frames.SYNC,)))[joined:]
    found = [state for state in frames.StreamReader().take(wire) if state is not None]
    assert found == 3 * [frames.DuoState.parse(payload)]


@given(st.integers(0, frames.FRAME_BYTES - 1))
def test_a_lost_byte_costs_its_frame_and_no_other(lost):
    wire = bytearray(4 * frame(PLAIN) + bytes((frames.SYNC,)))
    del wire[frames.FRAME_BYTES + lost]
    found = list(frames.StreamReader().take(bytes(wire)))
    # Without its sync byte it spoils the frame before it as well, after which none comes.
    assert found.count(STATE) == (2 if lost == 0 else 3)
    assert None in found


@pytest.mark.parametrize("name", [name for name, highest in frames.LAYOUT if highest < 0xFE])
def test_a_value_that_cannot_be_spoils_its_frame(name):
    highest = dict(frames.LAYOUT)[name]
    reader = frames.StreamReader()
    found = list(reader.take(frame(changed(**{name: highest + 1})) + frame(PLAIN) + bytes((frames.SYNC,))))
    assert found == [None, STATE]
    assert reader.damaged == 1


@given(st.binary(max_size=300))
def test_no_bytes_are_held_back_for_ever(noise):
    reader = frames.StreamReader()
    for _ in reader.take(noise):
        pass
    assert list(reader.take(3 * frame(PLAIN)))[-1] == STATE
