"""From a stretch of rest to everything that the loop is designed with.

The peak, its SNR and the background come from the raw spatially filtered signal; the estimator learns
to predict the rhythm in it from the causally conditioned signal, so that what conditioning does to
the phase is learnt with the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedloop.calibration.montage import Montage, find_montage
from closedloop.calibration.rest import measure_rest, verdict
from closedloop.calibration.rhythm_limit import rhythm_limit_db
from closedloop.config.estimators import Plugin
from closedloop.config.pipeline import NamedSignal, Pipeline
from closedloop.errors import CalibrationError
from closedloop.estimators.interface import Designed, find_estimator
from closedloop.signal.conditioning import condition_all, design_conditioning
from closedloop.signal.rhythm import design_rhythm
from closedloop.signal.spectrum import SpectrumFit
from closedloop.sources.recording import Recording


@dataclass(frozen=True)
class SignalDesign:
    """What calibration found out about one named signal.

    Attributes
    ----------
    fit
        The spectrum of rest.
    band_hz
        The band that the estimator predicts, in Hz.
    designed
        The estimator.
    """

    fit: SpectrumFit
    band_hz: tuple[float, float]
    designed: Designed


@dataclass(frozen=True)
class Design:
    """All that calibration gives to the loop, except the limit that belongs to a wanted rate.

    Attributes
    ----------
    montage
        The channels that are read.
    signals
        Designs by signal, of those that have an estimator.
    signal_names
        Of all signals, in the pipeline's order.
    target
        Name of the one whose phase decides.
    rhythm_snr_db
        Limit of the rhythm gate in dB.
    sfreq
        Sampling rate in Hz.
    jitter_s
        How far a sample's stamp may lie from its time, in s.
    """

    montage: Montage
    signals: Mapping[str, SignalDesign]
    signal_names: tuple[str, ...]
    target: str
    rhythm_snr_db: float
    sfreq: float
    jitter_s: float

    @property
    def fit(self) -> SpectrumFit:
        """The target signal's spectrum of rest."""
        return self.signals[self.target].fit

    @property
    def verdict(self) -> str:
        """What the SNR at rest promises, in one line."""
        return verdict(self.fit)

    def facts(self) -> dict[str, Any]:
        """Return what people and reports want to know."""
        return {
            "peak_hz": self.fit.peak_hz,
            "snr_db": self.fit.snr_db,
            "exponent": self.fit.exponent,
            "verdict": self.verdict,
            "rhythm_snr_db": self.rhythm_snr_db,
            "signals": {
                name: {
                    "peak_hz": signal.fit.peak_hz,
                    "snr_db": signal.fit.snr_db,
                    "band_hz": list(signal.band_hz),
                    "window_s": signal.designed.window_s,
                    **signal.designed.facts,
                }
                for name, signal in self.signals.items()
            },
        }


def design(pipeline: Pipeline, rest: Recording) -> Design:
    """Design filters, estimators and the rhythm gate on a stretch of rest.

    Parameters
    ----------
    pipeline
        What is to be designed.
    rest
        The calibration's stretch of the recording.

    Raises
    ------
    CalibrationError
        Where the stretch holds missing, constant or not finite samples, or is too short.
    ConfigError
        Where a channel or an estimator does not exist.
    """
    montage = find_montage(pipeline, rest)
    try:
        return _design(pipeline, rest, montage)
    except CalibrationError as error:
        raise CalibrationError(f"{rest.name}: calibration, first {rest.duration_s:g} s: {error}") from None


def _design(pipeline: Pipeline, rest: Recording, montage: Montage) -> Design:
    raw = np.ascontiguousarray(rest.samples[:, montage.places])
    _check(rest, montage, raw)
    settings = pipeline.conditioning
    conditioning = design_conditioning(
        len(montage.names), rest.sfreq, high_pass_hz=settings.high_pass_hz, notch_hz=settings.notches_hz
    )
    conditioned = np.empty_like(raw)
    condition_all(conditioning, raw, conditioned)
    signals = {}
    for place, (name, signal) in enumerate(pipeline.signals.items()):
        if signal.estimator is not None:
            inputs = conditioned @ montage.inputs(place).T
            signals[name] = _design_signal(name, signal, raw @ montage.weights[place], inputs, rest.sfreq)
    target = pipeline.target.signal
    design_rhythm(rest.sfreq, signals[target].fit.peak_hz)  # a sampling rate too low for the gate ends here
    limit = pipeline.gates.rhythm_snr_db
    if limit == "auto":
        limit = rhythm_limit_db(
            signals[target].fit,
            sfreq=rest.sfreq,
            high_pass_hz=settings.high_pass_hz,
            notch_hz=settings.notches_hz,
            seed=pipeline.target.order.seed,
        )
    return Design(montage, signals, tuple(pipeline.signals), target, float(limit), rest.sfreq, rest.jitter_s)


def _design_signal(
    name: str, signal: NamedSignal, raw: NDArray[np.float64], inputs: NDArray[np.float64], sfreq: float
) -> SignalDesign:
    try:
        fit, rest = measure_rest(raw, inputs, sfreq, signal.band_hz)
    except CalibrationError as error:
        raise CalibrationError(f"signals.{name}: {error}") from None
    estimator = signal.estimator
    assert estimator is not None
    if isinstance(estimator, Plugin):
        designed = find_estimator(estimator.name)(rest, estimator.options)
    else:
        designed = find_estimator(estimator.type)(rest, estimator)
    return SignalDesign(fit, rest.band_hz, designed)


def _check(rest: Recording, montage: Montage, raw: NDArray[np.float64]) -> None:
    """Refuse a rest from which a design would be wrong without a word."""
    jumps = np.flatnonzero(np.abs(np.diff(rest.times_s) * rest.sfreq - 1.0) > 0.5)
    if jumps.size:
        at = rest.times_s[jumps[0]] - rest.times_s[0]
        raise CalibrationError(
            f"samples are missing or repeated {at:.3f} s after its start (limit: none); choose a stretch after it"
        )
    for place, name in enumerate(montage.names):
        bad = np.flatnonzero(~np.isfinite(raw[:, place]))
        if bad.size:
            raise CalibrationError(
                f"channel {name} has {bad.size} samples that are no numbers, the first "
                f"{bad[0] / rest.sfreq:.3f} s after its start (limit: 0); choose source.start_s after them"
            )
        if not np.ptp(raw[:, place]) > 0.0:
            raise CalibrationError(
                f"channel {name} is constant at {raw[0, place]:g} µV (it must change); is the electrode connected?"
            )
