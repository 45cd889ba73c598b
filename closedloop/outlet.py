"""Outlets of the Lab Streaming Layer that end without taking the program with them."""

import time
from typing import Any

import pylsl

SETTLE_S = 0.05
"""So long an outlet waits before it ends: what was pushed last has left by then, and its senders are at rest."""


class Outlet(pylsl.StreamOutlet):  # type: ignore[misc]  # pylsl has no types
    """An outlet of ``pylsl`` whose end waits for what is still being sent.

    liblsl walks through an ending outlet's connections while their threads may take themselves off that list
    (``tcp_server::close_inflight_sessions`` of 1.18). One that is just sending ends at once and can be gone before
    the walk is past it; then the process dies of a segmentation fault. One that waits for a sample stays.
    """

    obj: Any

    def __del__(self) -> None:
        if getattr(self, "obj", None) and self.have_consumers():
            time.sleep(SETTLE_S)
        super().__del__()
