"""What an amplifier can do to its stream: each fault is refused with its reason, and a replay decides the same."""

import math
import re

import numpy as np
import pytest

from closedloop.core.reasons import Reason
from closedloop.core.records import Command, InputKind

PERIOD_S = 0.1
LATENCY_S = 0.02
SFREQ = 250.0
MAX_AGE_S = 0.1
SETTLE_S = 0.5
"""So long after a gap the rhythm's SNR is not known."""


def whole_periods(rig, event):
    """Return how many periods after the first trough a pulse was due: a whole number."""
    return (event["due_s"] - rig.start_s) / PERIOD_S - 0.5


def test_every_trough_of_a_stream_without_faults_is_hit(rig, pipe):
    rig.play(1.0)
    rig.end()
    delivered = rig.delivered()
    periods = whole_periods(rig, delivered)
    np.testing.assert_allclose(periods, np.round(periods), atol=0.02)
    assert len(delivered) >= 8
    assert pipe.take() == b"\x01" * len(delivered)


def test_a_gap_is_refused_until_the_rhythm_is_known_again(rig):
    rig.play(0.4)
    gap_s = rig.due_s(rig.sent)
    rig.skip(10)
    rig.play(0.9)
    rig.end()
    assert rig.core.timing["missing"][0] == 10
    assert rig.causes(gap_s) == {Reason.GAP}
    assert not rig.delivered(gap_s + 0.05, gap_s + SETTLE_S).size
    assert rig.delivered(gap_s + SETTLE_S + 0.05).size >= 1


def test_a_sample_that_comes_twice_counts_once(rig):
    rig.play(0.4)
    rig.push([rig.sent - 1])
    rig.play(0.4)
    rig.end()
    timing = rig.core.timing[0]
    assert (timing["unordered"], timing["missing"], timing["index"]) == (1, 0, rig.sent - 1)
    assert len(rig.values) == rig.sent + 1
    assert Reason.GAP not in rig.reasons()


def test_a_sample_with_a_stamp_of_the_past_is_missing_from_its_own_place(rig):
    rig.play(0.4)
    late_s = rig.due_s(rig.sent)
    rig.send(shift_s=-0.05)
    rig.play(0.8)
    rig.end()
    timing = rig.core.timing[0]
    assert (timing["unordered"], timing["missing"], timing["index"]) == (1, 1, rig.sent - 1)
    assert rig.causes(late_s, late_s + 0.2) == {Reason.GAP}
    assert rig.delivered(late_s + SETTLE_S).size


def test_of_two_samples_that_change_places_the_later_one_counts(rig):
    rig.play(0.4)
    swapped_s = rig.due_s(rig.sent)
    rig.wait_until(rig.due_s(rig.sent + 1))
    rig.push([rig.sent + 1, rig.sent])
    rig.skip(2)
    rig.play(0.8)
    rig.end()
    timing = rig.core.timing[0]
    assert (timing["unordered"], timing["missing"], timing["index"]) == (1, 1, rig.sent - 1)
    assert rig.causes(swapped_s, swapped_s + 0.2) == {Reason.GAP}
    assert rig.delivered(swapped_s + SETTLE_S).size


@pytest.mark.parametrize("jump_s", [0.5, 3.0, -0.5], ids=["ahead", "far ahead", "back"])
def test_while_the_senders_clock_is_wrong_nothing_fires(rig, jump_s):
    rig.play(0.4)
    jump_from_s = rig.due_s(rig.sent)
    rig.play(0.5, shift_s=jump_s)
    jump_until_s = rig.due_s(rig.sent)
    rig.catch_up()
    rig.play(1.3)
    rig.end()
    assert not rig.delivered(jump_from_s + 0.05, jump_until_s).size
    refused = rig.reasons(jump_from_s + MAX_AGE_S + PERIOD_S, jump_until_s)
    assert refused
    assert refused <= {Reason.CLOCK, Reason.STALE}
    # Back at the right time it goes on; after a jump ahead, once the index is no longer ahead of it.
    assert rig.delivered(jump_until_s + 0.5 + SETTLE_S).size


def test_of_a_burst_of_old_samples_only_the_newest_decides(rig, pipe):
    rig.play(0.4)
    stalled_s = rig.due_s(rig.sent - 1)
    first = rig.sent
    rig.wait(0.5)
    before = len(rig.delivered())
    rig.catch_up()
    rig.push(range(first, rig.sent))
    newest = rig.sent - 1
    rig.play(0.6)
    rig.end()
    assert rig.core.timing["missing"][0] == 0
    ages_s = rig.sights["told_s"] - rig.sights["time_s"]
    assert 0.4 <= ages_s.max() <= 0.7
    assert rig.status.age_p99_s >= 0.3
    assert not rig.delivered(stalled_s + MAX_AGE_S, rig.due_s(newest)).size
    assert rig.reasons(stalled_s + MAX_AGE_S, rig.due_s(newest)) == {Reason.STALE}
    burst = (rig.events["sample"] >= first) & (rig.events["sample"] < newest)
    assert not burst.any()
    assert rig.delivered()["age_s"].max() <= MAX_AGE_S
    assert len(rig.delivered()) >= before + 3
    assert pipe.take() == b"\x01" * len(rig.delivered())


def test_a_stream_at_another_rate_than_it_says_is_refused(rig):
    # Six seconds that are worked off at once: the rate is judged by stamps, whenever they come.
    rig.start_s -= 6.0
    share = 1.015
    places = np.arange(round(6.0 * SFREQ / share))
    rig.amplifier.push([rig.sample(k) for k in places], rig.start_s + places * share / SFREQ)
    rig.sent = round(6.0 * SFREQ)
    rig.play(0.6)
    rig.end()
    assert not rig.delivered().size
    assert Reason.SAMPLING_RATE in rig.reasons()


def test_a_stream_that_stalls_is_refused_at_once_and_disarmed_after_a_second(rig):
    rig.play(0.4)
    stalled_s = rig.due_s(rig.sent - 1)
    rig.wait_until(stalled_s + 0.9)
    assert rig.need == ""
    rig.wait_for(lambda: rig.need)
    rig.wait(0.15)
    (disarmed_s,) = rig.commands(Command.DISARM)
    assert 0.95 <= disarmed_s - stalled_s <= 1.5
    seen = f"{rig.source.stream.source_id} has sent nothing for 1 s"
    assert rig.need == f"{seen}: look at the amplifier and its clock; when all is well again, press a to arm"
    assert rig.said == ["armed", f"{seen}: the gate was disarmed"]
    stale = rig.events_between(stalled_s + MAX_AGE_S, disarmed_s)
    # One record for each period of the rhythm, while it lasts.
    assert len(stale) == pytest.approx((disarmed_s - stalled_s - MAX_AGE_S) / PERIOD_S, abs=2)
    assert set(stale["reason"]) == {Reason.STALE}

    rig.catch_up()
    back_s = rig.due_s(rig.sent)
    rig.play(0.6)
    assert not rig.delivered(stalled_s + MAX_AGE_S).size
    assert rig.causes(back_s + 0.05) == {Reason.NOT_ARMED}
    armed_s = rig.arm()
    rig.play(0.4)
    rig.end()
    assert rig.delivered(armed_s).size >= 2
    assert rig.need == ""
    assert len(rig.commands(Command.DISARM)) == 2


def test_a_clock_that_stays_wrong_for_a_second_is_disarmed(rig):
    rig.play(0.3)
    wrong_s = rig.due_s(rig.sent)
    rig.play(1.3, shift_s=0.4)
    seen = re.search(r" are (\S+) s ahead when they come \(limits\.max_data_age_s = 0\.1\): look at the", rig.need)
    assert float(seen[1]) == pytest.approx(0.4, abs=0.05)
    right_s = rig.due_s(rig.sent)
    rig.play(1.2)
    rig.end()
    assert not rig.delivered(wrong_s + 0.05).size
    assert rig.reasons(wrong_s + MAX_AGE_S + PERIOD_S, wrong_s + 1.0) == {Reason.CLOCK}
    assert Reason.NOT_ARMED in rig.reasons(right_s + 0.5)


# What is sent


@pytest.mark.parametrize("number_format", ["float32", "double64", "int32", "int16"])
def test_samples_arrive_in_microvolts_whatever_their_format(make_rig, make_amplifier, number_format):
    rig = make_rig(amplifier=make_amplifier(number_format=number_format))
    for _ in range(150):
        value = rig.sample(rig.sent)[0]
        rig.send(values=[round(value)] if number_format.startswith("int") else [value])
    rig.end()
    step = {"float32": 1e-5, "double64": 0.0}.get(number_format, 0.51)
    expected = [rig.sample(k)[0] for k in range(150)]
    np.testing.assert_allclose(rig.values[:, 0], expected[: len(rig.values)], rtol=0.0, atol=step)
    assert rig.delivered().size >= 3


UNITS = {"volts": 1e-6, "millivolts": 1e-3, "nanovolts": 1e3}


@pytest.mark.parametrize("unit", UNITS)
def test_a_stream_in_another_unit_reaches_the_same_decisions(make_rig, make_amplifier, make_core, unit):
    core = make_core(ceilings_uv=(45.0, math.inf))
    amplifier = make_amplifier(unit=unit, number_format="double64")
    rig = make_rig(core, amplifier=amplifier, per_uv=UNITS[unit])
    rig.play(0.6)
    rig.end()
    expected = [20.0 * math.cos(2.0 * math.pi * 10.0 * k / SFREQ) for k in range(len(rig.values))]
    np.testing.assert_allclose(rig.values[:, 0], expected, rtol=1e-12, atol=1e-12)
    # 40 µV from peak to peak are neither flat nor an artifact, which they would be in any other unit.
    assert not rig.reasons() & {Reason.FLAT, Reason.ARTIFACT}
    assert rig.delivered().size >= 3


@pytest.mark.parametrize("chunk", [10, 32])
def test_chunks_arrive_whole_and_are_as_old_as_they_are_long(make_rig, make_core, chunk):
    sfreq = 500.0
    length_s = chunk / sfreq
    core = make_core(sfreq=sfreq, policy={"plan_ahead_s": 0.02 + length_s, "horizon_s": length_s})
    rig = make_rig(core, sfreq=sfreq, chunk=chunk)
    rig.play(1.28)
    rig.wait(0.05)
    rig.end()
    np.testing.assert_allclose(rig.values[:, 0], [rig.sample(k)[0] for k in range(rig.sent)], atol=1e-5)
    samples = rig.inputs_of(InputKind.SAMPLE)
    np.testing.assert_array_equal(samples["timestamp"], [rig.due_s(k) for k in range(rig.sent)])
    # The first of a chunk waits for the last.
    ages_s = rig.sights["told_s"] - rig.sights["time_s"]
    assert length_s - 1.0 / sfreq <= np.median(ages_s.reshape(-1, chunk)[:, 0]) <= length_s + 0.02
    assert rig.status.age_p50_s > 0.25 * length_s
    delivered = rig.delivered()
    assert delivered.size >= 6
    periods = whole_periods(rig, delivered)
    np.testing.assert_allclose(periods, np.round(periods), atol=0.02)
