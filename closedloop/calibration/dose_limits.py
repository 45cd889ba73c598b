"""What a pipeline and a device allow becomes the gate's limits on how much is given."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from closedloop.config.device import Stimulator
from closedloop.config.pipeline import Pipeline
from closedloop.config.shipped import shipped_folder
from closedloop.config.source import Lsl
from closedloop.core.command import MAX_LEASED
from closedloop.core.exposure import CAP, Exposure, make_exposure
from closedloop.core.state import CONDITION, OPEN_LIMITS
from closedloop.errors import ConfigError
from closedloop.protocols.intensity import Ceilings, planned_intensity
from closedloop.protocols.train_tables import TrainDurations, load_train_table, number_in
from closedloop.signal.circular import wrap
from closedloop.stimulators.interface import SIMULATED


def dose_limits(pipeline: Pipeline, device: Stimulator) -> dict[str, float]:
    """Return the stricter of what the pipeline and the device allow, as fields of ``LIMITS``."""
    own, theirs = pipeline.limits, device.limits
    limits = {
        "max_pulses": min(own.max_pulses, theirs.max_pulses_per_session),
        "min_interval_s": _most(own.min_interval_s, theirs.min_interval_s),
        "max_percent": _ceiling(pipeline, device),
        "max_train_pulses": _least(own.max_pulses_per_train, theirs.max_pulses_per_train),
        "min_train_gap_s": _most(own.min_train_gap_s, theirs.min_train_gap_s),
        "recharge_s": theirs.recharge_s,
        "max_pulses_day": _least(own.max_pulses_per_day, theirs.max_pulses_per_day),
        "max_pulses_course": _least(own.max_pulses_per_course),
        "max_status_age_s": theirs.max_status_age_s,
        "max_coil_c": theirs.max_coil_c,
    }
    if not isinstance(pipeline.source, Lsl):
        limits["max_status_age_s"] = None  # played back, the simulated stimulator lives in the same program
    return {name: OPEN_LIMITS[name] if value is None else value for name, value in limits.items()}


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _most(own: float | None, theirs: float) -> float:
    return theirs if own is None else max(own, theirs)


def _ceiling(pipeline: Pipeline, device: Stimulator) -> float:
    own = pipeline.limits.max_percent_of_maximum
    theirs = device.limits.max_percent_of_maximum
    return theirs if own is None else min(own, theirs)


def exposure(pipeline: Pipeline, device: Stimulator) -> Exposure:
    """Return windows and the table of longest trains that the pipeline names.

    Raises
    ------
    ConfigError
        Where there is no such table.
    """
    caps = [(cap.window_s, cap.max_pulses) for cap in (*device.limits.rate_caps, *pipeline.limits.rate_caps)]
    table = load_train_table(find_table(pipeline.limits.train_table))
    if not isinstance(table, TrainDurations):
        raise ConfigError(f"limits.train_table = {pipeline.limits.train_table}: {table.name} holds no train durations")
    return make_exposure(
        np.array(caps, CAP),
        np.array([row.frequency_hz for row in table.rows]),
        np.array(table.percent_of_motor_threshold),
        np.array([[number_in(entry) for entry in row.longest_s] for row in table.rows]),
    )


def find_table(name: str) -> Path:
    """Return the file of a table, by its path or by its name in ``limits/``."""
    given = Path(name)
    if given.suffix in {".yaml", ".yml"}:
        return given
    path = shipped_folder("limits") / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("train_duration_*.yaml")))
        raise ConfigError(f"limits.train_table = {name}: there is no such table (there: {known})")
    return path


def conditions(pipeline: Pipeline, device: Stimulator) -> NDArray[np.void]:
    """Return records of type ``CONDITION``: phase and intensity of each of the pipeline's."""
    listed: NDArray[np.void] = np.zeros(len(pipeline.target.conditions), CONDITION)
    phases = [np.nan if c.phase_deg == "random" else c.phase_deg for c in pipeline.target.conditions]
    listed["target"] = wrap(np.radians(phases))
    ceilings = Ceilings(device.limits.max_percent_of_maximum, pipeline.limits.max_percent_of_maximum)
    listed["percent"], listed["percent_of_threshold"] = planned_intensity(pipeline.stimulator, device, ceilings)
    return listed


def leased(pipeline: Pipeline, device: Stimulator) -> int:
    """Return how many pulses may be given before a dose record says so: none, unless nobody is stimulated."""
    nobody = not isinstance(pipeline.source, Lsl) or device.driver == SIMULATED
    return int(MAX_LEASED) if nobody else 0
