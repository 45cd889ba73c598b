"""Whatever the inputs, a pulse breaks no limit, and every chance has one record."""

import importlib
import itertools
import math
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop.core.pulse_artifact import make_artifact
from closedloop.core.reasons import Reason
from closedloop.core.records import EventKind, InputKind
from closedloop.core.replay import fingerprint, lost_records, replay

PERIOD_S = 0.1
BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def runs():
    """Return the benchmark of random runs as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield importlib.import_module("gate_runs")


@settings(max_examples=40)
@given(rng=st.randoms(use_true_random=False))
def test_whatever_happens_no_pulse_breaks_a_rule_and_each_run_replays(runs, rng):
    counted = runs.Counted()
    runs.run_once(rng, counted, "")
    assert not counted.violations


def test_random_runs_break_no_rule_and_reach_nearly_every_reason(runs):
    counted = runs.run_batch(7, 0, 150, None)
    assert not counted.violations
    assert counted.delivered > 150
    assert counted.unacknowledged > 0
    assert len(counted.reasons) >= 35


@pytest.mark.parametrize(
    "kept", ["stop", "pause", "stream", "leased", "caps", "recharge_s", "min_interval_s", "window"]
)
def test_what_is_kept_from_the_core_shows(runs, kept):
    """The judgement of the runs can fail: here the core does not know a limit, or was not told of a stop."""
    counted = runs.Counted()
    for number in range(200):
        runs.run_once(Random(f"9:{number}"), counted, "", runs.BREAKS[kept])
        if counted.violations:
            return
    pytest.fail(f"without {kept} nothing was seen to be wrong")


@given(
    bad=st.lists(st.tuples(st.integers(0, 399), st.integers(1, 30)), max_size=6),
    missing=st.lists(st.tuples(st.integers(1, 399), st.integers(1, 30)), max_size=3),
    hold_s=st.sampled_from([0.0, 0.2]),
)
def test_no_stretch_of_time_is_without_a_record(make_core, run, sine, bad, missing, hold_s):
    samples = sine(4.0)
    for start, length in bad:
        samples[start : start + length] = math.nan
    there = np.setdiff1d(np.arange(400), np.concatenate([[-1], *[np.arange(a, a + n) for a, n in missing]]))
    core = make_core(window=7, quality={"hold_s": hold_s})
    events = run(core, samples[there], timestamps=there / 100.0).events
    np.testing.assert_array_equal(events["number"], np.arange(len(events)))
    steps_s = np.diff(events["due_s"])
    assert steps_s.min(initial=1.0) >= 0.5 * PERIOD_S - 1e-9
    longest_gap_s = np.diff(there).max() / 100.0
    assert steps_s.max(initial=0.0) <= 2 * PERIOD_S + longest_gap_s + 0.02


DISTURBANCES = st.lists(
    st.tuples(
        st.integers(1, 380),
        st.one_of(
            st.tuples(st.just("dropped"), st.integers(1, 40)),
            st.tuples(st.just("twice"), st.integers(1, 5)),
            st.tuples(st.just("swapped"), st.just(0)),
            st.tuples(st.just("late stamp"), st.sampled_from([0.002, 0.004, 0.02, 0.5, 30.0, math.nan, math.inf])),
            st.tuples(st.just("early stamp"), st.sampled_from([0.002, 0.004, 0.02, 0.5, 30.0])),
            st.tuples(st.just("clock jumps"), st.sampled_from([-2.0, -0.3, -0.02, -0.004, 0.004, 0.02, 0.3, 2.0])),
        ),
    ),
    max_size=8,
)


def disturb(disturbances):
    """Return what a stream of 4 s sends: stamps in their order, with these disturbances in them."""
    stamps = [n / 100.0 for n in range(400)]
    for place, (what, much) in sorted(disturbances, reverse=True):
        if what == "dropped":
            del stamps[place : place + much]
        elif place + 1 >= len(stamps):
            continue
        elif what == "twice":
            stamps[place:place] = [stamps[place]] * much
        elif what == "swapped":
            stamps[place], stamps[place + 1] = stamps[place + 1], stamps[place]
        elif what == "clock jumps":
            stamps[place:] = [stamp + much for stamp in stamps[place:]]
        else:
            stamps[place] += much if what == "late stamp" else -much
    return np.array(stamps)


@settings(max_examples=60)
@given(disturbances=DISTURBANCES, jitter_s=st.sampled_from([0.0, 0.015]))
def test_whatever_a_stream_does_time_goes_on_and_no_pulse_leaves_on_old_data(
    make_core, run, sine, steps, disturbances, jitter_s
):
    stamps = disturb(disturbances)

    def core():
        return make_core(window=7, timing={"jitter_s": jitter_s})

    played = core()
    drained = run(played, sine(1.0)[np.arange(len(stamps)) % 10], timestamps=stamps)
    times_s = np.zeros(len(stamps))
    events = replay(core(), steps, drained.inputs, drained.values, times_s=times_s)
    assert fingerprint(events) == fingerprint(drained.events)
    taken = np.isfinite(times_s)
    # Stamped on the fitted clock where it was taken, NaN where it was dropped: no time and no place comes twice.
    assert np.all(np.diff(times_s[taken]) > 0.0)
    timing = played.timing[0]
    assert timing["unordered"] == np.count_nonzero(~taken)
    assert timing["index"] == np.count_nonzero(taken) + timing["missing"] - 1
    assert np.all(np.diff(events["sample"]) >= 0)
    came_s = drained.inputs["now"][drained.inputs["kind"] == InputKind.SAMPLE]
    for event in events[events["kind"] == EventKind.DELIVERED]:
        newest_s = times_s[taken & (came_s <= event["now_s"])].max()
        assert event["now_s"] - newest_s <= 0.1 + 1e-9
    # However long a stretch is, chances are recorded in it; the last may be open when the stream ends.
    decided_s = np.concatenate([[came_s[0]], events["now_s"], [came_s[-1]]])
    assert np.diff(decided_s).max() <= 2.0 * PERIOD_S + 0.1 + 0.03


def disturbed(sine, seconds=12.0):
    """Return samples with everything in them that decides: noise, artifacts, missing numbers."""
    rng = np.random.default_rng(8)
    samples = sine(seconds) + rng.normal(0.0, 3.0, (round(seconds * 100), 1))
    samples[200:205] = math.nan
    samples[400] = 900.0
    return samples


def waveform():
    return 500.0 * np.exp(-np.arange(20) / 5.0)[:, None]


def busy_core(make_core, **more):
    return make_core(
        window=15,
        targets=(1.0, math.nan),
        trials={"withheld": np.arange(1000) % 4 == 0, "random_target": 2.0},
        quality={"hold_s": 0.1},
        inputs=400,
        events=400,
        **more,
    )


def test_decisions_do_not_depend_on_the_chunks(make_core, run, sine):
    samples = disturbed(sine, 5.0)

    def decide(*sizes):
        return run(busy_core(make_core), samples, sizes=itertools.cycle(sizes), artifact=make_artifact(waveform()))

    whole = decide(len(samples))
    assert {EventKind.DELIVERED, EventKind.WITHHELD, EventKind.REFUSED} == set(whole.events["kind"])
    for sizes in ((1,), (7,), (50,), (1000,), (3, 0, 0, 11)):
        again = decide(*sizes)
        assert fingerprint(again.events) == fingerprint(whole.events)
        assert again.inputs.tobytes() == whole.inputs.tobytes()
        assert again.values.tobytes() == whole.values.tobytes()


@settings(max_examples=15)
@given(sizes=st.lists(st.integers(0, 400), min_size=1, max_size=8).filter(any))
def test_decisions_do_not_depend_on_random_chunks(make_core, run, sine, sizes):
    samples = disturbed(sine, 5.0)
    whole = run(busy_core(make_core), samples, artifact=make_artifact(waveform()))
    again = run(busy_core(make_core), samples, sizes=itertools.cycle(sizes), artifact=make_artifact(waveform()))
    assert fingerprint(again.events) == fingerprint(whole.events)
    assert again.inputs.tobytes() == whole.inputs.tobytes()


def test_an_artifact_shows_in_the_samples_after_the_pulse_only(make_core, run, sine):
    samples = sine(3.0)
    core = make_core(n_trials=1, targets=(2.0,), timing={"latency_s": 0.02, "delay_s": 0.005})
    drained = run(core, samples, artifact=make_artifact(np.full((4, 1), 77.0)))
    (pulse_s,) = drained.events["due_s"][drained.events["kind"] == EventKind.DELIVERED]
    changed = np.flatnonzero(drained.values[:, 0] != samples[:, 0])
    assert changed.tolist() == list(range(math.ceil(pulse_s * 100), math.ceil(pulse_s * 100) + 4))


@pytest.mark.parametrize("withheld", [0.0, 0.3])
def test_replay_of_the_logged_inputs_reaches_the_same_decisions(make_core, run, sine, steps, withheld):
    samples = disturbed(sine)
    played = run(busy_core(make_core), samples, artifact=make_artifact(waveform()))
    again = replay(busy_core(make_core), steps, played.inputs, played.values)
    assert len(again) > 50
    assert fingerprint(again) == fingerprint(played.events)


def test_inputs_are_numbered_in_one_order_and_rows_count_on(make_core, run, sine):
    drained = run(busy_core(make_core), disturbed(sine), sizes=itertools.cycle([37]))
    np.testing.assert_array_equal(drained.inputs["number"], np.arange(len(drained.inputs)))
    rows = drained.inputs["code"][drained.inputs["kind"] == InputKind.SAMPLE]
    np.testing.assert_array_equal(rows, np.arange(1200))
    assert np.all(np.diff(drained.inputs["now"]) >= 0.0)


def test_a_part_of_the_inputs_replays_from_its_own_first_row(make_core, run, sine, steps):
    samples = sine(2.0)
    stamps = np.arange(200) / 100.0
    core, twin = make_core(), make_core()
    run(core, samples[:100], timestamps=stamps[:100])
    run(twin, samples[:100], timestamps=stamps[:100])
    later = run(core, samples[100:], timestamps=stamps[100:])
    later.inputs["code"][later.inputs["kind"] == InputKind.SAMPLE] += 10**6
    assert fingerprint(replay(twin, steps, later.inputs, later.values)) == fingerprint(later.events)


def test_nothing_is_lost_while_playing_more_than_the_rings_hold(make_core, run, sine):
    core = busy_core(make_core)
    run(core, disturbed(sine))
    assert lost_records(core) == 0


@pytest.mark.uncompiled
def test_the_compiled_core_decides_as_the_plain_python_does(make_core, run, sine, same_as_compiled):
    core = busy_core(make_core, policy={"pulses": 2, "pulse_interval_s": 0.06})
    drained = run(core, disturbed(sine, 6.0), artifact=make_artifact(waveform()))
    events = drained.events
    assert Reason.HELD in events["reason"]
    same_as_compiled(
        events=np.array([events[name].astype(float) for name in events.dtype.names]),
        values=drained.values,
        power=core.rhythm.power,
    )
