"""What a pipeline, a device and a protocol's envelope allow becomes the gate's limits on how much is given."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from closedloop.calibration.whole_plan import ceilings, stimulates_nobody
from closedloop.config.device import Stimulator
from closedloop.config.fit import shortest_interval_s
from closedloop.config.limits import RateCap
from closedloop.config.pipeline import Pipeline
from closedloop.config.source import Lsl
from closedloop.core.command import MAX_LEASED
from closedloop.core.exposure import CAP, Exposure, make_exposure
from closedloop.core.state import CONDITION, OPEN_LIMITS
from closedloop.protocols.envelope import check_signed
from closedloop.protocols.envelope_file import Envelope
from closedloop.protocols.intensity import ceiling_of_envelope, planned_intensity
from closedloop.protocols.safe_trains import load_chosen, train_rules
from closedloop.protocols.train_rules import TrainRules
from closedloop.signal.circular import wrap


def dose(pipeline: Pipeline, device: Stimulator, train_hz: float) -> tuple[dict[str, float], Exposure]:
    """Return the fields of ``LIMITS`` that limit how much is given, and windows and table of trains.

    Parameters
    ----------
    pipeline, device
        What is asked for, and of what.
    train_hz
        Frequency of trains, in Hz; single pulses have none.

    Raises
    ------
    ConfigError
        Where there is no such table or envelope, nobody has signed it and somebody may be stimulated, or no table
        says how soon trains may follow each other.
    """
    chosen = load_chosen(pipeline.limits)
    _, percent = planned_intensity(pipeline.stimulator, device, ceilings(pipeline, device))
    rules = train_rules(pipeline, chosen, frequency_hz=train_hz, percent=percent)
    envelope = chosen if isinstance(chosen, Envelope) else None
    if envelope is not None and not stimulates_nobody(pipeline, device):
        check_signed(envelope)
    return _limits(pipeline, device, rules, envelope), _exposure(pipeline, device, rules)


def limits_of_device(device: Stimulator) -> dict[str, float]:
    """Return the fields of ``LIMITS`` by which a device holds a single pulse, whatever a pipeline says."""
    theirs = device.limits
    return _opened(
        {
            "min_interval_s": theirs.min_interval_s + device.spread_s,
            "max_percent": theirs.max_percent_of_maximum,
            "max_train_pulses": theirs.max_pulses_per_train,
            "recharge_s": theirs.recharge_s + device.spread_s,
            "max_pulses_day": theirs.max_pulses_per_day,
            "max_status_age_s": theirs.max_status_age_s,
            "max_coil_c": theirs.max_coil_c,
        }
    )


def caps_of_device(device: Stimulator, more: Iterable[RateCap] = ()) -> NDArray[np.void]:
    """Return records of type ``CAP``: the windows of a device, and others, widened by the spread of its pulses."""
    caps = [(cap.window_s + device.spread_s, cap.max_pulses) for cap in (*device.limits.rate_caps, *more)]
    return np.array(caps, CAP)


def _limits(pipeline: Pipeline, device: Stimulator, rules: TrainRules, envelope: Envelope | None) -> dict[str, float]:
    """Return the strictest of what pipeline, device and envelope allow."""
    own, theirs = pipeline.limits, limits_of_device(device)
    shortest_s, _ = shortest_interval_s(pipeline, device)
    train_gaps_s = (own.min_train_gap_s, device.limits.min_train_gap_s, rules.min_gap_s)
    limits: dict[str, float | None] = {
        **theirs,
        "max_pulses": _least(own.max_pulses, device.limits.max_pulses_per_session),
        "min_interval_s": shortest_s,
        "max_percent": _least(own.max_percent_of_maximum, theirs["max_percent"]),
        "max_train_pulses": _least(own.max_pulses_per_train, theirs["max_train_pulses"]),
        "min_train_gap_s": max(gap_s for gap_s in train_gaps_s if gap_s is not None) + device.spread_s,
        "max_pulses_day": _least(own.max_pulses_per_day, theirs["max_pulses_day"]),
        "max_pulses_course": own.max_pulses_per_course,
        "min_session_gap_s": None,
    }
    if not isinstance(pipeline.source, Lsl):
        # Played back, the simulated stimulator lives in the same program and has nothing to tell.
        limits["max_status_age_s"] = None
    if envelope is not None:
        gap = envelope.min_inter_session_interval_s
        limits |= {
            "max_pulses": _least(limits["max_pulses"], envelope.max_pulses_per_session.value),
            "max_percent": _least(
                limits["max_percent"],
                ceiling_of_envelope(pipeline.stimulator, device, envelope.max_percent_of_motor_threshold.value),
            ),
            "max_train_pulses": _least(limits["max_train_pulses"], envelope.trains[0].max_pulses_per_train.value),
            "max_pulses_day": _least(limits["max_pulses_day"], envelope.max_pulses_per_24_h.value),
            "min_session_gap_s": None if gap is None else gap.value,
        }
    return _opened(limits)


def _opened(limits: Mapping[str, float | None]) -> dict[str, float]:
    """Return limits with those that nobody sets wide open."""
    return {name: OPEN_LIMITS[name] if value is None else value for name, value in limits.items()}


def _least(*limits: float | None) -> float | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _exposure(pipeline: Pipeline, device: Stimulator, rules: TrainRules) -> Exposure:
    return make_exposure(
        caps_of_device(device, pipeline.limits.rate_caps),
        np.array(rules.frequencies_hz),
        np.array(rules.percents),
        np.array(rules.longest_s),
        most_pulses=np.array(rules.most_pulses),
        pause_s=rules.pause_s,
    )


def conditions(pipeline: Pipeline, device: Stimulator) -> NDArray[np.void]:
    """Return records of type ``CONDITION``: phase and intensity of each of the pipeline's."""
    listed: NDArray[np.void] = np.zeros(len(pipeline.target.conditions), CONDITION)
    phases = [np.nan if c.phase_deg == "random" else c.phase_deg for c in pipeline.target.conditions]
    listed["target"] = wrap(np.radians(phases))
    listed["percent"], listed["percent_of_threshold"] = planned_intensity(
        pipeline.stimulator, device, ceilings(pipeline, device)
    )
    return listed


def leased(pipeline: Pipeline, device: Stimulator) -> int:
    """Return how many pulses may be given before a dose record says so: none, unless nobody is stimulated."""
    return int(MAX_LEASED) if stimulates_nobody(pipeline, device) else 0
