"""One sample in: condition it, estimate, and move the plan."""

import math

import numpy as np
from numpy.typing import NDArray

from closedloop.core.clock import advance, electrode_time, is_fresh
from closedloop.core.gate import see_time
from closedloop.core.plan import break_silence, count_unpredicted, replan, wanted_leads
from closedloop.core.policy import relax
from closedloop.core.quality import note, take, turn_block, watch_signals
from closedloop.core.reasons import Reason
from closedloop.core.state import Core, Steps
from closedloop.core.witness import look_for_trigger
from closedloop.jit import inner
from closedloop.signal.conditioning import unsettle
from closedloop.signal.rhythm import forget_all, observe

LONG_GAP_S = 0.1
"""After a longer gap the electrodes' offsets may have moved, and the filters start anew."""


@inner
def on_sample(core: Core, steps: Steps, values: NDArray[np.float64], timestamp: float, now: float, more: float) -> None:
    """Take one sample of every channel.

    Parameters
    ----------
    core, steps
        The state, and the compiled step of each signal's estimator.
    values
        Array of shape (n_channels,), µV.
    timestamp
        Of the sample, on the clock, in s.
    now
        The time on the same clock, in s.
    more
        Not 0 where a newer sample waits already: then nothing is predicted and no plan is moved or
        committed on this one.
    """
    if not see_time(core, now):
        count_unpredicted(core, Reason.CLOCK, core.timing[0]["now_s"])
        return
    missing = advance(core, timestamp, now)
    if missing < 0:
        if not is_fresh(core, now):
            count_unpredicted(core, Reason.CLOCK, now)
        return
    timing = core.timing[0]
    first, stop = (0, 0) if more != 0.0 else wanted_leads(core, now)
    remembered = int(timing["longest_s"] / timing["period_s"]) + 1
    for _ in range(min(missing, remembered)):
        _estimate(core, steps, Reason.GAP, first, stop)
    if missing > remembered:
        forget_all(core.rhythm)
    if missing * timing["period_s"] > LONG_GAP_S:
        unsettle(core.conditioning)
    reason = take(core, values, electrode_time(core))
    _estimate(core, steps, reason, first, stop)
    relax(core)
    look_for_trigger(core, values)
    if more == 0.0:
        replan(core, now, first, stop)
    else:
        break_silence(core, now)


@inner
def _estimate(core: Core, steps: Steps, reason: Reason, first: int, stop: int) -> None:
    """Pass one nominal sample on to signals, rhythm and estimators."""
    note(core, reason)
    _filter_space(core, reason == Reason.HELD or reason == Reason.GAP)
    if reason != Reason.HELD and reason != Reason.GAP:
        watch_signals(core)
    turn_block(core)
    signals = core.signals
    n_signals = signals.first_input.size - 1
    for s in range(n_signals):
        x = signals.x[signals.first_input[s] : signals.first_input[s + 1]]
        steps[s](signals.states[s], x, first, stop, signals.z[s], signals.sd[s])
    observe(core.rhythm, signals.x[signals.first_input[core.policy[0]["signal"]]])


@inner
def _filter_space(core: Core, blind: bool) -> None:
    signals = core.signals
    for i in range(signals.x.size):
        x = 0.0
        for k in range(signals.used.size):
            weight = signals.weights[i, k]
            if weight != 0.0:
                x += weight * signals.clean[k]
        signals.x[i] = math.nan if blind else x
