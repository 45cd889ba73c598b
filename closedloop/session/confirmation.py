"""Was a pulse really given? What the device, the trigger channel and the EEG say of each that was delivered.

For the dose it does not matter: delivered counts. For the study it does.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from closedloop.core.records import EventKind


class Confirmed(StrEnum):
    """Whether a pulse was given, as far as anybody can tell."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Confirmation:
    """What is known of one delivered pulse.

    Attributes
    ----------
    number
        Of its event.
    confirmed
        Whether it was given.
    by
        What says so, or nothing.
    """

    number: int
    confirmed: Confirmed
    by: str = ""


def confirm(
    events: NDArray[np.void],
    *,
    codes: NDArray[np.int64],
    artifacts: NDArray[np.bool_],
    lags_s: NDArray[np.float64] | None,
    fired: Mapping[int, bool],
    told: int | None,
) -> list[Confirmation]:
    """Return what is known of each delivered pulse, in their order.

    Parameters
    ----------
    events
        Records of type ``EVENT``.
    codes
        Array of shape (n_written,): 0, or what went wrong with the write of a trigger: an errno, or -1 for one that
        was written in part. The last delivery may have none.
    artifacts
        Array of shape (n_delivered,): whether the EEG shows an artifact right after it. One that it does not show may
        be too small.
    lags_s
        Array of shape (n_written,): from a trigger's write to the trigger channel's edge, in s, NaN where there is
        none; None without such a channel.
    fired
        By number of the trigger, whether the program that drives the line says that it fired it; empty without one.
    told
        How many pulses the device itself told of; None where it tells of none. Which ones, it does not say, so that
        only as many as were delivered confirm anything.
    """
    numbers = events["number"][events["kind"] == EventKind.DELIVERED]
    all_told = told is not None and told == numbers.size
    found = []
    for place, number in enumerate(numbers.tolist()):
        if artifacts[place]:
            found.append(Confirmation(number, Confirmed.YES, "artifact"))
        elif (place < codes.size and codes[place] > 0) or fired.get(place) is False:
            found.append(Confirmation(number, Confirmed.NO, "trigger line"))
        elif all_told:
            found.append(Confirmation(number, Confirmed.YES, "device"))
        elif lags_s is not None and place < codes.size and codes[place] == 0:
            seen = bool(np.isfinite(lags_s[place]))
            found.append(Confirmation(number, Confirmed.YES if seen else Confirmed.NO, "trigger channel"))
        elif fired.get(place):
            found.append(Confirmation(number, Confirmed.YES, "trigger line"))
        else:
            found.append(Confirmation(number, Confirmed.UNKNOWN))
    return found


def count(confirmations: Sequence[Confirmation]) -> dict[str, int]:
    """Return how many are confirmed, how many are not, and of how many nobody knows."""
    counts = Counter(c.confirmed for c in confirmations)
    return {kind.value: counts[kind] for kind in Confirmed}


def as_lines(confirmations: Sequence[Confirmation]) -> str:
    """Return them as lines of JSON, by the number of their event."""
    return "".join(json.dumps(vars(c)) + "\n" for c in confirmations)
