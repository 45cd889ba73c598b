"""Envelopes of named protocols: fixed limits that a person has signed, for what the published tables refuse.

Accepted treatments exceed the tables of safe trains. An envelope lets one of them through, and nothing
beside it. It is chosen and signed before a session, never during one: a lab copies the file, compares
every number with its source, and signs. An unsigned envelope refuses everything.
"""

from dataclasses import dataclass
from typing import NoReturn

from closedloop.errors import ConfigError
from closedloop.protocols.envelope_file import Amount, Envelope, Quantity
from closedloop.protocols.refusal import check_count, check_positive, shown


@dataclass(frozen=True)
class BurstAsked:
    """The bursts of a protocol that somebody wants to run.

    Attributes
    ----------
    pulses
        Pulses of a burst.
    pulse_frequency_hz
        Of the pulses within a burst, in Hz.
    """

    pulses: int
    pulse_frequency_hz: float


@dataclass(frozen=True)
class Asked:
    """A session that somebody wants to run.

    Attributes
    ----------
    percent_of_motor_threshold
        Highest intensity, in percent of the resting motor threshold.
    frequency_hz
        Of pulses within a train, or of bursts, in Hz; of trains locked to a rhythm, the highest that can occur.
    burst
        Its bursts, or None for single pulses.
    pulses_per_train
        Pulses of the longest train.
    inter_train_interval_s
        Shortest wait from the last pulse of a train to the first of the next, in s; None for a single train.
    pulses_per_session
        Pulses of this session.
    pulses_in_24_h
        Pulses of this session and of the 24 hours before its last pulse.
    since_last_session_s
        From the last pulse before this session to its first, in s; None where 24 hours hold no such pulse.
    """

    percent_of_motor_threshold: float
    frequency_hz: float
    burst: BurstAsked | None
    pulses_per_train: int
    inter_train_interval_s: float | None
    pulses_per_session: int
    pulses_in_24_h: int
    since_last_session_s: float | None


def check_envelope(envelope: Envelope, asked: Asked) -> None:
    """Refuse a session that is not inside a signed envelope, to the last number.

    Raises
    ------
    ConfigError
        Where nobody signed the envelope, or for the first value outside it: one line with value and limit.
    """
    if envelope.signed_by is None:
        raise ConfigError(
            f"the envelope {envelope.name}: signed_by is null: it allows nothing until a person has compared every "
            "number with its source and signed a copy of the file"
        )
    _check_numbers(asked)
    percent = asked.percent_of_motor_threshold
    _at_most(envelope, "percent_of_motor_threshold", percent, envelope.max_percent_of_motor_threshold)
    _check_burst(envelope, asked.burst)
    _check_trains(envelope, asked)
    _at_most(envelope, "pulses_per_session", asked.pulses_per_session, envelope.max_pulses_per_session)
    _at_most(envelope, "pulses_in_24_h", asked.pulses_in_24_h, envelope.max_pulses_per_24_h)
    if envelope.min_inter_session_interval_s is not None and asked.since_last_session_s is not None:
        limit = envelope.min_inter_session_interval_s
        _at_least(envelope, "since_last_session_s", asked.since_last_session_s, limit)


def _check_numbers(asked: Asked) -> None:
    """Refuse what is no number, and counts that contradict each other."""
    check_positive("percent_of_motor_threshold", asked.percent_of_motor_threshold)
    check_positive("frequency_hz", asked.frequency_hz)
    check_count("pulses_per_train", asked.pulses_per_train)
    check_count("pulses_per_session", asked.pulses_per_session)
    check_count("pulses_in_24_h", asked.pulses_in_24_h)
    if asked.burst is not None:
        check_count("burst.pulses", asked.burst.pulses)
        check_positive("burst.pulse_frequency_hz", asked.burst.pulse_frequency_hz)
    if asked.inter_train_interval_s is not None:
        check_positive("inter_train_interval_s", asked.inter_train_interval_s)
    if asked.since_last_session_s is not None:
        check_positive("since_last_session_s", asked.since_last_session_s)
    if not asked.pulses_per_train <= asked.pulses_per_session <= asked.pulses_in_24_h:
        raise ConfigError(
            f"pulses_per_session = {asked.pulses_per_session}: must lie between pulses_per_train = "
            f"{asked.pulses_per_train} and pulses_in_24_h = {asked.pulses_in_24_h}, which counts them too"
        )
    if asked.inter_train_interval_s is None and asked.pulses_per_session > asked.pulses_per_train:
        raise ConfigError(
            f"pulses_per_session = {asked.pulses_per_session}: is above pulses_per_train = {asked.pulses_per_train}, "
            "so that trains follow each other: inter_train_interval_s is missing"
        )


def _check_burst(envelope: Envelope, asked: BurstAsked | None) -> None:
    allowed = envelope.burst
    if allowed is None:
        if asked is not None:
            _refuse(envelope, f"burst.pulses = {asked.pulses}", "the protocol has no bursts")
        return
    if asked is None or asked.pulses != allowed.pulses.value:
        pulses = 1 if asked is None else asked.pulses
        _refuse(envelope, f"burst.pulses = {pulses}", f"must be {_number(allowed.pulses)}")
    _at_most(envelope, "burst.pulse_frequency_hz", asked.pulse_frequency_hz, allowed.max_pulse_frequency_hz)


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
    signature = f"signed by {envelope.signed_by} on {envelope.signed_on}"
    raise ConfigError(f"{what}: {why}, in the envelope {envelope.name} ({signature})")
