"""What Python, the stream's clock and the device tell the core between samples."""

import numpy as np

from closedloop.core.gate import disarm, see_time
from closedloop.core.reasons import Reason
from closedloop.core.records import Command
from closedloop.core.state import Core
from closedloop.jit import inner


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
    elif code == Command.DISARM:
        gate["armed"] = 0
    elif not timely:
        return
    elif code == Command.ARM:
        gate["armed"] = 1
        gate["stopped"] = 0
        gate["disarmed_by"] = Reason.NONE
    elif code == Command.PAUSE:
        policy["paused"] = 1
    elif code == Command.RESUME:
        policy["paused"] = 0
    elif code == Command.CONDITION and 0 <= value and value < core.conditions.size:
        policy["condition"] = int(value)
    else:
        disarm(core, Reason.NOT_ARMED)


@inner
def on_clock(core: Core, correction_s: float) -> None:
    """Take a correction of the stream's clock; one that is no number disarms."""
    if not (-np.inf < correction_s and correction_s < np.inf):
        disarm(core, Reason.CLOCK)
        return
    core.timing[0]["correction_s"] = correction_s


@inner
def on_device(core: Core, ready: int) -> None:
    """Take the device's state: 1 is ready, anything else is not."""
    core.gate[0]["device_ready"] = 1 if ready == 1 else 0
