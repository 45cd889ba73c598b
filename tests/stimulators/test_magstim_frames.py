"""The language of Magstim stimulators, by bytes that are known, and out of buffers that hold more than an answer."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.standins import magstim_rapid2 as standin_tables
from closedloop.stimulators import magstim_frames as frames
from closedloop.stimulators import magstim_tables as tables
from closedloop.stimulators.magstim_faults import Told, fault_in_words
from closedloop.stimulators.magstim_frames import Instrument, Rapid, Reply, Request, State, Verdict, find_reply

ARMED = Instrument.ARMED | Instrument.COIL | Instrument.REMOTE
STANDBY = Instrument.STANDBY | Instrument.COIL | Instrument.REMOTE
READY = Instrument.READY | Instrument.COIL | Instrument.REMOTE


@pytest.mark.parametrize(
    ("request_", "sent"),
    [
        (frames.ENABLE_REMOTE, "51 40 6E"),
        (frames.DISABLE_REMOTE, "52 40 6D"),
        (frames.set_power(30), "40 30 33 30 2C"),
        (frames.set_power(50), "40 30 35 30 2A"),
        (frames.set_power(100), "40 31 30 30 2E"),
        (frames.ARM, "45 42 78"),
        (frames.DISARM, "45 41 79"),
        (frames.FIRE, "45 48 72"),
        (frames.TELL_MODE, "58 40 67"),
        (frames.TELL_PARAMETERS, "4A 40 75"),
        (frames.TELL_TEMPERATURE, "46 40 79"),
        (frames.TELL_VERSION, "4E 44 6D"),
        (frames.TELL_ERROR, "49 40 76"),
        (frames.set_frequency(100), "42 30 31 30 30 FC"),
        (frames.set_pulses(10, 9), "44 30 30 30 31 30 CA"),
        (frames.set_pulses(10, 8), "44 30 30 31 30 FA"),
        (frames.set_duration(10, 9), "5B 30 30 31 30 E3"),
        (frames.set_duration(10, 8), "5B 30 31 30 13"),
        (frames.set_duration(0, 9), "5B 30 30 30 30 E4"),
        (frames.tell_rapid_parameters(9), "5C 40 63"),
    ],
)
def test_a_request_has_the_bytes_that_are_known(request_, sent):
    assert request_.data == bytes.fromhex(sent)


@pytest.mark.parametrize(
    ("request_", "received", "value"),
    [
        (frames.ENABLE_REMOTE, "51 8A 24", ARMED),
        (frames.ENABLE_REMOTE, "51 89 25", STANDBY),
        (frames.ENABLE_REMOTE, "51 8C 22", READY),
        (frames.ARM, "45 89 31", STANDBY),
        (frames.TELL_PARAMETERS, "4A 89 303330 303330 303130 75", State(STANDBY, 30, power_b=30, interval=10)),
        (frames.TELL_PARAMETERS, "4A 8A 303330 303330 303130 74", State(ARMED, 30, power_b=30, interval=10)),
        (frames.TELL_TEMPERATURE, "46 89 323530 323531 01", (STANDBY, 25.1)),
        (frames.TELL_MODE, "58 8A 34 E9", "4"),
        (frames.TELL_VERSION, "4E 56 39 2E 30 00 C4", "V9.0"),
    ],
)
def test_an_answer_is_read_from_the_bytes_that_are_known(request_, received, value):
    assert find_reply(bytes.fromhex(received), request_) == Reply(Verdict.ACCEPTED, value)


def test_refusals_are_told_apart():
    assert find_reply(bytes.fromhex("45 53 67"), frames.ARM) == Reply(Verdict.CONFLICT)
    assert find_reply(bytes.fromhex("40 3F 80"), frames.set_power(100)) == Reply(Verdict.BAD_DATA)


def test_a_lone_question_mark_is_no_answer_before_silence_says_so():
    assert find_reply(b"?", frames.TELL_MODE) is None


@pytest.mark.parametrize("damaged", ["51 8A 25", "51 8A", "8A 24", "51", "", "45 8A 30", "40 40 6F"])
def test_a_damaged_answer_is_none(damaged):
    assert find_reply(bytes.fromhex(damaged), frames.ENABLE_REMOTE) is None


@pytest.mark.parametrize(
    ("firmware", "digits", "length"), [(5, (4, 3, 3), 21), (7, (4, 3, 4), 22), (8, (4, 3, 4), 22), (10, (5, 4, 4), 24)]
)
def test_a_rapid2s_parameters_are_read_by_its_firmware(firmware, digits, length):
    n_pulses, n_duration, n_wait = digits
    text = f"0730250{250:0{n_pulses}d}{100:0{n_duration}d}{220:0{n_wait}d}"
    data = b"\\\x89\x3a" + text.encode()
    request = frames.tell_rapid_parameters(firmware)
    assert request.length == length == len(data) + 1
    reply = find_reply(data + bytes([frames.check_byte(data)]), request)
    assert reply.value.rapid & Rapid.TRAIN
    found = reply.value
    assert (found.power, found.decihertz, found.pulses) == (73, 250, 250)
    assert (found.deciseconds, found.wait_deciseconds) == (100, 220)


def test_digits_that_are_none_are_no_answer():
    data = b"J\x8903x030010"
    assert find_reply(data + bytes([frames.check_byte(data)]), frames.TELL_PARAMETERS) is None


def test_of_two_answers_in_a_buffer_the_later_one_counts():
    late = frames.TELL_PARAMETERS, bytes.fromhex("4A 89 303330 303330 303130 75 4A 8A 303330 303330 303130 74")
    assert find_reply(late[1], late[0]).value.instrument == ARMED


REQUESTS = st.sampled_from([frames.ARM, frames.TELL_PARAMETERS, frames.TELL_TEMPERATURE, frames.TELL_VERSION])
ANSWERS = {
    frames.ARM: "45 89 31",
    frames.TELL_PARAMETERS: "4A 89 303330 303330 303130 75",
    frames.TELL_TEMPERATURE: "46 89 323530 323531 01",
    frames.TELL_VERSION: "4E 56 39 2E 30 00 C4",
}


@given(request_=REQUESTS, before=st.binary(max_size=40))
def test_an_answer_is_found_behind_any_garbage(request_, before):
    # Garbage that holds the letter may begin a frame of its own; one byte in 256 is its check byte by chance.
    garbage = before.replace(request_.data[:1], b"")
    answer = bytes.fromhex(ANSWERS[request_])
    assert find_reply(garbage + answer, request_) == find_reply(answer, request_)


@given(request_=REQUESTS, cut=st.integers(0, 12))
def test_an_answer_is_none_until_its_last_byte_is_there(request_, cut):
    answer = bytes.fromhex(ANSWERS[request_])
    assert find_reply(answer[: min(cut, len(answer) - 1)], request_) is None


@given(request_=REQUESTS, place=st.integers(0, 12), bit=st.integers(0, 7))
def test_any_one_bit_that_is_turned_is_seen(request_, place, bit):
    answer = bytearray.fromhex(ANSWERS[request_])
    answer[place % len(answer)] ^= 1 << bit
    assert find_reply(bytes(answer), request_) is None


@given(data=st.binary(max_size=300), request_=REQUESTS)
def test_no_bytes_make_it_fail(data, request_):
    assert isinstance(find_reply(data, request_), Reply | None)


@pytest.mark.parametrize(
    ("told", "armed", "words"),
    [
        (Told(State(STANDBY, 30), STANDBY), False, ""),
        (Told(State(READY, 30), READY), True, ""),
        (Told(State(STANDBY, 30), STANDBY), True, "disarmed by itself"),
        (Told(State(READY, 30), READY), False, "armed, and not by the driver"),
        (Told(State(STANDBY, 30), STANDBY & ~Instrument.COIL), False, "coil missing"),
        (Told(State(STANDBY, 30), STANDBY | Instrument.REPLACE_COIL), False, "replace the coil"),
        (Told(State(STANDBY, 30), STANDBY | Instrument.ERROR, error="U07"), False, "error U07"),
        (
            Told(State(STANDBY, 30), Instrument.STANDBY | Instrument.COIL, coil_temperature_c=40.1),
            False,
            "coil hot: 40.1 °C is above 40; remote control lost",
        ),
        (Told(State(STANDBY, 31), STANDBY, set_percent=30), False, "intensity is 31 %, not the 30 % that was set"),
        (Told(State(STANDBY, 30, Rapid.ENHANCED), STANDBY), False, "enhanced power is on"),
        (
            Told(State(STANDBY, 30, Rapid.TRAIN), STANDBY, set_train=(1, 0)),
            False,
            "a trigger starts a train, not what was set",
        ),
        (
            Told(State(STANDBY, 30, Rapid.TRAIN, pulses=9, decihertz=100), STANDBY, set_train=(10, 105)),
            False,
            "the train is 9 pulses at 10 Hz, not the 10 at 10.5 Hz that were set",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(told, armed, words):
    assert fault_in_words(told, armed=armed) == words


def test_a_temperature_that_is_no_number_is_a_fault():
    told = Told(State(STANDBY, 30), STANDBY, coil_temperature_c=math.nan)
    assert fault_in_words(told, armed=False).startswith("coil hot")


def test_both_tables_of_frequencies_were_written_alike():
    assert tables.FASTEST_HZ == standin_tables.FASTEST_HZ
    assert tables.POWERS == standin_tables.POWERS


def test_energy_goes_with_the_square_of_the_power():
    for percent, joule in tables.ENERGY_J.items():
        assert joule == pytest.approx(251.85 * (percent / 100) ** 2, rel=0.01)


def test_between_two_columns_the_higher_power_counts():
    assert tables.energy_j(73) == tables.ENERGY_J[75]
    assert tables.fastest_hz(30, mains_v=240, variant="super") == 100
    assert tables.fastest_hz(31, mains_v=240, variant="super") == 75
    assert tables.fastest_hz(81, mains_v=115, variant="rapid") == 12


def test_the_rest_after_a_train_brings_its_mean_down_to_what_can_be_sustained():
    assert tables.rest_s(134.2, 25.0, 250) == pytest.approx(21.95, abs=0.005)
    assert 250 * 134.2 / (250 / 25 + tables.rest_s(134.2, 25.0, 250)) == pytest.approx(tables.SUSTAINED_W)
    assert tables.rest_s(2.5, 10.0, 50) == 0.5


def test_a_train_may_last_as_long_as_its_energy_in_a_minute_allows():
    assert tables.longest_train_s(100, 10.0) == pytest.approx(63000 / 2520)
    assert tables.longest_train_s(10, 10.0) == math.inf


def test_what_a_request_reads_is_part_of_it():
    assert isinstance(frames.unlock_remote("0000-00000000-00"), Request)
    assert len(frames.unlock_remote("0000-00000000-00").data) == 18
