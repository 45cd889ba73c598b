"""Intensity: exact, never above what was asked, and refused above the lower ceiling."""

import datetime
import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from closedloop.config.load import resolved_yaml
from closedloop.errors import ConfigError
from closedloop.protocols.intensity import (
    Ceilings,
    MotorThreshold,
    check_ceilings,
    device_percent,
    percent_of_emg_threshold,
    percent_of_maximum,
    whole_percent,
)
from closedloop.protocols.limit_file import load_limit_file

DAY = datetime.date(2026, 2, 3)
NO_NUMBERS = [math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0]
tenths = st.integers(1, 1000).map(lambda tenth: tenth / 10)
wanted = st.integers(1, 2000).map(lambda tenth: tenth / 10)
ceilings = st.integers(1, 100).map(float)


def threshold(percent=50.0, method="emg"):
    return MotorThreshold(percent_of_maximum=percent, method=method, measured_on=DAY)


@given(percent=tenths, asked=wanted)
def test_the_product_is_that_of_the_decimals_as_written(percent, asked):
    exact = Decimal(str(percent)) * Decimal(str(asked)) / 100
    assert percent_of_maximum(threshold(percent), asked) == Fraction(exact)


def test_a_product_that_floats_would_miss_meets_its_ceiling_and_its_whole_percent():
    assert 55.0 * 1.1 > 60.5  # what floats make of 110 % of 55 %
    check_ceilings(percent_of_maximum(threshold(55.0), 110.0), Ceilings(device=60.5))
    assert 28.999999999999996 == 0.29 * 100.0  # and of 29 % of 100 %, rounded down
    assert device_percent(threshold(100.0), 29.0, Ceilings(device=100.0)) == 29


@pytest.mark.parametrize(("asked", "whole"), [(120.0, 60), (121.0, 60), (121.9, 60), (122.0, 61), (2.0, 1)])
def test_a_device_that_takes_whole_percent_is_set_to_the_next_below(asked, whole):
    assert device_percent(threshold(50.0), asked, Ceilings(device=100.0)) == whole


@given(percent=tenths, asked=wanted)
def test_a_device_is_never_set_above_what_was_asked_nor_a_whole_percent_below(percent, asked):
    exact = percent_of_maximum(threshold(percent), asked)
    if exact < 1:
        with pytest.raises(ConfigError, match="is below 1, the least that a device can be set to"):
            whole_percent(exact)
    else:
        assert exact - 1 < whole_percent(exact) <= exact


@given(percent=tenths, asked=wanted, device=ceilings, pipeline=st.none() | ceilings)
def test_whatever_passes_is_below_both_ceilings_and_nothing_is_clipped(percent, asked, device, pipeline):
    exact = percent_of_maximum(threshold(percent), asked)
    lower = device if pipeline is None else min(device, pipeline)
    try:
        whole = device_percent(threshold(percent), asked, Ceilings(device=device, pipeline=pipeline))
    except ConfigError:
        assert exact > lower or exact < 1
    else:
        assert exact <= lower
        assert whole == exact // 1


@given(percent=tenths, weak=wanted, strong=wanted)
def test_a_higher_intensity_never_gives_a_lower_setting(percent, weak, strong):
    weak, strong = sorted((weak, strong))
    low, high = (percent_of_maximum(threshold(percent), asked) for asked in (weak, strong))
    assert low <= high
    if low >= 1:
        assert whole_percent(low) <= whole_percent(high)


@pytest.mark.parametrize(
    ("device", "pipeline", "told"),
    [
        (80.0, None, "the device's max_percent_of_maximum = 80"),
        (80.0, 90.0, "the device's max_percent_of_maximum = 80"),
        (80.0, 80.0, "the device's max_percent_of_maximum = 80"),
        (80.0, 75.5, "the pipeline's max_percent_of_maximum = 75.5"),
    ],
)
def test_an_intensity_above_the_lower_ceiling_is_refused_with_whose_it_is(device, pipeline, told, refusal):
    message = refusal(device_percent, threshold(70.0), 120.0, Ceilings(device=device, pipeline=pipeline))
    assert message == f"percent_of_maximum = 84: is above {told} (120 % of the motor threshold 70 %)"


def test_an_intensity_is_held_against_a_ceiling_before_it_is_rounded_down(refusal):
    message = refusal(device_percent, threshold(67.0), 120.0, Ceilings(device=80.0))
    assert message.startswith("percent_of_maximum = 80.4: is above the device's max_percent_of_maximum = 80")


def test_an_intensity_just_above_a_ceiling_is_not_shown_as_the_ceiling(refusal):
    assert refusal(check_ceilings, 80.00000001, Ceilings(device=80.0)).startswith("percent_of_maximum = 80.00000001: ")


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_positive_number_is_refused(value, refusal):
    told = f"= {value:g}: must be above 0 and finite"
    everything = Ceilings(device=100.0)
    assert told in refusal(percent_of_maximum, threshold(), value)
    assert told in refusal(percent_of_emg_threshold, threshold(), value)
    assert told in refusal(check_ceilings, value, everything)
    assert told in refusal(whole_percent, value)
    assert told in refusal(device_percent, threshold(), value, everything)
    assert told in refusal(check_ceilings, 50.0, Ceilings(device=value))
    assert told in refusal(check_ceilings, 50.0, Ceilings(device=100.0, pipeline=value))


def test_a_threshold_found_by_eye_counts_as_too_high_against_tables_of_emg_thresholds():
    assert percent_of_emg_threshold(threshold(method="emg"), 120.1) == 120.1
    assert percent_of_emg_threshold(threshold(method="visual"), 120.0) == 133.56


@pytest.mark.parametrize(
    "changed",
    [
        *({"percent_of_maximum": value} for value in [*NO_NUMBERS, 100.1, "50", True]),
        {"method": "guessed"},
        *({"measured_on": value} for value in [None, 0, "yesterday", "20260203", datetime.datetime(2026, 2, 3, 12)]),
        {"rater": "A"},
    ],
)
def test_a_threshold_that_cannot_be_is_refused(changed):
    with pytest.raises(ValidationError):
        MotorThreshold.model_validate({"percent_of_maximum": 50.0, "method": "emg", "measured_on": DAY, **changed})


@pytest.mark.parametrize("written", ["2026-02-03", "'2026-02-03'"])
def test_a_threshold_is_read_from_a_file(written, tmp_path):
    path = tmp_path / "threshold.yaml"
    path.write_text(f"percent_of_maximum: 50\nmethod: emg\nmeasured_on: {written}\n", encoding="utf-8")
    assert load_limit_file(path, MotorThreshold) == threshold()


def test_a_threshold_that_was_written_out_is_read_back(tmp_path):
    path = tmp_path / "threshold.yaml"
    path.write_text(resolved_yaml(threshold(42.3, "visual")), encoding="utf-8")
    assert load_limit_file(path, MotorThreshold) == threshold(42.3, "visual")
