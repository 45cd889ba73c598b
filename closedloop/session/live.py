"""A live session: find the stream, calibrate on its first minute, run the loop on what follows."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pylsl

from closedloop.calibration.assemble import train_hz
from closedloop.calibration.calibrate import calibrate
from closedloop.calibration.dose_limits import conditions as conditions_of
from closedloop.calibration.montage import find_montage
from closedloop.config.device import Stimulator
from closedloop.config.line import CommandLine
from closedloop.config.source import Lsl
from closedloop.core.live import FORESIGHT, HEARTBEAT, PORT_BUSY, SHARED
from closedloop.core.reasons import Reason
from closedloop.core.records import Command
from closedloop.core.state import Core, Steps
from closedloop.core.storage import step_names, to_arrays
from closedloop.dose.record import DoseRecord
from closedloop.errors import DoseError, LoopError, OutputError, StimulatorError, StreamError
from closedloop.protocols.trigger_rate import fastest_hz, in_tenths
from closedloop.session.arming import Arming
from closedloop.session.dose import open_dose
from closedloop.session.facts import machine, now_utc, software
from closedloop.session.folder import Recorder, SessionFolder
from closedloop.session.interruption import Interruption
from closedloop.session.line_watch import UNANSWERED_S, LineWatch
from closedloop.session.live_record import evaluate_record
from closedloop.session.outcome import Outcome
from closedloop.session.outlets import Outlets
from closedloop.session.realtime import awake, check_granted, require_realtime, undisturbed
from closedloop.session.source import OpenedSource
from closedloop.session.status import Operator, Watch, Wish
from closedloop.session.supervisor import Supervisor
from closedloop.sources.lsl import Stream, check_scale, find_stream, rest_recording
from closedloop.sources.recording import Recording
from closedloop.stimulators.heartbeat import Heartbeat, Places
from closedloop.stimulators.kept import KeptStimulator
from closedloop.stimulators.line import TriggerLine

Progress = Callable[[str, float], None]
EVERY_S = 0.05
"""So often the rings are emptied and the operator is heard."""
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
    subject: str | None,
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
    subject
        Code of whoever is stimulated.

    Raises
    ------
    ClosedloopError
        Where the stream, the pipeline, the device or the subject's dose record cannot be used.
    """
    source = outcome.pipeline.source
    assert isinstance(source, Lsl)
    if source.realtime == "required":
        require_realtime()

    percent = float(conditions_of(outcome.pipeline, outcome.device)["percent"].max())
    with (
        _record_kept(outcome),
        open_dose(outcome.device, subject, folder.path) as dose,
        Heartbeat(SHARED) as heartbeat,
        KeptStimulator(outcome.device, heartbeat, Places(HEARTBEAT, FORESIGHT, PORT_BUSY)) as stimulator,
        stimulator.open_line() as line,
        Stream(find_stream(source, _waiting(progress, operator, interruption)), source) as stream,
        awake(source.cpu),
    ):
        for given in () if dose is None else dose.settled:
            operator.say(f"{given.session} had ended without a word: {given.pulses} pulses of it count as given")
        if dose is not None and dose.warning:
            operator.say(dose.warning)
        progress("preparing the stimulator", 0.0)
        trigger_hz = fastest_hz(outcome.pipeline.protocol)
        _prepare(stimulator, outcome.device, percent, trigger_hz)
        facts = stream.facts
        correction_s = stream.correction_s()
        # Wrong labels end here, not after a minute of rest.
        empty = np.zeros((0, len(facts.channels)))
        find_montage(
            outcome.pipeline,
            Recording(facts.channels, facts.roles, facts.sfreq, empty, np.zeros(0), f"the stream {facts.name}"),
        )
        rest, rate_hz = _collect_rest(outcome, stream, stimulator, correction_s, progress)
        progress("calibrating", 0.0)
        outcome.calibration = calibrate(outcome.pipeline, outcome.device, rest)
        operator.say(f"{outcome.calibration.design.verdict}; {outcome.calibration.promise(outcome.pipeline)}")
        outcome.source = OpenedSource(recording=rest, rest=rest, run=rest)
        if trigger_hz is None:
            stimulator.set_train(1, in_tenths(train_hz(outcome.pipeline, outcome.calibration.design)))
        core, steps = outcome.calibration.core(outcome.pipeline, outcome.device, n_channels=len(facts.channels))
        core.timing["drift"] = facts.sfreq / rate_hz - 1.0
        core.timing["correction_s"] = correction_s
        if dose is not None:
            core = dose.share(core)
        folder.note(**_device_facts(stimulator, dose, subject, percent))
        rig = _Rig(stream, line, stimulator, heartbeat, dose)
        loop = _Loop(outcome, folder, rig, core, steps, operator, interruption)
        loop.run(correction_s, duration_s, progress)


def _waiting(progress: Progress, operator: Operator, interruption: Interruption) -> Callable[[str], bool]:
    """Return what tells that a stream is waited for, and whether to go on."""
    told: set[str] = set()

    def waiting(what: str) -> bool:
        progress(what.partition("; there: ")[0], 0.0)
        if what not in told:  # once, also where nobody sees the bar: other streams may be there, under other names
            told.add(what)
            operator.say(what)
        return not interruption.requested

    return waiting


def _prepare(stimulator: KeptStimulator, device: Stimulator, percent: float, trigger_hz: float | None) -> None:
    """Set the stimulator up; what could not be armed afterwards shall not cost a minute of rest."""
    stimulator.configure()
    stimulator.set_intensity(percent)
    if trigger_hz is not None:
        stimulator.set_train(1, trigger_hz)
    if stimulator.status.fault:
        raise StimulatorError(f"{device.name}: {stimulator.status.fault}")


def stop_session(
    outcome: Outcome, supervisor: Supervisor, interruption: Interruption, need: str, *, well: bool
) -> None:
    """Disarm and end a session that somebody stops.

    Parameters
    ----------
    outcome, supervisor, interruption
        Of the session.
    need
        What keeps it disarmed, or nothing: its trouble.
    well
        Whether that is an end like any other; elsewhere the session was interrupted.
    """
    supervisor.post(Command.STOP)
    supervisor.halt()
    if need:
        outcome.trouble = f"the session was stopped while disarmed: {need}"
    outcome.stopped = well
    interruption.requested |= not well


@contextmanager
def _record_kept(outcome: Outcome) -> Iterator[None]:
    """Keep what a session has recorded where, at its end, device or dose record cannot be left in good order."""
    try:
        yield
    except (StimulatorError, DoseError, OutputError) as error:
        if outcome.events is None:
            raise
        if outcome.trouble is None or str(error) not in outcome.trouble:
            outcome.trouble = "; ".join(filter(None, (outcome.trouble, str(error))))


def _collect_rest(
    outcome: Outcome, stream: Stream, stimulator: KeptStimulator, correction_s: float, progress: Progress
) -> tuple[Recording, float]:
    """Record the rest, and return it with its samples' rate in Hz; a stimulator that is lost meanwhile ends it."""
    source = outcome.pipeline.source
    assert isinstance(source, Lsl)
    rest_s = outcome.pipeline.calibration.duration_s

    def collected(share: float) -> bool:
        progress(f"recording {rest_s:g} s of rest from {stream.facts.name}", share)
        if wrong := stimulator.listen():
            raise StimulatorError("; ".join(wrong))
        return True

    samples, stamps = stream.collect(rest_s, collected)
    rest, rate_hz = rest_recording(stream.facts, samples, stamps + correction_s, delay_s=source.delay_s)
    check_scale(rest, unit_of=", ".join(sorted(set(filter(None, stream.facts.units)))) or str(source.unit))
    return rest, rate_hz


@dataclass(frozen=True)
class _Rig:
    """What is open for the length of a session."""

    stream: Stream
    line: TriggerLine
    stimulator: KeptStimulator
    heartbeat: Heartbeat
    dose: DoseRecord | None


def _device_facts(
    stimulator: KeptStimulator, dose: DoseRecord | None, subject: str | None, percent: float
) -> dict[str, Any]:
    given = None if dose is None else {"in_day_before": dose.in_day, "in_course_before": dose.in_course}
    device = {**asdict(stimulator.identity), "percent_of_maximum": percent}
    return {"subject": subject, "stimulator": device, "dose": given}


class _Loop:
    """One run of the loop, with its recorder, outlets and operator."""

    def __init__(
        self,
        outcome: Outcome,
        folder: SessionFolder,
        rig: _Rig,
        core: Core,
        steps: Steps,
        operator: Operator,
        interruption: Interruption,
    ) -> None:
        assert outcome.source is not None
        source = outcome.pipeline.source
        assert isinstance(source, Lsl)
        self._outcome, self._folder, self._rig, self._source = outcome, folder, rig, source
        self._stream = rig.stream
        self._rest = outcome.source.rest
        self._core, self._steps = core, steps
        self._told_pulses: int | None = None
        self._began_s: float | None = None
        self._line = LineWatch(rig.line)
        self._operator, self._interruption = operator, interruption
        target = list(outcome.pipeline.signals).index(outcome.pipeline.target.signal)
        self._watch = Watch(target, correction_s=float(core.timing["correction_s"][0]))
        self._rest_end_s = float(self._rest.times_s[-1]) + 1.0 / self._rest.sfreq + source.delay_s

    def run(self, correction_s: float, duration_s: float | None, progress: Progress) -> None:
        """Run it to its end, and put what it came to into the outcome."""
        pipeline, folder = self._outcome.pipeline, self._folder
        conditions = [condition.name for condition in pipeline.target.conditions]
        with (
            self._interruption.deferred(),
            Outlets(pipeline, self._stream.facts.sfreq) as outlets,
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
                self._rig.line,
                correction_s=correction_s,
                first_row=len(self._rest.samples),
                shared=self._rig.heartbeat.integers,
            )
            arming = Arming(self._outcome.device, self._rig.stimulator, supervisor, self._rig.dose, self._say)
            try:
                with supervisor, self._interruption.calling(supervisor.halt):
                    assert supervisor.granted is not None
                    self._say(supervisor.granted.line())
                    self._say_how_exact()
                    folder.note(granted=vars(supervisor.granted))
                    check_granted(supervisor.granted, self._source)
                    progress("", 1.0)
                    self._supervise(supervisor, recorder, outlets, arming, duration_s)
            except (StreamError, LoopError) as error:
                self._outcome.trouble = str(error)
            finally:
                self._rig.stimulator.disarm()
                self._told_pulses = arming.pulses_told
            self._operator.done()
            progress("running the session again from its record", 0.0)
            self._take(supervisor, recorder, outlets)
            self._hear_the_last()
        with self._interruption.deferred():
            evaluate_record(
                self._outcome,
                self._folder,
                self._core,
                self._steps,
                self._watch,
                fired_after_s=self._line.fired_after_s,
                told=self._told_pulses,
            )

    def _say_how_exact(self) -> None:
        """Say where the device's own command makes the moment of its pulses uncertain."""
        device, line = self._outcome.device, self._outcome.device.line
        if isinstance(line, CommandLine):
            self._say(
                f"{device.name} fires by its own command ({self._rig.stimulator.scheduler}): pulses spread over "
                f"{1e3 * line.spread_s:g} ms, which the gate allows for; the report's phases are those of the middle"
            )

    def _hear_the_last(self) -> None:
        """Hear what becomes of a trigger that left right before the end."""
        until_s = pylsl.local_clock() + UNANSWERED_S
        while True:
            for wrong in self._line.hear(pylsl.local_clock()):
                self._say(wrong)
            if not self._line.waits or pylsl.local_clock() >= until_s:
                return
            time.sleep(EVERY_S)

    def _supervise(
        self,
        supervisor: Supervisor,
        recorder: Recorder,
        outlets: Outlets,
        arming: Arming,
        duration_s: float | None,
    ) -> None:
        began_s = pylsl.local_clock()
        shown_s = flushed_s = -np.inf
        complete_s = np.inf
        while True:
            self._take(supervisor, recorder, outlets)
            now_s = pylsl.local_clock()
            # Before anything is asked of it: where this turn comes late, what it knew of the stream is old.
            supervisor.look_after(self._watch.newest, say=self._say)
            if self._began_s is None and (supervisor.broke or self._has_caught_up(now_s - began_s)):
                self._began_s = now_s
                self._watch.has_caught_up()
                if not supervisor.broke:
                    self._arm(arming)
            self._obey(supervisor, arming)
            for wrong in self._line.hear(now_s):
                arming.end(wrong)
            arming.look(self._watch.newest)
            if now_s - shown_s >= SHOW_EVERY_S:
                gone = supervisor.has_disarmed_since(self._watch.newest)
                need = supervisor.need or arming.need
                self._operator.show(self._watch.status(now_s, began_s=began_s, need=need, gone=gone))
                shown_s = now_s
            if now_s - flushed_s >= FLUSH_EVERY_S:
                recorder.flush()
                flushed_s = now_s
            if self._watch.reasons[Reason.PROTOCOL_COMPLETE]:
                complete_s = min(complete_s, now_s + TAIL_S)
            if self._outcome.stopped or self._interruption.requested or now_s >= complete_s:
                return
            if self._has_lasted(duration_s, now_s):
                if supervisor.need or arming.need:
                    self._outcome.trouble = f"the session ended disarmed: {supervisor.need or arming.need}"
                return
            time.sleep(EVERY_S)

    def _has_lasted(self, duration_s: float | None, now_s: float) -> bool:
        """Return whether the run is as long as it shall be: by the stream's time, or by ours where it has stopped."""
        if duration_s is None or self._began_s is None:
            return False
        newest = self._watch.newest
        end_s = self._began_s + duration_s
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

    def _arm(self, arming: Arming) -> None:
        arming.ask(self._rest_end_s + self._outcome.pipeline.calibration.arm_after_s)

    def _say(self, line: str) -> None:
        """Tell the operator, and keep it for the record."""
        self._outcome.messages.append({"after_s": round(pylsl.local_clock() - self._rest_end_s, 3), "message": line})
        self._operator.say(line)

    def _obey(self, supervisor: Supervisor, arming: Arming) -> None:
        wishes = self._operator.wishes()
        # Whatever else was asked for at the same time: a stop is the last word.
        for wish in [wish for wish in wishes if wish in {Wish.STOP, Wish.GIVE_UP}][:1] or wishes:
            self._say(f"asked to {wish}")
            if wish == Wish.PAUSE:
                supervisor.post(Command.PAUSE)
            elif wish == Wish.RESUME:
                supervisor.post(Command.RESUME)
            elif wish == Wish.ARM and self._began_s is None:
                self._say("not armed: the loop has not caught up with the stream yet, and is armed when it has")
            elif wish == Wish.ARM:
                self._arm(arming)
            else:
                well = wish == Wish.STOP and self._began_s is not None
                stop_session(self._outcome, supervisor, self._interruption, supervisor.need or arming.need, well=well)

    def _take(self, supervisor: Supervisor, recorder: Recorder, outlets: Outlets) -> None:
        """Hand on what has come out of the loop: first to the disk, then to whoever looks."""
        drained, sights = supervisor.collect()
        recorder.write(drained)
        self._line.count(drained.inputs)
        self._watch.follow(sights, drained.events)
        outlets.push(sights, drained.events)

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
