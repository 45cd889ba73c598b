"""Phase in a few lines: for people who want it from an array or an `mne.io.Raw`, and nothing else.

predictor = closedloop.design(raw.copy().crop(0, 60), "O1")
phase, amplitude, sd = predictor.transform(raw, lead_s=0.02)
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from closedloop.calibration.rest import Band, measure_rest, verdict
from closedloop.calibration.tuning import tune
from closedloop.config.estimators import Estimator, Plugin, Wiener
from closedloop.errors import CalibrationError, ConfigError
from closedloop.estimators.interface import LEAD_STEP_S, LEADS_S, Designed, at_lead, find_estimator, run
from closedloop.estimators.output import half_width
from closedloop.signal.circular import wrap
from closedloop.signal.conditioning import Conditioning, condition_all, design_conditioning
from closedloop.signal.spatial import mix_all, weight_row
from closedloop.signal.spectrum import SpectrumFit

if TYPE_CHECKING:
    import mne

Channel = str | Mapping[str, float]
FIFF_UNIT_V = 107
"""How the FIFF format, and with it MNE, numbers the unit of a voltage."""


class Phases(NamedTuple):
    """What is predicted after each sample, NaN where nothing is: each of shape (n_samples,).

    Attributes
    ----------
    phase
        In rad, in (-pi, pi]: 0 at the positive peak, pi / 2 on the falling edge.
    amplitude
        Of the prediction, in µV: the less is known of the rhythm, the smaller a prediction of least squared error.
    sd
        The SD of the phase's error in rad, by the estimator itself.
    """

    phase: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    sd: NDArray[np.float64]

    def half_width(self, share: float = 0.95) -> NDArray[np.float64]:
        """Return half the width, in rad, of the interval around each phase that holds a share of all errors."""
        return half_width(self.sd, share)


class PhasePredictor:
    """A designed estimator with its causal filters, ready for a stream of samples.

    Chunks may be of any length, also empty: what comes out is the same, bit for bit. Samples that are no
    numbers give NaN until the estimator's window is clean again.

    Attributes
    ----------
    fit
        The spectrum of rest: peak and SNR among it.
    band_hz
        The band that is predicted, in Hz.
    facts
        What is worth knowing of the design.
    """

    def __init__(
        self,
        *,
        names: tuple[str, ...],
        weights: NDArray[np.float64],
        sfreq: float,
        filters: Mapping[str, Any],
        fit: SpectrumFit,
        band_hz: tuple[float, float],
        designed: Designed,
    ) -> None:
        self.fit = fit
        self.band_hz = band_hz
        self.facts = dict(designed.facts)
        self._names = names
        self._weights = weights
        self._sfreq = sfreq
        self._filters = filters
        self._designed = designed
        self.reset()

    @property
    def verdict(self) -> str:
        """What the SNR at rest promises, in one line."""
        return verdict(self.fit)

    @property
    def window_s(self) -> float:
        """How much of the past must be clean for a prediction, in s."""
        return self._designed.window_s

    def reset(self) -> None:
        """Forget the stream: the next sample is the first."""
        self._conditioning = design_conditioning(len(self._weights[0]), self._sfreq, **self._filters)
        self._state = self._designed.state.copy()

    def transform(self, data: "mne.io.BaseRaw | NDArray[np.float64]", *, lead_s: float = 0.0) -> Phases:
        """Take the next samples of the stream and predict after each of them.

        Parameters
        ----------
        data
            As for `design`: the same channels at the same sampling rate.
        lead_s
            How far ahead of each sample, in s, from 0 to 0.1.

        Raises
        ------
        ConfigError
            Where channels or sampling rate are not those of the design, or the lead lies outside its range.
        """
        # A call that is refused takes nothing from the stream.
        if not 0.0 <= lead_s <= LEADS_S[-1]:
            raise ConfigError(f"lead_s = {lead_s:g} does not lie between 0 and {LEADS_S[-1]:g}")
        samples = _samples(data, self._names, self._sfreq, self._weights.shape[1])
        inputs = _inputs(self._conditioning, self._weights, samples)
        first = min(int(lead_s / LEAD_STEP_S), LEADS_S.size - 2)
        z, sd = at_lead(*run(self._designed.step, self._state, inputs, first=first, stop=first + 2), lead_s)
        return Phases(np.where(z != 0.0, wrap(np.angle(z)), np.nan), np.abs(z), sd)


def design(
    data: "mne.io.BaseRaw | NDArray[np.float64]",
    channel: Channel | None = None,
    *,
    sfreq: float | None = None,
    estimator: Estimator | None = None,
    tuned: str | None = None,
    band_hz: Band = "auto",
    high_pass_hz: float | None = 0.5,
    notch_hz: tuple[float, ...] = (50.0,),
) -> PhasePredictor:
    """Design an estimator on a stretch of rest, of a minute or so.

    Parameters
    ----------
    data
        An `mne.io.Raw`; or an array in µV, of shape (n_samples,) for one signal or (n_samples, n_inputs)
        for a signal and other channels that help.
    channel
        Of a `Raw`: the channel whose phase is wanted, or weights by channel, such as
        ``closedloop.signal.spatial.hjorth("F3", ["Fp1", "F7", "C3", "Fz"])`` gives.
    sfreq
        Of an array: its sampling rate in Hz.
    estimator
        The method and its settings; None: ``Wiener`` on the signal alone, or, of an array of several
        inputs, with the others' help.
    tuned
        Instead of that, the name of a method whose band (unless it is given), settings and complex gain are chosen on
        the stretch (see `tuning.tune`).
    band_hz
        Edges of the rhythm's band in Hz; auto: the peak of rest, 2 Hz to either side.
    high_pass_hz, notch_hz
        The causal filters in front.

    Raises
    ------
    CalibrationError
        Where nothing can be designed from the stretch.
    ConfigError
        Where channel or sampling rate are missing or do not exist.
    """
    if tuned is not None and estimator is not None:
        raise ConfigError(f"estimator and tuned = {tuned} name two methods (limit: 1)")
    if band_hz != "auto" and len(band_hz) != 2:
        raise ConfigError(f"band_hz = {band_hz}: lower and upper edge in Hz are needed, or auto")
    if isinstance(data, np.ndarray):
        if sfreq is None or channel is not None:
            raise ConfigError("an array needs its sampling rate, sfreq, and has no named channels")
        if not 0.0 < sfreq < np.inf:
            raise ConfigError(f"sfreq = {sfreq:g} Hz is no sampling rate (limit: above 0)")
        if data.ndim not in (1, 2) or data[:1].size == 0:
            raise ConfigError(f"array of shape {data.shape}: (n_samples,) or (n_samples, n_inputs) is needed")
        names: tuple[str, ...] = ()
        weights = np.eye(1 if data.ndim == 1 else data.shape[1])
        if estimator is None:
            estimator = Wiener(type="wiener", helpers="all")
    else:
        _require_raw(data)
        if not channel:
            raise ConfigError(f"channel is missing: the data have {', '.join(data.ch_names)}")
        if estimator is None:
            estimator = Wiener(type="wiener")
        sfreq = float(data.info["sfreq"])
        names, weights = _montage(data, {channel: 1.0} if isinstance(channel, str) else channel, estimator)
    samples = _samples(data, names, sfreq, weights.shape[1])
    if not np.isfinite(samples).all():
        raise CalibrationError("rest holds samples that are missing, bad or no numbers (limit: none)")
    filters: dict[str, Any] = {"high_pass_hz": high_pass_hz, "notch_hz": notch_hz}
    inputs = _inputs(design_conditioning(samples.shape[1], sfreq, **filters), weights, samples)
    fit, rest = measure_rest(samples @ weights[0], inputs, sfreq, band_hz)
    if tuned is not None:
        best = tune(tuned, rest, bands_hz=None if band_hz == "auto" else [band_hz])
        band_hz, designed = best.band_hz, best.designed
    else:
        method = estimator.name if isinstance(estimator, Plugin) else estimator.type
        settings = estimator.options if isinstance(estimator, Plugin) else estimator
        # Which thread sums what decides the last bits of a design.
        with threadpool_limits(limits=1, user_api="blas"):
            band_hz, designed = rest.band_hz, find_estimator(method)(rest, settings)
    return PhasePredictor(
        names=names, weights=weights, sfreq=sfreq, filters=filters, fit=fit, band_hz=band_hz, designed=designed
    )


def _montage(
    raw: "mne.io.BaseRaw", channel: Mapping[str, float], estimator: Estimator
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the channels that are read, and weights of shape (n_inputs, n_channels)."""
    helpers: list[str] = []
    if isinstance(estimator, Wiener) and estimator.helpers != "none":
        eeg = [name for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True) if kind == "eeg"]
        given = eeg if estimator.helpers == "all" else estimator.helpers
        helpers = [
            name for name in given if name not in raw.info["bads"] and not (len(channel) == 1 and name in channel)
        ]
    names = tuple(dict.fromkeys([*channel, *helpers]))
    own = weight_row(channel, names)
    return names, np.vstack([own, *(weight_row({name: 1.0}, names) for name in helpers)])


def _require_raw(data: Any) -> None:
    if not hasattr(data, "ch_names"):
        raise ConfigError(f"data of type {type(data).__name__}: an array in µV or an mne.io.Raw is needed")


def _samples(data: Any, names: tuple[str, ...], sfreq: float, n_channels: int) -> NDArray[np.float64]:
    """Return samples of shape (n_samples, n_channels) in µV, NaN where an annotation calls them bad."""
    if isinstance(data, np.ndarray):
        if names:
            raise ConfigError(f"the design was made on named channels, {', '.join(names)}, so it takes a Raw")
        samples = np.asarray(data[:, None] if data.ndim == 1 else data, dtype=float)
        if samples.ndim != 2 or samples.shape[1] != n_channels:
            raise ConfigError(f"array of shape {data.shape}: the design's samples are of {n_channels} channels")
        return np.ascontiguousarray(samples)
    if not names:
        raise ConfigError("the design was made on an array, so it takes arrays")
    _require_raw(data)
    if float(data.info["sfreq"]) != sfreq:
        raise ConfigError(f"sampling rate = {data.info['sfreq']:g} Hz is not the design's {sfreq:g} Hz")
    _require_voltages(names, data)
    picked = data.get_data(picks=list(names), reject_by_annotation="NaN", verbose="error")
    return np.ascontiguousarray(1e6 * picked.T)


def _require_voltages(names: tuple[str, ...], raw: "mne.io.BaseRaw") -> None:
    """Refuse channels that the data lack, or that are not in V."""
    kinds = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    units = dict(zip(raw.ch_names, (channel["unit"] for channel in raw.info["chs"]), strict=True))
    for name in names:
        if name not in kinds:
            raise ConfigError(f"channel {name} is not in the data, which have {', '.join(raw.ch_names)}")
        if units[name] != FIFF_UNIT_V or kinds[name] == "stim":
            raise ConfigError(f"channel {name} is of type {kinds[name]} and not a voltage, as EEG is")


def _inputs(
    conditioning: Conditioning, weights: NDArray[np.float64], samples: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what the estimator sees, of shape (n_samples, n_inputs)."""
    conditioned = np.empty_like(samples)
    condition_all(conditioning, samples, conditioned)
    inputs = np.empty((len(samples), len(weights)))
    mix_all(weights, conditioned, inputs)
    return inputs
