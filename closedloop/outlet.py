"""Outlets of the Lab Streaming Layer that end without taking the program with them."""

import time
from typing import Any

import pylsl

SETTLE_S = 0.05
"""So long an outlet that somebody hears waits before it ends."""


class Outlet(pylsl.StreamOutlet):  # type: ignore[misc]  # noqa: TID251 - pylsl has no types; here it is mended
    """An outlet of ``pylsl`` that lets what was pushed last leave before it ends.

    It ends with its last reference, as those of ``pylsl`` do. liblsl then walks through its connections while their
    threads may take themselves off that list (``tcp_server::close_inflight_sessions`` of 1.18), and the program dies
    of a segmentation fault. A connection that is just sending ends at once, and can so be gone before the walk is past
    it; one that waits for a sample stays. What is left: somebody who is just connecting, or who takes nothing any more.
    """

    obj: Any

    def __del__(self) -> None:
        try:
            if getattr(self, "obj", None) and self.have_consumers():
                time.sleep(SETTLE_S)
        finally:
            super().__del__()
