"""Envelopes of named protocols: fixed limits that a person has signed, for what the published tables refuse.

Accepted treatments exceed the tables of safe trains. An envelope lets one of them through, and nothing
beside it. It is chosen and signed before a session, never during one: a lab copies the file, compares
every number with its source, and signs. Nobody is stimulated by an unsigned one.
"""

from dataclasses import dataclass
from typing import NoReturn

from closedloop.errors import ConfigError
from closedloop.protocols.envelope_file import Amount, Envelope, Quantity
from closedloop.protocols.refusal import check_count, check_positive, shown


@dataclass(frozen=True)
class Asked:
    """A session that somebody wants to run.

    Attributes
    ----------
    percent_of_motor_threshold
        Highest intensity, in percent of the resting motor threshold as EMG gives it.
    frequency_hz
        Of pulses within a train, in Hz; of trains locked to a rhythm, the highest that can occur.
    pulses_per_train
        Pulses of the longest train.
    inter_train_interval_s
        Shortest wait from the last pulse of a train to the first of the next, in s; None for a single train.
    pulses_per_session
        Pulses of this session.
    """

    percent_of_motor_threshold: float
    frequency_hz: float
    pulses_per_train: int
    inter_train_interval_s: float | None
    pulses_per_session: int


def check_signed(envelope: Envelope) -> None:
    """Refuse an envelope that nobody answers for.

    Raises
    ------
    ConfigError
        Where it is not signed.
    """
    if envelope.signed_by is None:
        raise ConfigError(
            f"the envelope {envelope.name}: signed_by is null: nobody is stimulated by it until a person has compared "
            "every number with its source and signed a copy of the file"
        )


def check_envelope(envelope: Envelope, asked: Asked) -> None:
    """Refuse a session that is not inside an envelope, to the last number; who signed it is not asked here.

    Raises
    ------
    ConfigError
        For the first value outside it: one line with value and limit.
    """
    _check_numbers(asked)
    if envelope.burst is not None:
        _refuse(envelope, "burst.pulses = 1", f"must be {_number(envelope.burst.pulses)}, and trains have no bursts")
    percent = asked.percent_of_motor_threshold
    _at_most(envelope, "percent_of_motor_threshold", percent, envelope.max_percent_of_motor_threshold)
    _check_trains(envelope, asked)
    _at_most(envelope, "pulses_per_session", asked.pulses_per_session, envelope.max_pulses_per_session)


def _check_numbers(asked: Asked) -> None:
    """Refuse what is no number, and counts that contradict each other."""
    check_positive("percent_of_motor_threshold", asked.percent_of_motor_threshold)
    check_positive("frequency_hz", asked.frequency_hz)
    check_count("pulses_per_train", asked.pulses_per_train)
    check_count("pulses_per_session", asked.pulses_per_session)
    if asked.inter_train_interval_s is not None:
        check_positive("inter_train_interval_s", asked.inter_train_interval_s)
    if not asked.pulses_per_train <= asked.pulses_per_session:
        raise ConfigError(
            f"pulses_per_session = {asked.pulses_per_session}: is below pulses_per_train = {asked.pulses_per_train}"
        )
    if asked.inter_train_interval_s is None and asked.pulses_per_session > asked.pulses_per_train:
        raise ConfigError(
            f"pulses_per_session = {asked.pulses_per_session}: is above pulses_per_train = {asked.pulses_per_train}, "
            "so that trains follow each other: inter_train_interval_s is missing"
        )


def _check_trains(envelope: Envelope, asked: Asked) -> None:
    _at_least(envelope, "frequency_hz", asked.frequency_hz, envelope.min_frequency_hz)
    _at_most(envelope, "frequency_hz", asked.frequency_hz, envelope.trains[-1].max_frequency_hz)
    allowed = next(trains for trains in envelope.trains if asked.frequency_hz <= trains.max_frequency_hz.value)
    _at_most(envelope, "pulses_per_train", asked.pulses_per_train, allowed.max_pulses_per_train)
    if asked.inter_train_interval_s is None:
        return
    shortest = allowed.min_inter_train_interval_s
    if shortest is None:
        _refuse(
            envelope,
            f"inter_train_interval_s = {shown(asked.inter_train_interval_s)}",
            "a session is a single train, none may follow",
        )
    _at_least(envelope, "inter_train_interval_s", asked.inter_train_interval_s, shortest)


def _at_most(envelope: Envelope, what: str, value: float, limit: Quantity | Amount) -> None:
    if not value <= limit.value:
        _refuse(envelope, f"{what} = {shown(value, beside=limit.value)}", f"is above {_number(limit)}")


def _at_least(envelope: Envelope, what: str, value: float, limit: Quantity | Amount) -> None:
    if not value >= limit.value:
        _refuse(envelope, f"{what} = {shown(value, beside=limit.value)}", f"is below {_number(limit)}")


def _number(limit: Quantity | Amount) -> str:
    return f"{shown(limit.value)} ({limit.origin})"


def _refuse(envelope: Envelope, what: str, why: str) -> NoReturn:
    raise ConfigError(f"{what}: {why}, in the envelope {envelope.name} ({envelope.standing})")
