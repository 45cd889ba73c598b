"""One signal on which methods are compared: what they learn from, what they see, and what the phase really was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closedloop.calibration.rest import Band, measure_rest
from closedloop.errors import CalibrationError
from closedloop.estimators.interface import Rest
from closedloop.signal.conditioning import condition_all, design_conditioning
from closedloop.signal.cross_spectrum import fit_cross_spectrum
from closedloop.signal.reference_phase import ReferencePhase, reference_phase
from closedloop.signal.spatial import Weights, mix_all, weight_row
from closedloop.signal.spectrum import SpectrumFit
from closedloop.sources.matched import Matched, matched_channels
from closedloop.sources.recording import Recording

HIGH_PASS_HZ = 0.5
NOTCHES_HZ = (50.0,)
SYNTHETIC = "synthetic"
TRUTHS: Mapping[str, str] = {"peak±2 Hz": "f0+-2", "peak±1 Hz": "f0+-1", "8-13 Hz": "8-13", "5-18 Hz": "5-18"}
"""Members of the evaluation family, and how tables call them; `SYNTHETIC` is the true phase of matched EEG."""


@dataclass(frozen=True)
class Case:
    """A signal with its helpers, cut into a stretch to learn from and one to be judged on.

    Attributes
    ----------
    fit, rest
        The spectrum of the first stretch, and what estimators are designed on.
    inputs
        Array of shape (n_samples, n_inputs) in µV: all of it, conditioned; first the signal, then its helpers.
    judged
        Array of shape (n_samples,): whether methods are judged after a sample.
    reference
        What the phase was, by each truth.

    Raises
    ------
    CalibrationError
        Where methods would be judged on what they learn from, or on nothing.
    """

    fit: SpectrumFit
    rest: Rest
    inputs: NDArray[np.float64]
    judged: NDArray[np.bool_]
    reference: ReferencePhase

    def __post_init__(self) -> None:
        places = np.flatnonzero(self.judged)
        rest_s = len(self.rest.inputs) / self.sfreq
        if places.size == 0:
            raise CalibrationError(f"nothing is left to judge after {rest_s:g} s of rest")
        if places[0] < len(self.rest.inputs):
            raise CalibrationError(f"judged from {places[0] / self.sfreq:g} s on, but rest lasts {rest_s:g} s")

    @property
    def sfreq(self) -> float:
        """Sampling rate in Hz."""
        return self.rest.sfreq


@dataclass(frozen=True)
class Cases:
    """A recording's own case, its matched synthetic one, and both again without a rhythm."""

    real: Case
    real_surrogate: Case
    synthetic: Case
    synthetic_surrogate: Case


def make_cases(
    recording: Recording,
    weights: Weights,
    *,
    rest_s: float,
    synthetic_s: float,
    seed: int,
    band_hz: Band = "auto",
    judged_s: Sequence[tuple[float, float]] | None = None,
    notches_hz: tuple[float, ...] = NOTCHES_HZ,
) -> Cases:
    """Lay out all cases of one spatial filter over a recording.

    Parameters
    ----------
    recording
        Evenly sampled, without gaps; all its EEG channels help.
    weights
        The spatial filter.
    rest_s
        How much of the beginning methods learn from, in s.
    synthetic_s
        Length of the synthetic EEG in s.
    seed
        Of all that is drawn.
    band_hz
        The rhythm's band; auto: the peak of the beginning, 2 Hz to either side.
    judged_s
        Stretches to judge on, in s; None: all that follows rest. With stretches the synthetic EEG is matched to
        rest alone, since what lies between may be another state.
    notches_hz
        What the causal notches in front take out, in Hz.

    Raises
    ------
    CalibrationError
        Where the recording holds gaps or samples that are no numbers, or is too short; where the synthetic EEG is
        too short, or a stretch to judge on begins within rest.
    """
    recording = usable(recording, weights)
    if not recording.duration_s > rest_s:
        raise CalibrationError(
            f"{recording.name}: {recording.duration_s:.1f} s leave nothing to judge after {rest_s:g} s of rest"
        )
    view = _View(weights, rest_s, band_hz, notches_hz)
    real = _family_case(recording, view, judged_s)
    matched_to = recording if judged_s is None else recording.between(0.0, rest_s)
    spectra = fit_cross_spectrum(matched_to.samples, recording.sfreq, real.fit.peak_hz)
    made, flat = (
        matched_channels(
            spectra, recording.names, duration_s=synthetic_s, sfreq=recording.sfreq, seed=seed, with_rhythm=shown
        )
        for shown in (True, False)
    )
    # A surrogate is looked at where the rhythm was: at the highest place of mere noise its band would be another,
    # and methods that have one band for everybody would be judged beside it.
    peak_hz = real.fit.peak_hz
    return Cases(
        real=real,
        real_surrogate=_family_case(flat.recording, view, peak_hz=peak_hz),
        synthetic=_true_case(made, view),
        # The rhythm of the other case is not in this one: its phase is the phase of nothing.
        synthetic_surrogate=_true_case(flat, view, peak_hz=peak_hz),
    )


def usable(recording: Recording, weights: Weights) -> Recording:
    """Return the channels of a spatial filter and, after them, all other EEG channels that are alive.

    Raises
    ------
    RecordingError
        Where the filter names a channel that is not there.
    CalibrationError
        Where samples are missing, or a channel of the filter is constant or holds what is no number.
    """
    channels = zip(recording.names, recording.roles, recording.samples.T, strict=True)
    alive = {
        name: bool(np.isfinite(x).all() and np.ptp(x) > 0.0)
        for name, role, x in channels
        if role == "eeg" or name in weights
    }
    for name in weights:
        if not alive.get(name, True):
            raise CalibrationError(f"{recording.name}: channel {name} is constant or holds what is no number")
    if (np.diff(recording.times_s) > 1.5 / recording.sfreq).any():
        raise CalibrationError(f"{recording.name}: samples are missing (limit: none)")
    return recording.pick([*weights, *(name for name, lives in alive.items() if lives and name not in weights)])


@dataclass(frozen=True)
class _View:
    """How a recording is looked at, whichever it is: the parameters of `make_cases`."""

    weights: Weights
    rest_s: float
    band_hz: Band
    notches_hz: tuple[float, ...]


def _family_case(
    recording: Recording,
    view: _View,
    judged_s: Sequence[tuple[float, float]] | None = None,
    *,
    peak_hz: float | None = None,
) -> Case:
    raw = recording.samples @ weight_row(view.weights, recording.names)
    fit, rest, inputs = _learnable(recording, view, peak_hz)
    family = reference_phase(raw, recording.sfreq, fit.peak_hz)
    members = {TRUTHS[name]: phasors for name, phasors in family.members.items()}
    elapsed_s = np.arange(len(inputs)) / recording.sfreq
    spans = [(view.rest_s, np.inf)] if judged_s is None else judged_s
    judged = np.logical_or.reduce([(start_s <= elapsed_s) & (elapsed_s < stop_s) for start_s, stop_s in spans])
    return Case(fit, rest, inputs, judged, ReferencePhase(recording.sfreq, members))


def _true_case(made: Matched, view: _View, *, peak_hz: float | None = None) -> Case:
    fit, rest, inputs = _learnable(made.recording, view, peak_hz)
    rhythm = made.rhythm @ weight_row(view.weights, made.recording.names)
    reference = ReferencePhase(made.recording.sfreq, {SYNTHETIC: rhythm / np.abs(rhythm)})
    return Case(fit, rest, inputs, np.arange(len(inputs)) >= len(rest.inputs), reference)


def _learnable(
    recording: Recording, view: _View, peak_hz: float | None
) -> tuple[SpectrumFit, Rest, NDArray[np.float64]]:
    """Return spectrum and rest of the beginning, and the inputs of the whole."""
    own = weight_row(view.weights, recording.names)
    units = zip(recording.names, np.eye(own.size), strict=True)
    helpers = [row for name, row in units if set(view.weights) != {name}]
    conditioned = np.empty_like(recording.samples)
    filters = design_conditioning(own.size, recording.sfreq, high_pass_hz=HIGH_PASS_HZ, notch_hz=view.notches_hz)
    condition_all(filters, recording.samples, conditioned)
    inputs = np.empty((len(conditioned), 1 + len(helpers)))
    mix_all(np.vstack([own, *helpers]), conditioned, inputs)
    n_rest = round(view.rest_s * recording.sfreq)
    raw = recording.samples[:n_rest] @ own
    fit, rest = measure_rest(raw, inputs[:n_rest], recording.sfreq, view.band_hz, peak_hz=peak_hz)
    return fit, rest, inputs
