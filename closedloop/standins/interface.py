"""What a stand-in is: a device's behaviour without a wire and without a clock of its own.

It never waits and never asks for the time: whoever runs it hands it both. So 60 s of a device's own waiting pass in a
test at once, and one behaviour serves tests, rehearsals and the command line.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol


class StandIn(Protocol):
    """A device's behaviour; times are of the runner's clock, in s, and never run backwards."""

    @property
    def pulses_s(self) -> Sequence[float]:
        """When it has fired so far, each pulse of a train included."""
        ...

    @property
    def actions(self) -> Mapping[str, Callable[..., None]]:
        """What a hand at the device can do, and what can be wrong with it, by name, such as ``turn-knob``.

        Each is called with the time in s, and with a number where there is one to choose.
        """
        ...

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes off the wire, in any pieces, and return what it answers at once."""
        ...

    def pass_time(self, now_s: float) -> bytes:
        """Let time pass to ``now_s``, with all that happens by itself, and return what it sends unasked."""
        ...

    def trigger(self, now_s: float) -> bool:
        """Take an edge at the trigger input; return whether it fired."""
        ...
