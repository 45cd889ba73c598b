"""A comparison on anybody's recordings: checked before it begins, kept as it grows, whole or marked as not."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedloop.accuracy.case import NOTCHES_HZ, make_cases, usable
from closedloop.accuracy.compare import Compared, Progress, compare
from closedloop.accuracy.contenders import MANY_CHANNELS, Contender, contenders
from closedloop.calibration.rest import verdict
from closedloop.errors import CalibrationError, ClosedloopError, ConfigError
from closedloop.estimators.interface import LEADS_S, find_estimator
from closedloop.signal.conditioning import design_conditioning
from closedloop.signal.spatial import Weights, hjorth, single, weight_row
from closedloop.signal.spectrum import fit_spectrum
from closedloop.sources.library import entries, open_recording
from closedloop.sources.recording import Recording

SHORTEST_JUDGED_S = 20.0
"""What must remain after rest: less is a handful of blocks, of which no spread can be told."""
SYNTHETIC_JUDGED_S = 180.0
HIGHEST_JUDGED_HZ = 18.0
"""Where the widest reference ends."""
N_BINS = 31
"""Of a histogram of phase errors, from -180 to 180 degrees: an odd number, so that one bin lies around 0."""
Place = tuple[str, str, str, str]
"""Montage, truth, estimator and tuning."""


def montage(text: str) -> Weights:
    """Return the spatial filter of a name, ``O1``, or of a Laplacian, ``F3=Fp1,F7,C3,Fz``.

    Raises
    ------
    ConfigError
        Where a name is missing or stands there twice.
    """
    center, laplacian, others = text.partition("=")
    names = [center.strip(), *(name.strip() for name in others.split(",") if laplacian)]
    if not all(names):
        raise ConfigError(f"montage = {text!r}: a name is missing; write O1, or F3=Fp1,F7,C3,Fz for a Laplacian")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"montage = {text}: {name} stands there {names.count(name)} times (limit: 1)")
    return hjorth(names[0], names[1:]) if laplacian else single(names[0])


def seed_of(recording: str, montage_name: str) -> int:
    """Return the seed of all that is drawn for one recording, by its file's name, at one montage."""
    # Of all of the name: its first bytes are those of every other recording of a data set.
    return int.from_bytes(hashlib.sha256(f"{recording} {montage_name}".encode()).digest()[:4], "little")


@dataclass(frozen=True)
class Plan:
    """What is to be compared.

    Attributes
    ----------
    recordings
        Files, or names that the library knows.
    montages
        Spatial filters by the names that tables call them.
    estimators
        Names of methods, also of another package's; None: all of ours.
    rest_s
        How much of each recording's beginning methods learn from, in s.
    notches_hz
        What the causal notches in front take out, in Hz: the mains.
    lead_s, leads_s
        The lead of tables and histograms, and all that are judged, it among them, in s.

    Raises
    ------
    ConfigError
        Where there is nothing to compare, something twice, no such method, a lead outside the grid, or a notch within
        the bands of the references.
    """

    recordings: Sequence[str]
    montages: Mapping[str, Weights]
    estimators: tuple[str, ...] | None
    rest_s: float
    lead_s: float
    leads_s: Sequence[float]
    notches_hz: tuple[float, ...] = NOTCHES_HZ

    def __post_init__(self) -> None:
        if not self.montages:
            raise ConfigError("no montage was named: --montage O1, or --montage F3=Fp1,F7,C3,Fz for a Laplacian")
        for name in self.recordings:
            if (times := self.recordings.count(name)) > 1:
                raise ConfigError(f"{name} is named {times} times (limit: 1)")
        for name in self.estimators or ():
            find_estimator(name)
        for notch_hz in self.notches_hz:
            if not notch_hz > HIGHEST_JUDGED_HZ:
                raise ConfigError(
                    f"notch = {notch_hz:g} Hz lies within what is judged, which ends at {HIGHEST_JUDGED_HZ:g} Hz"
                )
        for lead_s in self.leads_s:
            if not 0.0 <= lead_s <= LEADS_S[-1]:
                raise ConfigError(
                    f"lead = {1000 * lead_s:g} ms does not lie between 0 and {1000 * LEADS_S[-1]:g} ms, "
                    "which methods predict"
                )

    @property
    def synthetic_s(self) -> float:
        """How long matched EEG is, in s: as much is learnt from as of the recording."""
        return self.rest_s + SYNTHETIC_JUDGED_S

    def facts(self) -> dict[str, Any]:
        """Describe it for files."""
        return {
            "montages": {name: dict(weights) for name, weights in self.montages.items()},
            "estimators": None if self.estimators is None else list(self.estimators),
            "rest_s": self.rest_s,
            "synthetic_s": self.synthetic_s,
            "notches_hz": list(self.notches_hz),
            "lead_s": self.lead_s,
            "leads_s": list(self.leads_s),
        }


@dataclass
class Evaluation:
    """What a plan has come to so far.

    Attributes
    ----------
    plan
        What is compared.
    recordings, verdicts
        What is known of each recording, and what its rest promises at each montage.
    rows, refused
        As of a comparison.
    histograms
        Counts of phase errors over all recordings at the plan's lead, of shape (2, N_BINS): with and without a rhythm.
    """

    plan: Plan
    recordings: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    histograms: dict[Place, NDArray[np.int64]] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            "plan": self.plan.facts(),
            "recordings": self.recordings,
            "verdicts": self.verdicts,
            "refused": self.refused,
            "rows": self.rows,
            "histograms": [
                {
                    **dict(zip(("montage", "truth", "estimator", "tuning"), place, strict=True)),
                    "counts": counts[0].tolist(),
                    "surrogate_counts": counts[1].tolist(),
                }
                for place, counts in self.histograms.items()
            ],
        }

    def add(self, montage_name: str, compared: Compared) -> None:
        """Add what one recording came to at one montage."""
        self.rows += compared.rows
        self.refused += compared.refused
        edges = np.linspace(-np.pi, np.pi, N_BINS + 1)
        for row, found in enumerate((compared.errors, compared.surrogates)):
            for names, errors in found.items():
                counts = self.histograms.setdefault((montage_name, *names), np.zeros((2, N_BINS), np.int64))
                counts[row] += np.histogram(errors.error, edges)[0]


def check(plan: Plan, progress: Progress) -> Evaluation:
    """Read every recording once, before hours are spent, and say what each promises.

    Raises
    ------
    ClosedloopError
        Where one cannot be read, is too short, has gaps, or lacks a channel; or where its signal is dead.
    """
    evaluation = Evaluation(plan)
    for done, name in enumerate(plan.recordings):
        progress(f"reading {name}", done / len(plan.recordings))
        recording = open_recording(name)
        evaluation.recordings.append(_facts(name, recording))
        for montage_name, weights in plan.montages.items():
            evaluation.verdicts.append(_promised(plan, name, recording, montage_name, weights))
    return evaluation


def _facts(name: str, recording: Recording) -> dict[str, Any]:
    return {
        "name": name,
        "sha256": recording.sha256,
        "sfreq": recording.sfreq,
        "duration_s": recording.duration_s,
        "channels": list(recording.names),
        "roles": list(recording.roles),
        "notes": list(recording.notes),
    }


def _promised(plan: Plan, name: str, recording: Recording, montage_name: str, weights: Weights) -> dict[str, Any]:
    needed_s = plan.rest_s + SHORTEST_JUDGED_S
    if not recording.duration_s >= needed_s:
        raise CalibrationError(
            f"{name}: {recording.duration_s:.1f} s are too short: methods learn from {plan.rest_s:g} s (--rest-s) and "
            f"are judged on at least {SHORTEST_JUDGED_S:g} s more"
        )
    chosen = usable(recording, weights)
    n_rest = round(plan.rest_s * chosen.sfreq)
    try:
        design_conditioning(1, chosen.sfreq, high_pass_hz=None, notch_hz=plan.notches_hz)
        fit = fit_spectrum(chosen.samples[:n_rest] @ weight_row(weights, chosen.names), chosen.sfreq)
    except CalibrationError as error:
        raise CalibrationError(f"{name}, {montage_name}: {error}") from None
    return {
        "recording": name,
        "montage": montage_name,
        "verdict": verdict(fit),
        "snr_db": fit.snr_db,
        "peak_hz": fit.peak_hz,
    }


def evaluate(evaluation: Evaluation, progress: Progress, *, after_each: Callable[[], object] = lambda: None) -> None:
    """Compare all methods on every recording of a plan that was checked.

    Parameters
    ----------
    evaluation
        What has been checked; it grows by one recording and montage after the other.
    progress
        Is told what is going on, and which share of all is done.
    after_each
        Is called after each recording and montage.

    Raises
    ------
    CalibrationError
        Where every combination was refused.
    """
    plan = evaluation.plan
    jobs = [(name, montage_name) for name in plan.recordings for montage_name in plan.montages]
    for done, (name, montage_name) in enumerate(jobs):

        def tell(doing: str, share: float, place: str = f"{name}, {montage_name}", done: int = done) -> None:
            progress(f"{place}: {doing}", (done + share) / len(jobs))

        evaluation.add(montage_name, _compared(plan, name, montage_name, tell))
        after_each()
    if not evaluation.rows:
        raise CalibrationError(f"nothing could be measured; the first reason: {refusal_text(evaluation.refused[0])}")


def _compared(plan: Plan, name: str, montage_name: str, progress: Progress) -> Compared:
    labels = {"recording": name, "montage": montage_name, "eyes": _eyes(name)}
    progress("laying out matched EEG", 0.0)
    try:
        recording = open_recording(name)
        cases = make_cases(
            recording,
            plan.montages[montage_name],
            rest_s=plan.rest_s,
            synthetic_s=plan.synthetic_s,
            seed=seed_of(Path(name).name, montage_name),
            notches_hz=plan.notches_hz,
        )
    except ClosedloopError as error:
        return Compared(refused=[{**labels, "why": str(error)}])
    return compare(
        cases,
        _who(plan, recording),
        labels=labels,
        leads_s=plan.leads_s,
        headline_s=plan.lead_s,
        progress=progress,
    )


def _who(plan: Plan, recording: Recording) -> list[Contender]:
    found = contenders(plan.estimators)
    if recording.roles.count("eeg") > 1:
        return found
    return [one for one in found if one.estimator != MANY_CHANNELS]  # one channel has no others to help


def _eyes(name: str) -> str | None:
    return next((entry.eyes for entry in entries() if name in (entry.name, Path(entry.file).stem)), None)


def refusal_text(refused: Mapping[str, Any]) -> str:
    """Return in one line what could not be compared, and why."""
    shown = {"yes": "with its rhythm", "no": "without a rhythm"}
    names = [refused.get(key) for key in ("recording", "montage", "estimator", "tuning")]
    where = [str(name) for name in (*names, shown.get(refused.get("rhythm", ""))) if name is not None]
    return f"{', '.join(where)}: {refused['why']}"
