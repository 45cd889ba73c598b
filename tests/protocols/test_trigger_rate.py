"""How fast triggers come."""

import pytest

from closedloop.config.pipeline import SinglePulse, Train
from closedloop.protocols.trigger_rate import fastest_hz, in_tenths


@pytest.mark.parametrize(
    ("frequency_hz", "expected_hz"), [(10.0, 10.0), (9.97, 10.0), (10.01, 10.1), (0.5, 0.5), (1 / 0.3, 3.4), (0.1, 0.1)]
)
def test_a_frequency_is_rounded_up_to_tenths(frequency_hz, expected_hz):
    assert in_tenths(frequency_hz) == expected_hz


def test_single_pulses_come_at_their_shortest_interval():
    assert fastest_hz(SinglePulse(type="single_pulse", pulses=10, min_interval_s=0.3, jitter_s=1.0)) == 3.4


def test_pulses_of_a_train_come_at_its_frequency():
    train = {"type": "train", "trains": 3, "pulses_per_train": 10, "min_interval_s": 20.0}
    assert fastest_hz(Train(frequency_hz=10.0, **train)) == 10.0
    assert fastest_hz(Train(frequency_hz="individual", **train)) is None
