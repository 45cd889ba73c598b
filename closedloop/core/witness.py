"""Was the trigger seen? A trigger channel in the stream bears witness to each trigger that was written.

Its time is compared to what was measured on the rig: a trigger that comes at another time, or never,
means that pulses no longer fall where the prediction puts them, and disarms.
"""

import math

import numpy as np
from numpy.typing import NDArray

from closedloop.core.gate import disarm
from closedloop.core.reasons import Reason
from closedloop.core.state import Core
from closedloop.jit import inner

MAX_DRIFT_S = 0.002
"""A trigger that is seen so much earlier or later than measured disarms; one sample's period comes on top,
because it is seen in whole samples only."""
LONGEST_WAIT_S = 0.2
"""A trigger that has not been seen so long after its time never will be."""


@inner
def expect_trigger(core: Core, written_s: float) -> None:
    """Wait for a trigger that was written to show in the trigger channel.

    The oldest that has not been seen is waited for: triggers that follow each other fast must not put off
    for ever that one is missed.
    """
    if core.witness[0]["channel"] >= 0 and math.isnan(core.witness[0]["written_s"]):
        core.witness[0]["written_s"] = written_s


@inner
def look_for_trigger(core: Core, values: NDArray[np.float64]) -> None:
    """Look for the trigger in the newest sample."""
    witness = core.witness[0]
    if witness["channel"] < 0:
        return
    before = witness["high"]
    witness["high"] = 1 if values[witness["channel"]] > witness["threshold"] else 0
    if math.isnan(witness["written_s"]):
        return
    lag_s = core.timing[0]["time_s"] - witness["written_s"]
    if before == 0 and witness["high"] == 1:
        witness["written_s"] = math.nan
        if not abs(lag_s - witness["expected_s"]) <= witness["tolerance_s"]:
            disarm(core, Reason.TRIGGER_LATE)
    elif not lag_s <= witness["expected_s"] + LONGEST_WAIT_S:
        witness["written_s"] = math.nan
        disarm(core, Reason.TRIGGER_UNSEEN)
