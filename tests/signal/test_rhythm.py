"""The sliding SNR: high on a rhythm, about 0 dB on noise, and sane on everything else."""

import math

import numpy as np
import pytest

from closedloop.errors import CalibrationError
from closedloop.signal.rhythm import SETTLE_S, WARM_UP_S, design_rhythm, snr_track

SFREQ = 250.0


def pink(seconds, seed, sfreq=SFREQ):
    """Return 1/f noise of 10 µV."""
    n = round(seconds * sfreq)
    rng = np.random.default_rng(seed)
    frequencies = np.fft.rfftfreq(n, 1 / sfreq)
    spectrum = rng.normal(size=frequencies.size) + 1j * rng.normal(size=frequencies.size)
    spectrum[1:] /= np.sqrt(frequencies[1:])
    spectrum[0] = 0.0
    x = np.fft.irfft(spectrum, n)
    return 10.0 * x / x.std()


def track(x, *, sfreq=SFREQ, peak_hz=10.0, every=25, rhythm=None):
    found = np.full(len(x) // every, np.nan)
    snr_track(design_rhythm(sfreq, peak_hz) if rhythm is None else rhythm, x, every, found)
    return found


def sine(seconds, amplitude_uv, frequency_hz=10.0, sfreq=SFREQ):
    return amplitude_uv * np.cos(2 * np.pi * frequency_hz * np.arange(round(seconds * sfreq)) / sfreq)


@pytest.mark.parametrize("peak_hz", [8.0, 10.0, 12.5])
def test_pink_noise_has_about_0_db(peak_hz):
    snr = track(pink(1800.0, 1), peak_hz=peak_hz)
    assert abs(np.nanmean(snr)) < 1.0
    assert np.nanmax(snr) < 15.0


def test_noise_of_another_slope_has_about_0_db_as_well():
    brown = np.diff(np.cumsum(pink(1801.0, 2)))
    assert abs(np.nanmean(track(brown))) < 1.0


def test_a_rhythm_in_noise_is_seen():
    noise = pink(300.0, 3)
    weak, strong = (np.nanmedian(track(noise + sine(300.0, a))) for a in (3.0, 10.0))
    assert weak > 5.0
    assert strong > 15.0
    # Ten times the power, less what the noise adds to the weak one.
    assert 8.0 < strong - weak < 10.5


def test_a_rhythm_beside_the_peak_is_not_mistaken_for_it():
    noise = pink(300.0, 4)
    assert np.nanmedian(track(noise + sine(300.0, 5.0, 22.0))) < 3.0


def test_the_level_of_the_signal_does_not_matter():
    x = pink(60.0, 5) + sine(60.0, 5.0)
    np.testing.assert_allclose(track(1e4 * x), track(x), atol=1e-8)


def test_it_follows_a_rhythm_that_begins_and_ends():
    x = pink(120.0, 6)
    x[round(40 * SFREQ) : round(80 * SFREQ)] += sine(40.0, 15.0)
    snr = track(x)
    seconds = (np.arange(snr.size) + 1) * 25 / SFREQ
    inside = snr[(seconds > 43) & (seconds < 79)]
    after = snr[seconds > 100]
    assert inside.min() > after.max()


def test_before_warm_up_there_is_none():
    snr = track(pink(10.0, 7))
    known = np.flatnonzero(np.isfinite(snr))
    # 0.5 s to settle and 3 s of average.
    assert known[0] * 0.1 == pytest.approx(SETTLE_S + WARM_UP_S, abs=0.2)
    assert np.isfinite(snr[known[0] :]).all()


def test_a_dead_signal_has_none():
    assert np.isnan(track(np.zeros(5000))).all()


def test_missing_samples_pause_the_average_and_spoil_nothing():
    x = pink(300.0, 8) + sine(300.0, 6.0)
    broken = x.copy()
    for start in range(2000, len(x), 2500):
        broken[start : start + 250] = np.nan
    snr, whole = track(broken), track(x)
    # One second is missing in every ten; after it the resonators ring up again.
    unknown = np.isnan(snr[40:])
    assert unknown.mean() == pytest.approx((1.0 + SETTLE_S) / 10.0, abs=0.02)
    assert np.nanmean(snr) == pytest.approx(np.nanmean(whole), abs=1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nothing_but_missing_samples_has_no_snr(value):
    assert np.isnan(track(np.full(5000, value))).all()


def test_an_snr_is_not_kept_alive_by_a_signal_that_has_gone():
    """While every sample is missing the last SNR stays; when samples return the old power must not count for ever."""
    x = np.concatenate([pink(30.0, 9) + sine(30.0, 20.0), np.full(2500, np.nan), pink(60.0, 10)])
    snr = track(x)
    assert snr[-1] < 8.0


@pytest.mark.parametrize(("missing_s", "known"), [(5.0, True), (40.0, False)])
def test_evidence_ages_while_nothing_is_seen(missing_s, known):
    x = np.concatenate([sine(20.0, 20.0) + pink(20.0, 9), np.full(round(SFREQ * missing_s), np.nan), sine(1.0, 20.0)])
    assert np.isfinite(track(x)[-1]) == known


def test_three_hours_do_not_let_it_grow():
    hour = pink(3600.0, 11, 125.0) + sine(3600.0, 5.0, sfreq=125.0)
    rhythm = design_rhythm(125.0, 10.0)
    first, _, last = (track(hour, rhythm=rhythm) for _ in range(3))
    # The first minute still remembers the start.
    np.testing.assert_allclose(last[600:], first[600:], atol=1e-6)


@pytest.mark.parametrize("sfreq", [100.0, 250.0, 512.0, 1000.0])
def test_the_sampling_rate_hardly_matters(sfreq):
    assert np.nanmedian(track(sine(60.0, 5.0, sfreq=sfreq) + pink(60.0, 12, sfreq), sfreq=sfreq)) > 8.0


def test_a_sampling_rate_too_low_is_one_clear_line():
    with pytest.raises(CalibrationError, match=r"sampling rate = 64 Hz .* 74\.8 Hz") as caught:
        design_rhythm(64.0, 10.0)
    assert "\n" not in str(caught.value)


@pytest.mark.uncompiled
def test_the_compiled_snr_equals_the_plain_python(same_as_compiled):
    x = np.random.default_rng(13).normal(0.0, 10.0, 1500)
    x[200:230] = np.nan
    same_as_compiled(snr=track(x))
