"""An estimator of another package, announced by an entry point."""

import math
from importlib.metadata import EntryPoint

import numpy as np
import pytest

import closedloop.estimators.interface
from closedloop.errors import ConfigError
from closedloop.estimators.interface import LEAD_STEP_S, STEP, Designed
from closedloop.jit import compiled
from closedloop.session.replay import replay_session

PLUGIN = {"type": "plugin", "name": "clockwork", "options": {"hz": 10.0, "sd": 0.2}}


@compiled(STEP)
def tick(state, x, first, stop, z, sd):
    """Turn at one frequency, whatever the samples hold. Slots: phase (rad), turn per sample, frequency, SD."""
    state[0] += state[1]
    for lead in range(first, stop):
        phase = state[0] + 2.0 * math.pi * state[2] * lead * LEAD_STEP_S
        z[lead] = complex(math.cos(phase), math.sin(phase))
        sd[lead] = state[3]


@compiled(STEP)
def fail(state, x, first, stop, z, sd):
    """Turn like the other, and fail at the 1000th sample. Slots: as there, and samples so far."""
    state[4] += 1.0
    if state[4] >= 1000.0:
        raise ValueError("broken clockwork")
    state[0] += state[1]
    for lead in range(first, stop):
        phase = state[0] + 2.0 * math.pi * state[2] * lead * LEAD_STEP_S
        z[lead] = complex(math.cos(phase), math.sin(phase))
        sd[lead] = state[3]


def design_clockwork(rest, options):
    """Design a clockwork of ``hz`` Hz."""
    turn = 2 * math.pi * options["hz"] / rest.sfreq
    step = fail if options.get("fails") else tick
    return Designed(step, np.array([0.0, turn, options["hz"], options["sd"], 0.0]), 0.1, {"made_for_hz": rest.peak_hz})


@pytest.fixture
def announced(monkeypatch):
    """Announce the clockwork as an installed package would."""
    real = closedloop.estimators.interface.entry_points

    class Clockwork(EntryPoint):
        def load(self):
            return design_clockwork

    def entry_points(*, group):
        point = Clockwork("clockwork", "lab.clockwork:design_clockwork", group)
        return [*real(group=group), point] if group == "closedloop.estimators" else real(group=group)

    monkeypatch.setattr(closedloop.estimators.interface, "entry_points", entry_points)


@pytest.mark.usefixtures("announced")
def test_a_plugin_decides_when_to_fire(run):
    session = run({"signals.alpha.estimator": PLUGIN, "target.withhold": 0.0})
    events = session.outcome.events
    fired = events[events["kind"] == 1]
    assert fired.size > 20
    # The clockwork's own phase, counted in nominal samples from the run's first, is the one that was aimed at.
    electrode_s = fired["due_s"] - session.outcome.source.run.times_s[0] + 1 / 125
    error = np.angle(np.exp(1j * (2 * np.pi * 10.0 * electrode_s - fired["target"])))
    assert np.degrees(np.abs(error)).max() < 0.1


@pytest.mark.usefixtures("announced")
def test_a_plugins_facts_and_options_are_its_own(run):
    session = run({"signals.alpha.estimator": {**PLUGIN, "options": {"hz": 11.0, "sd": 0.1}}})
    found = session.summary["calibration"]["signals"]["alpha"]
    assert found["made_for_hz"] == found["peak_hz"]
    np.testing.assert_allclose(session.outcome.events["sd"][session.outcome.events["kind"] == 1], 0.1, rtol=1e-15)


@pytest.mark.usefixtures("announced")
def test_a_session_with_a_plugin_replays(run):
    assert replay_session(run({"signals.alpha.estimator": PLUGIN}).path).same


@pytest.mark.usefixtures("announced")
def test_a_plugin_that_fails_disarms_and_the_session_ends_whole(run):
    session = run({"signals.alpha.estimator": {**PLUGIN, "options": {"hz": 10.0, "sd": 0.2, "fails": True}}})
    fired = session.outcome.events[session.outcome.events["kind"] == 1]
    assert 0 < fired.size
    # The 1000th sample of 125 Hz comes 8 s after the run's beginning at 30 s.
    assert fired["now_s"].max() < 38.1
    assert session.summary["refused"]["estimator_failed"] > 0
    assert session.outcome.played_s == pytest.approx(50.0)
    assert replay_session(session.path).same


def test_a_plugin_that_nobody_announced_is_named_with_those_that_are_there(run):
    with pytest.raises(ConfigError) as caught:
        run({"signals.alpha.estimator": PLUGIN})
    message = str(caught.value)
    assert "\n" not in message
    assert "clockwork: there is no such method (installed: " in message
    assert "wiener" in message
