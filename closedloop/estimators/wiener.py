"""``wiener``: the linear predictor of least squared error, learnt on rest, from one channel or many.

Ridge regression of the acausal analytic signal, ``lead`` ahead, on the causal window of the past
(N. Wiener, Extrapolation, Interpolation, and Smoothing of Stationary Time Series, 1949; the ridge
after Hoerl & Kennard 1970, doi 10.1080/00401706.1970.10488634). The ridge is found by blocked
cross-validation, and the error's model is fitted to the held-out predictions, so that the SD of
its error is what new data will show.

The newest values count singly, older ones in bins of their mean: what the rhythm does next is told by detail
that is milliseconds old, while half a cycle ago its outline is enough, and fewer weights are learnt better.
Means of 8 ms all over cost 3 to 9 % of the circular SD (docs/decisions/0006).

Channels that help have a ridge of their own, since there are many more weights to learn for them. How
much stronger it must be is found by the same cross-validation, and one of the candidates is to leave
them out altogether: helpers that do not help are not used.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from closedloop.config.estimators import Wiener
from closedloop.errors import CalibrationError
from closedloop.estimators.complex_fir import complex_fir, fir_state
from closedloop.estimators.interface import LEADS_S, Designed, Rest
from closedloop.estimators.output import N_GROUPS, phase_error_model
from closedloop.estimators.window import stride_to

STEP_RATE_HZ = 1000.0
ROW_RATE_HZ = 62.5
"""Windows are learnt from at this rate: nearer ones say nothing new of a rhythm far below half of it."""
FINE_BIN_S = 0.002
COARSE_BIN_S = 0.008
OWN_FINE_S = 0.064
HELPERS_FINE_S = 0.016
"""How much of the newest past counts in fine bins, of the signal itself and of each helper."""
N_BLOCKS = 5
RIDGES = 10.0 ** np.arange(-9.0, 0.0, 0.5)
"""Candidates, relative to the mean power of the signal's own bins."""
SHARES = (0.0, 1e-3, 1e-2, 1e-1)
"""Candidates of how much weaker the helpers count: the signal's ridge over theirs; 0 leaves them out."""
MIN_GAIN = 0.002
"""Helpers are used where they lower the error by more than this share: less is chance."""


class Block(NamedTuple):
    """A part of rest: what windows hold, of shape (n_rows, n_columns), and what follows, of shape (n_rows, N_LEADS)."""

    seen: NDArray[np.float64]
    targets: NDArray[np.complex128]
    rhythms: NDArray[np.complex128]


def design_wiener(rest: Rest, settings: Wiener) -> Designed:
    """Learn the filter for every lead of the grid.

    Raises
    ------
    CalibrationError
        Where the stretch of rest is too short for the window, holds samples that are no numbers, or next to no
        windows beside a known target.
    """
    stride = stride_to(STEP_RATE_HZ, rest.sfreq)
    rate_hz = rest.sfreq / stride
    n_helpers = 0 if settings.helpers == "none" else rest.inputs.shape[1] - 1
    bins = [_Bins.over(settings.window_s, OWN_FINE_S, rate_hz)]
    bins += [_Bins.over(settings.helper_window_s, HELPERS_FINE_S, rate_hz)] * n_helpers
    n_own = bins[0].ages.size - 1
    blocks = _blocks(rest, bins, stride)
    fits = [_best(blocks, n_own, share) for share in (SHARES if n_helpers else SHARES[:1])]
    best = min(fits, key=lambda fit: fit.error)
    if best.error >= (1.0 - MIN_GAIN) * fits[0].error:
        best, bins = fits[0], bins[:1]
    rhythms = np.concatenate([block.rhythms for block in blocks])
    error = phase_error_model(best.held_out(blocks), rhythms, rest.rhythm_error_uv2)
    parts = np.split(best.weights(blocks).T, np.cumsum([b.ages.size - 1 for b in bins])[:-1], axis=1)
    lanes = [b.taps(part) for b, part in zip(bins, parts, strict=True)]
    power = sum(float(np.sum(np.abs(targets) ** 2)) for _, targets, _ in blocks)
    return Designed(
        step=complex_fir,
        state=fir_state(lanes, strides=[stride] * len(lanes), error=error),
        window_s=max(b.n_values for b in bins) / rate_hz,
        facts={
            "taps": bins[0].n_values,
            "weights": n_own,
            "stride": stride,
            "ridge": best.ridge,
            "helpers": len(bins) - 1,
            "helper_share": best.share,
            "explained": 1.0 - best.error / power,
            "explained_without_helpers": 1.0 - fits[0].error / power,
        },
    )


@dataclass(frozen=True)
class _Bins:
    """How the values of a window are put together: bin k holds the ages from ``ages[k]`` up to ``ages[k + 1]``."""

    ages: NDArray[np.int64]

    @classmethod
    def over(cls, window_s: float, fine_s: float, rate_hz: float) -> "_Bins":
        """Lay fine bins over the newest part of a window, coarse ones over the rest of it."""
        fine = max(1, round(FINE_BIN_S * rate_hz))
        coarse = max(fine, round(COARSE_BIN_S * rate_hz))
        n_fine = round(min(fine_s, window_s) * rate_hz / fine)
        n_coarse = max(1, round((window_s * rate_hz - n_fine * fine) / coarse))
        return cls(np.cumsum([0] + [fine] * n_fine + [coarse] * n_coarse))

    @property
    def n_values(self) -> int:
        """Values in the window."""
        return int(self.ages[-1])

    def seen(self, sums: NDArray[np.float64], rows: NDArray[np.int64], stride: int) -> NDArray[np.float64]:
        """Return each bin's mean, less the window's, for windows that end at samples, from a signal's running sums.

        Without the window's mean, what an electrode's drift leaves after the high-pass cannot shift a prediction.
        """
        at = sums[rows[:, None] + 1 - stride * self.ages]
        means = -np.diff(at, axis=1) / (stride * np.diff(self.ages))
        whole = (at[:, :1] - at[:, -1:]) / (stride * self.n_values)
        binned: NDArray[np.float64] = means - whole
        return binned

    def taps(self, weights: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Return the filter, of shape (N_LEADS, n_values), oldest value first, that weights of the bins make."""
        lengths = np.diff(self.ages)
        newest_first = (
            np.repeat(weights / lengths, lengths, axis=1) - weights.sum(axis=1, keepdims=True) / self.n_values
        )
        taps: NDArray[np.complex128] = newest_first[:, ::-1]
        return taps


@dataclass(frozen=True)
class _Fit:
    """One candidate: how strong both ridges are, and the squared error that held-out blocks show.

    ``scale`` of shape (n_columns,) stands before each column, 0 where it is left out: a stronger ridge is
    the same as a smaller column.
    """

    share: float
    ridge: float
    penalty: float
    error: float
    scale: NDArray[np.float64]

    def weights(self, blocks: list[Block]) -> NDArray[np.complex128]:
        """Return the weights learnt on blocks, of shape (n_columns in use, N_LEADS)."""
        used = self.scale > 0.0
        gram, moments = _moments(blocks)
        ridge = _Ridge(gram, moments, self.scale)
        return (self.scale[:, None] * ridge.weights(self.penalty))[used]

    def held_out(self, blocks: list[Block]) -> NDArray[np.complex128]:
        """Return predictions of each block by the others."""
        used = self.scale > 0.0
        others = [blocks[:k] + blocks[k + 1 :] for k in range(len(blocks))]
        return np.concatenate(
            [block.seen[:, used] @ self.weights(rest) for block, rest in zip(blocks, others, strict=True)]
        )


def _best(blocks: list[Block], n_own: int, share: float) -> _Fit:
    """Return the best ridge at one share of the helpers."""
    gram, moments = _moments(blocks)
    power = np.diag(gram)
    own = float(power[:n_own].mean())
    others = float(power[n_own:].mean()) if power.size > n_own else 1.0
    scale = np.ones(power.size)
    scale[n_own:] = np.sqrt(share * own / others) if others > 0.0 else 0.0
    errors = np.zeros(RIDGES.size)
    for seen, targets, _ in blocks:
        fold = _Ridge(gram - seen.T @ seen, moments - seen.T @ targets, scale)
        errors += fold.errors(seen, targets, RIDGES * own)
    best = int(np.argmin(errors))
    return _Fit(share, float(RIDGES[best]), float(RIDGES[best]) * own, float(errors[best]), scale)


class _Ridge:
    """The normal equations of one set of rows, solved for any ridge by one eigendecomposition."""

    def __init__(self, gram: NDArray[np.float64], moments: NDArray[np.complex128], scale: NDArray[np.float64]) -> None:
        self._used = scale > 0.0
        self._scale = scale[self._used]
        inside = gram[np.ix_(self._used, self._used)] * np.outer(self._scale, self._scale)
        self._values, self._vectors = np.linalg.eigh(inside)
        self._moments = self._vectors.T @ (self._scale[:, None] * moments[self._used])
        self._size = scale.size

    def weights(self, penalty: float) -> NDArray[np.complex128]:
        """Return the weights of the scaled columns, of shape (n_columns, N_LEADS), 0 for those left out."""
        weights = np.zeros((self._size, self._moments.shape[1]), np.complex128)
        weights[self._used] = self._vectors @ (self._moments / (self._values + penalty)[:, None])
        return weights

    def errors(
        self, seen: NDArray[np.float64], targets: NDArray[np.complex128], penalties: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the squared error on other rows for each penalty, all leads together."""
        turned = (seen[:, self._used] * self._scale) @ self._vectors
        return np.array(
            [
                float(np.sum(np.abs(targets - turned @ (self._moments / (self._values + penalty)[:, None])) ** 2))
                for penalty in penalties
            ]
        )


def _moments(blocks: list[Block]) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    gram: NDArray[np.float64] = np.sum([block.seen.T @ block.seen for block in blocks], axis=0)
    moments: NDArray[np.complex128] = np.sum([block.seen.T @ block.targets for block in blocks], axis=0)
    return gram, moments


def _blocks(rest: Rest, bins: list[_Bins], stride: int) -> list[Block]:
    """Cut the rest into blocks of windows that share no sample, nor any sample that a lead reaches.

    A target is acausal and knows a few tenths of a second more on either side.
    """
    if not np.isfinite(rest.inputs).all():
        n_bad = int(np.sum(~np.isfinite(rest.inputs)))
        raise CalibrationError(f"calibration holds {n_bad} values that are no numbers (limit: none)")
    reach = max(b.n_values for b in bins) * stride - 1
    guard = reach + int(np.ceil(LEADS_S[-1] * rest.sfreq))
    length = (len(rest.inputs) - reach) // N_BLOCKS
    if length < 2 * guard:
        raise CalibrationError(
            f"calibration of {len(rest.inputs) / rest.sfreq:.1f} s is too short for a window of "
            f"{(reach + 1) / rest.sfreq:g} s: at least {(2 * N_BLOCKS + 1) * guard / rest.sfreq:.1f} s are needed"
        )
    targets, rhythms = rest.targets(), rest.rhythms()
    sums = np.cumsum(np.vstack([np.zeros(rest.inputs.shape[1]), rest.inputs]), axis=0)
    blocks = []
    for k in range(N_BLOCKS):
        rows = np.arange(reach + k * length, reach + (k + 1) * length - guard, stride_to(ROW_RATE_HZ, rest.sfreq))
        seen = np.concatenate([b.seen(sums[:, column], rows, stride) for column, b in enumerate(bins)], axis=1)
        # A target of 0 everywhere would be learnt without an error, and is no rhythm.
        known = np.isfinite(targets[rows]).all(axis=1) & (targets[rows] != 0.0).all(axis=1)
        known &= np.isfinite(rhythms[rows]).all(axis=1)
        blocks.append(Block(seen[known], targets[rows][known], rhythms[rows][known]))
    n_known = sum(len(block.seen) for block in blocks)
    if n_known < N_GROUPS:
        raise CalibrationError(
            f"calibration of {len(rest.inputs) / rest.sfreq:.1f} s holds {n_known} windows beside a known target; "
            f"at least {N_GROUPS} are needed"
        )
    return blocks
