"""A live session: find the stream, calibrate on its first minute, run the loop on what follows."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pylsl

from closedloop.calibration.calibrate import calibrate
from closedloop.calibration.montage import find_montage
from closedloop.config.device import Stimulator as Profile
from closedloop.config.source import Lsl
from closedloop.core.reasons import Reason
from closedloop.core.records import Command
from closedloop.core.replay import fingerprint, lost_records, replay
from closedloop.core.state import Core, Steps
from closedloop.core.storage import from_arrays, step_names, to_arrays
from closedloop.errors import LoopError, StimulatorError, StreamError
from closedloop.files import COMPLETE
from closedloop.session.disturbance import blank_disturbed
from closedloop.session.facts import machine, now_utc, software
from closedloop.session.folder import Recorder, SessionFolder, StoredSession
from closedloop.session.interruption import Interruption
from closedloop.session.latency import latency_facts, percentiles, trigger_lags
from closedloop.session.outcome import Outcome
from closedloop.session.outlets import Outlets
from closedloop.session.realtime import require_realtime, undisturbed
from closedloop.session.source import OpenedSource
from closedloop.session.status import Operator, Watch, Wish
from closedloop.session.supervisor import Supervisor
from closedloop.sources.lsl import Stream, check_scale, find_stream, rest_recording
from closedloop.sources.recording import Recording
from closedloop.stimulators.interface import SIMULATED, Stimulator
from closedloop.stimulators.line import TriggerLine, open_line
from closedloop.stimulators.simulated import ROOM_C, NoSettings, SimulatedStimulator

Progress = Callable[[str, float], None]
EVERY_S = 0.05
"""So often the rings are emptied and the operator is heard."""
DEVICE_EVERY_S = 0.25
"""So often the gate is told how the stimulator is."""
SHOW_EVERY_S = 0.25
FLUSH_EVERY_S = 1.0
GRACE_S = 1.0
"""A stream whose time has stopped ends a run of a given length so long after it should have."""
CATCH_UP_S = 30.0
TAIL_S = 2.0
"""So long a session goes on after its protocol's last trial: what follows a pulse belongs to the record."""


def run_live(
    outcome: Outcome,
    folder: SessionFolder,
    *,
    interruption: Interruption,
    progress: Progress,
    operator: Operator,
    duration_s: float | None,
) -> None:
    """Run a live session's calibration and loop, and put what they came to into the outcome.

    Parameters
    ----------
    outcome
        Of a pipeline whose source is a live stream.
    folder
        Where it is recorded.
    interruption
        Says when to stop.
    progress
        Is told what is going on before the loop.
    operator
        Watches and steers the loop.
    duration_s
        Length of the loop's run in s; None: until the protocol is complete or somebody stops it.

    Raises
    ------
    ClosedloopError
        Where the stream, the pipeline or the device cannot be used.
    """
    source = outcome.pipeline.source
    assert isinstance(source, Lsl)
    _check_driver(outcome.device)
    if source.realtime == "required":
        require_realtime()

    def waiting(what: str) -> bool:
        progress(what, 0.0)
        return not interruption.requested

    with open_line(outcome.device.line) as line, Stream(find_stream(source, waiting), source) as stream:
        facts = stream.facts
        correction_s = stream.correction_s()
        # Wrong labels end here, not after a minute of rest.
        empty = np.zeros((0, len(facts.channels)))
        find_montage(
            outcome.pipeline,
            Recording(facts.channels, facts.roles, facts.sfreq, empty, np.zeros(0), f"the stream {facts.name}"),
        )
        rest, rate_hz = _collect_rest(outcome, stream, correction_s, progress)
        progress("calibrating", 0.0)
        outcome.calibration = calibrate(outcome.pipeline, outcome.device, rest)
        outcome.source = OpenedSource(recording=rest, rest=rest, run=rest)
        core, steps = outcome.calibration.core(outcome.pipeline, outcome.device, n_channels=len(facts.channels))
        core.timing["drift"] = facts.sfreq / rate_hz - 1.0
        core.timing["correction_s"] = correction_s
        loop = _Loop(outcome, folder, stream, line, core, steps, operator, interruption)
        loop.run(correction_s, duration_s, progress)


def _collect_rest(outcome: Outcome, stream: Stream, correction_s: float, progress: Progress) -> tuple[Recording, float]:
    source = outcome.pipeline.source
    assert isinstance(source, Lsl)
    rest_s = outcome.pipeline.calibration.duration_s

    def collected(share: float) -> bool:
        progress(f"recording {rest_s:g} s of rest from {stream.facts.name}", share)
        return True

    samples, stamps = stream.collect(rest_s, collected)
    rest, rate_hz = rest_recording(stream.facts, samples, stamps + correction_s, delay_s=source.delay_s)
    check_scale(rest, unit_of=", ".join(sorted(set(filter(None, stream.facts.units)))) or str(source.unit))
    return rest, rate_hz


class _Loop:
    """One run of the loop, with its recorder, outlets and operator."""

    def __init__(
        self,
        outcome: Outcome,
        folder: SessionFolder,
        stream: Stream,
        line: TriggerLine,
        core: Core,
        steps: Steps,
        operator: Operator,
        interruption: Interruption,
    ) -> None:
        assert outcome.source is not None
        source = outcome.pipeline.source
        assert isinstance(source, Lsl)
        self._outcome, self._folder, self._stream, self._source = outcome, folder, stream, source
        self._rest = outcome.source.rest
        self._line, self._core, self._steps = line, core, steps
        self._operator, self._interruption = operator, interruption
        target = list(outcome.pipeline.signals).index(outcome.pipeline.target.signal)
        self._watch = Watch(target, correction_s=float(core.timing["correction_s"][0]))
        self._rest_end_s = float(self._rest.times_s[-1]) + 1.0 / self._rest.sfreq + source.delay_s

    def run(self, correction_s: float, duration_s: float | None, progress: Progress) -> None:
        """Run it to its end, and put what it came to into the outcome."""
        pipeline, device, folder = self._outcome.pipeline, self._outcome.device, self._folder
        conditions = [condition.name for condition in pipeline.target.conditions]
        stimulator = SimulatedStimulator(device, NoSettings())
        if pipeline.stimulator.intensity.percent_of_maximum is not None:
            stimulator.set_intensity(pipeline.stimulator.intensity.percent_of_maximum)
        with (
            Outlets(pipeline, self._stream.facts.sfreq) as outlets,
            self._interruption.deferred(),
            undisturbed(),
            Recorder(folder, conditions) as recorder,
        ):
            folder.write_arrays("state.npz", to_arrays(self._core))
            folder.note(**self._facts(), steps=step_names(self._steps), conditions=conditions)
            recorder.write_rest(self._rest.samples)
            progress("the loop catches up with the stream", 1.0)
            supervisor = Supervisor(
                self._core,
                self._steps,
                self._stream,
                self._source,
                self._line,
                correction_s=correction_s,
                first_row=len(self._rest.samples),
            )
            try:
                with ExitStack() as armed, supervisor, self._interruption.calling(supervisor.halt):
                    assert supervisor.granted is not None
                    self._say(supervisor.granted.line())
                    folder.note(granted=vars(supervisor.granted))
                    progress("", 1.0)
                    self._supervise(supervisor, recorder, outlets, stimulator, armed, duration_s)
            except (StreamError, LoopError) as error:
                self._outcome.trouble = str(error)
            self._operator.done()
            progress("running the session again from its record", 0.0)
            self._take(supervisor, recorder, outlets)
        with self._interruption.deferred():
            self._finish()

    def _supervise(
        self,
        supervisor: Supervisor,
        recorder: Recorder,
        outlets: Outlets,
        stimulator: Stimulator,
        armed: ExitStack,
        duration_s: float | None,
    ) -> None:
        began_s = pylsl.local_clock()
        shown_s = flushed_s = -np.inf
        complete_s = np.inf
        told_s = -np.inf
        armed_once = ready = False
        while True:
            now_s = pylsl.local_clock()
            self._take(supervisor, recorder, outlets)
            if not armed_once and not supervisor.broke and self._has_caught_up(now_s - began_s):
                armed_once = True
                armed.enter_context(stimulator.armed())
                self._arm(supervisor)
            status = stimulator.status()
            if status.ready != ready or now_s - told_s >= DEVICE_EVERY_S:
                ready, told_s = status.ready, now_s
                supervisor.set_device_ready(ready=ready, coil_c=ROOM_C)
            self._obey(supervisor)
            supervisor.look_after(self._watch.newest, say=self._say)
            if now_s - shown_s >= SHOW_EVERY_S:
                gone = supervisor.has_disarmed_since(self._watch.newest)
                self._operator.show(self._watch.status(now_s, began_s=began_s, need=supervisor.need, gone=gone))
                shown_s = now_s
            if now_s - flushed_s >= FLUSH_EVERY_S:
                recorder.flush()
                flushed_s = now_s
            if self._watch.reasons[Reason.PROTOCOL_COMPLETE]:
                complete_s = min(complete_s, now_s + TAIL_S)
            if self._interruption.requested or now_s >= complete_s or self._has_lasted(duration_s, now_s):
                return
            time.sleep(EVERY_S)

    def _has_lasted(self, duration_s: float | None, now_s: float) -> bool:
        """Return whether the run is as long as it shall be: by the stream's time, or by ours where it has stopped."""
        if duration_s is None:
            return False
        newest = self._watch.newest
        end_s = self._rest_end_s + duration_s
        return (newest is not None and float(newest["time_s"]) >= end_s) or now_s >= end_s + GRACE_S

    def _has_caught_up(self, elapsed_s: float) -> bool:
        """Return whether the loop has worked off what came during calibration."""
        newest = self._watch.newest
        age_s = np.inf if newest is None else float(newest["told_s"] - newest["time_s"])
        limit_s = self._outcome.pipeline.limits.max_data_age_s
        if not age_s <= limit_s and elapsed_s > CATCH_UP_S:
            raise StreamError(
                f"{self._stream.facts.name}: the newest sample is {age_s:.3f} s old when it arrives "
                f"(limits.max_data_age_s = {limit_s:g}): nothing was armed"
            )
        return age_s <= limit_s

    def _arm(self, supervisor: Supervisor) -> None:
        supervisor.arm(self._rest_end_s + self._outcome.pipeline.calibration.arm_after_s, say=self._say)

    def _say(self, line: str) -> None:
        """Tell the operator, and keep it for the record."""
        self._outcome.messages.append({"after_s": round(pylsl.local_clock() - self._rest_end_s, 3), "message": line})
        self._operator.say(line)

    def _obey(self, supervisor: Supervisor) -> None:
        wishes = self._operator.wishes()
        # Whatever else was asked for at the same time: a stop is the last word.
        for wish in [Wish.STOP] if Wish.STOP in wishes else wishes:
            self._say(f"asked to {wish}")
            if wish == Wish.PAUSE:
                supervisor.post(Command.PAUSE)
            elif wish == Wish.RESUME:
                supervisor.post(Command.RESUME)
            elif wish == Wish.ARM:
                self._arm(supervisor)
            else:
                supervisor.post(Command.STOP)
                supervisor.halt()
                self._interruption.requested = True

    def _take(self, supervisor: Supervisor, recorder: Recorder, outlets: Outlets) -> None:
        """Hand on what has come out of the loop: first to the disk, then to whoever looks."""
        drained, sights = supervisor.collect()
        recorder.write(drained)
        self._watch.follow(sights, drained.events)
        outlets.push(sights, drained.events)

    def _finish(self) -> None:
        """Run the session again from its record: that verifies it, and tells when each sample was taken."""
        stored = StoredSession(self._folder.path)
        inputs, samples = stored.inputs(), stored.samples()
        first = len(self._rest.samples)
        times_s = np.full(len(samples) - first, np.nan)
        again = replay(from_arrays(stored.arrays()), self._steps, inputs, samples[first:], times_s=times_s)
        events = stored.events()
        lost = lost_records(self._core)
        self._folder.note(
            replayable=lost == 0,
            lost=lost,
            verified=fingerprint(again) == fingerprint(events),
        )
        known = np.isfinite(times_s)
        rest = self._rest
        whole = replace(
            rest,
            samples=samples if known.all() else samples[np.concatenate([np.ones(first, bool), known])],
            times_s=np.concatenate([rest.times_s, times_s[known] - self._source.delay_s]),
        )
        assert self._outcome.calibration is not None
        gates = self._outcome.pipeline.gates
        self._outcome.disturbed = blank_disturbed(
            whole,
            events,
            self._outcome.calibration.design.montage.places,
            hold_s=gates.hold_after_pulse_s,
            limit_uv=gates.artifact_uv,
            always=self._outcome.device.driver != "simulated",
        )
        self._outcome.source = OpenedSource(recording=whole, rest=rest, run=whole)
        self._outcome.events = events
        self._outcome.played_s = times_s.size / rest.sfreq
        self._outcome.latency = latency_facts(inputs, events, self._watch)
        trigger = self._outcome.calibration.design.montage.trigger
        if trigger >= 0 and self._source.trigger_channel is not None:
            column = np.ascontiguousarray(samples[first:, trigger])
            self._outcome.latency["trigger_seen_ms"] = percentiles(
                trigger_lags(inputs, column, self._watch.correction_s, self._source.trigger_channel.threshold)
            )
        if self._outcome.trouble is None and not self._interruption.requested:
            self._outcome.status = COMPLETE

    def _facts(self) -> dict[str, Any]:
        facts = self._stream.facts
        return {
            "created": now_utc(),
            "software": software(),
            "machine": machine(),
            "seed": self._outcome.pipeline.target.order.seed,
            "stream": facts.as_json(),
            "recording": {
                "name": facts.name,
                "sha256": None,
                "sfreq": facts.sfreq,
                "duration_s": None,
                "channels": list(facts.channels),
                "roles": list(facts.roles),
                "notes": list(self._rest.notes),
                "rest_samples": len(self._rest.samples),
                "jitter_s": self._rest.jitter_s,
            },
        }


def _check_driver(device: Profile) -> None:
    """Refuse to arm anything but the simulated stimulator.

    Raises
    ------
    StimulatorError
        For any other driver: a real stimulator needs a process of its own that watches over it while it is armed.
    """
    if device.driver != SIMULATED:
        raise StimulatorError(
            f"{device.name}: driver = {device.driver}: a live session arms the simulated stimulator only: what watches "
            "over a real one while it is armed is not there yet"
        )
