"""Real-time scheduling for a program that drives a device beside the loop."""

import os
from contextlib import suppress

PRIORITY = 60
"""Below the loop's own."""


def ask_for_real_time() -> str:
    """Ask for real-time scheduling of this program's own thread, and return in words what was granted."""
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        return "SCHED_FIFO"
    return "ordinary scheduler"
