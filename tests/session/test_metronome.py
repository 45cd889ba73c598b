"""The core that fires on time: the same gate, on a clock instead of a rhythm."""

import numpy as np
import pytest

from closedloop.core.pulse_artifact import make_artifact
from closedloop.core.reasons import Reason
from closedloop.core.records import Command, EventKind
from closedloop.core.replay import play, post_command, post_device
from closedloop.session.metronome import metronome

SFREQ = 500.0
SETTINGS = {
    "n_channels": 2,
    "latency_s": 0.010,
    "max_data_age_s": 0.1,
    "max_lateness_s": 0.001,
    "min_interval_s": 0.1,
    "jitter_s": 0.0,
}


def run(samples, *, ready=True, armed=True, **changed):
    core, steps = metronome(SFREQ, **{**SETTINGS, "n_pulses": 20, "interval_s": 0.25, **changed})
    post_device(core, ready=ready, coil_c=25.0)
    if armed:
        post_command(core, Command.ARM)
    stamps = np.arange(len(samples)) / SFREQ
    drained = list(play(core, steps, [(samples, stamps)], make_artifact(np.zeros((0, 2)))))
    return np.concatenate([part.events for part in drained])


@pytest.fixture(scope="module")
def flat():
    """A trigger channel that is zero, and an electrode that nobody has connected."""
    samples = np.zeros((3000, 2))
    samples[:, 1] = np.nan
    return samples


def test_pulses_come_at_the_interval_whatever_the_channels_hold(flat):
    events = run(flat)
    fired = events[events["kind"] == EventKind.DELIVERED]
    assert fired.size == 20
    np.testing.assert_allclose(np.diff(fired["due_s"]), 0.25, atol=1e-6)


def test_it_ends_after_so_many_pulses(flat):
    events = run(flat, n_pulses=3)
    assert np.count_nonzero(events["kind"] == EventKind.DELIVERED) == 3
    last_s = events["due_s"][events["kind"] == EventKind.DELIVERED][-1]
    assert Reason.PROTOCOL_COMPLETE in events["reason"][events["due_s"] > last_s]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"ready": False}, Reason.DEVICE_NOT_READY),
        ({"armed": False}, Reason.NOT_ARMED),
        ({"min_interval_s": 0.4}, Reason.MIN_INTERVAL),
    ],
)
def test_the_gate_is_the_gate_of_every_session(flat, changed, reason):
    events = run(flat, **changed)
    assert reason in events["reason"][events["kind"] == EventKind.REFUSED]
