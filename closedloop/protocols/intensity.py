"""Intensity in percent of a person's resting motor threshold, and what the device is set to.

Products are exact: a number counts as the decimal that was written, so that 110 % of 42.3 is 46.53. A
device that takes whole percent is set to the next whole number *below*: never to more than was asked.
Ceilings are held against the exact intensity, before that. Above one of them is refused, never clipped.
"""

import datetime
import math
from dataclasses import dataclass
from fractions import Fraction

from closedloop.config.device import Stimulator
from closedloop.config.percent import as_written, whole_below
from closedloop.config.pipeline import Stimulation
from closedloop.config.threshold import MotorThreshold
from closedloop.errors import ConfigError
from closedloop.protocols.refusal import check_positive, shown

VISUAL_OVER_EMG = Fraction("1.113")
"""A threshold found by watching for a twitch over the same person's by EMG: the mean of 20 (0 to 27.8 % more).

Westin GG, Bassi BD, Lisanby SH, Luber B. Determination of motor threshold using visual observation
overestimates transcranial magnetic stimulation dosage: safety implications. Clin Neurophysiol
2014;125:142-147, doi:10.1016/j.clinph.2013.06.187 (abstract seen; online in 2013).
"""


@dataclass(frozen=True)
class Ceilings:
    """The highest intensities that are allowed, in percent of the maximum output; the lower one holds.

    Attributes
    ----------
    device
        The device's.
    pipeline
        The pipeline's, or None where it has none.
    """

    device: float
    pipeline: float | None = None


def percent_of_maximum(threshold: MotorThreshold, percent_of_motor_threshold: float) -> Fraction:
    """Return an intensity in percent of the maximum output, exactly.

    Raises
    ------
    ConfigError
        Where the percentage is no finite number above 0.
    """
    check_positive("percent_of_motor_threshold", percent_of_motor_threshold)
    return as_written(threshold.percent_of_maximum) * as_written(percent_of_motor_threshold) / 100


def percent_of_emg_threshold(threshold: MotorThreshold, percent_of_motor_threshold: float) -> float:
    """Return the intensity in percent of the threshold as EMG would have given it, on average.

    The tables of safe trains are in percent of that threshold. One found by eye counts as 11.3 % too
    high: 120 % of it is 133.56 % by EMG. For a single person it can be more, up to 27.8 % in 20 people.

    Raises
    ------
    ConfigError
        Where the percentage is no finite number above 0.
    """
    check_positive("percent_of_motor_threshold", percent_of_motor_threshold)
    if threshold.method == "emg":
        return percent_of_motor_threshold
    return float(as_written(percent_of_motor_threshold) * VISUAL_OVER_EMG)


def check_ceilings(percent: float | Fraction, ceilings: Ceilings) -> None:
    """Refuse an intensity above the lower of the two ceilings, all in percent of the maximum output.

    Raises
    ------
    ConfigError
        One line with value, limit, and whose it is; also where one of the numbers is not finite and above 0.
    """
    check_positive("percent_of_maximum", percent)
    check_positive("the device's max_percent_of_maximum", ceilings.device)
    whose, ceiling = "the device's", ceilings.device
    if ceilings.pipeline is not None:
        check_positive("the pipeline's max_percent_of_maximum", ceilings.pipeline)
        if ceilings.pipeline < ceilings.device:
            whose, ceiling = "the pipeline's", ceilings.pipeline
    if not as_written(percent) <= as_written(ceiling):
        raise ConfigError(
            f"percent_of_maximum = {shown(percent, beside=ceiling)}: is above {whose} max_percent_of_maximum = "
            f"{shown(ceiling)}"
        )


def whole_percent(percent: float | Fraction) -> int:
    """Return the whole percent that a device is set to: rounded down, so that it never gives more than was asked.

    Raises
    ------
    ConfigError
        Where the percentage is no finite number above 0, or nothing is left of it.
    """
    check_positive("percent_of_maximum", percent)
    whole = whole_below(percent)
    if whole < 1:
        raise ConfigError(f"percent_of_maximum = {shown(percent)}: is below 1, the least that a device can be set to")
    return whole


def device_percent(threshold: MotorThreshold, percent_of_motor_threshold: float, ceilings: Ceilings) -> int:
    """Return the whole percent of the maximum output for an intensity that neither ceiling forbids.

    Raises
    ------
    ConfigError
        One line with value, limit, and whose it is.
    """
    percent = percent_of_maximum(threshold, percent_of_motor_threshold)
    try:
        check_ceilings(percent, ceilings)
        return whole_percent(percent)
    except ConfigError as error:
        raise ConfigError(
            f"{error} ({shown(percent_of_motor_threshold)} % of the motor threshold "
            f"{shown(threshold.percent_of_maximum)} %)"
        ) from None


def planned_intensity(stimulation: Stimulation, device: Stimulator, ceilings: Ceilings) -> tuple[float, float]:
    """Return how strong pulses are: in percent of the maximum output, and of the motor threshold as EMG gives it.

    The second is NaN where no threshold is known, which allows no trains.

    Raises
    ------
    ConfigError
        Above a ceiling, or where a threshold is needed and there is none.
    """
    intensity, threshold = stimulation.intensity, _threshold(stimulation, device)
    if intensity.percent_of_maximum is not None:
        check_ceilings(intensity.percent_of_maximum, ceilings)
        if threshold is None:
            return intensity.percent_of_maximum, math.nan
        asked = 100 * as_written(intensity.percent_of_maximum) / as_written(threshold.percent_of_maximum)
        return intensity.percent_of_maximum, percent_of_emg_threshold(threshold, float(asked))
    wanted = intensity.percent_of_motor_threshold
    assert wanted is not None
    if threshold is None:
        raise ConfigError(
            f"percent_of_motor_threshold = {shown(wanted)}: the subject's threshold is not known: give "
            "stimulator.motor_threshold, or the intensity as percent_of_maximum"
        )
    return float(device_percent(threshold, wanted, ceilings)), percent_of_emg_threshold(threshold, wanted)


def ceiling_of_envelope(stimulation: Stimulation, device: Stimulator, percent_by_emg: float) -> float:
    """Return the highest intensity in percent of the maximum output for one in percent of the threshold by EMG.

    Raises
    ------
    ConfigError
        Where no threshold is known.
    """
    threshold = _threshold(stimulation, device)
    if threshold is None:
        raise ConfigError("the subject's motor threshold is not known, in percent of which the envelope is")
    over = VISUAL_OVER_EMG if threshold.method == "visual" else 1
    return float(as_written(threshold.percent_of_maximum) * as_written(percent_by_emg) / over / 100)


def _threshold(stimulation: Stimulation, device: Stimulator) -> MotorThreshold | None:
    """Return the subject's threshold, or that of the head that a simulated device has."""
    if stimulation.motor_threshold is None and device.threshold_percent is not None:
        return MotorThreshold(percent_of_maximum=device.threshold_percent, method="emg", measured_on=datetime.date.min)
    return stimulation.motor_threshold
