"""Is what we see EEG? Hold, saturation, missing numbers, artifacts and flat channels."""

import math

import numpy as np

from closedloop.core.reasons import Reason
from closedloop.core.state import N_BLOCKS, Core
from closedloop.jit import inner
from closedloop.signal.conditioning import condition, unsettle


@inner
def take(core: Core, values: np.ndarray, electrode_s: float) -> Reason:
    """Condition one sample's used channels and return why it is not clean, or NONE.

    While the electrodes still show the pulse (its decay, the muscles, the recharging of the
    stimulator) nothing enters the filters; they start anew when the hold ends.
    """
    quality = core.quality[0]
    if quality["hold_from_s"] <= electrode_s and electrode_s < quality["hold_until_s"]:
        quality["holding"] = 1
        return Reason.HELD
    if quality["holding"] == 1:
        quality["holding"] = 0
        unsettle(core.conditioning)
    reason = Reason.NONE
    signals = core.signals
    for k in range(signals.used.size):
        value = values[signals.used[k]]
        if not math.isfinite(value):
            signals.clean[k] = np.nan
            reason = Reason.NON_FINITE
            continue
        if not abs(value) <= quality["range_uv"]:
            signals.clean[k] = np.nan
            core.conditioning.settled[k] = 0  # an amplifier comes back from saturation at another level
            if reason == Reason.NONE:
                reason = Reason.OUT_OF_RANGE
            continue
        signals.clean[k] = condition(core.conditioning, k, value)
        _widen(core, k, signals.clean[k])
    return reason


@inner
def _widen(core: Core, row: int, value: float) -> None:
    extremes = core.extremes
    place = core.quality[0]["place"]
    if value < extremes.low[place, row]:
        extremes.low[place, row] = value
    if value > extremes.high[place, row]:
        extremes.high[place, row] = value


@inner
def watch_signals(core: Core) -> None:
    """Put the signals' own values into the running block."""
    signals = core.signals
    for s in range(signals.first_input.size - 1):
        _widen(core, signals.used.size + s, signals.x[signals.first_input[s]])


@inner
def note(core: Core, reason: Reason) -> None:
    """Keep why the newest nominal sample was not clean, or count it as clean."""
    quality = core.quality[0]
    if reason == Reason.NONE:
        quality["clean"] += 1
    else:
        quality["clean"] = 0
        quality["cause"] = reason


@inner
def turn_block(core: Core) -> None:
    """Count one nominal sample and begin a new block where the running one is full."""
    quality = core.quality[0]
    quality["filled"] += 1
    if quality["filled"] < quality["block"]:
        return
    quality["filled"] = 0
    quality["place"] = (quality["place"] + 1) % N_BLOCKS
    extremes = core.extremes
    for row in range(extremes.ceiling.size):
        extremes.low[quality["place"], row] = np.inf
        extremes.high[quality["place"], row] = -np.inf
        low, high = np.inf, -np.inf
        for block in range(N_BLOCKS):
            low = min(low, extremes.low[block, row])
            high = max(high, extremes.high[block, row])
        extremes.past_low[row], extremes.past_high[row] = low, high


@inner
def verdict(core: Core) -> int:
    """Return why the last quality window forbids a pulse, or NONE.

    A window with a single sample that was not clean refuses with its cause: what was not seen cannot
    have been quiet.
    """
    if not core.quality[0]["clean"] >= core.quality[0]["needed"]:
        return core.quality[0]["cause"]
    extremes = core.extremes
    place = core.quality[0]["place"]
    n_channels = core.signals.used.size
    for row in range(extremes.ceiling.size):
        low = min(extremes.past_low[row], extremes.low[place, row])
        high = max(extremes.past_high[row], extremes.high[place, row])
        # Only infinity means that there is no limit: one that is no number refuses.
        limited = extremes.ceiling[row] != np.inf
        if limited and not (0.0 <= high - low and high - low <= extremes.ceiling[row]):
            return Reason.ARTIFACT if row < n_channels else Reason.NOT_QUIET
        if extremes.watched[row] == 1 and not high - low > core.quality[0]["flat_uv"]:
            return Reason.FLAT
    return Reason.NONE
