"""Is there a rhythm right now? A sliding, 1/f-corrected signal-to-noise ratio.

A narrow filter predicts its own output even on pure noise, so a small phase error of the predictor
proves no rhythm. This gate looks at the spectrum instead: a bank of damped resonators follows the
power at a few frequencies around the peak and on both flanks; a line through the flanks' powers in
log-log coordinates is the 1/f background; the ratio of the peak's power to that line is the SNR.
Its limit comes from surrogates: the recording's own background, without the peak, run through the
same resonators.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from closedloop.errors import CalibrationError
from closedloop.jit import compiled, inner

LOW_FLANK_HZ = (2.5, 3.5, 4.5, 5.5, 6.5)
HIGH_FLANK_HZ = (15.0, 17.0, 19.0, 22.0, 25.0, 28.0, 31.0, 34.0)
PEAK_OFFSETS_HZ = (-0.75, 0.0, 0.75)
N_PEAK_BINS = len(PEAK_OFFSETS_HZ)
RESONATOR_WIDTH_HZ = 1.0
AVERAGE_S = 6.0
"""Time constant of the power average: shorter follows the rhythm faster, longer tells it better from noise."""
UNSEEN_S = 30.0
"""Time constant by which evidence ages while nothing is seen: the holds after pulses 2 s apart leave enough
of it, a pause of 20 s does not."""
WARM_UP_S = 3.0
SETTLE_S = 0.5
"""After missing samples the resonators ring up again for this long before their power counts."""
INNER_RATE_HZ = 100.0
"""The resonators see means of so many samples that their rate is at least this."""

_PAUSE, _LEFT, _SUM, _AVERAGED = range(4)


class Rhythm(NamedTuple):
    """The resonators and their memory.

    Attributes
    ----------
    rotor
        Complex array of shape (n_bins,): the factor of one inner step, damping included.
    resonance
        Complex array of shape (n_bins, 2): two equal resonators in series for each frequency.
    power
        Array of shape (n_bins,): sums of squares, exponentially forgotten, also while nothing is seen.
    line
        Array of shape (n_bins,): weights that turn the bins' log powers into the log background
        at the peak; zero at the peak's own bins.
    settings
        Array: samples per inner step, forgetting factor, weight of the evidence that a warm-up gathers,
        inner steps of settling, forgetting factor while nothing is seen.
    progress
        Array: inner steps until power counts again, samples that the running mean still waits for,
        its sum so far, weight of the evidence: inner steps averaged, forgotten like the power.
    """

    rotor: NDArray[np.complex128]
    resonance: NDArray[np.complex128]
    power: NDArray[np.float64]
    line: NDArray[np.float64]
    settings: NDArray[np.float64]
    progress: NDArray[np.float64]


def design_rhythm(sfreq: float, peak_hz: float) -> Rhythm:
    """Design the resonators for a peak frequency.

    Parameters
    ----------
    sfreq
        Sampling rate in Hz.
    peak_hz
        The rhythm's frequency in Hz, from calibration.

    Raises
    ------
    CalibrationError
        Where the sampling rate is too low for the upper flank.
    """
    stride = max(1, int(sfreq // INNER_RATE_HZ))
    rate = sfreq / stride
    if rate < 2.2 * HIGH_FLANK_HZ[-1]:
        raise CalibrationError(
            f"sampling rate = {sfreq:g} Hz is too low for the rhythm gate (at least {2.2 * HIGH_FLANK_HZ[-1]:g} Hz)"
        )
    peaks = peak_hz + np.array(PEAK_OFFSETS_HZ)
    flanks = np.array([f for f in LOW_FLANK_HZ + HIGH_FLANK_HZ if abs(f - peak_hz) > 2.0])
    bins = np.concatenate([peaks, flanks])
    damping = math.exp(-math.pi * RESONATOR_WIDTH_HZ / rate)
    abscissa = np.column_stack([np.ones(flanks.size), np.log10(flanks)])
    at_peak = np.array([1.0, math.log10(peak_hz)]) @ np.linalg.pinv(abscissa)
    forget = math.exp(-1.0 / (AVERAGE_S * rate))
    warm = (1.0 - math.exp(-WARM_UP_S / AVERAGE_S)) / (1.0 - forget)
    return Rhythm(
        rotor=(damping * np.exp(2j * np.pi * bins / rate)).astype(np.complex128),
        resonance=np.zeros((bins.size, 2), np.complex128),
        power=np.zeros(bins.size),
        line=np.concatenate([np.zeros(peaks.size), at_peak]),
        settings=np.array([stride, forget, warm, SETTLE_S * rate, math.exp(-1.0 / (UNSEEN_S * rate))]),
        progress=np.array([SETTLE_S * rate, stride, 0.0, 0.0]),
    )


@inner
def observe(rhythm: Rhythm, x: float) -> None:
    """Take one sample, in µV; NaN where it is missing or held."""
    progress = rhythm.progress
    if np.isfinite(x):
        progress[_SUM] += x
    else:
        progress[_PAUSE] = rhythm.settings[3]
    progress[_LEFT] -= 1.0
    if progress[_LEFT] > 0.0:
        return
    mean = progress[_SUM] / rhythm.settings[0]
    progress[_LEFT] = rhythm.settings[0]
    progress[_SUM] = 0.0
    averaging = progress[_PAUSE] <= 0.0
    forget = rhythm.settings[1] if averaging else rhythm.settings[4]
    for b in range(rhythm.power.size):
        first = rhythm.rotor[b] * rhythm.resonance[b, 0] + mean
        second = rhythm.rotor[b] * rhythm.resonance[b, 1] + first
        rhythm.resonance[b, 0] = first
        rhythm.resonance[b, 1] = second
        rhythm.power[b] *= forget
        if averaging:
            rhythm.power[b] += second.real * second.real + second.imag * second.imag
    progress[_AVERAGED] *= forget
    if averaging:
        progress[_AVERAGED] += 1.0
    else:
        progress[_PAUSE] -= 1.0


@inner
def forget_all(rhythm: Rhythm) -> None:
    """Drop all evidence: after a long gap the gate has to warm up again."""
    rhythm.progress[_AVERAGED] = 0.0
    for b in range(rhythm.power.size):
        rhythm.power[b] = 0.0


@inner
def snr_db(rhythm: Rhythm) -> float:
    """Return the peak's power over the 1/f line in dB; NaN where it is not known now.

    That is before warm-up, while the resonators ring up after what was not seen, where too long was not
    seen, and on a dead signal.
    """
    if rhythm.progress[_PAUSE] > 0.0 or not rhythm.progress[_AVERAGED] >= rhythm.settings[2]:
        return np.nan
    peak = 0.0
    background = 0.0
    for b in range(rhythm.power.size):
        if not rhythm.power[b] > 0.0:
            return np.nan
        if b < N_PEAK_BINS:
            peak += rhythm.power[b] / N_PEAK_BINS
        else:
            background += rhythm.line[b] * math.log10(rhythm.power[b])
    return 10.0 * (math.log10(peak) - background)


@compiled()
def snr_track(rhythm: Rhythm, x: NDArray[np.float64], every: int, track: NDArray[np.float64]) -> None:
    """Run over a whole signal, of shape (n_samples,), and write the SNR after each ``every`` samples."""
    for i in range(x.size):
        observe(rhythm, x[i])
        if (i + 1) % every == 0:
            track[(i + 1) // every - 1] = snr_db(rhythm)
