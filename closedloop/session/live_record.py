"""What the record of a live session comes to: the same decisions again, the samples' times, which pulses were real."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from closedloop.config.source import Lsl
from closedloop.core.replay import fingerprint, lost_records, replay
from closedloop.core.state import Core, Steps
from closedloop.core.storage import from_arrays
from closedloop.session.confirmation import as_lines, confirm, count
from closedloop.session.disturbance import blank_disturbed
from closedloop.session.folder import SessionFolder, StoredSession
from closedloop.session.latency import is_trigger, latency_facts, percentiles, trigger_lags
from closedloop.session.outcome import Outcome
from closedloop.session.source import OpenedSource
from closedloop.session.status import Watch
from closedloop.sources.recording import Recording


def evaluate_record(
    outcome: Outcome,
    folder: SessionFolder,
    core: Core,
    steps: Steps,
    watch: Watch,
    *,
    fired_after_s: Mapping[int, float | None],
    told: int | None,
) -> None:
    """Run a live session again from its record, which verifies it, and put what it came to into outcome and folder.

    Parameters
    ----------
    outcome
        With its calibration, and the rest as its source.
    folder
        The session's, written to its end.
    core, steps
        That ran.
    watch
        Followed it.
    fired_after_s
        By number of the trigger, how long after its write the program that drives the line says that it fired, in s;
        None where it says that it did not.
    told
        How many pulses the stimulator told of; None where it tells of none.
    """
    assert outcome.source is not None
    assert outcome.calibration is not None
    rest = outcome.source.rest
    stored = StoredSession(folder.path)
    inputs, samples, events = stored.inputs(), stored.samples(), stored.events()
    run = samples[len(rest.samples) :]
    times_s = _verify(folder, stored, core, steps, inputs, run)
    whole = _whole(outcome, rest, samples, times_s)
    gates, is_real = outcome.pipeline.gates, outcome.device.is_real
    shows = blank_disturbed(
        whole,
        events,
        outcome.calibration.design.montage.places,
        hold_s=gates.hold_after_pulse_s,
        limit_uv=gates.artifact_uv,
        always=is_real,
    )
    outcome.disturbed = shows.size if is_real else int(shows.sum())
    outcome.source = OpenedSource(recording=whole, rest=rest, run=whole)
    outcome.events = events
    outcome.played_s = times_s.size / rest.sfreq
    outcome.latency = latency_facts(inputs, events, watch)
    lags_s = _trigger_lags(outcome, inputs, run, watch.correction_s)
    if lags_s is not None:
        outcome.latency["trigger_seen_ms"] = percentiles(lags_s)
    after_s = np.array([s for s in fired_after_s.values() if s is not None])
    if after_s.size:
        outcome.latency["fired_after_ms"] = percentiles(after_s)
    codes = inputs["code"][is_trigger(inputs)]
    confirmations = confirm(events, codes=codes, artifacts=shows, lags_s=lags_s, fired_after_s=fired_after_s, told=told)
    folder.write_text("confirmed.jsonl", as_lines(confirmations))
    outcome.confirmed = count(confirmations)


def _verify(
    folder: SessionFolder,
    stored: StoredSession,
    core: Core,
    steps: Steps,
    inputs: NDArray[np.void],
    run: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Note whether the record gives the same decisions again; return when each sample was, NaN where it was dropped."""
    times_s = np.full(len(run), np.nan)
    again = replay(from_arrays(stored.arrays()), steps, inputs, run, times_s=times_s)
    lost = lost_records(core)
    folder.note(
        replayable=lost == 0,
        lost=lost,
        verified=lost == 0 and fingerprint(again) == fingerprint(stored.events()),
        samples={name: int(core.timing[name][0]) for name in ("missing", "unordered")},
    )
    return times_s


def _whole(outcome: Outcome, rest: Recording, samples: NDArray[np.float64], times_s: NDArray[np.float64]) -> Recording:
    """Return rest and run as one recording, on the electrodes' time."""
    source = outcome.pipeline.source
    assert isinstance(source, Lsl)
    known = np.isfinite(times_s)
    return replace(
        rest,
        samples=samples if known.all() else samples[np.concatenate([np.ones(len(rest.samples), bool), known])],
        times_s=np.concatenate([rest.times_s, times_s[known] - source.delay_s]),
    )


def _trigger_lags(
    outcome: Outcome, inputs: NDArray[np.void], run: NDArray[np.float64], correction_s: float
) -> NDArray[np.float64] | None:
    """Return how late the trigger channel shows each trigger, in s; None where there is none."""
    source = outcome.pipeline.source
    assert isinstance(source, Lsl)
    assert outcome.calibration is not None
    place, channel = outcome.calibration.design.montage.trigger, source.trigger_channel
    if place < 0 or channel is None:
        return None
    return trigger_lags(inputs, np.ascontiguousarray(run[:, place]), correction_s, channel.threshold)
