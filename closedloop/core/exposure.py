"""How much has been given so far: pulses in sliding windows, and how long trains last.

Both are judged by pulses as they were realised, for locking to a rhythm makes intervals irregular: the shortest
interval of a train tells its frequency. A table of longest trains is read by rounding frequency and intensity up to
its next row and column; it is never interpolated, and what lies outside it is refused. The envelope of a named
protocol is such a table as well, of its own rows and one column.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from closedloop.jit import inlined, inner

ROUNDING_S = 1e-9
"""What sums of times lose: a train at exactly the limit's interval is not too fast by its last bit."""
MANY = 2**31
"""Pulses of a train where a table counts none."""

CAP = np.dtype([("window_s", "f8"), ("max_pulses", "i8")], align=True)
"""At most so many pulses within any window of this length, its later end included, its earlier one not."""

RUN = np.dtype(
    [
        ("pulses", "i8"),  # in ``recent_s`` so far, those that were there before the session included
        ("from_s", "f8"),  # first pulse of the newest train
        ("last_s", "f8"),  # its newest pulse; -inf before the first
        ("shortest_s", "f8"),  # its shortest interval; infinite for a pulse on its own
        ("in_train", "i8"),  # its pulses
        ("pause_s", "f8"),  # a pulse that follows the last one by no more than this belongs to its train
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
    most_pulses
        Array of the same shape: most pulses of a train.
    """

    caps: NDArray[np.void]
    recent_s: NDArray[np.float64]
    run: NDArray[np.void]
    frequencies_hz: NDArray[np.float64]
    percents: NDArray[np.float64]
    longest_s: NDArray[np.float64]
    most_pulses: NDArray[np.int64]


def make_exposure(
    caps: NDArray[np.void],
    frequencies_hz: NDArray[np.float64],
    percents: NDArray[np.float64],
    longest_s: NDArray[np.float64],
    *,
    most_pulses: NDArray[np.int64] | None = None,
    pause_s: float | None = None,
) -> Exposure:
    """Return limits under which nothing has been given yet.

    Parameters
    ----------
    caps, frequencies_hz, percents, longest_s
        As in `Exposure`.
    most_pulses
        As there; None: the table counts no pulses.
    pause_s
        A pulse that follows the last one by no more than this belongs to its train, in s; None: by a period of the
        table's lowest frequency, and without a table every pulse does.
    """
    run = np.zeros(1, RUN)
    run["last_s"], run["shortest_s"] = -np.inf, np.inf
    slowest_s = 1.0 / frequencies_hz[0] if len(frequencies_hz) and frequencies_hz[0] > 0.0 else np.inf
    run["pause_s"] = slowest_s if pause_s is None else pause_s
    remembered = int(caps["max_pulses"].max(initial=0)) + 1
    longest_s = np.ascontiguousarray(longest_s, dtype=float)
    return Exposure(
        caps=np.ascontiguousarray(caps),
        recent_s=np.full(remembered, -np.inf),
        run=run,
        frequencies_hz=np.ascontiguousarray(frequencies_hz, dtype=float),
        percents=np.ascontiguousarray(percents, dtype=float),
        longest_s=longest_s,
        most_pulses=np.ascontiguousarray(
            np.full(longest_s.shape, MANY) if most_pulses is None else most_pulses, dtype=np.int64
        ),
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
        run["in_train"] += 1
    else:
        run["from_s"] = pulse_s
        run["shortest_s"] = np.inf
        run["in_train"] = 1
    run["last_s"] = pulse_s
    exposure.recent_s[run["pulses"] % exposure.recent_s.size] = pulse_s
    run["pulses"] += 1


@inner
def move_exposure(exposure: Exposure, pulse_s: float, goes_on: bool) -> None:
    """Let the newest pulse reach the tissue later than it was counted.

    A train that goes on is put off as a whole: it lasts no longer for that. So does one that begins with this pulse.
    """
    run = exposure.run[0]
    if goes_on or run["in_train"] == 1:
        run["from_s"] += pulse_s - run["last_s"]
    run["last_s"] = pulse_s
    exposure.recent_s[(run["pulses"] - 1) % exposure.recent_s.size] = pulse_s


@inner
def within_caps(exposure: Exposure, first_s: float, pulses: int, interval_s: float) -> bool:
    """Return whether so many pulses from ``first_s`` on leave every window with what it may hold."""
    given = exposure.run[0]["pulses"]
    for c in range(exposure.caps.size):
        most = exposure.caps[c]["max_pulses"]
        window_s = exposure.caps[c]["window_s"]
        if not (most < exposure.recent_s.size and 0.0 < window_s and window_s < np.inf):
            return False
        for k in range(pulses):
            # With this pulse one too many, unless outside the window; where there is none yet, its place holds -inf.
            before = given + k - most
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
    in_train = pulses
    shortest_s = interval_s if pulses > 1 else np.inf
    if _follows(exposure, first_s - run["last_s"]):
        from_s = run["from_s"]
        in_train += run["in_train"]
        shortest_s = min(shortest_s, min(run["shortest_s"], first_s - run["last_s"]))
    if shortest_s == np.inf:
        return True  # a pulse on its own is no train
    row = _row(exposure, shortest_s)
    column = _column(exposure, percent)
    if row < 0 or column < 0:
        return False
    longest_s = exposure.longest_s[row, column]
    duration_s = first_s + (pulses - 1) * interval_s - from_s + shortest_s
    if not (longest_s < np.inf and duration_s <= longest_s + ROUNDING_S):
        return False
    return in_train <= exposure.most_pulses[row, column]


@inlined
def _follows(exposure: Exposure, interval_s: float) -> bool:
    """Return whether a pulse so long after the last belongs to its train; where no pause is known, it does."""
    return not interval_s > exposure.run[0]["pause_s"] + ROUNDING_S


@inlined
def _row(exposure: Exposure, interval_s: float) -> int:
    """Return the table's row for pulses so far apart, its frequency rounded up; -1 where they are too fast for it."""
    for row in range(exposure.frequencies_hz.size):
        if exposure.frequencies_hz[row] * (interval_s + ROUNDING_S) >= 1.0:
            return row
    return -1


@inlined
def _column(exposure: Exposure, percent: float) -> int:
    """Return the table's column for an intensity, rounded up; -1 where it is outside."""
    for column in range(exposure.percents.size):
        if 0.0 <= percent and percent <= exposure.percents[column]:
            return column
    return -1
