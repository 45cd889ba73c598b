"""A session from a recording: calibrate on its beginning, run the loop over the rest, record, report."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from closedloop.calibration.calibrate import calibrate
from closedloop.config.device import Stimulator
from closedloop.config.load import resolved_yaml
from closedloop.config.pipeline import Pipeline
from closedloop.config.source import Lsl
from closedloop.core.playback import Chunk, chunks
from closedloop.core.pulse_artifact import make_artifact
from closedloop.core.records import Command
from closedloop.core.replay import lost_records, play, post_command, post_device
from closedloop.core.state import Core
from closedloop.core.storage import step_names, to_arrays
from closedloop.errors import ClosedloopError
from closedloop.files import COMPLETE, STOPPED
from closedloop.session.facts import machine, now_utc, software
from closedloop.session.folder import Recorder, SessionFolder
from closedloop.session.interruption import Interruption
from closedloop.session.outcome import Outcome
from closedloop.session.report import write_report
from closedloop.session.source import open_source
from closedloop.session.summary import summarise
from closedloop.session.surrogates import run_surrogate
from closedloop.sources.recording import Recording
from closedloop.stimulators.simulated import ROOM_C, NoSettings, SimulatedStimulator

if TYPE_CHECKING:
    from closedloop.session.status import Operator

Progress = Callable[[str, float], None]
"""Told what is going on, and which share of that is done."""


def run_session(
    pipeline: Pipeline,
    device: Stimulator,
    folder: SessionFolder,
    *,
    n_surrogates: int,
    interruption: Interruption,
    progress: Progress,
    operator: "Operator | None" = None,
    duration_s: float | None = None,
    subject: str | None = None,
) -> Outcome:
    """Run a session to its end or its interruption.

    Parameters
    ----------
    pipeline, device
        What to do, and with what.
    folder
        Where it is recorded. It is removed again where a user's mistake ends the session before the loop;
        any other error leaves it marked as failed.
    n_surrogates
        How many runs without a rhythm stand beside it.
    interruption
        Says when to stop.
    progress
        Is told what is going on.
    operator
        Watches and steers a live session, which cannot do without.
    duration_s
        Length of the loop's run in s; None: to the end of the recording, or of the protocol.
    subject
        Code of whoever is stimulated; a live session that arms a real device cannot do without.

    Raises
    ------
    ClosedloopError
        Where the source, the pipeline or the device cannot be used.
    """
    outcome = Outcome(pipeline, device)
    over = False  # what was done to a person is done, whatever becomes of what it is compared with
    try:
        folder.write_text("pipeline.yaml", resolved_yaml(pipeline))
        folder.write_text("device.yaml", resolved_yaml(device))
        if isinstance(pipeline.source, Lsl):
            from closedloop.session.live import run_live  # compiles against liblsl, which playback does without

            assert operator is not None
            run_live(
                outcome,
                folder,
                interruption=interruption,
                progress=progress,
                operator=operator,
                duration_s=duration_s,
                subject=subject,
            )
            over = not interruption.requested
        else:
            progress("reading the recording", 0.0)
            outcome.source = open_source(pipeline, duration_s=duration_s)
            progress("calibrating", 0.0)
            outcome.calibration = calibrate(pipeline, device, outcome.source.rest)
            _run_loop(outcome, folder, interruption, progress)
        assert outcome.source is not None
        assert outcome.calibration is not None
        for seed in range(n_surrogates):
            if interruption.requested:
                break
            progress("running without a rhythm, to compare", seed / n_surrogates)
            outcome.surrogates.append(
                run_surrogate(
                    pipeline,
                    device,
                    outcome.calibration,
                    duration_s=outcome.source.recording.duration_s,
                    seed=seed,
                )
            )
    except KeyboardInterrupt:
        pass
    except Exception as error:
        if not (isinstance(error, ClosedloopError) and folder.remove_if_unused()):
            folder.fail(error)
        raise
    if outcome.trouble is None and (over or not interruption.requested):
        outcome.status = STOPPED if outcome.stopped else COMPLETE
    return outcome


def _run_loop(outcome: Outcome, folder: SessionFolder, interruption: Interruption, progress: Progress) -> None:
    pipeline, device, source, calibration = (
        outcome.pipeline,
        outcome.device,
        outcome.source,
        outcome.calibration,
    )
    assert source is not None
    assert calibration is not None
    run = source.run
    core, steps = calibration.core(pipeline, device, n_channels=len(run.names))
    # A recording is played to nobody: whatever the device is, only its profile is used.
    stimulator = SimulatedStimulator(device, NoSettings())
    percent_of_maximum = pipeline.stimulator.intensity.percent_of_maximum
    if percent_of_maximum is not None:
        stimulator.set_intensity(percent_of_maximum)
    roles = {**dict(zip(run.names, run.roles, strict=True)), **pipeline.channels}
    eeg = np.array([roles[name] == "eeg" for name in run.names])
    waveform = np.zeros((0, eeg.size))
    if pipeline.source.artifacts:
        waveform = stimulator.artifact(run.sfreq, eeg)
    conditions = [condition.name for condition in pipeline.target.conditions]
    drained_events = []
    with interruption.deferred(), Recorder(folder, conditions) as recorder, stimulator.armed():
        folder.write_arrays("state.npz", to_arrays(core))
        folder.note(**_facts(outcome), steps=step_names(steps), conditions=conditions)
        post_device(core, ready=stimulator.status().ready, coil_c=ROOM_C)
        post_command(core, Command.ARM, run.times_s[0] + pipeline.source.delay_s + pipeline.calibration.arm_after_s)
        player = play(core, steps, _until(interruption, core, run, pipeline.source.delay_s), make_artifact(waveform))
        while True:
            begun = time.perf_counter()
            drained = next(player, None)
            outcome.elapsed_s += time.perf_counter() - begun
            if drained is None:
                break
            recorder.write(drained)
            drained_events.append(drained.events)
            outcome.played_s += len(drained.values) / run.sfreq
            progress("running the loop", outcome.played_s / run.duration_s)
        lost = lost_records(core)
        folder.note(replayable=lost == 0, lost=lost)
    outcome.events = np.concatenate([*drained_events, core.events.records[:0]])


def _until(interruption: Interruption, core: Core, run: Recording, delay_s: float) -> Iterator[Chunk]:
    """Give out chunks; at an interruption post a stop, and end."""
    for chunk in chunks(run, delay_s=delay_s):
        if interruption.requested:
            post_command(core, Command.STOP)
            return
        yield chunk


def _facts(outcome: Outcome) -> dict[str, Any]:
    source = outcome.source
    assert source is not None
    recording = source.recording
    return {
        "created": now_utc(),
        "software": software(),
        "machine": machine(),
        "seed": outcome.pipeline.target.order.seed,
        "recording": {
            "name": recording.name,
            "sha256": recording.sha256,
            "sfreq": recording.sfreq,
            "duration_s": recording.duration_s,
            "channels": list(recording.names),
            "roles": list(recording.roles),
            "notes": list(recording.notes),
        },
    }


def close_session(outcome: Outcome, folder: SessionFolder) -> dict[str, Any]:
    """Write summary, report and last status, and return the summary."""
    summary = summarise(outcome)
    folder.write_json("summary.json", summary)
    if outcome.events is not None:
        write_report(folder.path / "report.png", outcome, summary)
    folder.close(outcome.status)
    return summary
