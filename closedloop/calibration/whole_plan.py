"""The whole plan, before a session begins: what could never pass the safety gate is refused where it stands."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from closedloop.config.device import Stimulator
from closedloop.config.fault import Fault
from closedloop.config.fit import shortest_interval_s
from closedloop.config.load import Loaded
from closedloop.config.pipeline import Pipeline, Train, check_train_interval
from closedloop.config.source import Lsl
from closedloop.errors import CalibrationError, ConfigError
from closedloop.protocols import trigger_rate
from closedloop.protocols.envelope import check_signed
from closedloop.protocols.envelope_file import Envelope
from closedloop.protocols.intensity import Ceilings, planned_intensity
from closedloop.protocols.safe_trains import Chosen, check_trains, load_chosen
from closedloop.protocols.train_tables import TrainDurations
from closedloop.signal.spectrum import SEARCH_HZ
from closedloop.stimulators import follow


def check_whole_plan(pipeline: Loaded[Pipeline], device: Loaded[Stimulator]) -> str | None:
    """Refuse a plan that could never pass the gate; return what has to be said of the envelope that it uses.

    Raises
    ------
    ConfigError
        One line with place, value and limit.
    """
    plan, profile = pipeline.value, device.value
    intensity = plan.stimulator.intensity
    how = "percent_of_maximum" if intensity.percent_of_maximum is not None else "percent_of_motor_threshold"
    with _placed(pipeline, "stimulator", "intensity", how):
        of_maximum, percent = planned_intensity(plan.stimulator, profile, ceilings(plan, profile))
    with _placed(pipeline, "limits", "train_table" if plan.limits.envelope is None else "envelope"):
        chosen = load_chosen(plan.limits)
        if isinstance(chosen, Envelope) and not stimulates_nobody(plan, profile):
            check_signed(chosen)
    try:
        _check_train_pulses(plan, profile)
        _check_trains(plan, chosen, percent)
        # The individual frequency is found at rest: at least the slowest that there may be has to pass.
        _check_rate(profile, trigger_rate.fastest_hz(plan.protocol) or trigger_rate.in_tenths(SEARCH_HZ[0]), of_maximum)
    except ConfigError as error:
        keys = _asked_by(plan, str(error).partition(" = ")[0], ("stimulator", "intensity", how))
        raise ConfigError(f"{pipeline.place(*keys)}: {'.'.join(keys)}: {error}") from None
    return _said(chosen)


def check_individual(pipeline: Pipeline, device: Stimulator, peak_hz: float) -> None:
    """Refuse what could never pass the gate, now that the individual frequency is known: trains at it, and any pulse.

    Raises
    ------
    CalibrationError
        One line with value and limit.
    """
    spread_deg, limit_deg = math.degrees(device.phase_spread(peak_hz)), pipeline.gates.max_phase_sd_deg
    if not spread_deg < limit_deg:
        raise CalibrationError(
            f"gates.max_phase_sd_deg = {limit_deg:g}: the spread of the command that fires the {device.name} "
            f"(line.spread_s = {device.spread_s:g}) is ±{spread_deg:.0f}° at {peak_hz:.2f} Hz by itself"
        )
    if not isinstance(pipeline.protocol, Train) or pipeline.protocol.frequency_hz != "individual":
        return
    of_maximum, percent = planned_intensity(pipeline.stimulator, device, ceilings(pipeline, device))
    try:
        check_train_interval(peak_hz, *shortest_interval_s(pipeline, device))
        check_trains(pipeline, load_chosen(pipeline.limits), frequency_hz=peak_hz, percent=percent)
        _check_rate(device, trigger_rate.in_tenths(peak_hz), of_maximum)
    except (ConfigError, Fault) as error:
        raise CalibrationError(f"protocol.frequency_hz = individual, at rest {peak_hz:.2f} Hz: {error}") from None


def stimulates_nobody(pipeline: Pipeline, device: Stimulator) -> bool:
    """Return whether no person can be at the other end: a recording is played, or the stimulator is simulated."""
    return not isinstance(pipeline.source, Lsl) or not device.is_real


def ceilings(pipeline: Pipeline, device: Stimulator) -> Ceilings:
    """Return the ceilings of both."""
    return Ceilings(device.limits.max_percent_of_maximum, pipeline.limits.max_percent_of_maximum)


@contextmanager
def _placed(pipeline: Loaded[Pipeline], *keys: str) -> Iterator[None]:
    """Say of an error where the value stands that it is about."""
    try:
        yield
    except ConfigError as error:
        where = f"{pipeline.place(*keys)}: {'.'.join(keys)}"
        raise ConfigError(*(f"{where}: {mistake}" for mistake in error.mistakes)) from None


def _asked_by(plan: Pipeline, what: str, intensity: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys of the value that asks for what an error is about."""
    trains = isinstance(plan.protocol, Train)
    places = {
        "frequency_hz": ("protocol", "frequency_hz" if trains else "min_interval_s"),
        "inter_train_interval_s": ("protocol", "min_interval_s"),
        "pulses_per_session": ("protocol", "trains" if trains else "pulses"),
        "percent_of_motor_threshold": intensity,
    }
    return places.get(what, ("protocol", "pulses_per_train" if trains else "pulses"))


def _check_trains(plan: Pipeline, chosen: Chosen, percent: float) -> None:
    """Check trains at their frequency; of the individual one, at any that calibration could find."""
    refused: list[ConfigError] = []
    for frequency_hz in _frequencies_hz(plan, chosen):
        try:
            check_trains(plan, chosen, frequency_hz=frequency_hz, percent=percent)
        except ConfigError as error:
            refused.append(error)
        else:
            return
    raise refused[0]


def _frequencies_hz(plan: Pipeline, chosen: Chosen) -> list[float]:
    """Return the frequencies of trains in Hz of which one has to pass.

    Within a row the fastest train is the shortest: beside the ends of what calibration could find, rows will do.
    """
    if not isinstance(plan.protocol, Train):
        return [0.0]
    if plan.protocol.frequency_hz != "individual":
        return [plan.protocol.frequency_hz]
    if isinstance(chosen, Envelope):
        rows = [chosen.min_frequency_hz.value, *(trains.max_frequency_hz.value for trains in chosen.trains)]
    else:
        rows = [row.frequency_hz for table in chosen if isinstance(table, TrainDurations) for row in table.rows]
    low, high = SEARCH_HZ
    return [low, *(row for row in rows if low < row < high), high]


def _check_train_pulses(plan: Pipeline, profile: Stimulator) -> None:
    if not isinstance(plan.protocol, Train):
        return
    pulses = plan.protocol.pulses_per_train
    for whose, limit in (
        ("limits.max_pulses_per_train", plan.limits.max_pulses_per_train),
        ("the device's limits.max_pulses_per_train", profile.limits.max_pulses_per_train),
    ):
        if limit is not None and pulses > limit:
            raise ConfigError(f"pulses_per_train = {pulses}: is above {whose} = {limit}")


def _check_rate(profile: Stimulator, trigger_hz: float, of_maximum: float) -> None:
    """Refuse triggers that the device could not follow at that intensity."""
    allowed_hz, why = follow.fastest_hz(profile, of_maximum)
    if not trigger_hz <= allowed_hz:
        apart_s = math.ceil(1e4 / allowed_hz) / 1e4
        raise ConfigError(
            f"frequency_hz = {trigger_hz:g}: is above {allowed_hz:g}, the highest that {why}: triggers at least "
            f"{apart_s:g} s apart"
        )


def _said(chosen: Chosen) -> str | None:
    if not isinstance(chosen, Envelope):
        return None
    said = f"trains are held against the envelope {chosen.name} ({chosen.standing})"
    if chosen.signed_by is not None:
        return said
    return (
        f"{said}: nobody answers for it, and {len(chosen.recalled)} of its numbers are from memory; it serves only "
        "because nobody is stimulated here"
    )
