"""Noisy oscillators that are seen in white noise: the model, and its Kalman filter as a design needs it.

The model is that of Matsuda & Komaki 2017, doi 10.1162/neco_a_00916. The state of oscillator j is a pair of
values in µV, the real and imaginary part of its analytic signal::

    x[t] = blockdiag_j(a_j R(2 pi f_j / rate)) x[t-1] + w,   w ~ N(0, q_j I)
    y[t] = sum_j x[t, 2 j] + v,   v ~ N(0, r)

with R the rotation by an angle. `oscillator_fit` fits the parameters to data.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg


@dataclass(frozen=True)
class Oscillators:
    """The model's parameters.

    Attributes
    ----------
    rate_hz
        Samples per second to which the model belongs.
    frequency_hz
        Array of shape (n_oscillators,): f in Hz.
    damping
        Array of shape (n_oscillators,): a, what is left of an amplitude after one sample, below 1.
    drive
        Array of shape (n_oscillators,): q, variance of the noise that drives either value, in µV².
    noise
        r, variance of the observation's noise in µV².
    """

    rate_hz: float
    frequency_hz: NDArray[np.float64]
    damping: NDArray[np.float64]
    drive: NDArray[np.float64]
    noise: float

    @classmethod
    def of_width(
        cls,
        rate_hz: float,
        frequency_hz: NDArray[np.float64],
        width_hz: NDArray[np.float64],
        power: NDArray[np.float64],
        noise: float,
    ) -> "Oscillators":
        """Return the oscillators of given width of the spectral peak at half height (Hz) and power (µV²)."""
        damping = np.exp(-np.pi * np.asarray(width_hz) / rate_hz)
        return cls(rate_hz, np.asarray(frequency_hz, float), damping, power * (1.0 - damping**2), noise)

    @property
    def turn(self) -> NDArray[np.complex128]:
        """What one sample multiplies the undriven analytic signals by, of shape (n_oscillators,)."""
        turn: NDArray[np.complex128] = self.damping * np.exp(2j * np.pi * self.frequency_hz / self.rate_hz)
        return turn

    @property
    def power(self) -> NDArray[np.float64]:
        """Steady variance of either value of each pair in µV², of shape (n_oscillators,)."""
        return self.drive / (1.0 - self.damping**2)

    @property
    def width_hz(self) -> NDArray[np.float64]:
        """Width of each spectral peak at half of its height in Hz, of shape (n_oscillators,)."""
        width: NDArray[np.float64] = -np.log(self.damping) * self.rate_hz / np.pi
        return width

    def density(self, frequency_hz: float) -> NDArray[np.float64]:
        """Return each oscillator's two-sided spectral density in µV²/Hz, of shape (n_oscillators,)."""
        back = np.exp(-2j * np.pi * frequency_hz / self.rate_hz)
        peaks = np.abs(1.0 - self.turn * back) ** -2 + np.abs(1.0 - self.turn.conj() * back) ** -2
        density: NDArray[np.float64] = self.drive * peaks / (2.0 * self.rate_hz)
        return density

    def at_rate(self, rate_hz: float) -> "Oscillators":
        """Return the same processes at another rate: equal power and width, equal density of the noise."""
        return self.of_width(rate_hz, self.frequency_hz, self.width_hz, self.power, self.noise * rate_hz / self.rate_hz)

    def transition(self) -> NDArray[np.float64]:
        """Return the matrix that takes a state to the next, of shape (2 n_oscillators, 2 n_oscillators)."""
        return linalg.block_diag(*(np.array([[t.real, -t.imag], [t.imag, t.real]]) for t in self.turn))

    def steady_filter(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Solve for the Kalman filter after an endless past.

        Returns
        -------
            The gain, of shape (2 n_oscillators,), and the covariance of the state in µV² given all samples
            up to its own, of shape (2 n_oscillators, 2 n_oscillators).

        Raises
        ------
        numpy.linalg.LinAlgError
            Where there is no solution.
        """
        # In units of the observation's noise, so that the solver's accuracy does not depend on the data's unit.
        drive = np.diag(np.repeat(self.drive / self.noise, 2))
        predicted = linalg.solve_discrete_are(self.transition().T, self._seen()[:, None], drive, np.ones((1, 1)))
        gain, covariance = _observed(np.asarray(predicted, np.float64), self._seen(), 1.0)
        return gain, covariance * self.noise

    def first_filters(self, n_samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Run the Kalman filter's covariance from a start at which nothing but the steady power is known.

        Parameters
        ----------
        n_samples
            Samples since the start, at least 1.

        Returns
        -------
            Gains of shape (n_samples, 2 n_oscillators), and covariances in µV², of shape
            (n_samples, 2 n_oscillators, 2 n_oscillators), given the samples up to each.
        """
        transition, drive = self.transition(), np.diag(np.repeat(self.drive, 2))
        predicted: NDArray[np.float64] = np.diag(np.repeat(self.power, 2))
        filters = []
        for _ in range(n_samples):
            filters.append(_observed(predicted, self._seen(), self.noise))
            predicted = transition @ filters[-1][1] @ transition.T + drive
        gains, covariances = zip(*filters, strict=True)
        return np.array(gains), np.array(covariances)

    def _seen(self) -> NDArray[np.float64]:
        return np.tile([1.0, 0.0], self.drive.size)


def _observed(
    predicted: NDArray[np.float64], seen: NDArray[np.float64], noise: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the gain of one observation and the covariance after it."""
    along = predicted @ seen
    gain = along / (along @ seen + noise)
    return gain, predicted - np.outer(gain, along)
