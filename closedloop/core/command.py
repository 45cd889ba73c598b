"""What Python, the stream's clock and the device tell the core between samples."""

import numpy as np

from closedloop.core.gate import disarm, see_time
from closedloop.core.plan import refuse
from closedloop.core.reasons import Reason
from closedloop.core.records import Command
from closedloop.core.state import NO_PLAN, PENDING, Core
from closedloop.jit import inner

MAX_LEASED = 2.0**53
"""Every whole number up to here is a float."""


@inner
def on_command(core: Core, code: int, value: float, now: float) -> None:
    """Obey a command; an unknown one, or a condition that does not exist, disarms."""
    timely = see_time(core, now)
    gate = core.gate[0]
    policy = core.policy[0]
    # What makes safe is obeyed whatever the clock says; see_time has disarmed already.
    if code == Command.STOP:
        gate["armed"] = 0
        gate["stopped"] = 1
        _end_plan(core, Reason.STOPPED, now)
    elif code == Command.DISARM:
        gate["armed"] = 0
        _end_plan(core, Reason.NOT_ARMED, now)
    elif not timely:
        return
    elif code == Command.ARM and gate["stream_broken"] != 0:
        disarm(core, Reason.STREAM_BROKEN)
    elif code == Command.ARM:
        if gate["armed"] != 1:
            _end_plan(core, Reason.NOT_ARMED, now)
        gate["armed"] = 1
        gate["armed_from_s"] = value
        gate["stopped"] = 0
        gate["disarmed_by"] = Reason.NONE
    elif code == Command.PAUSE:
        policy["paused"] = 1
    elif code == Command.RESUME:
        policy["paused"] = 0
    elif code == Command.LEASE and 0.0 <= value and value <= MAX_LEASED:
        gate["leased"] = max(gate["leased"], int(value))
    elif code == Command.CONDITION and 0 <= value and value < core.conditions.size:
        policy["condition"] = int(value)
        if core.plan[0]["status"] == PENDING:
            core.plan[0]["status"] = NO_PLAN  # it was for another target; the next sample plans anew
    else:
        disarm(core, _unasked(code))
        _end_plan(core, core.gate[0]["disarmed_by"], now)


@inner
def _unasked(code: int) -> Reason:
    if code == Command.LOST:
        return Reason.INPUT_LOST
    return Reason.UNWATCHED if code == Command.UNWATCHED else Reason.NOT_ARMED


@inner
def _end_plan(core: Core, reason: Reason, now: float) -> None:
    """Refuse what is planned at once: an approval from before a disarming must not outlive it."""
    if core.plan[0]["status"] != NO_PLAN:
        refuse(core, reason, now)


@inner
def on_clock(core: Core, correction_s: float) -> None:
    """Take a correction of the stream's clock; one that is no number disarms."""
    if not (-np.inf < correction_s and correction_s < np.inf):
        disarm(core, Reason.CLOCK)
        return
    core.timing[0]["correction_s"] = correction_s


@inner
def on_stream(core: Core, code: int, now: float) -> None:
    """Take the stream's state: anything but 0 means that it broke off, 0 that there is one again; both disarm."""
    see_time(core, now)
    core.gate[0]["stream_broken"] = 0 if code == 0 else 1
    disarm(core, Reason.STREAM_BROKEN)
    _end_plan(core, Reason.STREAM_BROKEN, now)


@inner
def on_device(core: Core, ready: int, coil_c: float, asked_s: float, now: float) -> None:
    """Take what the stimulator said of itself: 1 for ready, anything else is not; its coil's temperature or NaN.

    It counts as of when it was asked; a time that is none, or later than now, is one that the gate takes for stale.
    """
    gate = core.gate[0]
    gate["device_ready"] = 1 if ready == 1 else 0
    gate["coil_c"] = coil_c
    gate["status_s"] = asked_s if asked_s <= now else -np.inf
