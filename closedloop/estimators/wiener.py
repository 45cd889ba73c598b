"""``wiener``: the linear predictor of least squared error, learnt on rest.

Ridge regression of the acausal analytic signal, ``lead`` ahead, on the causal window of the past
(N. Wiener, Extrapolation, Interpolation, and Smoothing of Stationary Time Series, 1949; the ridge
after Hoerl & Kennard 1970, doi 10.1080/00401706.1970.10488634). The ridge is found by blocked
cross-validation, and the error's model is fitted to the held-out predictions, so that the SD of
its error is what new data will show.
"""

import numpy as np
from numpy.typing import NDArray

from closedloop.config.estimators import Wiener
from closedloop.errors import CalibrationError
from closedloop.estimators.complex_fir import complex_fir, fir_state
from closedloop.estimators.interface import LEADS_S, Designed, Rest
from closedloop.estimators.uncertainty import error_model
from closedloop.estimators.window import stride_to, windows

INNER_RATE_HZ = 125.0
N_BLOCKS = 5
RIDGES = 10.0 ** np.arange(-9.0, 0.5, 0.5)
"""Candidates, relative to the mean power of a window's values."""


def design_wiener(rest: Rest, settings: Wiener) -> Designed:
    """Learn the filter for every lead of the grid.

    Raises
    ------
    CalibrationError
        Where the stretch of rest is too short for the window.
    """
    stride = stride_to(INNER_RATE_HZ, rest.sfreq)
    n_taps = max(2, round(settings.window_s * rest.sfreq / stride))
    blocks = _blocks(rest, n_taps, stride)
    gram = np.sum([b.T @ b for b, _ in blocks], axis=0)
    moments = np.sum([b.T @ t for b, t in blocks], axis=0)
    scale = float(np.trace(gram)) / n_taps
    folds = [(b, t, _Ridge(gram - b.T @ b, moments - b.T @ t)) for b, t in blocks]
    errors = [sum(float(np.sum(np.abs(t - b @ fold.weights(r * scale)) ** 2)) for b, t, fold in folds) for r in RIDGES]
    ridge = float(RIDGES[int(np.argmin(errors))])
    predicted = np.concatenate([b @ fold.weights(ridge * scale) for b, _, fold in folds])
    truth = np.concatenate([t for _, t in blocks])
    noise, growth = error_model(predicted, truth)
    weights = _Ridge(gram, moments).weights(ridge * scale).T
    return Designed(
        step=complex_fir,
        state=fir_state([weights], strides=[stride], noise=noise, growth=growth),
        window_s=n_taps * stride / rest.sfreq,
        facts={
            "taps": n_taps,
            "stride": stride,
            "ridge": ridge,
            "explained": float(1.0 - np.min(errors) / np.sum(np.abs(truth) ** 2)),
        },
    )


class _Ridge:
    """The normal equations of one set of rows, solved for any ridge by one eigendecomposition."""

    def __init__(self, gram: NDArray[np.float64], moments: NDArray[np.complex128]) -> None:
        self._values, self._vectors = np.linalg.eigh(gram)
        self._moments = self._vectors.T @ moments

    def weights(self, ridge: float) -> NDArray[np.complex128]:
        """Return the weights, of shape (n_taps, N_LEADS)."""
        weights: NDArray[np.complex128] = self._vectors @ (self._moments / (self._values + ridge)[:, None])
        return weights


def _blocks(rest: Rest, n_taps: int, stride: int) -> list[tuple[NDArray[np.float64], NDArray[np.complex128]]]:
    """Cut the rest into blocks of windows that share no sample, nor any sample that a lead reaches.

    A target is acausal and knows a few tenths of a second more on either side.

    Each window's own mean is taken out, so that the weights come to sum to zero: what an electrode's
    drift leaves after the high-pass cannot shift a prediction.
    """
    view, first = windows(rest.inputs[:, 0], n_taps, stride)
    targets = rest.targets()[first:]
    guard = first + int(np.ceil(LEADS_S[-1] * rest.sfreq))
    length = len(view) // N_BLOCKS
    if length < 2 * guard:
        raise CalibrationError(
            f"calibration of {len(rest.inputs) / rest.sfreq:.1f} s is too short for a window of "
            f"{n_taps * stride / rest.sfreq:g} s: at least {(2 * N_BLOCKS + 1) * guard / rest.sfreq:.1f} s are needed"
        )
    blocks = []
    for k in range(N_BLOCKS):
        rows = slice(k * length, (k + 1) * length - guard)
        known = np.isfinite(targets[rows]).all(axis=1) & np.isfinite(view[rows]).all(axis=1)
        seen = view[rows][known]
        blocks.append((seen - seen.mean(axis=1, keepdims=True), targets[rows][known]))
    return blocks
