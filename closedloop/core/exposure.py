"""How much has been given so far: pulses in sliding windows, and how long trains last.

Both are judged by pulses as they were realised, for locking to a rhythm makes intervals irregular: the shortest
interval of a train tells its frequency. A table of longest trains is read by rounding frequency and intensity up to
its next row and column; it is never interpolated, and what lies outside it is refused.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from closedloop.jit import inner

ROUNDING_S = 1e-9
"""What sums of times lose: a train at exactly the limit's interval is not too fast by its last bit."""

CAP = np.dtype([("window_s", "f8"), ("max_pulses", "i8")], align=True)
"""At most so many pulses within any window of this length, its later end included, its earlier one not."""

RUN = np.dtype(
    [
        ("pulses", "i8"),  # in ``recent_s`` so far, those that were there before the session included
        ("from_s", "f8"),  # first pulse of the newest train
        ("last_s", "f8"),  # its newest pulse; -inf before the first
        ("shortest_s", "f8"),  # its shortest interval; infinite for a pulse on its own
    ],
    align=True,
)


class Exposure(NamedTuple):
    """Limits over several pulses, and what they are judged by.

    Attributes
    ----------
    caps
        Records of type ``CAP``.
    recent_s
        Array of shape (capacity,): when the newest pulses reached the tissue; pulse n is at place n % capacity.
    run
        One record of type ``RUN``: the newest train.
    frequencies_hz, percents
        Arrays of shape (n_rows,) and (n_columns,), ascending: of the table; percent of the motor threshold.
    longest_s
        Array of shape (n_rows, n_columns): longest duration of a train.
    """

    caps: NDArray[np.void]
    recent_s: NDArray[np.float64]
    run: NDArray[np.void]
    frequencies_hz: NDArray[np.float64]
    percents: NDArray[np.float64]
    longest_s: NDArray[np.float64]


def make_exposure(
    caps: NDArray[np.void],
    frequencies_hz: NDArray[np.float64],
    percents: NDArray[np.float64],
    longest_s: NDArray[np.float64],
) -> Exposure:
    """Return limits under which nothing has been given yet."""
    run = np.zeros(1, RUN)
    run["last_s"], run["shortest_s"] = -np.inf, np.inf
    most = int(caps["max_pulses"].max(initial=0))
    return Exposure(
        caps=np.ascontiguousarray(caps),
        recent_s=np.full(most + 1, -np.inf),
        run=run,
        frequencies_hz=np.ascontiguousarray(frequencies_hz, dtype=float),
        percents=np.ascontiguousarray(percents, dtype=float),
        longest_s=np.ascontiguousarray(longest_s, dtype=float),
    )


def open_exposure() -> Exposure:
    """Return limits that hold no pulse back, for where nothing is stimulated."""
    return make_exposure(np.zeros(0, CAP), np.array([1e6]), np.array([1e3]), np.array([[1e9]]))


@inner
def count_exposure(exposure: Exposure, pulse_s: float) -> None:
    """Take a pulse that reaches the tissue at ``pulse_s`` into account."""
    run = exposure.run[0]
    interval_s = pulse_s - run["last_s"]
    if _follows(exposure, interval_s):
        run["shortest_s"] = min(run["shortest_s"], interval_s)
    else:
        run["from_s"] = pulse_s
        run["shortest_s"] = np.inf
    run["last_s"] = pulse_s
    exposure.recent_s[run["pulses"] % exposure.recent_s.size] = pulse_s
    run["pulses"] += 1


@inner
def within_caps(exposure: Exposure, first_s: float, pulses: int, interval_s: float) -> bool:
    """Return whether so many pulses from ``first_s`` on leave every window with what it may hold."""
    given = exposure.run[0]["pulses"]
    for c in range(exposure.caps.size):
        most = exposure.caps[c]["max_pulses"]
        window_s = exposure.caps[c]["window_s"]
        if not (0 <= most and most < exposure.recent_s.size and 0.0 < window_s and window_s < np.inf):
            return False
        for k in range(pulses):
            before = given + k - most  # with this pulse one too many, unless it lies outside the window
            if before < 0:
                continue
            before_s = first_s + (before - given) * interval_s
            if before < given:
                before_s = exposure.recent_s[before % exposure.recent_s.size]
            if not first_s + k * interval_s - before_s >= window_s - ROUNDING_S:
                return False
    return True


@inner
def short_enough(exposure: Exposure, first_s: float, pulses: int, interval_s: float, percent: float) -> bool:
    """Return whether the train that so many pulses make, or go on with, is within the table of longest trains."""
    run = exposure.run[0]
    from_s = first_s
    shortest_s = interval_s if pulses > 1 else np.inf
    if _follows(exposure, first_s - run["last_s"]):
        from_s = run["from_s"]
        shortest_s = min(shortest_s, min(run["shortest_s"], first_s - run["last_s"]))
    if shortest_s == np.inf:
        return True  # a pulse on its own is no train
    if not shortest_s > 0.0:
        return False
    duration_s = first_s + (pulses - 1) * interval_s - from_s + shortest_s
    return duration_s <= _longest_train(exposure, shortest_s, percent) + ROUNDING_S


@inner
def _follows(exposure: Exposure, interval_s: float) -> bool:
    """Return whether a pulse so long after the last belongs to its train: by a period of the table's slowest."""
    if exposure.frequencies_hz.size == 0:
        return True
    return not interval_s * exposure.frequencies_hz[0] > 1.0 + ROUNDING_S


@inner
def _longest_train(exposure: Exposure, interval_s: float, percent: float) -> float:
    """Return the longest train in s, -inf outside the table."""
    for row in range(exposure.frequencies_hz.size):
        if not exposure.frequencies_hz[row] * (interval_s + ROUNDING_S) >= 1.0:
            continue
        for column in range(exposure.percents.size):
            if 0.0 <= percent and percent <= exposure.percents[column]:
                longest_s: float = exposure.longest_s[row, column]
                return longest_s if longest_s < np.inf else -np.inf
        return -np.inf
    return -np.inf
