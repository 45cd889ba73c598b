"""The live loop with real parts: LSL streams on this machine, pipes and terminals, processes that die.

The test's own thread is the amplifier: it sends each sample at its moment, and meanwhile does what a
session does beside the loop. The core is the small one of the core's own tests, whose estimator knows
the phase by counting samples, so that every pulse's time can be told beforehand.
"""

import math
import os
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path

import numpy as np
import pylsl
import pytest

from closedloop.config.line import BytesLine
from closedloop.config.source import Lsl
from closedloop.core.reasons import Reason
from closedloop.core.records import EVENT, INPUT, EventKind, InputKind
from closedloop.core.replay import fingerprint, lost_records, replay
from closedloop.core.storage import from_arrays, to_arrays
from closedloop.outlet import Outlet
from closedloop.session.status import Watch
from closedloop.session.supervisor import Supervisor
from closedloop.sources.lsl import Stream
from closedloop.stimulators.line import TriggerLine, open_line

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]

SFREQ = 250.0
PERIOD_S = 0.1
"""Of the rhythm."""
AMPLITUDE_UV = 20.0
LATENCY_S = 0.02
ATTEND_S = 0.02
"""So often the test looks after the loop."""
PATIENCE_S = 10.0
SERIAL = count()
SENDER = Path(__file__).with_name("sender.py")


def _small_core():
    """Return the module of the core's own tests, under the name that pytest gives it: compiled code is kept by name."""
    name = "tests.core.conftest"
    if name not in sys.modules:
        spec = spec_from_file_location(name, Path(__file__).parents[1] / "core" / "conftest.py")
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


SMALL = _small_core()


def draw_core(*, n_channels=1, sfreq=SFREQ, **options):
    """Return a core that, once it is armed, fires at every trough.

    What a busy machine delays by 20 ms is not too late for it, and its rhythm is known again half a second after a
    gap, however long that was.
    """
    limits, timing = {"max_lateness_s": 0.02}, {"longest_s": 60.0}
    core = SMALL.draw_core(sfreq=sfreq, limits=limits, timing=timing, gate={"armed": 0}, **options)
    return core._replace(values=np.zeros((core.values.shape[0], n_channels)))


class Amplifier:
    """An outlet whose samples leave when the test says so.

    Parameters
    ----------
    source_id
        Also its name.
    labels, kinds
        Of its channels.
    unit, number_format
        How it sends; ``per_uv`` of it are one µV.
    """

    def __init__(self, source_id, *, sfreq, labels, kinds, unit, number_format):
        info = pylsl.StreamInfo(source_id, "EEG", len(labels), sfreq, number_format, source_id)
        channels = info.desc().append_child("channels")
        for label, kind in zip(labels, kinds, strict=True):
            channel = channels.append_child("channel")
            for key, value in (("label", label), ("unit", unit), ("type", kind)):
                channel.append_child_value(key, value)
        self._outlet = Outlet(info)

    def push(self, samples, stamps_s):
        """Send samples of shape (n_samples, n_channels) with a stamp for each."""
        self._outlet.push_chunk(samples, list(stamps_s))

    def close(self):
        self._outlet = None


def find(source_id):
    (found,) = pylsl.resolve_byprop("source_id", source_id, timeout=PATIENCE_S)
    return found


class Rig:
    """A sender, a compiled loop, and whoever looks after it, all in the test's thread.

    Attributes
    ----------
    start_s
        Stamp of the first sample, in s.
    sent
        Nominal samples so far.
    said
        What the supervisor said.
    sights
        All of them, once `end` was called.
    """

    def __init__(self, core, line, source_id, *, amplifier=None, source=(), sfreq=SFREQ, per_uv=1.0, chunk=1):
        self.core, self.amplifier = core, amplifier
        self.designed = to_arrays(core)
        self.source = Lsl(type="lsl", stream={"source_id": source_id}, **dict(source))
        stream = Stream(find(source_id), self.source)
        self.sfreq, self._per_uv, self._chunk = sfreq, per_uv, chunk
        self.supervisor = Supervisor(core, SMALL.STEPS, stream, self.source, line, correction_s=0.0, first_row=0)
        self.watch = Watch(0)
        self.said = []
        self.is_attended = True
        self.sent = 0
        self._waiting = []
        self._drained, self._sights = [], []
        self._attended_s = -math.inf
        self.supervisor.__enter__()
        self.supervisor.arm(-math.inf, say=self.said.append)
        self.start_s = pylsl.local_clock() + 0.05

    # What the amplifier does

    def due_s(self, place):
        """Return the stamp of a nominal sample, in s."""
        return self.start_s + place / self.sfreq

    def sample(self, place):
        """Return a nominal sample as it is sent: the sine in every channel."""
        at_s = place / self.sfreq
        value = AMPLITUDE_UV * math.cos(2.0 * math.pi * at_s / PERIOD_S)
        return [value * self._per_uv] * self.core.values.shape[1]

    def send(self, *, shift_s=0.0, values=None):
        """Send the next sample when it is due, or when its chunk is full; its stamp may be another."""
        stamp_s = self.due_s(self.sent)
        self.wait_until(stamp_s)
        self._waiting.append((self.sample(self.sent) if values is None else values, stamp_s + shift_s))
        self.sent += 1
        if len(self._waiting) == self._chunk:
            samples, stamps_s = zip(*self._waiting, strict=True)
            self._waiting = []
            self.amplifier.push([list(sample) for sample in samples], stamps_s)

    def play(self, duration_s, **options):
        for _ in range(round(duration_s * self.sfreq)):
            self.send(**options)

    def skip(self, n):
        """Let samples never come."""
        self.sent += n

    def push(self, places, shift_s=0.0):
        """Send nominal samples at once, whenever they were due."""
        places = list(places)
        self.amplifier.push([self.sample(k) for k in places], [self.due_s(k) + shift_s for k in places])

    def catch_up(self):
        """Go on with the sample that is due now."""
        self.sent = math.ceil((pylsl.local_clock() - self.start_s) * self.sfreq)

    # What a session does

    def wait_until(self, until_s):
        while True:
            now_s = pylsl.local_clock()
            if self.is_attended and now_s - self._attended_s >= ATTEND_S:
                self.attend()
                now_s = pylsl.local_clock()
            if now_s >= until_s:
                return
            time.sleep(min(until_s - now_s, ATTEND_S))

    def wait(self, duration_s):
        self.wait_until(pylsl.local_clock() + duration_s)

    def wait_for(self, condition):
        """Wait until something is so."""
        until_s = pylsl.local_clock() + PATIENCE_S
        while not condition():
            assert pylsl.local_clock() < until_s, f"in vain; the supervisor said {self.said}"
            self.wait(0.005)

    def attend(self):
        self._attended_s = pylsl.local_clock()
        self._collect()
        self.supervisor.look_after(self.watch.newest, say=self.said.append)

    def _collect(self):
        drained, sights = self.supervisor.collect()
        self._drained.append(drained)
        self._sights.append(sights)
        self.watch.follow(sights, drained.events)

    @property
    def need(self):
        return self.supervisor.need

    @property
    def state(self):
        self._collect()
        return self.status.state

    @property
    def status(self):
        gone = self.supervisor.has_disarmed_since(self.watch.newest)
        return self.watch.status(pylsl.local_clock(), began_s=self.start_s, need=self.need, gone=gone)

    def post(self, command, value=0.0):
        """Give a command and return when, in s."""
        now_s = pylsl.local_clock()
        self.supervisor.post(command, value)
        return now_s

    def arm(self):
        """Arm as an operator does, and return when, in s."""
        now_s = pylsl.local_clock()
        self.supervisor.arm(-math.inf, say=self.said.append)
        return now_s

    # What there was

    def stop(self):
        """End the loop and let the amplifier go; the second time nothing happens."""
        self.supervisor.stop()
        self._collect()
        if self.amplifier is not None:
            self.amplifier.close()

    def end(self):
        """End the loop; what was recorded must reach the same decisions again."""
        self.stop()
        assert lost_records(self.core) == 0
        again = replay(from_arrays(self.designed), SMALL.STEPS, self.inputs, self.values)
        assert fingerprint(again) == fingerprint(self.events)

    @property
    def events(self):
        return np.concatenate([*[d.events for d in self._drained], np.zeros(0, EVENT)])

    @property
    def inputs(self):
        return np.concatenate([*[d.inputs for d in self._drained], np.zeros(0, INPUT)])

    @property
    def values(self):
        return np.concatenate([d.values for d in self._drained])

    @property
    def sights(self):
        return np.concatenate(self._sights)

    def inputs_of(self, kind):
        return self.inputs[self.inputs["kind"] == kind]

    def events_between(self, from_s, until_s=math.inf):
        """Return what was decided in a stretch of time."""
        now_s = self.events["now_s"]
        return self.events[(now_s >= from_s) & (now_s < until_s)]

    def delivered(self, from_s=-math.inf, until_s=math.inf):
        events = self.events_between(from_s, until_s)
        return events[events["kind"] == EventKind.DELIVERED]

    def reasons(self, from_s=-math.inf, until_s=math.inf):
        """Return why chances in a stretch of time were refused, each reason once."""
        events = self.events_between(from_s, until_s)
        return {Reason(int(event["reason"])) for event in events if event["kind"] == EventKind.REFUSED}

    def causes(self, from_s=-math.inf, until_s=math.inf):
        """Return the same without what a machine adds that is busy with other things for a tenth of a second."""
        return self.reasons(from_s, until_s) - {Reason.STALE, Reason.TOO_LATE, Reason.NOT_FORESEEN}

    def commands(self, command):
        """Return when the core obeyed a command, in s."""
        told = self.inputs_of(InputKind.COMMAND)
        return told["now"][told["code"] == command]


class Pipe:
    """A named pipe that takes what a line writes."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def take(self):
        """Return the bytes that were written since the last time."""
        with suppress(BlockingIOError):
            return os.read(self._fd, 65536)
        return b""

    def close(self):
        """Read no more, as a program that has ended."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


@pytest.fixture
def make_core():
    return draw_core


@pytest.fixture
def source_id():
    return f"live-{os.getpid()}-{next(SERIAL)}"


@pytest.fixture
def make_amplifier(source_id):
    """Return a function that opens an outlet; all are closed at the end."""
    opened = []

    def make(*, sfreq=SFREQ, labels=("O1",), kinds=None, unit="microvolts", number_format="float32"):
        kinds = ["EEG"] * len(labels) if kinds is None else kinds
        opened.append(
            Amplifier(source_id, sfreq=sfreq, labels=labels, kinds=kinds, unit=unit, number_format=number_format)
        )
        return opened[-1]

    yield make
    for amplifier in opened:
        amplifier.close()


@pytest.fixture
def start_sender(source_id):
    """Return a function that starts an amplifier in a process of its own; what is left is killed at the end."""
    with ExitStack() as stack:

        def start(*labels, sfreq=SFREQ):
            arguments = [sys.executable, str(SENDER), source_id, str(sfreq), *(labels or ("O1",))]
            process = stack.enter_context(subprocess.Popen(arguments))
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture
def pipe(tmp_path):
    made = Pipe(tmp_path / "trigger")
    yield made
    made.close()


@pytest.fixture
def make_rig(source_id, make_amplifier, pipe):
    """Return a function that starts a loop on an amplifier of its own or another's; each is ended at the end."""
    with ExitStack() as stack:

        def make(core=None, *, amplifier=None, external=False, line=(), **options):
            core = draw_core() if core is None else core
            if amplifier is None and not external:
                amplifier = make_amplifier(sfreq=options.get("sfreq", SFREQ))
            opened = line
            if not isinstance(line, TriggerLine):
                settings = BytesLine(**{"path": str(pipe.path), "off": None, **dict(line)})
                opened = stack.enter_context(open_line(settings))
            rig = Rig(core, opened, source_id, amplifier=amplifier, **options)
            stack.callback(rig.stop)
            return rig

        yield make


@pytest.fixture
def rig(make_rig):
    """Return a loop that fires at every trough of the sine of an amplifier of its own."""
    return make_rig()
