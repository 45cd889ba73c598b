"""Where a sample belongs: the integer sample index and its fit to the clock.

Time inside the loop is the sample index; the fitted clock gives its time stamp with the jitter of
single stamps smoothed out. A stamp that lies more than its jitter late means missing samples, one that
lies more than that early a sample that came twice or out of order. Jitter is half a period where
nobody has measured it.
"""

import math

from closedloop.core.reasons import Reason
from closedloop.core.state import Core
from closedloop.jit import inlined, inner

CLOCK_GAIN = 0.01
"""Share of a stamp's deviation that the fitted clock follows: jitter falls about 12-fold."""
DRIFT_GAIN = CLOCK_GAIN * CLOCK_GAIN / 4.0
"""Share of it, in periods, that the fitted period follows: the clock settles as fast as it can without ringing."""
MAX_DRIFT = 0.02
"""The fitted period stays within so much of the nominal one; the gate refuses long before."""

FUTURE_S = 1.0
"""A stamp further ahead of the clock than this is a fault of the clock, not a sample that came early."""
RATE_WINDOW_S = 5.0
RATE_LIMIT = 0.01
"""A window with so much more or fewer samples than nominal has another rate than the one that was calibrated."""


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
        timing["stamp_s"] = stamp
        return 0
    period_s = timing["period_s"]
    expected = timing["time_s"] + period_s * (1.0 + timing["drift"])
    deviation = stamp - expected
    tolerance = max(0.5 * period_s, timing["jitter_s"])
    if stamp == timing["stamp_s"] or deviation < -tolerance:
        timing["unordered"] += 1
        if stamp > timing["stamp_s"] and timing["rate_samples"] > 0:
            timing["rate_samples"] += 1  # a sample of its own, too early: what a stream that is too fast sends
        return -1
    timing["stamp_s"] = stamp
    missing = 0
    if deviation > tolerance:
        missing = int(min(math.floor(deviation / period_s + 0.5), 1e9))
        timing["time_s"] = stamp
    else:
        timing["time_s"] = expected + CLOCK_GAIN * deviation
        drift = timing["drift"] + DRIFT_GAIN * deviation / period_s
        timing["drift"] = min(MAX_DRIFT, max(-MAX_DRIFT, drift))
    timing["index"] += missing + 1
    timing["missing"] += missing
    _watch_rate(core, missing)
    return missing


@inner
def _watch_rate(core: Core, missing: int) -> None:
    """Compare the samples of each window to its length; a gap that alone would decide begins a new one.

    The fitted clock measures the length: single stamps may lie as far off as the limit.
    """
    timing = core.timing[0]
    time_s = timing["time_s"]
    if timing["rate_samples"] == 0 or missing * timing["period_s"] > 0.5 * RATE_LIMIT * RATE_WINDOW_S:
        timing["rate_from_s"] = time_s
        timing["rate_samples"] = 1
        return
    length_s = time_s - timing["rate_from_s"]
    if length_s < RATE_WINDOW_S:
        timing["rate_samples"] += 1
        return
    share = timing["rate_samples"] * timing["period_s"] / length_s
    timing["off_rate"] = 0 if abs(share - 1.0) <= RATE_LIMIT else 1
    timing["rate_from_s"] = time_s
    timing["rate_samples"] = 1


@inlined
def is_fresh(core: Core, now: float) -> bool:
    """Return whether the newest sample is of about now: neither too old nor from the future."""
    oldest = core.limits[0]["max_data_age_s"]
    return oldest < math.inf and abs(now - core.timing[0]["time_s"]) <= oldest


@inlined
def freshness(core: Core, now: float) -> Reason:
    """Return why the newest sample is not of about now: too old, or of a clock that runs ahead; NONE where it is."""
    if is_fresh(core, now):
        return Reason.NONE
    # Ahead by more than the limit: where a limit is none, nothing is fresh enough, and no clock is to blame.
    return Reason.CLOCK if core.timing[0]["time_s"] - now > abs(core.limits[0]["max_data_age_s"]) else Reason.STALE


@inlined
def electrode_time(core: Core) -> float:
    """Return when the newest sample was at the electrode, in s."""
    timing = core.timing[0]
    return timing["time_s"] - timing["delay_s"]


@inlined
def counted_time(core: Core, now: float) -> float:
    """Return when the newest sample counts as told: at its stamp, where it came within a period of it.

    When exactly a sample comes depends on the system, and must not move a plan: live and played back, the same
    samples lead to the same plans.
    """
    timing = core.timing[0]
    return max(timing["time_s"], now - timing["period_s"])


@inlined
def trigger_time(core: Core) -> float:
    """Return when the trigger of the current plan's next pulse has to leave, in s."""
    return core.plan[0]["due_s"] - core.timing[0]["latency_s"]
