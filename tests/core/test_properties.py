"""Whatever the inputs, a pulse breaks no limit, and every chance has one record."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop.core.exposure import CAP, make_exposure
from closedloop.core.pulse_artifact import make_artifact
from closedloop.core.reasons import Reason
from closedloop.core.records import Command, EventKind, InputKind
from closedloop.core.replay import fingerprint, lost_records, replay

PERIOD_S = 0.1
MIN_INTERVAL_S = 0.15
MAX_PULSES = 6
MAX_LATENESS_S = 0.001
MAX_DATA_AGE_S = 0.05
MAX_COIL_C = 40.0
MAX_STATUS_AGE_S = 0.4
CAP_WINDOW_S, CAP_PULSES = 0.7, 3
LONGEST_TRAIN_S = 1.0
LONGEST_S = np.array([[LONGEST_TRAIN_S], [LONGEST_TRAIN_S]])

VALUES = st.sampled_from([None, None, None, math.nan, math.inf, -math.inf, 1e6, 0.0])
STAMP_OFFSETS_S = st.sampled_from([0.0, 0.0, 0.003, -0.003, 0.05, -0.01, -0.5, math.nan, math.inf])
MORE = st.sampled_from([0.0, 0.0, 0.0, 1.0])
ARRIVAL_OFFSETS_S = st.sampled_from([0.0, 0.001, 0.02, 0.2, -0.1, math.nan, math.inf])
DEADLINE_OFFSETS_S = st.sampled_from([0.0, 0.0, 0.0005, 0.002, 0.06, 0.3, -0.001, -1.0, math.nan])
COMMANDS = st.tuples(
    st.sampled_from([*Command, Command.ARM, Command.ARM, 0, 99]), st.sampled_from([0.0, 0.3, 1.0, 7.0, math.nan])
)
ACTIONS = st.one_of(
    st.tuples(st.just("usual"), st.integers(5, 25)),
    st.tuples(st.just("usual"), st.integers(5, 25)),
    st.tuples(st.just("sample"), st.tuples(VALUES, STAMP_OFFSETS_S, ARRIVAL_OFFSETS_S, MORE)),
    st.tuples(st.just("deadline"), DEADLINE_OFFSETS_S),
    st.tuples(st.just("command"), COMMANDS),
    st.tuples(st.just("written"), st.sampled_from([0, 0, 1, -1])),
    st.tuples(st.just("stream"), st.sampled_from([0, 0, -2, 1])),
    st.tuples(st.just("clock"), st.sampled_from([0.0, 0.001, 0.3, -0.3, math.nan, math.inf])),
    st.tuples(
        st.just("device"), st.tuples(st.sampled_from([0, 1, 1, 2]), st.sampled_from([25.0, 39.0, 41.0, math.nan]))
    ),
)


class Witness:
    """Gives inputs to a core and judges every pulse from the inputs alone."""

    def __init__(self, told):
        self.told = told
        self.core = told.core
        self.now = -math.inf
        self.armed = bool(self.core.gate["armed"][0])
        self.armed_from_s = -math.inf
        self.ready = True
        self.status_s = -math.inf
        self.correction_s = 0.0
        self.newest_s = -math.inf
        self.reached_s = []
        self.first_dues_s = []
        self.n_events = 0

    def see(self, now):
        if self.now <= now < math.inf:
            self.now = now
            return True
        self.armed = False
        return False

    def judge(self, kind, events, now):
        for event in events:
            assert event["number"] == self.n_events
            self.n_events += 1
            if event["pulse"] == 0:
                self.first_dues_s.append(event["due_s"])
            if event["kind"] != EventKind.DELIVERED:
                continue
            assert kind == InputKind.DEADLINE
            assert self.armed
            assert event["due_s"] >= self.armed_from_s
            assert self.ready
            assert now - self.status_s <= MAX_STATUS_AGE_S
            assert 0.0 <= now - event["trigger_s"] <= MAX_LATENESS_S
            assert -1e-9 <= now - self.newest_s <= MAX_DATA_AGE_S + 0.01
            assert event["pulse"] > 0 or 0.0 <= event["sd"] <= 0.5
            self.reached_s.append(now + float(self.core.timing["latency_s"][0]))

    def sample(self, value=None, stamp_offset_s=0.0, arrival_offset_s=0.0, more=0.0):
        stamp = self.told.n_samples * 0.01 + stamp_offset_s
        now = max(stamp + self.correction_s, self.now) + arrival_offset_s if arrival_offset_s else stamp
        in_time = self.see(now)
        before = int(self.core.timing["index"][0])
        events = self.told.sample(value, timestamp=stamp, now=now, more=more)
        if in_time and int(self.core.timing["index"][0]) != before:
            self.newest_s = stamp + self.correction_s
        self.judge(InputKind.SAMPLE, events, now)

    def deadline(self, offset_s=0.0):
        plan = self.core.plan[0]
        now = plan["due_s"] - float(self.core.timing["latency_s"][0]) + offset_s if plan["status"] else self.now
        self.see(now)
        self.judge(InputKind.DEADLINE, self.told.deadline(now), now)

    def command(self, code, value=0.0):
        now = self.now if math.isfinite(self.now) else 0.0
        self.see(now)
        if code == Command.ARM:
            self.armed, self.armed_from_s = True, value
        elif code == Command.LEASE:
            self.armed &= value >= 0.0
        elif code not in (Command.PAUSE, Command.RESUME) and not (code == Command.CONDITION and 0 <= value < 1):
            self.armed = False
        self.judge(InputKind.COMMAND, self.told.command(code, value, now=now), now)

    def usual(self, n):
        self.command(Command.ARM)
        self.command(Command.RESUME)
        self.clock(0.0)
        for _ in range(n):
            self.device(1)
            upcoming = self.told.n_samples * 0.01
            while self.core.plan["status"][0] and self.core.plan["due_s"][0] - 0.02 <= upcoming:
                self.deadline(max(0.0, self.now - (self.core.plan["due_s"][0] - 0.02)))
            self.sample()

    def written(self, code):
        self.armed &= code == 0
        self.judge(InputKind.WRITTEN, self.told.tell(InputKind.WRITTEN, code=code), self.now)

    def stream(self, code):
        self.see(self.now if math.isfinite(self.now) else 0.0)
        self.armed &= code == 0
        events = self.told.tell(InputKind.STREAM, code=code, now=self.now)
        self.judge(InputKind.STREAM, events, self.now)

    def clock(self, correction_s):
        if math.isfinite(correction_s):
            self.correction_s = correction_s
        else:
            self.armed = False
        self.judge(InputKind.CLOCK, self.told.tell(InputKind.CLOCK, value=correction_s), self.now)

    def device(self, code, coil_c=25.0):
        self.ready = code == 1 and coil_c <= MAX_COIL_C
        now = self.now if math.isfinite(self.now) else 0.0
        self.status_s = now
        self.judge(InputKind.DEVICE, self.told.tell(InputKind.DEVICE, code=code, value=coil_c, now=now), now)


def limited_core(make_core, pulses=1):
    return make_core(
        limits={
            "min_interval_s": MIN_INTERVAL_S,
            "max_pulses": MAX_PULSES,
            "max_lateness_s": MAX_LATENESS_S,
            "max_data_age_s": MAX_DATA_AGE_S,
            "max_coil_c": MAX_COIL_C,
            "max_status_age_s": MAX_STATUS_AGE_S,
        },
        policy={"pulses": pulses, "pulse_interval_s": 0.16},
        gate={"armed": 0, "status_s": -math.inf, "coil_c": math.nan},
        exposure=make_exposure(
            np.array([(CAP_WINDOW_S, CAP_PULSES)], CAP), np.array([1.0, 10.0]), np.array([100.0]), LONGEST_S
        ),
    )


def trains_of(reached_s):
    """Split pulses into trains: those that follow within a second of the one before go together."""
    trains = []
    for pulse_s in reached_s:
        if trains and pulse_s - trains[-1][-1] <= 1.0 + 1e-9:
            trains[-1].append(pulse_s)
        else:
            trains.append([pulse_s])
    return trains


@settings(max_examples=60)
@given(actions=st.lists(ACTIONS, min_size=1, max_size=15), pulses=st.sampled_from([1, 1, 3]))
def test_no_sequence_of_inputs_makes_a_pulse_break_a_limit_and_each_replays(make_core, script, steps, actions, pulses):
    seen = Witness(script(limited_core(make_core, pulses)))
    for name, arguments in actions:
        getattr(seen, name)(*(arguments if isinstance(arguments, tuple) else (arguments,)))
    assert len(seen.reached_s) <= MAX_PULSES
    assert np.all(np.diff(seen.reached_s) >= MIN_INTERVAL_S - 1e-9)
    for n, pulse_s in enumerate(seen.reached_s):
        assert sum(pulse_s - before < CAP_WINDOW_S - 1e-9 for before in seen.reached_s[: n + 1]) <= CAP_PULSES
    for train in trains_of(seen.reached_s):
        assert len(train) == 1 or train[-1] - train[0] + np.diff(train).min() <= LONGEST_TRAIN_S + 1e-6
    assert np.all(np.diff(seen.first_dues_s) >= 0.5 * PERIOD_S - 1e-9)
    assert seen.core.gate["pulses"][0] == len(seen.reached_s)
    # What a live session records is these inputs, and what it is verified by is this.
    told = seen.told
    again = replay(limited_core(make_core, pulses), steps, told.inputs(), told.values())
    assert fingerprint(again) == fingerprint(told.events)


def test_the_witness_sees_pulses_when_all_is_well(make_core, script):
    seen = Witness(script(limited_core(make_core)))
    seen.usual(100)
    assert len(seen.reached_s) in (3, 4)


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
