"""Percentages as they are written: exact decimals, and the whole numbers that devices take."""

import math
from fractions import Fraction


def as_written(value: float | Fraction) -> Fraction:
    """Return the decimal that a float was written as: its shortest, which reads back as the same float."""
    return value if isinstance(value, Fraction) else Fraction(repr(float(value)))


def whole_below(percent: float | Fraction) -> int:
    """Return the whole percent that a device may be set to for a finite percentage: the next one that is not above."""
    return math.floor(as_written(percent))
