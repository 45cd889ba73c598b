"""The safety gate: the only way to a pulse, concrete, compiled, without an off switch.

A plan is approved whole, and each of its pulses again at its due time. Every check has its own
reason and the form ``if not (value <= limit): refuse``, so that NaN, infinity and a negative SD
refuse; a limit that is not finite refuses too. The gate refuses, it never clips. Delivered is
counted before the device acts.
"""

import math

import numpy as np

from closedloop.core.clock import freshness, trigger_time
from closedloop.core.exposure import ROUNDING_S, count_exposure, move_exposure, short_enough, within_caps
from closedloop.core.quality import verdict
from closedloop.core.reasons import Reason
from closedloop.core.records import lose, room
from closedloop.core.state import Core
from closedloop.jit import inlined


@inlined
def disarm(core: Core, reason: Reason) -> None:
    """Disarm and keep why; only a human arms again."""
    gate = core.gate[0]
    gate["armed"] = 0
    gate["disarmed_by"] = reason


@inlined
def see_time(core: Core, now: float) -> bool:
    """Take note of the time; a clock that runs backwards or is no number disarms."""
    timing = core.timing[0]
    if not (timing["now_s"] <= now and now < np.inf):
        disarm(core, Reason.CLOCK)
        return False
    timing["now_s"] = now
    return True


@inlined
def approve_plan(core: Core, now: float) -> int:
    """Return why the pending plan may not be fired as a whole, or NONE."""
    reason: int = _ready(core, now)
    if reason != Reason.NONE:
        return reason
    reason = _signal(core)
    if reason != Reason.NONE:
        return reason
    plan = core.plan[0]
    reason = _dose(core, plan["due_s"], plan["pulses"])
    if reason != Reason.NONE:
        return reason
    return _recordable(core, now, plan["pulses"])


@inlined
def approve_pulse(core: Core, now: float) -> int:
    """Return why the plan's next pulse may not leave now, or NONE."""
    reason: int = _ready(core, now)
    if reason != Reason.NONE:
        return reason
    # Within a train the EEG shows the pulses; only its first pulse can be judged by it.
    if core.plan[0]["pulse"] == 0:
        if not _foreseen_of_late(core, now):
            return Reason.STALE
        reason = _signal(core)
        if reason != Reason.NONE:
            return reason
    reason = _dose(core, now + core.timing[0]["latency_s"], 1)
    if reason != Reason.NONE:
        return reason
    return _recordable(core, now, 1)


@inlined
def _dose(core: Core, first_s: float, pulses: int) -> Reason:
    """Return why so many pulses from ``first_s`` on would be too much, or NONE."""
    limits, gate, plan = core.limits[0], core.gate[0], core.plan[0]
    interval_s = core.policy[0]["pulse_interval_s"]
    if not (_finite(limits["max_percent"]) and 0.0 <= plan["percent"] and plan["percent"] <= limits["max_percent"]):
        return Reason.INTENSITY
    if not plan["pulses"] <= limits["max_train_pulses"]:
        return Reason.TRAIN_PULSES
    last_s = gate["last_pulse_s"]
    if not _apart(core, limits["min_interval_s"], last_s, first_s, pulses):
        return Reason.MIN_INTERVAL
    if not _apart(core, limits["recharge_s"], last_s, first_s, pulses):
        return Reason.RECHARGING
    begins = plan["pulse"] == 0 and plan["pulses"] > 1
    if begins and not _apart(core, limits["min_train_gap_s"], last_s, first_s, 1):
        return Reason.TRAIN_INTERVAL
    if not _apart(core, limits["min_session_gap_s"], gate["before_last_s"], first_s, 1):
        return Reason.SESSION_INTERVAL
    if not short_enough(core.exposure, first_s, pulses, interval_s, plan["percent_of_threshold"]):
        return Reason.TRAIN_DURATION
    if not within_caps(core.exposure, first_s, pulses, interval_s):
        return Reason.RATE_CAP
    if not gate["pulses"] + pulses <= limits["max_pulses"]:
        return Reason.MAX_PULSES
    if not gate["before_day"] + gate["pulses"] + pulses <= limits["max_pulses_day"]:
        return Reason.MAX_PULSES_DAY
    if not gate["before_course"] + gate["pulses"] + pulses <= limits["max_pulses_course"]:
        return Reason.MAX_PULSES_COURSE
    if not gate["pulses"] + pulses <= gate["leased"]:
        return Reason.NOT_LEASED
    return Reason.NONE


@inlined
def _foreseen_of_late(core: Core, now: float) -> bool:
    """Return whether the sample that the plan was made from is not too old, however new the newest is."""
    plan = core.plan[0]
    age_s = now - (plan["due_s"] - plan["lead_s"] + core.timing[0]["delay_s"])
    limit_s = core.limits[0]["max_data_age_s"] + core.policy[0]["horizon_s"]
    return limit_s < np.inf and age_s <= limit_s


@inlined
def _finite(limit: float) -> bool:
    return -np.inf < limit and limit < np.inf


@inlined
def _apart(core: Core, limit_s: float, last_s: float, first_s: float, pulses: int) -> bool:
    """Return whether so many pulses from ``first_s`` on keep a distance from an earlier one and from each other."""
    if not (_finite(limit_s) and limit_s >= 0.0):
        return False
    if pulses > 1 and not core.policy[0]["pulse_interval_s"] >= limit_s - ROUNDING_S:
        return False
    return first_s - last_s >= limit_s - ROUNDING_S


@inlined
def _device(core: Core, now: float) -> Reason:
    """Return why the stimulator would not, or must not, fire now, or NONE; its own words count while they are fresh."""
    gate, limits = core.gate[0], core.limits[0]
    oldest_s = limits["max_status_age_s"]
    if not (_finite(oldest_s) and now - gate["status_s"] <= oldest_s and gate["status_s"] <= now):
        return Reason.DEVICE_STALE
    if gate["device_ready"] != 1:
        return Reason.DEVICE_NOT_READY
    if not (_finite(limits["max_coil_c"]) and gate["coil_c"] <= limits["max_coil_c"]):
        return Reason.COIL_HOT
    return Reason.NONE


@inlined
def _ready(core: Core, now: float) -> int:
    gate = core.gate[0]
    if gate["stopped"] != 0:
        return Reason.STOPPED
    if gate["armed"] != 1:
        # What disarmed it unasked says more than that it is disarmed.
        return Reason.NOT_ARMED if gate["disarmed_by"] == Reason.NONE else gate["disarmed_by"]
    if not core.plan[0]["due_s"] >= gate["armed_from_s"]:
        return Reason.NOT_ARMED
    fresh: int = freshness(core, now)
    if fresh != Reason.NONE:
        return fresh
    if core.timing[0]["off_rate"] != 0:
        return Reason.SAMPLING_RATE
    return _device(core, now)


@inlined
def _signal(core: Core) -> int:
    reason = verdict(core)
    if reason != Reason.NONE:
        return reason
    plan = core.plan[0]
    limits = core.limits[0]
    if math.isnan(plan["snr_db"]):
        return core.quality[0]["cause"]  # not known yet, or no longer: what came between says why
    if not (_finite(limits["rhythm_snr_db"]) and limits["rhythm_snr_db"] <= plan["snr_db"] and plan["snr_db"] < np.inf):
        return Reason.NO_RHYTHM
    if not (_finite(limits["max_phase_sd"]) and 0.0 <= plan["sd"] and plan["sd"] <= limits["max_phase_sd"]):
        return Reason.PHASE_SD
    return Reason.NONE


@inlined
def _recordable(core: Core, now: float, pulses: int) -> Reason:
    # One place more than the pulses need, so that a refusal in between is recorded as well.
    if not room(core.events) > pulses:
        # How full the ring is depends on its reader, which is no recorded input: such a session is not replayable.
        lose(core.events)
        return Reason.RECORD_FULL
    latest = core.limits[0]["max_lateness_s"]
    if not (_finite(latest) and now - trigger_time(core) <= latest):
        return Reason.TOO_LATE
    return Reason.NONE


@inlined
def count_pulse(core: Core, now: float) -> None:
    """Count a pulse as delivered, before its trigger is written."""
    gate = core.gate[0]
    gate["pulses"] += 1
    gate["last_pulse_s"] = now + core.timing[0]["latency_s"]
    count_exposure(core.exposure, gate["last_pulse_s"])


@inlined
def move_pulse(core: Core, written_s: float, goes_on: bool) -> bool:
    """Let the last pulse count from when its trigger was written, where that was later than its moment.

    ``goes_on`` where more pulses of its train are planned, which follow it. Returns whether it was later.
    """
    gate = core.gate[0]
    pulse_s = written_s + core.timing[0]["latency_s"]
    if not (gate["last_pulse_s"] < pulse_s and pulse_s < np.inf and gate["pulses"] > 0):
        return False
    gate["last_pulse_s"] = pulse_s
    move_exposure(core.exposure, pulse_s, goes_on)
    return True
