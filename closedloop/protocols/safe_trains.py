"""What a pipeline's trains are held against: published tables, or the envelope of a named protocol in their place."""

from pathlib import Path

from closedloop.config.limits import Limits
from closedloop.config.pipeline import Pipeline, Train
from closedloop.config.shipped import shipped_folder
from closedloop.errors import ConfigError
from closedloop.protocols.envelope import Asked, check_envelope
from closedloop.protocols.envelope_file import Envelope, load_envelope
from closedloop.protocols.refusal import shown
from closedloop.protocols.train_limits import check_train
from closedloop.protocols.train_rules import TrainRules, rules_of_envelope, rules_of_tables
from closedloop.protocols.train_tables import Table, TrainDurations, load_train_table

DURATIONS = "train_duration_rossi_2009"
"""The table of longest trains where a pipeline names none."""
WAITS = "inter_train_interval_chen_1997"
"""Says how soon a train may follow another where the table of longest trains does not."""

Chosen = Envelope | tuple[Table, ...]
"""The envelope, or tables of which the first is of durations."""


def load_chosen(limits: Limits) -> Chosen:
    """Load what a pipeline's limits name.

    Raises
    ------
    ConfigError
        Where there is no such file, or it cannot be used.
    """
    if limits.envelope is not None:
        return load_envelope(_find("envelope", limits.envelope, "envelopes"))
    name = DURATIONS if limits.train_table is None else limits.train_table
    durations = load_train_table(_find("train_table", name, ""))
    if not isinstance(durations, TrainDurations):
        raise ConfigError(f"limits.train_table = {name}: {durations.name} holds no train durations")
    if durations.min_inter_train_interval_s is not None:
        return (durations,)
    return (durations, load_train_table(_find("train_table", WAITS, "")))


def _find(key: str, name: str, folder: str) -> Path:
    """Return a file of limits, by its path or by its name in ``limits/``."""
    given = Path(name)
    if given.suffix in {".yaml", ".yml"}:
        return given
    path = shipped_folder("limits") / folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise ConfigError(f"limits.{key} = {name}: there is no such file (there: {known})")
    return path


def check_trains(pipeline: Pipeline, chosen: Chosen, *, frequency_hz: float, percent: float) -> None:
    """Refuse a protocol whose trains are not inside what they are held against.

    Parameters
    ----------
    pipeline, chosen
        The protocol, and what it is held against.
    frequency_hz
        Of its trains, in Hz; single pulses have none, and under an envelope count as one train.
    percent
        Of the motor threshold as EMG gives it; NaN where no threshold is known.

    Raises
    ------
    ConfigError
        One line with value and limit.
    """
    protocol = pipeline.protocol
    trains = isinstance(protocol, Train)
    if not trains and not isinstance(chosen, Envelope):
        return  # how their intervals fall is up to the rhythm, which the gate sees
    if not percent > 0.0:
        what = f"the envelope {chosen.name}" if isinstance(chosen, Envelope) else "the table of longest trains"
        raise ConfigError(f"the subject's motor threshold is not known, in percent of which {what} is")
    if isinstance(protocol, Train):
        pulses, in_all = protocol.pulses_per_train, protocol.trains * protocol.pulses_per_train
        wait_s = protocol.min_interval_s if protocol.trains > 1 else None
    else:
        pulses = in_all = protocol.pulses
        wait_s, frequency_hz = None, 1.0 / protocol.min_interval_s
    if isinstance(chosen, Envelope):
        check_envelope(chosen, Asked(percent, frequency_hz, pulses, wait_s, in_all))
    else:
        check_train(
            chosen,
            frequency_hz=frequency_hz,
            pulses=pulses,
            percent_of_motor_threshold=percent,
            inter_train_interval_s=wait_s,
        )


def train_rules(pipeline: Pipeline, chosen: Chosen, *, frequency_hz: float, percent: float) -> TrainRules:
    """Return what the gate holds trains against; arguments as for `check_trains`.

    Raises
    ------
    ConfigError
        Where a table that has to say how soon a train may follow another does not.
    """
    if isinstance(chosen, Envelope):
        return rules_of_envelope(chosen, max_lateness_s=pipeline.limits.max_lateness_s)
    protocol = pipeline.protocol
    follow = isinstance(protocol, Train) and protocol.trains > 1
    if follow and not percent > 0.0:
        raise ConfigError(
            f"percent_of_motor_threshold = {shown(percent)}: without the subject's motor threshold no train is allowed"
        )
    return rules_of_tables(chosen, (frequency_hz, percent) if follow else None)
