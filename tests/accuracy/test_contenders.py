"""Who takes part in a comparison, and with which settings and band."""

from dataclasses import replace

import numpy as np
import pytest

from closedloop.accuracy import contenders as module
from closedloop.accuracy.contenders import OURS, PUBLISHED, TUNED, around, contenders, fixed, share
from closedloop.calibration import tuning
from closedloop.config.estimators import CalibratedEcht, Phastimate, Wiener
from closedloop.errors import ConfigError
from closedloop.estimators.interface import Designed, find_estimator


def named(chosen):
    return [(one.estimator, one.tuning) for one in chosen]


def test_all_take_part_ours_first_then_published_then_tuned():
    expected = [*((n, "ours") for n in OURS), *((n, "published") for n in PUBLISHED), *((n, "tuned") for n in TUNED)]
    assert named(contenders()) == expected


def test_every_published_method_is_also_tuned_and_the_other_way_round():
    assert {settings["type"] for settings, _ in PUBLISHED.values()} == set(TUNED)


def test_every_method_that_is_tuned_has_a_space_of_settings():
    assert set(TUNED) <= set(tuning.SPACES)


NAMED = {
    ("wiener",): {("wiener", "ours"), ("wiener, many channels", "ours")},
    ("echt",): {("echt", "published"), ("echt", "tuned")},
    ("phastimate",): {
        ("phastimate zrenner2018", "published"),
        ("phastimate optimized", "published"),
        ("phastimate device", "published"),
        ("phastimate", "tuned"),
    },
    ("etp", "sspe"): {("etp", "published"), ("etp", "tuned"), ("sspe", "published"), ("sspe", "tuned")},
}


@pytest.mark.parametrize(("names", "expected"), NAMED.items(), ids=map(" ".join, NAMED))
def test_only_those_take_part_whose_method_is_named(names, expected):
    assert set(named(contenders(names))) == expected


def test_a_method_of_another_package_takes_part_as_published_and_tuned():
    assert named(contenders(("wiener", "lab"))) == [
        ("wiener", "ours"),
        ("wiener, many channels", "ours"),
        ("lab", "published"),
        ("lab", "tuned"),
    ]


@pytest.fixture(scope="module")
def rest(cases):
    return replace(cases.real.rest, peak_hz=10.0, band_hz=(7.9, 12.1))


def test_another_package_s_method_is_designed_as_it_comes_and_over_bands(rest, announce, monkeypatch, reciting):
    monkeypatch.setattr(tuning, "HALF_WIDTHS_HZ", (1.0, 3.0))
    monkeypatch.setattr(tuning, "FIXED_BANDS_HZ", ())
    seen = []

    def design(rest, options):
        seen.append((rest.band_hz, options))
        return reciting(np.ones((len(rest.inputs), 11), complex), 0.1)

    published, tuned = contenders((announce("lab", design),))
    assert isinstance(published.make(rest), Designed)
    assert isinstance(tuned.make(rest), Designed)
    assert seen == [((7.9, 12.1), {}), ((9.0, 11.0), {}), ((7.0, 13.0), {})]


def test_a_name_that_nobody_announces_is_refused_when_it_is_designed(rest, one_line_error):
    for one in contenders(("kalman",)):
        assert one_line_error(ConfigError, one.make, rest).startswith("estimator = kalman: there is no such method")


@pytest.mark.parametrize(
    ("rule", "band_hz"), [(fixed(8.0, 13.0), (8.0, 13.0)), (around(2.0), (8.0, 12.0)), (share(0.25), (7.5, 12.5))]
)
def test_a_rule_gives_a_band(rule, band_hz):
    assert rule(10.0) == pytest.approx(band_hz)


BANDS = {
    "echt": (7.5, 12.5),
    "c-echt": (7.5, 12.5),
    "phastimate zrenner2018": (8.0, 13.0),
    "phastimate optimized": (9.0, 11.0),
    "phastimate device": (9.0, 13.0),
    "etp": (8.0, 13.0),
    "sspe": (8.0, 12.0),
    "hilbert_fir": (8.0, 13.0),
    "resonator": (8.0, 12.0),
    "naive": (8.0, 13.0),
}


@pytest.fixture
def designed_with(monkeypatch, rest):
    """Return a function that tells method, band and settings with which a contender is designed."""
    seen = []

    def find(method):
        return lambda rest, settings: seen.append((method, rest.band_hz, settings))

    monkeypatch.setattr(module, "find_estimator", find)

    def of(estimator, tuning):
        (one,) = [one for one in contenders() if (one.estimator, one.tuning) == (estimator, tuning)]
        one.make(rest)
        return seen.pop()

    return of


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_method_is_designed_with_its_own_band_and_settings(designed_with, name):
    method, band_hz, settings = designed_with(name, "published")
    assert band_hz == pytest.approx(BANDS[name])
    assert method == settings.type == PUBLISHED[name][0]["type"]


@pytest.mark.parametrize(("name", "helpers"), [("wiener", "none"), ("wiener, many channels", "all")])
def test_ours_are_designed_on_the_rest_s_own_band_with_and_without_helpers(designed_with, name, helpers):
    assert designed_with(name, "ours") == ("wiener", (7.9, 12.1), Wiener(type="wiener", helpers=helpers))


def test_phastimate_s_three_presets_are_the_published_ones():
    presets = {settings["preset"] for settings, _ in PUBLISHED.values() if settings["type"] == "phastimate"}
    assert presets == set(Phastimate.PRESETS)


def test_a_tuned_method_is_what_tuning_chooses(rest, monkeypatch):
    monkeypatch.setattr(tuning, "HALF_WIDTHS_HZ", (1.0, 2.0))
    monkeypatch.setitem(tuning.SPACES, "c-echt", {"cycles": (2, 3)})
    (tuned,) = [one for one in contenders(("c-echt",)) if one.tuning == "tuned"]
    np.testing.assert_array_equal(tuned.make(rest).state, tuning.tune("c-echt", rest).designed.state)


def test_a_published_method_s_gain_is_one_whatever_rest_says(rest):
    (published,) = [one for one in contenders(("c-echt",)) if one.tuning == "published"]
    expected = find_estimator("c-echt")(replace(rest, band_hz=(7.5, 12.5)), CalibratedEcht(type="c-echt"))
    found = published.make(rest)
    gain = found.state[found.output_at : found.output_at + 22]
    np.testing.assert_array_equal(gain, [1.0] * 11 + [0.0] * 11)
    np.testing.assert_array_equal(found.state, expected.state)
