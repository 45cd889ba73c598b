"""What holds for trains, in the form that the safety gate reads: from published tables, or from a protocol's envelope.

Both are rows of frequencies and columns of intensities, with the longest train and its most pulses in each cell. The
gate judges pulses as they really left, each at most a little late; where an envelope counts pulses, that lateness is
allowed for in its durations, for a train of exactly so many pulses must not lose its last one to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from closedloop.protocols.envelope_file import Envelope
from closedloop.protocols.train_limits import shortest_gap_s
from closedloop.protocols.train_tables import Table, TrainDurations, number_in

MANY = 2**31
"""Pulses of a train where a table counts none."""
NEVER_S = 1e9
"""A wait that no session lasts."""
NOTHING_S = -1.0
"""Longest train in a cell that allows none."""
PAUSE_ROUNDING_S = 1e-6
"""A train that follows after exactly its wait is a new one."""


@dataclass(frozen=True)
class TrainRules:
    """What holds for trains.

    Attributes
    ----------
    frequencies_hz, percents
        Rows and columns, ascending: Hz, and percent of the motor threshold as EMG gives it.
    longest_s, most_pulses
        By row and column: longest train in s, and most pulses of one.
    pause_s
        A pulse that follows the last one by no more than this belongs to its train, in s; None: by a period of the
        lowest frequency.
    min_gap_s
        Shortest wait from the last pulse before it to a train, in s.
    """

    frequencies_hz: tuple[float, ...]
    percents: tuple[float, ...]
    longest_s: tuple[tuple[float, ...], ...]
    most_pulses: tuple[tuple[int, ...], ...]
    pause_s: float | None
    min_gap_s: float


def rules_of_tables(tables: Sequence[Table], train: tuple[float, float] | None) -> TrainRules:
    """Return the rules of published tables.

    Parameters
    ----------
    tables
        The first is of durations.
    train
        Frequency in Hz and percent of the motor threshold of trains that follow each other; None where none do.

    Raises
    ------
    ConfigError
        Where no table says how soon such trains may follow each other.
    """
    durations = tables[0]
    assert isinstance(durations, TrainDurations)
    width = len(durations.percent_of_motor_threshold)
    return TrainRules(
        frequencies_hz=tuple(row.frequency_hz for row in durations.rows),
        percents=durations.percent_of_motor_threshold,
        longest_s=tuple(tuple(number_in(entry) for entry in row.longest_s) for row in durations.rows),
        most_pulses=tuple(
            (MANY,) * width if row.most_pulses is None else tuple(int(number_in(entry)) for entry in row.most_pulses)
            for row in durations.rows
        ),
        pause_s=None,
        min_gap_s=0.0 if train is None else shortest_gap_s(tables, *train),
    )


def rules_of_envelope(envelope: Envelope, *, max_lateness_s: float) -> TrainRules:
    """Return an envelope's rules: a row below its lowest frequency that allows nothing, then one for each of its own.

    Parameters
    ----------
    envelope
        The envelope, signed or not.
    max_lateness_s
        So much later than planned a pulse may leave, in s: a train is slower by as much, and longer by as much for
        each of its pulses.
    """
    slowest_s = 1.0 / envelope.min_frequency_hz.value
    frequencies, longest, most = [1.0 / (slowest_s + max_lateness_s)], [NOTHING_S], [0]
    for trains in envelope.trains:
        pulses = trains.max_pulses_per_train.value
        frequencies.append(trains.max_frequency_hz.value)
        longest.append(pulses * (slowest_s + max_lateness_s))
        most.append(pulses)
        slowest_s = 1.0 / trains.max_frequency_hz.value
    wait = envelope.trains[-1].min_inter_train_interval_s
    min_gap_s = NEVER_S if wait is None else wait.value
    return TrainRules(
        frequencies_hz=tuple(frequencies),
        percents=(envelope.max_percent_of_motor_threshold.value,),
        longest_s=tuple((seconds,) for seconds in longest),
        most_pulses=tuple((pulses,) for pulses in most),
        pause_s=min_gap_s - PAUSE_ROUNDING_S,
        min_gap_s=min_gap_s,
    )
