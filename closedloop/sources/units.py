"""The number formats and the units that a stream may have."""

from enum import StrEnum


class Format(StrEnum):
    """Number formats, by their names in LSL."""

    FLOAT32 = "float32"
    DOUBLE64 = "double64"
    INT32 = "int32"
    INT16 = "int16"


class Unit(StrEnum):
    """Units of potentials."""

    UV = "uV"
    MV = "mV"
    V = "V"
    NV = "nV"


UNIT_NAMES = {Unit.UV: "microvolts", Unit.MV: "millivolts", Unit.V: "volts", Unit.NV: "nanovolts"}
"""As a stream's metadata call them."""
NO_UNIT = "none"
PER_UV = {Unit.UV: 1.0, Unit.MV: 1e-3, Unit.V: 1e-6, Unit.NV: 1e3}
