"""How fast a protocol's triggers come: a stimulator may not be able to follow them at the intensity that is wanted."""

import math

from closedloop.config.pipeline import Protocol, SinglePulse


def fastest_hz(protocol: Protocol) -> float | None:
    """Return how fast triggers follow each other at most, in Hz, in tenths; None where only rest will tell."""
    if isinstance(protocol, SinglePulse):
        return in_tenths(1.0 / protocol.min_interval_s)
    return None if protocol.frequency_hz == "individual" else in_tenths(protocol.frequency_hz)


def in_tenths(frequency_hz: float) -> float:
    """Return the next frequency in steps of 0.1 Hz, in which devices count; never a lower one."""
    return math.ceil(10.0 * frequency_hz - 1e-6) / 10.0
