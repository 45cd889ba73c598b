"""The frozen evaluation family: what counts as the real phase of a recording.

Zero-phase Butterworth filters and the Hilbert transform, in four bands; the reference is the circular
mean of their phases, and each member is reported too, since a ranking counts only when it holds under
all of them. No estimator trains on a member of this family. Changed by a decision record only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from closedloop.signal.circular import wrap

EDGE_S = 1.0
"""Ends of a recording at which an acausal filter knows too little."""
ORDER = 2
"""Of the Butterworth band-pass, run forwards and backwards."""


def family_bands(peak_hz: float) -> Mapping[str, tuple[float, float]]:
    """Return the family's bands in Hz by name, for a peak that comes from calibration alone."""
    return {
        "peak±2 Hz": (peak_hz - 2.0, peak_hz + 2.0),
        "peak±1 Hz": (peak_hz - 1.0, peak_hz + 1.0),
        "8-13 Hz": (8.0, 13.0),
        "5-18 Hz": (5.0, 18.0),
    }


@dataclass(frozen=True)
class ReferencePhase:
    """The phase that a recording really had, by the family and by each member.

    Attributes
    ----------
    sfreq
        Sampling rate in Hz.
    members
        For each member's name a complex array of shape (n_samples,) of unit phasors, NaN at the edges.
    """

    sfreq: float
    members: Mapping[str, NDArray[np.complex128]]

    def at(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the family's phase, in rad, at times in s from the first sample; NaN where unknown."""
        return wrap(np.angle(self._sum(times_s)))

    def member_at(self, name: str, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one member's phase, in rad, at times in s from the first sample; NaN where unknown."""
        return wrap(np.angle(self._phasor(name, times_s)))

    def agreement_at(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the length of the members' mean phasor: 1 where all agree, NaN where unknown."""
        return np.abs(self._sum(times_s)) / len(self.members)

    def _sum(self, times_s: NDArray[np.float64]) -> NDArray[np.complex128]:
        total: NDArray[np.complex128] = np.sum([self._phasor(name, times_s) for name in self.members], axis=0)
        return total

    def _phasor(self, name: str, times_s: NDArray[np.float64]) -> NDArray[np.complex128]:
        phasors = self.members[name]
        place = np.asarray(times_s, dtype=float) * self.sfreq
        known = np.isfinite(place) & (place >= 0.0) & (place <= phasors.size - 1)
        before = np.clip(np.where(known, place, 0.0).astype(int), 0, phasors.size - 2)
        part = np.where(known, place - before, 0.0)
        here, there = phasors[before], phasors[before + 1]
        # Along the arc, not the chord: at 100 Hz a 10 Hz rhythm turns by 36 degrees in one sample.
        between: NDArray[np.complex128] = here * np.exp(1j * part * np.angle(there * here.conj()))
        return np.where(known, between, np.nan + 0j)


def reference_phase(x: NDArray[np.float64], sfreq: float, peak_hz: float) -> ReferencePhase:
    """Compute the reference of a whole recording's spatially filtered signal.

    Parameters
    ----------
    x
        Array of shape (n_samples,) in µV. Missing samples are bridged by a line; within EDGE_S of
        one the phase is unknown.
    sfreq
        Sampling rate in Hz.
    peak_hz
        The rhythm's frequency from calibration in Hz.
    """
    known = np.isfinite(x)
    unknown = ~known
    reach = round(EDGE_S * sfreq)
    unknown[:reach] = unknown[-reach:] = True
    for missing in np.flatnonzero(~known):
        unknown[max(0, missing - reach) : missing + reach + 1] = True
    bridged = np.interp(np.arange(x.size), np.flatnonzero(known), x[known]) if known.any() else np.zeros(x.size)
    members = {}
    for name, band_hz in family_bands(peak_hz).items():
        sections = signal.butter(ORDER, band_hz, "bandpass", fs=sfreq, output="sos")
        analytic = signal.hilbert(signal.sosfiltfilt(sections, bridged))
        with np.errstate(invalid="ignore", divide="ignore"):
            phasors = analytic / np.abs(analytic)
        phasors[unknown] = np.nan
        members[name] = phasors
    return ReferencePhase(sfreq=sfreq, members=members)
