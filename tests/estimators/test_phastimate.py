"""phastimate against the published procedure, step by step in NumPy and SciPy, and where it must refuse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import linalg, signal

from closedloop.config.estimators import Phastimate
from closedloop.errors import CalibrationError
from closedloop.estimators.interface import LEADS_S, N_LEADS, Rest, predict
from closedloop.estimators.phastimate import band_pass, design_phastimate
from closedloop.signal.training_target import training_target

BAND_HZ = (9.0, 13.0)
PEAK_HZ = 10.5
PRESETS = ["zrenner2018", "optimized", "device"]


def published(window, taps, *, edge, ar_order, hilbert, lead=0):
    """Return amplitude and phase, as a complex number, by the published procedure.

    Zrenner et al. 2020, one statement for each step: mean off; zero-phase filter with a reflection of three
    times its order; both edges off; Yule-Walker on the biased autocovariance; prediction, value by value, of
    edge + ceil(H / 2) values and of the lead's; Hilbert transform of the last H; the phase at the 1-based
    index end - predicted + edge (with the lead: so many values later in the series, which is as much
    longer), the mean amplitude.
    """
    x = window - window.mean()
    y = signal.filtfilt(taps, 1.0, x, padtype="odd", padlen=3 * (taps.size - 1))
    y = y[edge : y.size - edge]
    covariance = np.array([np.sum(y[: y.size - k] * y[k:]) / y.size for k in range(ar_order + 1)])
    weights = linalg.solve_toeplitz(covariance[:-1], covariance[1:])
    predicted = edge + math.ceil(hilbert / 2)
    series = list(y)
    for _ in range(predicted + lead):
        series.append(weights @ series[: -ar_order - 1 : -1])
    z = signal.hilbert(series[-hilbert:])
    last_real = hilbert - predicted + edge - 1
    return np.abs(z).mean() * z[last_real] / abs(z[last_real])


def draw_eeg(sfreq, seconds, seed=0):
    """Return a rhythm that wanders in phase, in coloured noise with an offset, in µV."""
    rng = np.random.default_rng(seed)
    n_samples = round(sfreq * seconds)
    wander = np.cumsum(rng.normal(0.0, 1.0, n_samples)) * 2.0 / math.sqrt(sfreq)
    rhythm = 8.0 * np.cos(2 * np.pi * PEAK_HZ * np.arange(n_samples) / sfreq + wander)
    return 30.0 + rhythm + signal.lfilter([3.0], [1.0, -0.95], rng.normal(0.0, 1.0, n_samples))


def rest_of(x, sfreq, band_hz=BAND_HZ):
    return Rest(x[:, None], training_target(x, sfreq, band_hz), sfreq, band_hz, PEAK_HZ)


def expected(x, sfreq, facts, kind, rows, lead):
    """Return the published estimate after each row, turned on by what a whole number of samples leaves of a lead."""
    taps = band_pass(facts["filter_order"], sfreq, BAND_HZ, kind=kind)
    lengths = {key: facts[key] for key in ("edge", "ar_order", "hilbert")}
    whole = math.floor(LEADS_S[lead] * sfreq + 1e-9)
    turn = np.exp(2j * np.pi * PEAK_HZ * (LEADS_S[lead] - whole / sfreq))
    return turn * np.array([published(x[i + 1 - facts["window"] : i + 1], taps, **lengths, lead=whole) for i in rows])


def assert_same(z, wanted):
    assert np.degrees(np.abs(np.angle(z / wanted))).max() < 1e-6
    gain = np.abs(z / wanted)  # one for the lead: a departure from the paper
    np.testing.assert_allclose(gain, gain[0], rtol=1e-8)


@pytest.mark.parametrize(("sfreq", "n_windows"), [(250.0, 60), (500.0, 60), (1000.0, 6)])
@pytest.mark.parametrize("preset", PRESETS)
def test_it_equals_the_published_procedure_with_the_published_settings(preset, sfreq, n_windows):
    x = draw_eeg(sfreq, 8.0)
    chosen = Phastimate(type="phastimate", preset=preset)
    designed = design_phastimate(rest_of(x, sfreq), chosen)
    z, _ = predict(designed, x[:, None])
    rows = np.linspace(designed.facts["window"] - 1, x.size - 1, n_windows).astype(int)
    for lead in (0, 5):
        assert_same(z[rows, lead], expected(x, sfreq, designed.facts, chosen.filter, rows, lead))


@settings(max_examples=60)
@given(
    sfreq=st.sampled_from([125.0, 250.0, 500.0, 512.0]),
    window_s=st.floats(0.3, 1.0),
    kind=st.sampled_from(["window", "least_squares"]),
    order=st.floats(0.1, 0.97),
    edge=st.floats(0.01, 0.3),
    ar_order_s=st.floats(0.01, 0.06),
    hilbert=st.floats(0.1, 0.6),
    lead=st.integers(0, N_LEADS - 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_equals_the_published_procedure_for_any_lengths(
    sfreq, window_s, kind, order, edge, ar_order_s, hilbert, lead, seed
):
    chosen = Phastimate(
        type="phastimate",
        window_s=window_s,
        filter=kind,
        filter_order_s=max(order * (window_s / 3 - 2 / sfreq), 3 / sfreq),
        edge_s=edge * window_s,
        ar_order_s=ar_order_s,
        hilbert_s=hilbert * window_s,
    )
    x = draw_eeg(sfreq, 4.1, seed)
    designed = design_phastimate(rest_of(x, sfreq), chosen)
    z, _ = predict(designed, x[:, None])
    rows = np.linspace(designed.facts["window"] - 1, x.size - 1, 8).astype(int)
    assert_same(z[rows, lead], expected(x, sfreq, designed.facts, kind, rows, lead))


@pytest.mark.parametrize(
    ("preset", "sfreq", "lengths"),
    [
        ("zrenner2018", 1000.0, (500, 128, 64, 30, 128)),
        ("optimized", 1000.0, (719, 192, 64, 30, 128)),
        ("device", 500.0, (500, 70, 35, 15, 64)),
    ],
)
def test_the_presets_have_the_published_lengths_at_the_published_rates(preset, sfreq, lengths):
    facts = design_phastimate(rest_of(draw_eeg(sfreq, 5.0), sfreq), Phastimate(type="phastimate", preset=preset)).facts
    assert tuple(facts[key] for key in ("window", "filter_order", "edge", "ar_order", "hilbert")) == lengths


def test_the_window_filter_is_a_hamming_weighted_band_of_gain_one_in_its_middle():
    """By its definition: ideal impulse response, weighted, scaled."""
    n = np.arange(-64, 65)
    ideal = 2 * 13 / 1000 * np.sinc(2 * 13 / 1000 * n) - 2 * 8 / 1000 * np.sinc(2 * 8 / 1000 * n)
    taps = ideal * (0.54 + 0.46 * np.cos(np.pi * n / 64))
    taps /= np.sum(taps * np.cos(2 * np.pi * 10.5 / 1000 * n))
    np.testing.assert_allclose(band_pass(128, 1000.0, (8.0, 13.0), kind="window"), taps, atol=1e-12)


def test_the_least_squares_filter_is_the_device_s():
    taps = signal.firls(71, [0, 6, 9, 13, 16, 250], [0, 0, 1, 1, 0, 0], fs=500)
    np.testing.assert_array_equal(band_pass(70, 500.0, (9.0, 13.0), kind="least_squares"), taps)


@pytest.mark.parametrize(("preset", "within_deg"), [("zrenner2018", 7.0), ("optimized", 13.0), ("device", 20.0)])
def test_a_pure_sine_is_off_by_as_much_as_its_module_says(preset, within_deg):
    x = 20.0 * np.cos(2 * np.pi * 10.0 * np.arange(2500) / 500.0)
    designed = design_phastimate(rest_of(x, 500.0, (8.0, 12.0)), Phastimate(type="phastimate", preset=preset))
    z = predict(designed, x[:, None])[0][500:, 0]
    error = np.angle(z * np.exp(-2j * np.pi * 10.0 * np.arange(500, 2500) / 500.0))
    assert within_deg - 1.0 < np.degrees(np.abs(error)).max() < within_deg
    assert 12.0 < np.abs(z).mean() < 20.0


def test_means_of_several_samples_are_not_late():
    """At 4000 Hz a value is the mean of 4 samples, and 1.5 samples old: 1.4 degrees of this rhythm."""
    fine = draw_eeg(4000.0, 8.0)
    values = fine.reshape(-1, 4).mean(axis=1)
    chosen = Phastimate(type="phastimate")
    z, _ = predict(design_phastimate(rest_of(fine, 4000.0), chosen), fine[:, None])
    coarse, _ = predict(design_phastimate(rest_of(values, 1000.0), chosen), values[:, None])
    turn = np.exp(2j * np.pi * PEAK_HZ * 1.5 / 4000.0)
    rows = np.arange(999, values.size)
    np.testing.assert_allclose(np.angle(z[4 * rows + 3, 0] / (coarse[rows, 0] * turn)), 0.0, atol=1e-7)


@pytest.fixture(scope="module")
def designed():
    return design_phastimate(rest_of(draw_eeg(250.0, 20.0), 250.0), Phastimate(type="phastimate"))


@pytest.mark.parametrize("factor", [1e-4, 0.3, 1e4])
def test_the_unit_of_the_signal_does_not_matter_to_the_phase(designed, factor):
    x = draw_eeg(250.0, 6.0)[:, None]
    whole, scaled = predict(designed, x)[0][250:], predict(designed, factor * x)[0][250:]
    np.testing.assert_allclose(scaled / (factor * whole), 1.0, atol=1e-8)


@pytest.mark.parametrize("value", [0.0, 5.1, 1e200])
def test_a_flat_signal_is_no_crash_and_leaves_nothing_behind(designed, value):
    x = draw_eeg(250.0, 9.0)
    flat = x.copy()
    flat[600:1000] = value
    z, sd = predict(designed, flat[:, None])
    whole, whole_sd = predict(designed, x[:, None])
    if value != 5.1:
        assert np.isnan(z[800:1000]).all()
        assert np.isnan(sd[800:1000]).all()
    np.testing.assert_array_equal(z[1200:], whole[1200:])
    np.testing.assert_array_equal(sd[1200:], whole_sd[1200:])


def test_a_step_is_finite(designed):
    x = np.concatenate([np.zeros(300), np.full(300, 500.0)])
    assert np.isfinite(predict(designed, x[:, None])[0][301:470]).all()


def test_samples_that_are_not_asked_about_change_no_later_answer(designed):
    x = draw_eeg(250.0, 4.0)[:, None]
    always, seldom = predict(designed, x), predict(designed, x, every=7)
    np.testing.assert_array_equal(seldom[0][6::7], always[0][6::7])
    np.testing.assert_array_equal(seldom[1][6::7], always[1][6::7])
    assert np.isnan(seldom[0][:6]).all()


def waxing(seed):
    """Return a rhythm of 10 µV that waxes and wanes as a narrow Gaussian process does, in noise, and its target."""
    rng = np.random.default_rng(seed)
    envelope = rng.normal(size=50_000) + 1j * rng.normal(size=50_000)
    for _ in range(2):
        envelope = signal.lfilter([1.0], [1.0, -np.exp(-np.pi / 250.0)], envelope)
    envelope *= 10.0 / np.sqrt(np.mean(np.abs(envelope) ** 2))
    target = envelope * np.exp(2j * np.pi * PEAK_HZ * np.arange(50_000) / 250.0)
    return Rest((target.real + rng.normal(0.0, 5.0, 50_000))[:, None], target, 250.0, BAND_HZ, PEAK_HZ)


@pytest.mark.parametrize("lead", [0, 3])
def test_it_knows_the_sd_of_its_error_and_when_it_is_small(lead):
    fresh = waxing(2)
    designed = design_phastimate(waxing(1), Phastimate(type="phastimate"))
    z, sd = predict(designed, fresh.inputs, stop=lead + 1, every=5)
    truth = fresh.targets()[:, lead]
    known = np.isfinite(truth) & np.isfinite(sd[:, lead])
    error, sd = np.angle(z[known, lead] / truth[known]), sd[known, lead]
    thirds = np.array_split(np.argsort(sd), 3)
    spread = [np.sqrt(-2 * np.log(np.mean(np.cos(error[third])))) for third in thirds]
    promised = [np.sqrt(-2 * np.log(np.mean(np.exp(-(sd[third] ** 2) / 2)))) for third in thirds]
    assert spread[0] < spread[1] < spread[2]
    np.testing.assert_allclose(promised, spread, rtol=0.2)


@pytest.mark.uncompiled
def test_compiled_and_uncompiled_say_the_same(same_as_compiled):
    chosen = Phastimate(type="phastimate")
    x = draw_eeg(125.0, 3.2)
    x[200] = np.nan
    designed = design_phastimate(rest_of(draw_eeg(125.0, 3.0), 125.0), chosen)
    z, sd = predict(designed, x[:, None], every=10)
    flat, _ = predict(designed, np.zeros((120, 1)), every=10)
    assert np.isnan(flat).all()
    same_as_compiled(z=z, sd=sd, state=designed.state)


def refusal(sfreq=250.0, seconds=10.0, band_hz=BAND_HZ, **chosen):
    with pytest.raises(CalibrationError) as caught:
        design_phastimate(rest_of(draw_eeg(sfreq, seconds), sfreq, band_hz), Phastimate(type="phastimate", **chosen))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_designed_is_one_clear_line():
    assert refusal(seconds=2.5) == (
        "calibration of 2.5 s is too short for a window of 0.719 s: at least 2.876 s are needed"
    )
    assert refusal(band_hz=(2.5, 6.0), preset="device") == (
        "the band-pass of phastimate from -0.5 to 9 Hz does not lie within 0 and 125 Hz, half of the rate of its values"
    )
    assert "does not lie within 0 and 40 Hz" in refusal(sfreq=80.0, band_hz=(20.0, 41.0))
    assert refusal(hilbert_s=0.01) == "hilbert_s = 0.01 is 2 at 250 Hz, and at least 4 values are needed"
    # 0.332 s and 0.998 s fit in seconds; rounded to 100 Hz they are 33 and 100 values, then 34 for an even order
    assert refusal(sfreq=100.0, filter="least_squares", window_s=0.998, filter_order_s=0.332) == (
        "window_s = 0.998 is 100 values at 100 Hz; three times the filter's order, here 102, must be less"
    )


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"window_s": 0.5}, r"3 \* filter_order_s = 0.576 must be less than window_s = 0.5"),
        ({"edge_s": 0.35}, r"2 \* edge_s \+ ar_order_s = 0.73 must be less than window_s = 0.719"),
        ({"hilbert_s": 1.4}, r"edge_s \+ hilbert_s / 2 = 0.764 must be less than window_s = 0.719"),
        ({"preset": ["device"]}, "preset"),
    ],
)
def test_settings_that_cannot_fit_are_refused_before_any_rest_is_recorded(chosen, message):
    with pytest.raises(ValidationError, match=message):
        Phastimate(type="phastimate", **chosen)


def test_a_setting_that_is_given_goes_before_the_preset_s():
    chosen = Phastimate(type="phastimate", preset="zrenner2018", window_s=0.6)
    assert (chosen.window_s, chosen.filter_order_s) == (0.6, 0.128)
