"""What is around an estimator: its rest, the grid of leads, what lies between two of them, and names."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.errors import CalibrationError, ConfigError
from closedloop.estimators.echt import design_echt
from closedloop.estimators.interface import LEAD_STEP_S, LEADS_S, N_LEADS, at_lead, find_estimator
from closedloop.estimators.wiener import design_wiener


def test_a_calibration_of_zeros_is_one_clear_line(make_sine_rest):
    with pytest.raises(CalibrationError, match="no signal") as caught:
        make_sine_rest(amplitude_uv=0.0)
    assert "\n" not in str(caught.value)


@given(st.floats(80.0, 1000.0), st.floats(7.0, 13.0))
def test_targets_ahead_are_right_between_samples(make_sine_rest, sfreq, frequency_hz):
    rest = make_sine_rest(sfreq=sfreq, seconds=2.0, frequency_hz=frequency_hz)
    times_s = np.arange(len(rest.target)) / sfreq
    ahead = 10.0 * np.exp(2j * np.pi * frequency_hz * (times_s[:, None] + LEADS_S))
    targets = rest.targets()
    known = np.isfinite(targets)
    np.testing.assert_allclose(targets[known], ahead[known], atol=1e-8)
    assert known[: -int(0.1 * sfreq) - 2].all()
    assert not known[-1, 1:].any()


def test_our_methods_are_found_by_name():
    assert find_estimator("wiener") is design_wiener
    assert find_estimator("echt") is design_echt


def test_an_unknown_method_is_one_clear_line_that_names_those_there_are():
    with pytest.raises(ConfigError, match=r"estimator = kalman: .*echt.*, wiener") as caught:
        find_estimator("kalman")
    assert "\n" not in str(caught.value)


def test_a_third_party_s_method_is_found_by_its_entry_point(monkeypatch):
    other = SimpleNamespace(name="other", load=lambda: design_echt)
    monkeypatch.setattr(
        "closedloop.estimators.interface.entry_points",
        lambda *, group: [other] if group == "closedloop.estimators" else [],
    )
    assert find_estimator("other") is design_echt


def test_the_grid_of_leads_ends_at_a_tenth_of_a_second():
    assert LEADS_S[0] == 0.0
    assert LEADS_S[-1] == pytest.approx(0.1)
    assert len(LEADS_S) == N_LEADS


def turning(frequency_hz, decay, amplitude=10.0, phase=0.3, leads_s=LEADS_S):
    """Return the predictions, at the leads, of a rhythm that turns and shrinks steadily."""
    return amplitude * np.exp((2j * np.pi * frequency_hz - decay) * np.asarray(leads_s) + 1j * phase)


@given(
    lead_s=st.floats(0.0, 0.1),
    frequency_hz=st.floats(-45.0, 45.0),
    decay=st.floats(-5.0, 20.0),
    phase=st.floats(-4.0, 4.0),
)
def test_between_leads_a_steady_rhythm_is_right_in_phase_and_amplitude(lead_s, frequency_hz, decay, phase):
    """As long as it turns by less than half a cycle between two leads, which is below 50 Hz."""
    z, _ = at_lead(turning(frequency_hz, decay, phase=phase)[None], np.ones((1, N_LEADS)), lead_s)
    expected = turning(frequency_hz, decay, phase=phase, leads_s=lead_s)
    np.testing.assert_allclose(z, [expected], rtol=1e-9)


@pytest.mark.parametrize("lead", range(N_LEADS))
def test_at_a_lead_of_the_grid_it_is_that_lead_s(lead):
    rng = np.random.default_rng(1)
    z = rng.normal(size=(50, N_LEADS)) + 1j * rng.normal(size=(50, N_LEADS))
    sd = rng.uniform(0.1, 1.0, (50, N_LEADS))
    there, its_sd = at_lead(z, sd, LEADS_S[lead])
    np.testing.assert_allclose(there, z[:, lead], rtol=1e-12)
    np.testing.assert_allclose(its_sd, sd[:, lead], rtol=1e-12)


def test_between_leads_the_phase_goes_the_short_way_round():
    z = np.exp(1j * np.radians(np.full((1, N_LEADS), 170.0)))
    z[0, 1] = np.exp(1j * np.radians(-170.0))
    between, _ = at_lead(z, np.ones((1, N_LEADS)), 0.5 * LEAD_STEP_S)
    assert np.degrees(np.angle(between[0])) % 360.0 == pytest.approx(180.0)
    assert abs(between[0]) == pytest.approx(1.0)


def test_between_leads_the_sd_is_interpolated():
    sd = np.arange(float(N_LEADS))[None]
    assert at_lead(turning(10.0, 0.0)[None], sd, 0.034)[1] == pytest.approx([3.4])


def test_what_is_unknown_stays_unknown_and_the_rest_is_as_it_was():
    z, sd = np.tile(turning(10.0, 0.0), (3, 1)), np.ones((3, N_LEADS))
    z[1], sd[1] = np.nan, np.nan
    between, its_sd = at_lead(z, sd, 0.025)
    assert np.isnan(between).tolist() == np.isnan(its_sd).tolist() == [False, True, False]
    assert between[0] == between[2]


def test_without_an_amplitude_there_is_no_warning_and_nothing_endless():
    z = np.zeros((2, N_LEADS), np.complex128)
    z[1, 3] = 1.0
    between, _ = at_lead(z, np.ones((2, N_LEADS)), 0.025)
    assert not np.isinf(between).any()
    assert np.nan_to_num(np.abs(between)).max() == 0.0


@pytest.mark.parametrize("lead_s", [-1e-6, 0.1001, np.nan, np.inf])
def test_a_lead_outside_the_grid_is_refused_with_its_limits(lead_s):
    with pytest.raises(ValueError, match=rf"^lead_s = {lead_s:g} does not lie between 0 and 0\.1$"):
        at_lead(turning(10.0, 0.0)[None], np.ones((1, N_LEADS)), lead_s)
