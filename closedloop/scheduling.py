"""Real-time scheduling, asked for in one way: by the loop, by what drives a device beside it, and by a stand-in."""

import os

LOOP_PRIORITY = 70
"""Of the loop and of the threads that receive alike. With theirs above the loop's, a sample that arrives while the
loop spins to a trigger's moment takes the core from it. Alike, it waits for the rest of the spin, at most, or takes
another core."""
PRIORITY = 60
"""Of what runs beside the loop, below it: nothing may hold it up."""


def ask_for_realtime(thread: int = 0, priority: int = PRIORITY) -> str:
    """Give a thread, and those that it starts from then on, real-time scheduling; return why not, empty where it has.

    Parameters
    ----------
    thread
        Its identifier; 0 is the calling one.
    priority
        Of SCHED_FIFO.

    Raises
    ------
    ProcessLookupError
        Where there is no such thread.
    """
    try:
        os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
    except ProcessLookupError:
        raise
    except (OSError, AttributeError) as error:
        why = "not permitted" if isinstance(error, PermissionError) else str(error)
        return f"SCHED_FIFO: {why}; allow it with rtprio {priority} in /etc/security/limits.conf"
    return ""


def granted_scheduler() -> str:
    """Ask for real-time scheduling of this program's own thread, and return in words what was granted."""
    return "ordinary scheduler" if ask_for_realtime() else "SCHED_FIFO"
