"""Causal conditioning of raw channels: high-pass and mains notch.

Raw amplifiers are DC-coupled: offsets of +-50 mV, slow drift and mains are normal. What these
filters do to the phase is learnt by the estimator together with the rest, so they are chosen for
quick recovery, not for a flat phase: the high-pass is of first order.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from closedloop.errors import CalibrationError
from closedloop.jit import compiled, inner

NOTCH_QUALITY = 30.0
"""Centre frequency over width at -3 dB: 1.7 Hz at 50 Hz, gone after about 0.4 s of ringing."""


class Conditioning(NamedTuple):
    """The filters of all conditioned channels and what they remember.

    Attributes
    ----------
    sections
        Array of shape (n_sections, 5): b0, b1, b2, a1, a2 of each second-order section (a0 = 1).
    memory
        Array of shape (n_sections, 2, n_channels), transposed direct form II.
    settled
        Array of shape (n_channels,): 0 until a channel's filters have been set to its first sample.
    """

    sections: NDArray[np.float64]
    memory: NDArray[np.float64]
    settled: NDArray[np.int64]


def design_conditioning(
    n_channels: int, sfreq: float, *, high_pass_hz: float | None, notch_hz: Sequence[float]
) -> Conditioning:
    """Design the filters for a number of channels.

    Parameters
    ----------
    n_channels
        Number of channels that pass through the same filters.
    sfreq
        Sampling rate in Hz.
    high_pass_hz
        Corner of the first-order high-pass in Hz, or None for none.
    notch_hz
        Frequencies in Hz that are taken out, each by a second-order notch.

    Raises
    ------
    CalibrationError
        Where a frequency does not lie below half the sampling rate.
    """
    sections = []
    if high_pass_hz is not None:
        _check_below_nyquist("conditioning.high_pass_hz", high_pass_hz, sfreq)
        sections.append(signal.butter(1, high_pass_hz, "highpass", fs=sfreq, output="sos")[0])
    for frequency in notch_hz:
        _check_below_nyquist("conditioning.notch_hz", frequency, sfreq)
        b, a = signal.iirnotch(frequency, NOTCH_QUALITY, fs=sfreq)
        sections.append(np.concatenate([b, a]))
    coefficients = np.array([np.delete(s, 3) for s in sections]).reshape(-1, 5)
    return Conditioning(
        sections=np.ascontiguousarray(coefficients),
        memory=np.zeros((len(sections), 2, n_channels)),
        settled=np.zeros(n_channels, np.int64),
    )


def _check_below_nyquist(what: str, frequency_hz: float, sfreq: float) -> None:
    if not 0.0 < frequency_hz < sfreq / 2:
        raise CalibrationError(
            f"{what} = {frequency_hz:g} does not lie below half the recording's sampling rate ({sfreq / 2:g} Hz)"
        )


@inner
def settle(conditioning: Conditioning, channel: int, value: float) -> None:
    """Set one channel's filters to the state that a constant input ``value`` leads to."""
    level = value
    for s in range(conditioning.sections.shape[0]):
        b0, b1, b2, a1, a2 = conditioning.sections[s]
        out = level * (b0 + b1 + b2) / (1.0 + a1 + a2)
        conditioning.memory[s, 0, channel] = out - b0 * level
        conditioning.memory[s, 1, channel] = b2 * level - a2 * out
        level = out
    conditioning.settled[channel] = 1


@inner
def condition(conditioning: Conditioning, channel: int, value: float) -> float:
    """Pass one finite sample of one channel through its filters.

    The first sample after a start, or after ``unsettle``, sets the filters to that level, so that
    an electrode offset of 50 mV rings for no time at all.
    """
    if conditioning.settled[channel] == 0:
        settle(conditioning, channel, value)
    out = value
    for s in range(conditioning.sections.shape[0]):
        level = out
        out = conditioning.sections[s, 0] * level + conditioning.memory[s, 0, channel]
        conditioning.memory[s, 0, channel] = (
            conditioning.sections[s, 1] * level - conditioning.sections[s, 3] * out + conditioning.memory[s, 1, channel]
        )
        conditioning.memory[s, 1, channel] = conditioning.sections[s, 2] * level - conditioning.sections[s, 4] * out
    return out


@inner
def unsettle(conditioning: Conditioning) -> None:
    """Forget the past of every channel: after a pulse the electrodes' offsets may have moved."""
    for channel in range(conditioning.settled.size):
        conditioning.settled[channel] = 0


@compiled()
def condition_all(conditioning: Conditioning, raw: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Condition whole recordings, of shape (n_samples, n_channels), as the loop would: sample by sample.

    A sample that is not finite comes out as NaN and leaves the filters as they were.
    """
    for i in range(raw.shape[0]):
        for channel in range(raw.shape[1]):
            value = raw[i, channel]
            out[i, channel] = condition(conditioning, channel, value) if np.isfinite(value) else np.nan
