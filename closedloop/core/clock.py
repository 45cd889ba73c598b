"""Where a sample belongs: the integer sample index and its fit to the clock.

Time inside the loop is the sample index; the fitted clock gives its time stamp with the jitter of
single stamps smoothed out. A stamp that lies more than half a period late means missing samples,
one that lies more than half a period early a sample that came twice or out of order.
"""

import math

from closedloop.core.state import Core
from closedloop.jit import inner

CLOCK_GAIN = 0.01
"""Share of a stamp's deviation that the fitted clock follows: jitter falls about 14-fold."""

FUTURE_S = 1.0
"""A stamp further ahead of the clock than this is a fault of the clock, not a sample that came early."""


@inner
def advance(core: Core, timestamp: float, now: float) -> int:
    """Place a sample on the index and return how many are missing before it, or -1 to drop it.

    A stamp from the future is dropped like one that is no number: it would make all later ones old.
    """
    timing = core.timing[0]
    stamp = timestamp + timing["correction_s"]
    if not (math.isfinite(stamp) and stamp - now <= FUTURE_S):
        timing["unordered"] += 1
        return -1
    if timing["index"] < 0:
        timing["index"] = 0
        timing["time_s"] = stamp
        return 0
    expected = timing["time_s"] + timing["period_s"]
    deviation = stamp - expected
    if deviation < -0.5 * timing["period_s"]:
        timing["unordered"] += 1
        return -1
    missing = int(min(math.floor(deviation / timing["period_s"] + 0.5), 1e9))
    timing["time_s"] = stamp if missing > 0 else expected + CLOCK_GAIN * deviation
    timing["index"] += missing + 1
    timing["missing"] += missing
    return missing


@inner
def is_fresh(core: Core, now: float) -> bool:
    """Return whether the newest sample is of about now: neither too old nor from the future."""
    oldest = core.limits[0]["max_data_age_s"]
    return oldest < math.inf and abs(now - core.timing[0]["time_s"]) <= oldest


@inner
def electrode_time(core: Core) -> float:
    """Return when the newest sample was at the electrode, in s."""
    timing = core.timing[0]
    return timing["time_s"] - timing["delay_s"]


@inner
def trigger_time(core: Core) -> float:
    """Return when the trigger of the current plan's next pulse has to leave, in s."""
    return core.plan[0]["due_s"] - core.timing[0]["latency_s"]
