"""The same run without a rhythm."""

import numpy as np
import pytest

from closedloop.calibration.calibrate import calibrate
from closedloop.session.source import open_source
from closedloop.session.surrogates import CHANNEL, run_surrogate, surrogate_pipeline, surrogate_recording
from closedloop.signal.spectrum import fit_spectrum


@pytest.fixture(scope="module")
def wanting(make_pipeline):
    """Return a pipeline whose limit of the phase SD is so wide that noise reaches the wanted rate too."""
    return make_pipeline(
        {"gates.wanted_rate": {"per_minute": 15.0}, "gates.rhythm_snr_db": "auto", "gates.max_phase_sd_deg": 90.0}
    )


@pytest.fixture(scope="module")
def calibration(wanting, make_device):
    return calibrate(wanting, make_device(), open_source(wanting).rest)


def surrogate(calibration, seed=1, duration_s=600.0):
    return surrogate_recording(calibration.design, duration_s=duration_s, seed=seed)


def test_a_surrogate_is_as_long_and_as_fast_as_the_recording(calibration):
    recording = surrogate(calibration, duration_s=80.0)
    assert recording.duration_s == pytest.approx(80.0)
    assert recording.sfreq == calibration.design.sfreq


def test_a_surrogate_has_no_rhythm(calibration):
    assert calibration.design.fit.snr_db > 10.0
    assert fit_spectrum(surrogate(calibration).samples[:, 0], 125.0).snr_db < 3.0


def test_a_surrogate_has_the_recordings_background(calibration):
    fit = calibration.design.fit
    found = fit_spectrum(surrogate(calibration).samples[:, 0], 125.0)
    flanks = (fit.frequencies_hz > 2.0) & (fit.frequencies_hz < 35.0)
    ratio_db = 10 * np.log10(found.psd[flanks] / fit.background_psd[flanks])
    assert np.mean(ratio_db) == pytest.approx(0.0, abs=0.5)
    assert found.exponent == pytest.approx(fit.exponent, abs=0.1)


def test_a_seed_gives_one_surrogate(calibration):
    first, again, other = (surrogate(calibration, seed).samples for seed in (1, 1, 2))
    np.testing.assert_array_equal(again, first)
    assert abs(np.corrcoef(first[:, 0], other[:, 0])[0, 1]) < 0.1


def test_a_surrogate_is_read_from_its_one_channel_with_the_rhythm_gate_open(make_pipeline):
    pipeline = make_pipeline(
        {
            "channels": {"O1": "misc"},
            "signals.hand": {"spatial": {"type": "single", "channel": "O1"}},
            "gates.quiet": [{"signal": "hand", "peak_to_peak_uv": 10.0}],
        }
    )
    flat = surrogate_pipeline(pipeline)
    assert set(flat.signals) == {"alpha"}
    assert flat.signals["alpha"].spatial.channel == CHANNEL
    assert flat.signals["alpha"].estimator == pipeline.signals["alpha"].estimator
    assert (flat.channels, flat.gates.quiet) == ({}, ())
    assert flat.gates.rhythm_snr_db < -100.0
    assert (flat.target, flat.protocol, flat.limits) == (pipeline.target, pipeline.protocol, pipeline.limits)


def test_a_surrogate_is_calibrated_to_the_same_wanted_rate(wanting, make_device, calibration):
    phases = run_surrogate(wanting, make_device(), calibration, duration_s=330.0, seed=1)
    # 15 a minute for 5 minutes, a fifth of them withheld; noise is no steadier than a rate of this size.
    assert phases.target.size == pytest.approx(15 * 5 * 0.8, rel=0.35)


def test_a_surrogates_own_estimator_predicts_it_better_than_chance_but_worse_than_a_rhythm(
    wanting, make_device, calibration, session
):
    runs = [run_surrogate(wanting, make_device(), calibration, duration_s=330.0, seed=seed) for seed in range(3)]
    spread_deg = [run.statistics().circular_sd_deg for run in runs]
    # A uniform phase would have a circular SD beyond 100 degrees.
    assert max(spread_deg) < 70.0
    assert min(spread_deg) > session.summary["phase_error"]["circular_sd_deg"]


def test_a_surrogate_run_depends_on_its_seed_alone(wanting, make_device, calibration):
    first, again, other = (
        run_surrogate(wanting, make_device(), calibration, duration_s=80.0, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(again.reference, first.reference)
    assert not np.array_equal(other.reference, first.reference)
