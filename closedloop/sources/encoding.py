"""How a stream's values are sent: their number format and their unit, and what does not fit into them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closedloop.errors import ConfigError
from closedloop.sources.recording import Recording
from closedloop.sources.units import NO_UNIT, PER_UV, UNIT_NAMES, Format, Unit

DTYPES: dict[Format, type[np.number]] = {
    Format.FLOAT32: np.float32,
    Format.DOUBLE64: np.float64,
    Format.INT32: np.int32,
    Format.INT16: np.int16,
}
LEAST_SD = 1.0
"""A whole number cannot show a signal whose SD is below this, in counts."""


@dataclass(frozen=True)
class Encoding:
    """A format and a unit.

    Attributes
    ----------
    number_format
        Of all channels.
    unit
        Of potentials; other channels keep their own.
    is_potential
        Array of shape (n_channels,): which channels are.
    """

    number_format: Format
    unit: Unit
    is_potential: NDArray[np.bool_]

    @property
    def is_whole(self) -> bool:
        """Whether its numbers are whole ones, which know no NaN."""
        return self.number_format in {Format.INT32, Format.INT16}

    @property
    def unit_names(self) -> tuple[str, ...]:
        """Of the channels, as metadata call them."""
        return tuple(UNIT_NAMES[self.unit] if potential else NO_UNIT for potential in self.is_potential)

    def encode(self, values: NDArray[np.float64]) -> NDArray[np.number]:
        """Return samples as they are sent.

        Parameters
        ----------
        values
            Array of shape (n_samples, n_channels): potentials in µV, other channels in their own unit. What
            lies beyond the range of whole numbers is sent as its end, as an amplifier saturates.
        """
        scaled = values * np.where(self.is_potential, PER_UV[self.unit], 1.0)
        dtype = DTYPES[self.number_format]
        if self.is_whole:
            limits = np.iinfo(dtype)  # type: ignore[type-var]
            scaled = np.clip(np.rint(scaled), limits.min, limits.max)
        return np.ascontiguousarray(scaled, dtype)


def check_fits(encoding: Encoding, recording: Recording, added_uv: float) -> None:
    """Check that whole numbers can hold a recording; floating-point ones can.

    Parameters
    ----------
    encoding
        Its first channels are the recording's.
    recording
        What is sent.
    added_uv
        What triggers may add to a potential, in µV.

    Raises
    ------
    ConfigError
        Where a channel would overflow or vanish; one line with channel, value and limit.
    """
    if not encoding.is_whole:
        return
    limit = np.iinfo(DTYPES[encoding.number_format]).max  # type: ignore[type-var]
    said = f"--format {encoding.number_format} --unit {encoding.unit}"
    for place, name in enumerate(recording.names):
        potential = bool(encoding.is_potential[place])
        factor, unit = (PER_UV[encoding.unit], f" {encoding.unit}") if potential else (1.0, "")
        values = recording.samples[:, place] * factor
        if not np.isfinite(values).all():
            raise ConfigError(f"{said}: {name} has samples that are no numbers, which only float32 and double64 hold")
        largest = float(np.abs(values).max()) + (added_uv * factor if potential else 0.0)
        if largest > limit:
            raise ConfigError(f"{said}: {name} reaches {largest:.6g}{unit}, above what the format holds, {limit}")
        sd = float(values.std())
        if potential and 0.0 < sd < LEAST_SD:
            raise ConfigError(
                f"{said}: the SD of {name} is {sd:.3g}{unit}, which whole numbers do not show (at least {LEAST_SD:g})"
            )
