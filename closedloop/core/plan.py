"""The pending plan: when the rhythm will cross the target, moved by every sample until committed.

A chance is one predicted crossing of the current condition's target. Where there is no estimate,
one chance is counted per period of the rhythm and refused with the cause, so that no stretch of
time is without a record.
"""

import math

from closedloop.core.clock import counted_time, electrode_time, freshness, trigger_time
from closedloop.core.gate import approve_plan
from closedloop.core.policy import current_condition, current_target, preferred, use_trial, wanted
from closedloop.core.quality import verdict
from closedloop.core.reasons import Reason
from closedloop.core.records import EventKind, claim, publish
from closedloop.core.state import COMMITTED, NO_PLAN, PENDING, Core
from closedloop.estimators.interface import LEAD_STEP_S, N_LEADS
from closedloop.jit import inner
from closedloop.signal.rhythm import snr_db

ROUNDING_S = 1e-6
"""What sums of times may lose: where the earliest pulse falls on the grid, its last bit chooses no lead."""


@inner
def wanted_leads(core: Core, now: float) -> tuple[int, int]:
    """Return the range of grid leads that the plan needs: from the earliest possible pulse on."""
    earliest = counted_time(core, now) - electrode_time(core) + core.timing[0]["latency_s"]
    if not (earliest >= 0.0 and earliest < (N_LEADS - 1) * LEAD_STEP_S):
        return 0, 0
    first = int(max(0.0, earliest - ROUNDING_S) / LEAD_STEP_S)
    last = int((earliest + core.policy[0]["plan_ahead_s"] + ROUNDING_S) / LEAD_STEP_S) + 1
    return first, min(last, N_LEADS - 1) + 1


@inner
def write_event(core: Core, kind: EventKind, reason: int, now: float) -> None:
    """Record how the current plan's chance ended."""
    place = claim(core.events)
    if place < 0:
        return
    plan = core.plan[0]
    event = core.events.records[place]
    event["number"] = core.events.indices[0]
    event["kind"] = kind
    event["reason"] = reason
    event["sample"] = plan["sample"]
    event["trial"] = core.policy[0]["trial"]
    event["condition"] = plan["condition"]
    event["pulse"] = plan["pulse"]
    event["pulses"] = plan["pulses"]
    event["target"] = plan["target"]
    # Only a plan's first pulse was predicted; the others follow it at their interval.
    predicted = plan["pulse"] == 0
    event["phase"] = plan["target"] if predicted and math.isfinite(plan["sd"]) else math.nan
    event["sd"] = plan["sd"] if predicted else math.nan
    event["amplitude"] = plan["amplitude"] if predicted else math.nan
    event["snr_db"] = plan["snr_db"]
    event["lead_s"] = plan["lead_s"] if predicted else math.nan
    event["due_s"] = plan["due_s"]
    event["trigger_s"] = trigger_time(core)
    event["now_s"] = now
    event["percent"] = plan["percent"]
    event["age_s"] = now - (plan["due_s"] - plan["lead_s"] + core.timing[0]["delay_s"]) if predicted else math.nan
    publish(core.events)


@inner
def refuse(core: Core, reason: int, now: float) -> None:
    """End the plan with a refusal.

    A train that has begun has used its trial, and what is left of it never falls due; of a plan that
    was refused whole, the trial and the condition that was set for it stay.
    """
    plan = core.plan[0]
    policy = core.policy[0]
    write_event(core, EventKind.REFUSED, reason, now)
    if plan["pulse"] > 0:
        use_trial(core, plan["due_s"])
    elif plan["status"] == COMMITTED and policy["condition"] < 0:
        policy["condition"] = plan["requested"]
    policy["last_chance_s"] = plan["due_s"]
    plan["status"] = NO_PLAN


@inner
def _set_plan(core: Core, lead_s: float, sd: float, amplitude: float) -> None:
    plan = core.plan[0]
    plan["sample"] = core.timing[0]["index"]
    plan["pulse"] = 0
    plan["pulses"] = core.policy[0]["pulses"]
    plan["condition"] = current_condition(core)
    plan["target"] = current_target(core)
    plan["due_s"] = electrode_time(core) + lead_s
    plan["lead_s"] = lead_s
    plan["sd"] = sd
    plan["amplitude"] = amplitude
    plan["snr_db"] = math.nan
    known = plan["condition"] >= 0
    plan["percent"] = core.conditions[plan["condition"]]["percent"] if known else math.nan
    plan["percent_of_threshold"] = core.conditions[plan["condition"]]["percent_of_threshold"] if known else math.nan


@inner
def replan(core: Core, now: float, first: int, stop: int) -> None:
    """Move the plan to where the newest prediction sees the next crossing, or commit it."""
    plan = core.plan[0]
    if plan["status"] == COMMITTED:
        return
    signal = core.policy[0]["signal"]
    if stop - first < 2:
        fresh = freshness(core, now)
        count_unpredicted(core, Reason.STALE if fresh == Reason.NONE else fresh, now)
        return
    if not math.isfinite(core.signals.sd[signal, first]):
        reason = verdict(core)
        count_unpredicted(core, core.quality[0]["cause"] if reason == Reason.NONE else reason, now)
        return
    lead_s, sd, amplitude = _crossing(core, signal, first, stop)
    due_s = electrode_time(core) + lead_s
    if math.isnan(lead_s):
        if plan["status"] == PENDING and _has_passed(core, signal, first):
            refuse(core, Reason.TOO_LATE, now)
        plan["status"] = NO_PLAN
    soonest_s = counted_time(core, now) + core.timing[0]["latency_s"]
    if plan["status"] == NO_PLAN and not due_s >= soonest_s - ROUNDING_S:
        break_silence(core, now)
        return
    _set_plan(core, lead_s, sd, amplitude)
    plan["status"] = PENDING
    if trigger_time(core) - core.timing[0]["time_s"] <= core.policy[0]["horizon_s"]:
        commit(core, now)


@inner
def _crossing(core: Core, signal: int, first: int, stop: int) -> tuple[float, float, float]:
    """Return lead in s, phase SD in rad and amplitude in µV of the next crossing, or NaNs."""
    target = current_target(core)
    turn = complex(math.cos(target), -math.sin(target))
    after_s = core.policy[0]["last_chance_s"] + 0.5 * core.policy[0]["period_s"]
    for k in range(first, stop - 1):
        before = core.signals.z[signal, k] * turn
        beyond = core.signals.z[signal, k + 1] * turn
        if not (before.imag < 0.0 and beyond.imag >= 0.0):
            continue
        ahead = -math.atan2(before.imag, before.real)
        behind = math.atan2(beyond.imag, beyond.real)
        if not ahead + behind < math.pi:
            continue  # it turned backwards, through the opposite phase
        part = ahead / (ahead + behind)
        lead_s = (k + part) * LEAD_STEP_S
        if not electrode_time(core) + lead_s > after_s:
            continue
        sd = core.signals.sd[signal, k] * (1.0 - part) + core.signals.sd[signal, k + 1] * part
        amplitude = abs(before) * (1.0 - part) + abs(beyond) * part
        return lead_s, sd, amplitude
    return math.nan, math.nan, math.nan


@inner
def _has_passed(core: Core, signal: int, first: int) -> bool:
    """Return whether the phase at the earliest possible pulse is already past the target."""
    target = current_target(core)
    now_at = core.signals.z[signal, first] * complex(math.cos(target), -math.sin(target))
    return now_at.imag >= 0.0 and now_at.real > 0.0


@inner
def count_unpredicted(core: Core, cause: int, now: float) -> None:
    """Refuse the plan, or one chance per period, while no crossing can be predicted."""
    plan = core.plan[0]
    policy = core.policy[0]
    if plan["status"] != NO_PLAN:
        plan["sd"] = math.nan
        refuse(core, cause, now)
        return
    lead_s = now - electrode_time(core) + core.timing[0]["latency_s"]
    due_s = now + core.timing[0]["latency_s"]
    if not (due_s - policy["last_chance_s"] >= policy["period_s"] and due_s < math.inf):
        return
    _set_plan(core, lead_s, math.nan, math.nan)
    refuse(core, cause, now)


@inner
def break_silence(core: Core, now: float) -> None:
    """Record that crossings pass unseen: of samples that come many at a time, of a phase that stands still."""
    policy = core.policy[0]
    if (
        core.plan[0]["status"] == NO_PLAN
        and now + core.timing[0]["latency_s"] - policy["last_chance_s"] >= 2.0 * policy["period_s"]
    ):
        count_unpredicted(core, Reason.NOT_FORESEEN, now)


@inner
def commit(core: Core, now: float) -> None:
    """Decide on the pending plan: refuse it, or fix its due time and wait for it."""
    plan = core.plan[0]
    plan["snr_db"] = snr_db(core.rhythm)
    reason: int = wanted(core)
    if reason == Reason.NONE:
        reason = approve_plan(core, now)
    if reason == Reason.NONE:
        reason = preferred(core)
    if reason != Reason.NONE:
        refuse(core, reason, now)
        return
    plan["status"] = COMMITTED
    plan["requested"] = core.policy[0]["condition"]
    core.policy[0]["condition"] = -1
