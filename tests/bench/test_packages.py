"""Other packages take part in comparisons with what they really say, at the sample asked for."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from closedloop.estimators.echt import echt_weights

BENCH = Path(__file__).parents[2] / "bench"
SFREQ, PEAK_HZ, BAND_HZ = 250.0, 10.0, (8.0, 12.0)
SAMPLE_DEG = 360.0 * PEAK_HZ / SFREQ
KNOWN_DEG = {
    # largest bias, largest circular SD on a sine, in degrees
    "meegkit ECHT": (9.0, 0.1),
    "meegkit ResOscillator": (1.0, 2.0),
    "meegkit NonResOscillator": (1.0, 1.0),
    "eegphasepy PHASTIMATE": (20.0, 50.0),  # its model is unstable in many windows
    "eegphasepy ETP": (SAMPLE_DEG / 2, SAMPLE_DEG / 2),  # it waits for whole samples
}


@pytest.fixture
def packages(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    import packages

    return packages


@pytest.fixture(params=list(KNOWN_DEG))
def adapter(packages, request):
    (found,) = (one for one in packages.ADAPTERS if one.name == request.param)
    if find_spec(found.module) is None:
        pytest.skip(f"{found.distribution} is not installed")
    return found


def sine(duration_s):
    return 10.0 * np.exp(1j * (2 * np.pi * PEAK_HZ * np.arange(round(duration_s * SFREQ)) / SFREQ + 1.0))


def noisy(duration_s, seed=0):
    z = sine(duration_s)
    return z.real + np.random.default_rng(seed).standard_normal(z.size)


def bias_and_sd_deg(truth, found):
    mean = np.exp(1j * np.angle(truth * found.conj())).mean()
    return np.degrees(np.angle(mean)), np.degrees(np.sqrt(-2.0 * np.log(min(abs(mean), 1.0))))


def test_every_adapter_is_either_available_or_missing(packages):
    found = {adapter.distribution for adapter in packages.available()}
    assert found.isdisjoint(packages.missing())
    assert found | set(packages.missing()) == {"meegkit", "eegphasepy"}


def test_a_package_that_is_not_installed_is_missing(packages, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    assert packages.available() == []
    assert packages.missing() == ["eegphasepy", "meegkit"]


def test_every_adapter_has_its_known_accuracy_here(packages):
    assert [adapter.name for adapter in packages.ADAPTERS] == list(KNOWN_DEG)


def test_an_adapter_is_as_accurate_on_a_sine_as_it_is_known_to_be(adapter):
    truth = sine(60.0)
    places = np.arange(500, truth.size, 37)
    found = adapter.phases(truth.real.copy(), SFREQ, BAND_HZ, PEAK_HZ, places)
    assert np.isfinite(found).all()
    bias_deg, sd_deg = bias_and_sd_deg(truth[places], found)
    most_bias_deg, most_sd_deg = KNOWN_DEG[adapter.name]
    assert abs(bias_deg) <= most_bias_deg
    assert sd_deg <= most_sd_deg


def test_an_adapter_uses_nothing_that_comes_after(adapter):
    x, places = noisy(8.0), np.arange(300, 1000, 61)
    changed = np.concatenate([x[:1001], 1e3 * noisy(4.0, seed=1)])
    assert np.array_equal(
        adapter.phases(x, SFREQ, BAND_HZ, PEAK_HZ, places),
        adapter.phases(changed, SFREQ, BAND_HZ, PEAK_HZ, places),
        equal_nan=True,
    )


def test_an_answer_does_not_depend_on_what_else_is_asked(adapter):
    x, places = noisy(8.0), np.arange(300, 1900, 61)
    together = adapter.phases(x, SFREQ, BAND_HZ, PEAK_HZ, places)
    alone = [adapter.phases(x, SFREQ, BAND_HZ, PEAK_HZ, places[k : k + 1])[0] for k in (0, 10, 20)]
    assert np.array_equal(together[[0, 10, 20]], alone, equal_nan=True)


def test_an_adapter_says_nothing_of_a_signal_s_first_samples(adapter):
    assert np.isnan(adapter.phases(noisy(4.0), SFREQ, BAND_HZ, PEAK_HZ, np.arange(100))).all()


@pytest.mark.parametrize("places", [[-1], [1000]])
def test_a_place_outside_the_signal_is_refused(adapter, places):
    with pytest.raises(ValueError, match="outside 0 to 999"):
        adapter.phases(noisy(4.0), SFREQ, BAND_HZ, PEAK_HZ, np.array(places))


def test_a_gap_is_refused(adapter):
    x = noisy(4.0)
    x[7] = np.nan
    with pytest.raises(ValueError, match="1 samples that are not finite"):
        adapter.phases(x, SFREQ, BAND_HZ, PEAK_HZ, np.array([500]))


@pytest.mark.parametrize("sfreq", [250, 251])  # of these, the package would pad the second to 252
def test_meegkit_s_echt_over_one_second_is_ours(packages, sfreq):
    pytest.importorskip("meegkit")
    x, places = noisy(8.0), np.arange(sfreq, 2000, 61)
    weights = echt_weights(sfreq, sfreq, BAND_HZ, order=2)
    ours = [weights @ x[place - sfreq + 1 : place + 1] for place in places]
    found = packages.MeegkitEcht().phases(x, float(sfreq), BAND_HZ, PEAK_HZ, places)
    np.testing.assert_allclose(found, ours, rtol=1e-6)


@pytest.mark.parametrize("name", ["MeegkitResonant", "MeegkitNonResonant"])
def test_meegkit_s_oscillators_tell_the_amplitude(packages, name):
    pytest.importorskip("meegkit")
    found = getattr(packages, name)().phases(sine(20.0).real.copy(), SFREQ, BAND_HZ, PEAK_HZ, np.arange(1000, 5000, 37))
    assert np.abs(found) == pytest.approx(10.0, rel=0.1)


def test_a_fresh_resonant_oscillator_keeps_clear_of_the_offset_that_an_old_one_gathers(packages):
    pytest.importorskip("meegkit")
    truth, places = sine(60.0), np.arange(12_500, 15_000, 7)
    x = truth.real.copy()
    old = packages.MeegkitResonant(restart_s=1e3).phases(x, SFREQ, BAND_HZ, PEAK_HZ, places)
    fresh = packages.MeegkitResonant().phases(x, SFREQ, BAND_HZ, PEAK_HZ, places)
    assert bias_and_sd_deg(truth[places], fresh)[1] < 2.0 < 20.0 < bias_and_sd_deg(truth[places], old)[1]


@pytest.mark.filterwarnings("ignore:yule_walker currently returns:FutureWarning")
def test_the_phase_taken_from_phastimate_is_the_one_that_it_decides_by(packages):
    pytest.importorskip("EEGPhasePy")
    estimator = packages.EegphasepyPhastimate().estimator(SFREQ, BAND_HZ)
    x = noisy(8.0)
    for stop in range(300, 2000, 61):
        following_deg = float(np.degrees(np.angle(packages.last_two(estimator, x[stop - 180 : stop])[1])) % 360.0)
        if not 10.0 < following_deg < 350.0:
            continue  # there it loses phases at the turn of the circle
        decisions = [estimator.predict(x[stop - 180 : stop], following_deg + off, 1.0) for off in (-2.0, 0.0, 2.0)]
        assert decisions == [False, True, False]


def test_phastimate_s_phase_is_that_of_the_window_s_last_sample(packages):
    pytest.importorskip("EEGPhasePy")
    truth, places = sine(30.0), np.arange(500, 7500, 7)
    found = packages.EegphasepyPhastimate().phases(truth.real.copy(), SFREQ, BAND_HZ, PEAK_HZ, places)
    # The median: windows whose model is unstable are far off to either side.
    assert abs(np.median(np.degrees(np.angle(truth[places] * found.conj())))) < SAMPLE_DEG / 4


def test_the_phase_taken_from_etp_turns_with_its_waiting_time(packages):
    pytest.importorskip("EEGPhasePy")
    x = sine(8.0).real.copy()
    places = np.arange(1000, 1025)
    found = packages.EegphasepyEtp().phases(x, SFREQ, BAND_HZ, PEAK_HZ, places)
    turns_deg = np.degrees(np.angle(found[1:] / found[:-1]))
    assert turns_deg == pytest.approx(SAMPLE_DEG, abs=SAMPLE_DEG + 1e-6)
    assert turns_deg.mean() == pytest.approx(SAMPLE_DEG)


def test_etp_is_fitted_where_three_minutes_precede(packages):
    pytest.importorskip("EEGPhasePy")
    x = noisy(185.0)
    long = packages.Asked(x, SFREQ, BAND_HZ, 12.0, np.array([46_000]))
    short = packages.Asked(x, SFREQ, BAND_HZ, 12.0, np.array([44_999, 46_000]))
    assert packages.EegphasepyEtp().estimator(long).period == SFREQ / PEAK_HZ
    assert packages.EegphasepyEtp().estimator(short).period == round(SFREQ / 12.0)
