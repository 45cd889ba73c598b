"""What an estimator learns to predict: the rhythm as seen from both sides of a moment.

The stretch of rest is band-passed in the frequency domain, with raised-cosine flanks and no phase
shift, and its negative frequencies are dropped. The filter's shape is not one of the evaluation
family's, so that no estimator is judged by what it was taught.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import fft

FLANK_HZ = 1.0
"""Width of each flank, centred on the band's edge."""
EDGE_S = 1.0
"""Ends of the stretch at which the target is unknown."""


def training_target(x: NDArray[np.float64], sfreq: float, band_hz: tuple[float, float]) -> NDArray[np.complex128]:
    """Return the analytic signal of a band, of shape (n_samples,) in µV, NaN at the edges.

    Parameters
    ----------
    x
        Array of shape (n_samples,) in µV, without missing samples: a named signal before conditioning.
    sfreq
        Sampling rate in Hz.
    band_hz
        Lower and upper edge, where the gain is one half.
    """
    reach = round(EDGE_S * sfreq)
    slope = np.linspace(x[0], x[-1], x.size)
    padded = np.pad(x - slope, reach, mode="reflect", reflect_type="odd")
    n_fft = fft.next_fast_len(padded.size + reach)
    frequencies = np.fft.fftfreq(n_fft, 1.0 / sfreq)
    low, high = band_hz
    rising = np.clip((frequencies - low) / FLANK_HZ + 0.5, 0.0, 1.0)
    falling = np.clip((high - frequencies) / FLANK_HZ + 0.5, 0.0, 1.0)
    gain = (np.sin(np.pi / 2 * rising) * np.sin(np.pi / 2 * falling)) ** 2
    target: NDArray[np.complex128] = fft.ifft(2.0 * gain * fft.fft(padded, n_fft))[reach : reach + x.size]
    target[:reach] = target[-reach:] = np.nan
    return target
