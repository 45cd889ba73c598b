"""A stand-in amplifier on LSL, as its receivers see it."""

import os
import threading
import time
from itertools import count

import numpy as np
import pylsl
import pytest
from pylsl.util import LostError

from closedloop.sources.encoding import Encoding
from closedloop.sources.faults import Fault, Faults, Kind
from closedloop.sources.player import Performance, Stream, Tally, open_outlets, play
from closedloop.sources.timetable import Timetable
from closedloop.sources.trigger_effects import STEP_S, TriggerEffects
from closedloop.sources.trigger_input import Triggers, trigger_pipe
from closedloop.sources.units import Format, Unit

RATE_HZ = 500.0
N = 200
SERIAL = count()


def samples(n=N):
    """Return samples that tell their row: (n, 2), in µV."""
    return np.column_stack([np.arange(n), -np.arange(n)]).astype(float)


def performance(*faults, n=N, chunk=1, true_rate_hz=RATE_HZ, labels=("F3", "O1"), encoding=None, **fields):
    if encoding is None:
        encoding = Encoding(Format.FLOAT32, Unit.UV, np.array([True, True, False])[: len(labels)])
    types = ("EEG", "EEG", "TRIG")[: len(labels)]
    stream = Stream("player", "EEG", f"player-{os.getpid()}-{next(SERIAL)}", RATE_HZ, labels, types, encoding)
    timetable = Timetable(np.arange(n), n, chunk, Faults(faults, true_rate_hz))
    content = {"effects": TriggerEffects(RATE_HZ, np.zeros((0, 2))), **fields}
    return Performance(stream, samples(n), timetable, **content)


class Received:
    """What came: array of shape (n_samples, n_channels), their stamps, and the stream's metadata."""

    def __init__(self, values, stamps_s, info, tally):
        self.values, self.stamps_s, self.info, self.tally = np.array(values), np.array(stamps_s), info, tally


def resolve(source_id):
    (found,) = pylsl.resolve_byprop("source_id", source_id, timeout=5.0)
    return found


def begin(played, triggers, tally, **options):
    """Begin to play in a thread; it holds the only outlets, so that they close with its end."""
    arguments = (played, open_outlets(played), triggers, tally)
    playing = threading.Thread(target=play, args=arguments, kwargs=options)
    playing.start()
    return playing


def receive(played, triggers=None, *, before=lambda: None, during=lambda: None):
    """Play and receive until the player ends; do something before somebody listens, and when it plays."""
    tally = Tally()
    triggers = Triggers(None, pylsl.local_clock) if triggers is None else triggers
    playing = begin(played, triggers, tally)
    inlet = pylsl.StreamInlet(resolve(played.stream.source_id), recover=False)
    info = inlet.info(timeout=5.0)
    before()
    inlet.open_stream(timeout=5.0)
    during()
    values, stamps_s = [], []
    while playing.is_alive():
        more, stamps = take(inlet)
        values.extend(more)
        stamps_s.extend(stamps)
    playing.join()
    return Received(values, stamps_s, info, tally)


def take(inlet):
    try:
        return inlet.pull_chunk(timeout=0.02)
    except LostError:
        time.sleep(0.01)
        return [], []


@pytest.mark.parametrize("chunk", [1, 8])
@pytest.mark.parametrize("true_rate_hz", [RATE_HZ, RATE_HZ * (1 + 500e-6)])
def test_every_sample_arrives_once_with_its_own_exact_stamp(chunk, true_rate_hz):
    received = receive(performance(chunk=chunk, true_rate_hz=true_rate_hz))
    np.testing.assert_array_equal(received.values, samples())
    expected = received.tally.first_stamp_s + np.arange(N) / true_rate_hz
    np.testing.assert_array_equal(received.stamps_s, expected)
    assert (received.tally.samples, received.tally.pushes) == (N, N // chunk)


def test_what_is_announced_is_what_an_amplifier_announces():
    encoding = Encoding(Format.DOUBLE64, Unit.MV, np.array([True, True, False]))
    received = receive(performance(n=5, labels=("F3", "O1", "trigger"), encoding=encoding))
    info = received.info
    assert (info.name(), info.type(), info.nominal_srate(), info.channel_count()) == ("player", "EEG", RATE_HZ, 3)
    assert info.channel_format() == pylsl.cf_double64
    channel, described = info.desc().child("channels").child("channel"), []
    while not channel.empty():
        described.append(tuple(channel.child_value(key) for key in ("label", "type", "unit")))
        channel = channel.next_sibling()
    assert described == [("F3", "EEG", "millivolts"), ("O1", "EEG", "millivolts"), ("trigger", "TRIG", "none")]
    assert info.desc().child("acquisition").child_value("manufacturer") == "closedloop"
    np.testing.assert_array_equal(received.values[:, :2], samples(5) * 1e-3)


def test_no_sample_is_sent_before_it_is_due():
    played = performance(n=50)
    sent_s = []

    class Watched(Triggers):
        def wait_until(self, deadline_s):
            ended_s = super().wait_until(deadline_s)
            sent_s.append((deadline_s, ended_s, pylsl.local_clock()))
            return ended_s

    received = receive(played, Watched(None, pylsl.local_clock))
    for deadline_s, ended_s, left_s in sent_s:
        assert deadline_s <= ended_s <= left_s
    pushed = [deadline_s for deadline_s, *_ in sent_s if deadline_s in set(received.stamps_s)]
    assert pushed == received.stamps_s.tolist()
    assert received.tally.largest_deviation_ms >= received.tally.last_deviation_ms >= 0.0


def test_faults_reach_the_receiver():
    faults = (
        Fault(Kind.DROP, 10 / RATE_HZ, 5),
        Fault(Kind.SWAP, 30 / RATE_HZ),
        Fault(Kind.DUPLICATE, 40 / RATE_HZ, 1),
        Fault(Kind.BACKDATE, 50 / RATE_HZ, 0.1),
        Fault(Kind.NAN, 60 / RATE_HZ, 3),
        Fault(Kind.JUMP, 70 / RATE_HZ, -0.25),
        Fault(Kind.END, 80 / RATE_HZ),
    )
    received = receive(performance(*faults))
    rows = [*range(10), *range(15, 30), 31, 30, *range(32, 40), 40, 40, *range(41, 80)]
    elapsed_s = received.stamps_s - received.tally.first_stamp_s
    shifts_s = elapsed_s - np.array(rows) / RATE_HZ
    expected = np.array([-0.1 if row == 50 else -0.25 if row >= 70 else 0.0 for row in rows])
    np.testing.assert_allclose(shifts_s, expected, atol=1e-9)
    shown = np.array([np.nan if 60 <= row < 63 else row for row in rows])
    np.testing.assert_array_equal(received.values[:, 0], shown)


def test_what_stalled_arrives_late_and_all_at_once():
    arrived = {}
    played = performance(Fault(Kind.STALL, 0.125, 0.125), n=200)
    tally = Tally()
    playing = begin(played, Triggers(None, pylsl.local_clock), tally)
    inlet = pylsl.StreamInlet(resolve(played.stream.source_id), recover=False)
    inlet.open_stream(timeout=5.0)
    while len(arrived) < N:
        row, stamp_s = inlet.pull_sample(timeout=2.0)
        arrived[int(row[0])] = (stamp_s - tally.first_stamp_s, pylsl.local_clock() - tally.first_stamp_s)
    playing.join()
    held = [row for row, (stamp_s, _) in arrived.items() if 0.125 <= stamp_s + 1e-6 and stamp_s + 1e-6 < 0.25]
    assert held == list(range(63, 125))
    assert min(arrived[row][1] for row in held) >= 0.25
    assert tally.pushes == N - len(held)  # those, and what is due at the stall's end, are one push


def test_it_waits_until_somebody_listens_and_then_loses_nothing():
    waited = threading.Event()
    played, tally = performance(n=20), Tally()
    triggers = Triggers(None, pylsl.local_clock)
    playing = begin(played, triggers, tally, waiting=waited.set)
    assert waited.wait(5.0)
    assert tally.first_stamp_s is None
    inlet = pylsl.StreamInlet(resolve(played.stream.source_id), recover=False)
    first, _ = inlet.pull_sample(timeout=5.0)
    assert first[0] == 0.0
    playing.join()


def test_at_once_it_waits_for_nobody():
    tally = Tally()
    played = performance(n=20, at_once=True)
    play(played, open_outlets(played), Triggers(None, pylsl.local_clock), tally)
    assert tally.samples == 20


def test_progress_is_told_in_seconds_played():
    told = []
    played, triggers = performance(n=400, at_once=True), Triggers(None, pylsl.local_clock)
    play(played, open_outlets(played), triggers, Tally(), progress=told.append)
    assert told == pytest.approx([0.5], abs=0.2)


def test_a_trigger_shows_in_its_channel_at_its_electrode_and_as_a_marker(tmp_path):
    delay_s, height_uv = 0.010, 1000.0
    played = performance(
        n=300,
        labels=("F3", "O1", "trigger"),
        markers=True,
        effects=TriggerEffects(
            RATE_HZ, np.zeros((0, 2)), delay_s=delay_s, divider=1, divider_uv=height_uv, trigger_column=2
        ),
    )
    inlets, markers = [], []

    def listen():
        inlets.append(pylsl.StreamInlet(resolve(f"{played.stream.source_id}-markers"), recover=False))
        inlets[0].open_stream(timeout=5.0)

    def fire():
        for _ in range(2):
            time.sleep(0.03)
            (tmp_path / "trigger").write_bytes(b"\x01\x00")
            markers.append(inlets[0].pull_sample(timeout=2.0))

    with trigger_pipe(tmp_path / "trigger", pylsl.local_clock) as triggers:
        received = receive(played, triggers, before=listen, during=fire)
    assert received.tally.triggers == 2
    assert markers == [(["trigger"], edge_s) for edge_s in triggers.edges_s]
    stamps_s = received.stamps_s
    high = [(edge_s <= stamps_s) & (stamps_s < edge_s + STEP_S) for edge_s in triggers.edges_s]
    step = [(edge_s + delay_s <= stamps_s) & (stamps_s < edge_s + delay_s + STEP_S) for edge_s in triggers.edges_s]
    np.testing.assert_array_equal(received.values[:, 2], np.any(high, axis=0))
    np.testing.assert_array_equal(received.values[:, 1], samples(300)[:, 1] + height_uv * np.any(step, axis=0))
    np.testing.assert_array_equal(received.values[:, 0], samples(300)[:, 0])
