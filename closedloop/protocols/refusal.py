"""How a limit of a protocol refuses: one line with what, value and limit, and numbers written exactly."""

import math
from fractions import Fraction
from numbers import Integral

from closedloop.errors import ConfigError


def shown(value: float | Fraction, *, beside: float | None = None) -> str:
    """Return a number as short as it can be without becoming another one.

    Parameters
    ----------
    value
        The number.
    beside
        A limit that stands in the same line: the number may be rounded as long as it stays on its side of it.
    """
    number = float(value)
    short = f"{number:g}"
    if beside is None:
        kept = float(short) == number
    else:
        kept = (float(short) > beside) == (number > beside) and (float(short) < beside) == (number < beside)
    return short if kept else repr(number)


def check_positive(what: str, value: float | Fraction) -> None:
    """Refuse what is not a finite number above 0; NaN refuses.

    Raises
    ------
    ConfigError
        One line with the value.
    """
    if not 0.0 < value < math.inf:
        raise ConfigError(f"{what} = {shown(value)}: must be above 0 and finite")


def check_count(what: str, value: int) -> None:
    """Refuse what is not a whole number of at least 1.

    Raises
    ------
    ConfigError
        One line with the value.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or not value >= 1:
        raise ConfigError(f"{what} = {value}: must be a whole number of at least 1")
