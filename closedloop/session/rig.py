"""How late is a rig? Test triggers through gate and record, the stimulator disarmed, found again in the stream.

An electrode input that is fed the trigger through a divider shows all that lies between a trigger and the time
stamp of the EEG; a trigger channel or a marker stream bypasses the EEG's filters, and shows its own way only.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pylsl
from numpy.typing import NDArray

from closedloop.config.device import Stimulator
from closedloop.config.line import CommandLine
from closedloop.config.pipeline import Pipeline
from closedloop.config.source import Lsl
from closedloop.core.reasons import Reason
from closedloop.core.records import EventKind, InputKind
from closedloop.core.replay import Drained, fingerprint
from closedloop.core.state import Core, Steps
from closedloop.core.storage import step_names, to_arrays
from closedloop.errors import ConfigError, StimulatorError, StreamError
from closedloop.files import DISCLAIMER
from closedloop.session.facts import machine, now_utc, software
from closedloop.session.folder import Recorder, SessionFolder
from closedloop.session.interruption import Interruption
from closedloop.session.latency import corrected_stamps, latency_facts, percentiles
from closedloop.session.metronome import metronome
from closedloop.session.onsets import Sight, Where, channel_onsets, electrode_onsets, next_after
from closedloop.session.realtime import awake, undisturbed
from closedloop.session.status import Watch
from closedloop.session.supervisor import Supervisor
from closedloop.sources.lsl import OPEN_S, Stream, StreamFacts, clock_correction, find_stream
from closedloop.sources.stamps import fit_stamps
from closedloop.stimulators.interface import open_stimulator
from closedloop.stimulators.line import open_line
from closedloop.stimulators.simulated import ROOM_C

SETTLE_S = 2.0
"""So much of the stream is heard first, for the jitter of its stamps."""
EVERY_S = 0.05
GRACE_S = 5.0
TAIL_S = 0.5
GOLDEN = 0.618034
"""Triggers fall at every place between two samples where their interval is no multiple of the period."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class RigLatency:
    """What was measured.

    Attributes
    ----------
    sight
        Where triggers were looked for.
    lag_s
        Array of shape (n_fired,): from the write of a trigger to the stamp that shows it, in s; NaN where it was
        not seen.
    period_s
        Between samples, in s; 0 for markers. A trigger shows in the first sample after it: half a period late.
    facts
        The loop's own latencies, as `latency_facts` gives them.
    granted
        What the system gave the loop, in one line.
    fingerprint
        Of the decisions.
    refused
        By reason, what was refused; without a reason there is none.
    """

    sight: Sight
    lag_s: NDArray[np.float64]
    period_s: float
    facts: dict[str, Any]
    granted: str
    fingerprint: str
    refused: dict[Reason, int]

    @property
    def seen(self) -> NDArray[np.float64]:
        """Lags of the triggers that were seen, in s."""
        return self.lag_s[np.isfinite(self.lag_s)]

    @property
    def delay_s(self) -> float:
        """The mean lag less half a period: what lies between a trigger and the stamp, however it falls, in s."""
        return float(self.seen.mean()) - 0.5 * self.period_s

    def as_json(self) -> dict[str, Any]:
        """Return it for a file."""
        return {
            "seen_in": self.sight.where.value,
            "name": self.sight.name,
            "fired": int(self.lag_s.size),
            "refused": {reason.label: count for reason, count in self.refused.items()},
            "seen": int(self.seen.size),
            "lag_ms": percentiles(self.seen),
            "lag_mean_ms": float(self.seen.mean() * 1e3) if self.seen.size else None,
            "lag_sd_ms": float(self.seen.std() * 1e3) if self.seen.size else None,
            "period_ms": self.period_s * 1e3,
            "delay_ms": self.delay_s * 1e3 if self.seen.size else None,
            "lags_ms": [None if np.isnan(lag) else float(lag * 1e3) for lag in self.lag_s],
            "granted": self.granted,
            "fingerprint": self.fingerprint,
            "notice": DISCLAIMER,
            **self.facts,
        }


def measure_rig(
    pipeline: Pipeline,
    device: Stimulator,
    folder: SessionFolder,
    sight: Sight,
    *,
    n_pulses: int,
    interval_s: float,
    interruption: Interruption,
    progress: Progress,
) -> RigLatency:
    """Fire test triggers with the stimulator disarmed and find them again.

    Parameters
    ----------
    pipeline, device
        The rig: stream, trigger line, limits.
    folder
        Where inputs, samples and decisions are recorded.
    sight
        Where triggers are looked for.
    n_pulses, interval_s
        How many, and how far apart in s; a small odd part is added so that they fall everywhere between samples.
    interruption
        Says when to stop.
    progress
        Is told what is going on.

    Raises
    ------
    ConfigError
        Where the pipeline is not live, or the interval below the device's limit.
    StreamError
        Where the stream cannot be used, or lacks the channel.
    """
    source = pipeline.source
    if not isinstance(source, Lsl):
        raise ConfigError(f"source.type = {source.type}: only a live stream (lsl) has a latency to measure")
    _check_device(device, n_pulses, interval_s)

    def go_on(what: str, share: float = 0.0) -> bool:
        progress(what, share)
        return not interruption.requested

    with (
        open_line(device.line) as line,
        Stream(find_stream(source, go_on), source) as stream,
        _Markers(sight) as markers,
        awake(source.cpu),
    ):
        facts = stream.facts
        place = _place(sight, facts)
        correction_s = stream.correction_s()
        _, stamps = stream.collect(SETTLE_S, lambda share: go_on("listening to the stream", share))
        every_s = interval_s + GOLDEN / facts.sfreq
        core, steps = metronome(
            facts.sfreq,
            n_channels=len(facts.channels),
            n_pulses=n_pulses,
            interval_s=every_s,
            latency_s=device.latency.known_s,
            max_data_age_s=pipeline.limits.max_data_age_s,
            max_lateness_s=pipeline.limits.max_lateness_s,
            min_interval_s=device.limits.min_interval_s,
            jitter_s=fit_stamps(stamps, facts.sfreq).jitter_s,
        )
        core.timing["correction_s"] = correction_s
        _note(folder, core, steps, facts)
        supervisor = Supervisor(core, steps, stream, source, line, correction_s=correction_s, first_row=0)
        taken = _Taken(sight, place, facts, markers, Watch(0, correction_s=correction_s))
        with interruption.deferred(), undisturbed(), Recorder(folder, ["test"]) as recorder:
            with supervisor:
                # For the gate only: nothing has armed the stimulator itself.
                supervisor.set_device(ready=True, coil_c=ROOM_C, asked_s=pylsl.local_clock())
                if not supervisor.arm(-np.inf, say=lambda line: progress(line, 0.0)):
                    raise StreamError(supervisor.hindrance)
                _fire(supervisor, recorder, taken, go_on, n_pulses, n_pulses * every_s + GRACE_S)
            recorder.write(taken.take(supervisor))
        assert supervisor.granted is not None
        return taken.found(supervisor.granted.line())


def _check_device(device: Stimulator, n_pulses: int, interval_s: float) -> None:
    """Refuse a stimulator that is armed, and what its limits do not allow."""
    limits = device.limits
    if device.is_real and device.line is None:
        raise ConfigError(f"{device.name}: line = null: there is no line for test triggers to leave by")
    if isinstance(device.line, CommandLine):
        raise ConfigError(
            f"{device.name}: line.kind = command: only an armed stimulator takes it, test triggers do not"
        )
    if not n_pulses <= limits.max_pulses_per_session:
        raise ConfigError(
            f"--pulses = {n_pulses} is above the device's "
            f"limits.max_pulses_per_session = {limits.max_pulses_per_session}"
        )
    if not interval_s >= limits.min_interval_s:
        raise ConfigError(
            f"--interval = {interval_s:g} s is below the device's limits.min_interval_s = {limits.min_interval_s:g}"
        )
    with open_stimulator(device) as stimulator:  # leaves it disarmed
        if stimulator.status().armed:
            raise StimulatorError(f"{device.name} is armed: disarm it before test triggers are fired")


def _fire(
    supervisor: Supervisor,
    recorder: Recorder,
    taken: "_Taken",
    go_on: Callable[[str, float], bool],
    n_pulses: int,
    longest_s: float,
) -> None:
    """Look after the armed loop until its pulses are out, or for so long at most."""
    end_s = pylsl.local_clock() + longest_s
    while pylsl.local_clock() < end_s and go_on("firing test triggers", taken.fired / n_pulses):
        recorder.write(taken.take(supervisor))
        supervisor.look_after(taken.watch.newest, say=_refuse)
        if taken.watch.reasons[Reason.PROTOCOL_COMPLETE]:
            end_s = min(end_s, pylsl.local_clock() + TAIL_S)
        time.sleep(EVERY_S)


def _note(folder: SessionFolder, core: Core, steps: Steps, facts: StreamFacts) -> None:
    folder.write_arrays("state.npz", to_arrays(core))
    folder.note(
        created=now_utc(),
        software=software(),
        machine=machine(),
        stream=facts.as_json(),
        recording={"name": facts.name, "channels": list(facts.channels), "sfreq": facts.sfreq},
        steps=step_names(steps),
        conditions=["test"],
    )


def _refuse(what: str) -> None:
    raise StreamError(what)


def _place(sight: Sight, facts: StreamFacts) -> int:
    if sight.where == Where.MARKERS:
        return -1
    if sight.name not in facts.channels:
        raise StreamError(f"{facts.name} has no channel {sight.name}: it has {', '.join(facts.channels)}")
    return facts.channels.index(sight.name)


class _Markers:
    """The marker stream that shows triggers, where one does."""

    def __init__(self, sight: Sight) -> None:
        self._inlet: pylsl.StreamInlet | None = None
        self._stamps: list[float] = []
        if sight.where == Where.MARKERS:
            found = pylsl.resolve_byprop("name", sight.name, timeout=OPEN_S)
            if not found:
                raise StreamError(f"--markers {sight.name}: there is no such stream (waited {OPEN_S:g} s)")
            try:
                self._inlet = pylsl.StreamInlet(found[0], recover=False)
                self._inlet.open_stream(timeout=OPEN_S)
                self._correction_s = clock_correction(self._inlet)
            except RuntimeError as error:
                raise StreamError(f"--markers {sight.name}: cannot be opened: {error}") from None

    def __enter__(self) -> "_Markers":
        return self

    def __exit__(self, *_: object) -> None:
        if self._inlet is not None:
            self._inlet.close_stream()

    def collect(self) -> None:
        """Take what has come."""
        if self._inlet is not None:
            try:
                _, stamps = self._inlet.pull_chunk(timeout=0.0)
            except RuntimeError as error:
                raise StreamError(f"--markers: the stream broke off: {error}") from None
            self._stamps.extend(stamp + self._correction_s for stamp in stamps)

    @property
    def stamps_s(self) -> NDArray[np.float64]:
        """When markers came, in s on this machine's clock."""
        return np.array(self._stamps)


class _Taken:
    """What has come out of the loop so far: decisions, and the one channel in which triggers are looked for."""

    def __init__(self, sight: Sight, place: int, facts: StreamFacts, markers: _Markers, watch: Watch) -> None:
        self._sight, self._place, self._facts, self._markers = sight, place, facts, markers
        self.watch = watch
        self._inputs: list[NDArray[np.void]] = []
        self._events: list[NDArray[np.void]] = []
        self._column: list[NDArray[np.float64]] = []

    @property
    def fired(self) -> int:
        """Triggers so far."""
        return self.watch.counts[EventKind.DELIVERED]

    def take(self, supervisor: Supervisor) -> Drained:
        """Empty the loop's rings, keep what is needed, and hand it on."""
        drained, sights = supervisor.collect()
        self.watch.follow(sights, drained.events)
        self._inputs.append(drained.inputs)
        self._events.append(drained.events)
        self._column.append(drained.values[:, max(self._place, 0)].copy())
        self._markers.collect()
        return drained

    def _refused(self) -> dict[Reason, int]:
        """Count what was refused, but for the end of the test, the most frequent first."""
        return {r: n for r, n in self.watch.reasons.most_common() if r != Reason.PROTOCOL_COMPLETE}

    def found(self, granted: str) -> RigLatency:
        """Find the triggers again."""
        inputs, column = np.concatenate(self._inputs), np.concatenate(self._column)
        written = inputs[(inputs["kind"] == InputKind.WRITTEN) & (inputs["code"] == 0)]["now"]
        times_s = corrected_stamps(inputs, self.watch.correction_s)
        match self._sight.where:
            case Where.CHANNEL:
                onsets = channel_onsets(written, times_s, column, threshold=self._sight.threshold)
            case Where.ELECTRODE:
                onsets = electrode_onsets(written, times_s, column)
            case Where.MARKERS:
                onsets = next_after(written, self._markers.stamps_s)
        period_s = 0.0 if self._sight.where == Where.MARKERS else 1.0 / self._facts.sfreq
        events = np.concatenate(self._events)
        facts = latency_facts(inputs, events, self.watch)
        return RigLatency(self._sight, onsets - written, period_s, facts, granted, fingerprint(events), self._refused())
