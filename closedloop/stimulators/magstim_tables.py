"""What a Rapid² may do at which power: energy of a pulse, highest frequency, and the rest after a train.

From the tables and the rule of an open driver (magpy), not from a device or its manual. Between two columns the higher
power counts: nothing is interpolated.
"""

from typing import Literal

MainsV = Literal[240, 115]
Variant = Literal["rapid", "super", "super-plus"]

ENERGY_J = {
    10: 2.5,
    20: 10.1,
    30: 22.7,
    40: 40.3,
    50: 63.0,
    55: 76.2,
    60: 90.7,
    65: 106.4,
    70: 123.4,
    75: 141.7,
    80: 161.2,
    85: 181.9,
    90: 204.0,
    95: 227.3,
    100: 252.0,
}
"""Of one pulse, by power in percent."""

POWERS = (30, 40, 50, 55, 60, 65, 70, 75, 80, 90, 100)
FASTEST_HZ: dict[tuple[MainsV, Variant], tuple[int, ...]] = {
    (240, "rapid"): (50, 37, 30, 28, 25, 23, 20, 19, 18, 17, 15),
    (240, "super"): (100, 75, 50, 48, 45, 43, 40, 38, 35, 30, 25),
    (240, "super-plus"): (100, 100, 97, 88, 80, 74, 68, 62, 57, 49, 41),
    (115, "rapid"): (36, 28, 23, 21, 19, 17, 16, 15, 14, 12, 11),
    (115, "super"): (60, 55, 44, 40, 37, 34, 32, 29, 27, 24, 22),
    (115, "super-plus"): (60, 60, 58, 52, 47, 43, 40, 37, 34, 30, 25),
}
"""By mains voltage and model, at powers up to those of `POWERS`."""

SUSTAINED_W = 1050.0
"""What the device can give without rest."""
LEAST_WAIT_S = 0.5
MOST_PULSES, MOST_PULSES_BEFORE_9 = 6000, 1000
"""Of a train, by firmware."""


def energy_j(percent: float) -> float:
    """Return the energy of a pulse at the next power of the table."""
    return next(joule for power, joule in ENERGY_J.items() if percent <= power)


def fastest_hz(percent: float, *, mains_v: MainsV, variant: Variant) -> int:
    """Return the highest frequency at the next power of the table."""
    return next(hz for power, hz in zip(POWERS, FASTEST_HZ[mains_v, variant], strict=True) if percent <= power)


def longest_train_s(percent: float, frequency_hz: float) -> float:
    """Return how long a train may last; infinite where the device can go on without rest."""
    on_time_s = 60 * SUSTAINED_W / (energy_j(percent) * frequency_hz)
    return on_time_s if on_time_s < 60.0 else float("inf")


def rest_s(pulse_j: float, frequency_hz: float, pulses: int) -> float:
    """Return the rest that a train demands: what brings its mean down to what the device can sustain."""
    return max(LEAST_WAIT_S, pulses * (frequency_hz * pulse_j - SUSTAINED_W) / (SUSTAINED_W * frequency_hz))
