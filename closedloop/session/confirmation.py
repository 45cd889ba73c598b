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

from closedloop.core.records import PART, EventKind


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
    fired_after_s
        How long after its trigger's write the program that drives the line fired it, in s; None where none says so.
    """

    number: int
    confirmed: Confirmed
    by: str = ""
    fired_after_s: float | None = None


def confirm(
    events: NDArray[np.void],
    *,
    codes: NDArray[np.int64],
    artifacts: NDArray[np.bool_],
    lags_s: NDArray[np.float64] | None,
    fired_after_s: Mapping[int, float | None],
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
    fired_after_s
        By number of the trigger among those that were written, how long after its write the program that drives the
        line says that it fired, in s; None where it says that it did not. Empty without such a program.
    told
        How many pulses the device itself told of; None where it tells of none. Which ones, it does not say, so that
        only as many as were delivered confirm anything.
    """
    numbers = events["number"][events["kind"] == EventKind.DELIVERED]
    all_told = told is not None and told == numbers.size
    written = np.cumsum(codes == 0) - 1  # what was not written, the program knows nothing of
    found = []
    for place, number in enumerate(numbers.tolist()):
        left = place < codes.size and codes[place] == 0
        trigger = int(written[place]) if left else -1
        after_s = fired_after_s.get(trigger)
        if artifacts[place]:
            confirmed, by = Confirmed.YES, "artifact"
        elif (place < codes.size and codes[place] not in (0, PART)) or (trigger in fired_after_s and after_s is None):
            confirmed, by = Confirmed.NO, "trigger line"
        elif all_told:
            confirmed, by = Confirmed.YES, "device"
        elif lags_s is not None and left:
            confirmed = Confirmed.YES if np.isfinite(lags_s[place]) else Confirmed.NO
            by = "trigger channel"
        elif after_s is not None:
            confirmed, by = Confirmed.YES, "trigger line"
        else:
            confirmed, by = Confirmed.UNKNOWN, ""
        found.append(Confirmation(number, confirmed, by, after_s))
    return found


def count(confirmations: Sequence[Confirmation]) -> dict[str, int]:
    """Return how many are confirmed, how many are not, and of how many nobody knows."""
    counts = Counter(c.confirmed for c in confirmations)
    return {kind.value: counts[kind] for kind in Confirmed}


def as_lines(confirmations: Sequence[Confirmation]) -> str:
    """Return them as lines of JSON, by the number of their event."""
    return "".join(json.dumps(vars(c)) + "\n" for c in confirmations)
