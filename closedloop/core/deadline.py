"""The moment of a pulse: the gate's last word."""

import numpy as np

from closedloop.core.clock import trigger_time
from closedloop.core.gate import approve_pulse, count_pulse, disarm, see_time
from closedloop.core.plan import commit, refuse, write_event
from closedloop.core.policy import is_withheld, use_trial
from closedloop.core.reasons import Reason
from closedloop.core.records import EventKind
from closedloop.core.state import COMMITTED, NO_PLAN, PENDING, Core
from closedloop.jit import inner


@inner
def next_deadline(core: Core) -> float:
    """Return when ``on_deadline`` wants to be called next, in s; infinite where nothing is planned."""
    return np.inf if core.plan[0]["status"] == NO_PLAN else trigger_time(core)


@inner
def on_deadline(core: Core, now: float) -> bool:
    """Decide on the pulse that is due; return whether its trigger is to be written at once."""
    if not see_time(core, now):
        return False
    plan = core.plan[0]
    if plan["status"] == NO_PLAN or not now >= trigger_time(core):
        return False
    if plan["status"] == PENDING:
        commit(core, now)
    if plan["status"] != COMMITTED:
        return False
    reason = approve_pulse(core, now)
    if reason != Reason.NONE:
        refuse(core, reason, now)
        return False
    if plan["pulse"] == 0 and is_withheld(core):
        write_event(core, EventKind.WITHHELD, Reason.NONE, now)
        # A withheld train keeps the slot of a whole one.
        _end_trial(core, plan["due_s"] + (plan["pulses"] - 1) * core.policy[0]["pulse_interval_s"])
        return False
    count_pulse(core, now)
    write_event(core, EventKind.DELIVERED, Reason.NONE, now)
    _hold(core, plan["due_s"])
    plan["pulse"] += 1
    if plan["pulse"] < plan["pulses"]:
        plan["due_s"] += core.policy[0]["pulse_interval_s"]
    else:
        _end_trial(core, plan["due_s"])
    return True


@inner
def _end_trial(core: Core, last_due_s: float) -> None:
    plan = core.plan[0]
    use_trial(core, last_due_s)
    core.policy[0]["last_chance_s"] = plan["due_s"]
    plan["status"] = NO_PLAN


@inner
def _hold(core: Core, pulse_s: float) -> None:
    """Keep the pulse and what it leaves behind out of the filters; half a sample earlier, to be sure."""
    quality = core.quality[0]
    if not quality["hold_s"] > 0.0:
        return
    from_s = pulse_s - 0.5 * core.timing[0]["period_s"]
    if not (quality["hold_from_s"] <= from_s and from_s < quality["hold_until_s"]):
        quality["hold_from_s"] = from_s
    quality["hold_until_s"] = pulse_s + quality["hold_s"]


@inner
def on_written(core: Core, code: int) -> None:
    """Take the result of writing the trigger: anything but 0 disarms."""
    if code != 0:
        disarm(core, Reason.WRITE_FAILED)
