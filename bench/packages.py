"""Methods of other packages, made comparable with ours: `meegkit` and `eegphasepy`, each used as serves it best.

``pip install closedloop[bench]`` installs the versions that this was written for. An adapter is given a conditioned
signal and the samples after which a phase is wanted; it feeds its package what a user would have had by then, and
nothing later. ``other_packages.py`` measures them on signals of known phase.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Band = tuple[float, float]
Real = NDArray[np.float64]
SETTLED_S = 1.0
"""What an oscillator hears before its phase counts: of its start, or its band-pass's, less than a hundredth is left."""
ETP_TRAINING_S = 180.0
"""What ETP's fit needs: 90 s for the period, and 255 windows of 0.5 s, 0.35 s apart, for its correction."""


@dataclass(frozen=True)
class Asked:
    """A question to an adapter; the attributes are the parameters of `Adapter.phases`."""

    x: Real
    sfreq: float
    band_hz: Band
    peak_hz: float
    places: NDArray[np.intp]


class Adapter(ABC):
    """What all adapters have in common.

    Attributes
    ----------
    name
        What tables call it: the package and its class.
    distribution, module
        What is installed, and what is imported.
    takes_every_sample
        Whether it must be given all samples one after the other, or sees a window wherever it is asked.
    """

    name: ClassVar[str]
    distribution: ClassVar[str]
    module: ClassVar[str]
    takes_every_sample: ClassVar[bool] = False

    def phases(
        self, x: Real, sfreq: float, band_hz: Band, peak_hz: float, places: NDArray[np.intp]
    ) -> NDArray[np.complex128]:
        """Return what the method says after each of some samples about the signal at that sample.

        Parameters
        ----------
        x
            Array of shape (n_samples,) in µV, conditioned, without gaps.
        sfreq
            Sampling rate in Hz.
        band_hz
            Lower and upper edge of the rhythm's band in Hz.
        peak_hz
            The rhythm's frequency in Hz.
        places
            Array of shape (n_places,): the samples after which a phase is wanted.

        Returns
        -------
            Array of shape (n_places,): the analytic signal, 0 at the positive peak; in µV where the package gives an
            amplitude, else of length 1; NaN where it gives no phase.

        Raises
        ------
        ValueError
            Where a sample is not finite, or a place lies outside the signal.
        """
        if not np.isfinite(x).all():
            raise ValueError(f"x holds {int(np.sum(~np.isfinite(x)))} samples that are not finite (limit: none)")
        if len(places) and not (places.min() >= 0 and places.max() < x.size):
            raise ValueError(f"places reach from {places.min()} to {places.max()}, outside 0 to {x.size - 1}")
        return self._phases(Asked(x, sfreq, band_hz, peak_hz, places))

    @abstractmethod
    def _phases(self, asked: Asked) -> NDArray[np.complex128]: ...


@dataclass(frozen=True)
class MeegkitEcht(Adapter):
    """The endpoint-corrected Hilbert transform of `meegkit`, at its default order, over windows of one second.

    Its filter's response is taken at bin frequencies rounded up to whole Hz. In a window of one second all bins are
    whole Hz, so that the rounding does no harm; other lengths are biased further. The length of the transform is set
    to the window's: left alone, it may be longer, and then the last value is padding, not the last sample.

    Attributes
    ----------
    window_s
        Length of the window in s.
    order
        Of the Butterworth band-pass.
    """

    name = "meegkit ECHT"
    distribution = module = "meegkit"
    window_s: float = 1.0
    order: int = 2

    def _phases(self, asked: Asked) -> NDArray[np.complex128]:
        from meegkit.phase import ECHT

        n_window = round(self.window_s * asked.sfreq)
        echt = ECHT(*asked.band_hz, asked.sfreq, n_fft=n_window, filt_order=self.order)
        return _of_windows(lambda window: complex(echt.transform(window)[-1, 0]), n_window, asked)


@dataclass(frozen=True)
class MeegkitResonant(Adapter):
    """The resonant oscillator of `meegkit`, without its adaptation, started anew every few seconds.

    Its ``nu`` is documented in Hz but used in rad/s, as its example has it. The adaptation to the signal's frequency
    loses noisy rhythms when a signal is given in one piece, and never happens when samples are given one by one; it is
    off. In front, as its paper asks for, a causal band-pass; the phase of that at the peak, which is not the package's
    doing, is taken out. Its integrator subtracts numbers 1e13 times its own size, so that rounding errors add up to an
    offset: on a pure sine of 10 Hz at 250 Hz they exceed the signal after a minute. Hence a fresh oscillator takes
    over every ``restart_s``, having listened for a second before.

    Attributes
    ----------
    prefilter_hz, prefilter_order
        Edges in Hz and order of the Butterworth band-pass in front.
    restart_s
        How long an oscillator is in charge, in s.
    """

    name = "meegkit ResOscillator"
    distribution = module = "meegkit"
    takes_every_sample = True
    prefilter_hz: Band = (5.0, 20.0)
    prefilter_order: int = 1
    restart_s: float = 2.0

    def _phases(self, asked: Asked) -> NDArray[np.complex128]:
        from meegkit.phase import ResOscillator

        heard, undo = _prefiltered(asked, self.prefilter_hz, self.prefilter_order)
        before, length = round(SETTLED_S * asked.sfreq), round(self.restart_s * asked.sfreq)
        found = np.full(heard.size, np.nan + 0j)
        for first in np.unique(np.maximum(asked.places - before, 0) // length) * length + before:
            oscillator = ResOscillator(fs=asked.sfreq, nu=2.0 * np.pi * asked.peak_hz, freq_adaptation=False)
            with _quiet_buffer():
                phase, amplitude = oscillator.transform(heard[first - before : first + length, None])
            found[first : first + length] = (amplitude * np.exp(1j * phase))[before:, 0]
        return found[asked.places] * undo


@dataclass(frozen=True)
class MeegkitNonResonant(Adapter):
    """The non-resonant oscillators of `meegkit`, given one sample at a time so that they do not adapt.

    Its ``nu`` is in rad/s, as its example has it. With a signal in one piece it adapts and loses even a pure sine of
    10 Hz; a call for every sample, as in real time, never reaches the moment of an update. The default dampings are
    those of a rhythm of 1 rad/s; here the ones of its authors' example for EEG's beta rhythm. The oscillators hardly
    select by frequency, and resonate at five times the peak, near the mains; so what is in front is a causal band-pass
    of the rhythm's band. The phase of that at the peak, which is not the package's doing, is taken out.

    Attributes
    ----------
    prefilter_order
        Of the Butterworth band-pass in front.
    alpha_a, alpha_p
        Dampings of the oscillators for amplitude and phase, in 1/s.
    """

    name = "meegkit NonResOscillator"
    distribution = module = "meegkit"
    takes_every_sample = True
    prefilter_order: int = 2
    alpha_a: float = 80.0
    alpha_p: float = 10.0

    def _phases(self, asked: Asked) -> NDArray[np.complex128]:
        from meegkit.phase import NonResOscillator

        heard, undo = _prefiltered(asked, asked.band_hz, self.prefilter_order)
        omega = 2.0 * np.pi * asked.peak_hz
        oscillator = NonResOscillator(fs=asked.sfreq, nu=omega, alpha_a=self.alpha_a, alpha_p=self.alpha_p)
        found = np.full(heard.size, np.nan + 0j)
        with _quiet_buffer():
            for place in range(asked.places.max(initial=-1) + 1):
                phase, amplitude = oscillator.transform(heard[place : place + 1, None])
                found[place] = amplitude[0, 0] * np.exp(1j * phase[0, 0])
        found[: round(SETTLED_S * asked.sfreq)] = np.nan
        return found[asked.places] * undo


@dataclass(frozen=True)
class EegphasepyPhastimate(Adapter):
    """The phase that `eegphasepy`'s PHASTIMATE finds before it compares it with a target.

    In public it says only whether the phase is near a target; so its own filter, its own autoregressive model and its
    own forecast are called here, in its order. The phase that it compares belongs to the first sample *after* the
    window; the one returned is that of the sample before it, the window's last. Parameters are the optimized set of
    Zrenner et al. 2020, in s where the package counts samples: its default of 30 for the order of the model is made for
    1 kHz, and at 250 Hz costs 18 degrees of SD. The model itself is left as it is, though it is unstable in many
    windows (`statsmodels` "adjusted"); the amplitude may then be anything, and is not passed on.

    Attributes
    ----------
    window_s, filter_s, edge_s, ar_order_s
        Length of the window, of its filter, of what is dropped at each end, and order of the model, in s.
    """

    name = "eegphasepy PHASTIMATE"
    distribution, module = "eegphasepy", "EEGPhasePy"
    window_s: float = 0.719
    filter_s: float = 0.192
    edge_s: float = 0.064
    ar_order_s: float = 0.03

    def estimator(self, sfreq: float, band_hz: Band) -> Any:
        """Return the package's object for one signal."""
        from EEGPhasePy.estimators import PHASTIMATE

        taps = _taps(self.filter_s, sfreq, band_hz)
        return PHASTIMATE(
            taps,
            taps,
            round(sfreq),
            window_len=round(1e3 * self.window_s),
            window_edge=round(1e3 * self.edge_s),
            ar_order=max(2, round(self.ar_order_s * sfreq)),
        )

    def _phases(self, asked: Asked) -> NDArray[np.complex128]:
        chosen = self.estimator(asked.sfreq, asked.band_hz)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="yule_walker currently returns", category=FutureWarning)
            return _of_windows(lambda window: last_two(chosen, window)[0], round(self.window_s * asked.sfreq), asked)


def last_two(estimator: Any, window: Real) -> NDArray[np.complex128]:
    """Return what an `eegphasepy` PHASTIMATE thinks of a window's last sample and of the next, both of length 1."""
    from EEGPhasePy.estimators.phastimate import yule_walker

    edge = int(estimator.window_edge / 1000 * estimator.sampling_rate)
    kept = estimator._filter_data(estimator.real_time_filter, window)[edge:-edge]
    model = yule_walker(kept, estimator.ar_order)[0]
    ahead = estimator._ar_forecast(kept, model, 2 * edge)
    around = signal.hilbert(np.concatenate([kept, ahead]))[-edge - 1 : -edge + 1]
    phasors: NDArray[np.complex128] = np.exp(1j * np.angle(around))
    return phasors


@dataclass(frozen=True)
class EegphasepyEtp(Adapter):
    """The phase that follows from the time which `eegphasepy`'s ETP predicts for the next peak.

    Its ``predict`` returns how many samples to wait for a peak, from the first after the window. With the period that
    it counts with, that is a phase, for every window with a peak in it, also where the time lies in the past. Only
    the target 0 is asked for: for others, no period is added and its times are mostly past. It gives no amplitude.

    Its fit needs three minutes. Where that much precedes the first place, it is fitted on the signal's first three;
    otherwise its period is that of the peak that the caller names (repeating a minute of rest three times instead
    cost 4 to 10 degrees of bias at 1 kHz). Window and edge are the package's defaults, the filter of the ground truth
    that of its example on EEG; the filter of real time is as long as Zrenner's of 2018, three of which fit in a window.

    Attributes
    ----------
    window_s, filter_s, edge_s, truth_s
        Length of the window, of its filter, of what is dropped at its end, and of the filter of the fit, in s.
    """

    name = "eegphasepy ETP"
    distribution, module = "eegphasepy", "EEGPhasePy"
    window_s: float = 0.5
    filter_s: float = 0.128
    edge_s: float = 0.04
    truth_s: float = 1.0

    def estimator(self, asked: Asked) -> Any:
        """Return the package's object, fitted on what precedes the first place where that is long enough."""
        from EEGPhasePy.estimators import ETP

        etp = ETP(
            _taps(self.filter_s, asked.sfreq, asked.band_hz),
            _taps(self.truth_s, asked.sfreq, asked.band_hz),
            round(asked.sfreq),
            window_len=round(1e3 * self.window_s),
            window_edge=round(1e3 * self.edge_s),
        )
        n_training = round(ETP_TRAINING_S * asked.sfreq)
        if asked.places.min(initial=asked.x.size) >= n_training:
            return etp.fit(asked.x[:n_training], min_ipi=int(asked.sfreq / asked.band_hz[1]))
        etp.period = etp.tadj = round(asked.sfreq / asked.peak_hz)
        return etp

    def _phases(self, asked: Asked) -> NDArray[np.complex128]:
        etp = self.estimator(asked)

        def now(window: Real) -> complex:
            try:
                wait = etp.predict(window, 0)
            except RuntimeError:  # no peak in the window
                return complex(np.nan)
            return complex(np.exp(-2j * np.pi * (wait + 1) / etp.period))

        return _of_windows(now, round(self.window_s * asked.sfreq), asked)


ADAPTERS: tuple[Adapter, ...] = (
    MeegkitEcht(),
    MeegkitResonant(),
    MeegkitNonResonant(),
    EegphasepyPhastimate(),
    EegphasepyEtp(),
)


def available() -> list[Adapter]:
    """Return the adapters whose package is installed."""
    return [adapter for adapter in ADAPTERS if find_spec(adapter.module) is not None]


def missing() -> list[str]:
    """Return the packages that are not installed, by the names under which they can be."""
    return sorted({adapter.distribution for adapter in ADAPTERS} - {adapter.distribution for adapter in available()})


def _of_windows(value: Callable[[Real], complex], n_window: int, asked: Asked) -> NDArray[np.complex128]:
    """Return a value for the window that ends with each place, NaN where it would begin before the signal."""
    found = np.full(len(asked.places), np.nan + 0j)
    for i, place in enumerate(asked.places):
        if place >= n_window - 1:
            found[i] = value(asked.x[place - n_window + 1 : place + 1])
    return found


def _prefiltered(asked: Asked, band_hz: Band, order: int) -> tuple[Real, complex]:
    """Return the causally band-passed signal, and the factor that undoes the band-pass at the peak."""
    sections = signal.butter(order, band_hz, "bandpass", fs=asked.sfreq, output="sos")
    _, response = signal.sosfreqz(sections, worN=[asked.peak_hz], fs=asked.sfreq)
    return signal.sosfilt(sections, asked.x), 1.0 / complex(response[0])


def _taps(length_s: float, sfreq: float, band_hz: Band) -> Real:
    """Return a linear-phase band-pass with an odd number of taps."""
    taps: Real = signal.firwin(2 * round(length_s * sfreq / 2) + 1, band_hz, fs=sfreq, pass_zero=False)
    return taps


@contextmanager
def _quiet_buffer() -> Iterator[None]:
    """Keep `meegkit` from warning, at every sample, that its ring buffer is a ring."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Buffer overflow", category=UserWarning)
        yield
