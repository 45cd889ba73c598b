"""The moment of a pulse: the gate's last word."""

import numpy as np

from closedloop.core.clock import electrode_time, freshness, trigger_time
from closedloop.core.gate import approve_pulse, count_pulse, disarm, move_pulse, see_time
from closedloop.core.plan import commit, count_unpredicted, refuse, write_event
from closedloop.core.policy import is_paused, is_withheld, use_trial
from closedloop.core.reasons import Reason
from closedloop.core.records import EventKind
from closedloop.core.state import COMMITTED, NO_PLAN, PENDING, Core
from closedloop.core.witness import expect_trigger
from closedloop.jit import inlined, inner

WATCH_S = 1e-6
"""By so much later than the limit itself an outage is looked at: at the limit a sample is not too old yet."""


@inner
def next_deadline(core: Core) -> float:
    """Return when ``on_deadline`` wants to be called next, in s; infinite before the first sample.

    That is when a planned trigger has to leave; and where samples fail to come, so that the outage is
    recorded while it lasts: when the newest becomes too old, and once a period from then on.
    """
    timing = core.timing[0]
    if timing["index"] < 0:
        return np.inf
    stale_s = timing["time_s"] + core.limits[0]["max_data_age_s"]
    unrecorded_s = core.policy[0]["last_chance_s"] + core.policy[0]["period_s"] - timing["latency_s"]
    watch_s = max(stale_s, unrecorded_s) + WATCH_S
    if not watch_s < np.inf:
        watch_s = np.inf
    return watch_s if core.plan[0]["status"] == NO_PLAN else min(watch_s, trigger_time(core))


@inner
def on_deadline(core: Core, now: float) -> bool:
    """Decide on the pulse that is due; return whether its trigger is to be written at once."""
    if not see_time(core, now):
        return False
    fresh = freshness(core, now)
    if fresh != Reason.NONE:
        count_unpredicted(core, fresh, now)
        return False
    plan = core.plan[0]
    if not now >= trigger_time(core):
        return False
    if plan["status"] == PENDING:
        commit(core, now)
    if plan["status"] != COMMITTED:
        return False
    reason = Reason.PAUSED if is_paused(core) else approve_pulse(core, now)
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
        _follow(core)
    else:
        _end_trial(core, plan["due_s"])
    return True


@inlined
def _follow(core: Core) -> None:
    """Plan a train's next pulse from where the last one really fell: one that left late must not bring it too near."""
    core.plan[0]["due_s"] = core.gate[0]["last_pulse_s"] + core.policy[0]["pulse_interval_s"]


@inlined
def _end_trial(core: Core, last_due_s: float) -> None:
    plan = core.plan[0]
    use_trial(core, last_due_s)
    core.policy[0]["last_chance_s"] = plan["due_s"]
    plan["status"] = NO_PLAN


@inlined
def _hold(core: Core, pulse_s: float) -> None:
    """Keep the pulse and what it leaves behind out of the filters; half a sample earlier, to be sure.

    It lasts from the pulse's moment, ``pulse_s``, to its length after when the pulse counts as given, which is later
    where the trigger was late.

    A hold that the samples have not reached the end of yet goes on: the pulse that it was for still shows
    in them. A length that is no number holds for ever.
    """
    quality = core.quality[0]
    if quality["hold_s"] == 0.0:
        return
    from_s = pulse_s - 0.5 * core.timing[0]["period_s"]
    if not electrode_time(core) < quality["hold_until_s"]:
        quality["hold_from_s"] = from_s
    hold_s = quality["hold_s"]
    until_s = core.gate[0]["last_pulse_s"] + hold_s
    quality["hold_until_s"] = until_s if 0.0 <= hold_s and hold_s < np.inf else np.inf


@inner
def on_written(core: Core, code: int, written_s: float) -> None:
    """Take the result of writing the trigger, and when it was written: anything but 0 disarms.

    From a write that was late the pulse counts, its hold ends later, and a train goes on later.
    """
    if code != 0:
        disarm(core, Reason.WRITE_FAILED)
        return
    goes_on = core.plan[0]["status"] == COMMITTED and core.plan[0]["pulse"] > 0
    if move_pulse(core, written_s, goes_on):
        _hold(core, core.gate[0]["last_pulse_s"])
        if goes_on:
            _follow(core)
    expect_trigger(core, written_s)
