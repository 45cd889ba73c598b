"""How long a train may be, and how soon the next may follow, by published tables: looked up, never interpolated.

A frequency and an intensity that stand between two entries count as the higher one; what lies above the
highest is outside the table and refused; what lies below the lowest counts as the lowest. What is longer
than any train tested is refused like what is outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from closedloop.errors import ConfigError
from closedloop.protocols.refusal import check_count, check_positive, shown
from closedloop.protocols.train_tables import InterTrainIntervals, Table, TrainDurations, number_in


@dataclass(frozen=True)
class Cell:
    """The cell of a table of durations that a train falls into.

    Attributes
    ----------
    frequency_hz, percent_of_motor_threshold
        Its row and column.
    longest_s
        Longest train, in s.
    most_pulses
        Most pulses of a train, or None where the table gives none.
    longest_tested
        True where no longer train was tested, so that beyond it nothing is known.
    """

    frequency_hz: float
    percent_of_motor_threshold: float
    longest_s: float
    most_pulses: float | None
    longest_tested: bool


def cell_of(table: TrainDurations, *, frequency_hz: float, percent_of_motor_threshold: float) -> Cell:
    """Return the cell for a frequency in Hz and an intensity, both rounded up to the table's next entry.

    Raises
    ------
    ConfigError
        Where one of them is no positive number or is outside the table.
    """
    row = table.rows[_rounded_up(table, "frequency_hz", frequency_hz, [row.frequency_hz for row in table.rows])]
    column = _column(table, percent_of_motor_threshold)
    longest = row.longest_s[column]
    return Cell(
        frequency_hz=row.frequency_hz,
        percent_of_motor_threshold=table.percent_of_motor_threshold[column],
        longest_s=number_in(longest),
        most_pulses=None if row.most_pulses is None else number_in(row.most_pulses[column]),
        longest_tested=isinstance(longest, str),
    )


def shortest_wait_s(table: InterTrainIntervals, *, frequency_hz: float, percent_of_motor_threshold: float) -> float:
    """Return the shortest wait between trains that a table calls safe, as are all longer ones in it, in s.

    Raises
    ------
    ConfigError
        Where frequency or intensity is no positive number or is outside the table, or no wait is called safe.
    """
    _rounded_up(table, "frequency_hz", frequency_hz, [table.frequency_hz])
    column = _column(table, percent_of_motor_threshold)
    safe = [row.inter_train_interval_s for row in table.rows if row.verdicts[column] == "safe"]
    if not safe:
        longest = table.rows[0]
        raise ConfigError(
            f"percent_of_motor_threshold = {shown(percent_of_motor_threshold)}: no wait between trains is called safe "
            f"in the column {shown(table.percent_of_motor_threshold[column])} % of {table.name} "
            f"({shown(longest.inter_train_interval_s)} s: {longest.verdicts[column]}) ({table.standing})"
        )
    return min(safe)


def check_train(
    tables: Sequence[Table],
    *,
    frequency_hz: float,
    pulses: int,
    percent_of_motor_threshold: float,
    inter_train_interval_s: float | None,
) -> None:
    """Refuse a train that any of the tables does not show to be safe.

    A train's duration is its pulses over its frequency: one interval more than from its first pulse to
    its last. Of the two readings of a published duration it is the longer one.

    Parameters
    ----------
    tables
        At least one of durations; and where trains follow each other, one that says how soon they may.
    frequency_hz
        Of the pulses within the train, in Hz; of trains locked to a rhythm, the highest that can occur.
    pulses
        Pulses of the train.
    percent_of_motor_threshold
        Intensity in percent of the resting motor threshold as EMG gives it (see
        `closedloop.protocols.intensity.percent_of_emg_threshold`).
    inter_train_interval_s
        From the last pulse of a train to the first of the next, in s; None: no train follows.

    Raises
    ------
    ConfigError
        One line with the value, the limit, its cell and table, and how far that table can be trusted.
    """
    check_count("pulses", pulses)
    asked = {"frequency_hz": frequency_hz, "percent_of_motor_threshold": percent_of_motor_threshold}
    for what, value in asked.items():
        check_positive(what, value)
    durations = [table for table in tables if isinstance(table, TrainDurations)]
    if not durations:
        raise ConfigError("no table of train durations was given: without one no train can be shown to be safe")
    for table in durations:
        _check_duration(table, frequency_hz, pulses, percent_of_motor_threshold)
    if inter_train_interval_s is not None:
        _check_wait(tables, frequency_hz, percent_of_motor_threshold, inter_train_interval_s)


def shortest_gap_s(tables: Sequence[Table], frequency_hz: float, percent_of_motor_threshold: float) -> float:
    """Return the shortest wait from one train to the next that all of the tables that know of waits allow, in s.

    Raises
    ------
    ConfigError
        Where none of them does, or frequency or intensity is outside one that does.
    """
    return max(gap_s for gap_s, _ in _gaps(tables, frequency_hz, percent_of_motor_threshold))


def _check_duration(table: TrainDurations, frequency_hz: float, pulses: int, percent: float) -> None:
    cell = cell_of(table, frequency_hz=frequency_hz, percent_of_motor_threshold=percent)
    where = (
        f"at {shown(cell.frequency_hz)} Hz and {shown(cell.percent_of_motor_threshold)} % in {table.name} "
        f"({table.standing})"
    )
    train = f"{pulses} pulses at {shown(frequency_hz)} Hz, {shown(percent)} % of motor threshold"
    most = "the longest tested" if cell.longest_tested else "the longest"
    duration_s = pulses / frequency_hz
    if not duration_s <= cell.longest_s:
        value = shown(duration_s, beside=cell.longest_s)
        raise ConfigError(f"train duration = {value} s ({train}): is above {shown(cell.longest_s)} s, {most} {where}")
    if cell.most_pulses is not None and not pulses <= cell.most_pulses:
        raise ConfigError(f"pulses = {pulses} ({train}): is above {shown(cell.most_pulses)}, the most {where}")


def _check_wait(tables: Sequence[Table], frequency_hz: float, percent: float, wait_s: float) -> None:
    check_positive("inter_train_interval_s", wait_s)
    for shortest, table in _gaps(tables, frequency_hz, percent):
        if not wait_s >= shortest:
            value = shown(wait_s, beside=shortest)
            raise ConfigError(
                f"inter_train_interval_s = {value} ({shown(percent)} % of motor threshold): is below "
                f"{shown(shortest)} s, the shortest in {table.name} ({table.standing})"
            )


def _gaps(tables: Sequence[Table], frequency_hz: float, percent: float) -> list[tuple[float, Table]]:
    """Return the shortest wait in s that each table knows, and the table."""
    found: list[tuple[float, Table]] = []
    for table in tables:
        if isinstance(table, InterTrainIntervals):
            gap_s = shortest_wait_s(table, frequency_hz=frequency_hz, percent_of_motor_threshold=percent)
            found.append((gap_s, table))
        elif table.min_inter_train_interval_s is not None:
            found.append((table.min_inter_train_interval_s, table))
    if not found:
        names = ", ".join(table.name for table in tables)
        raise ConfigError(f"none of the tables says how soon a train may follow another ({names})")
    return found


def _column(table: Table, percent: float) -> int:
    return _rounded_up(table, "percent_of_motor_threshold", percent, table.percent_of_motor_threshold)


def _rounded_up(table: Table, what: str, value: float, entries: Sequence[float]) -> int:
    """Return the place of the first entry that is not below a value; the entries ascend."""
    check_positive(what, value)
    for place, entry in enumerate(entries):
        if value <= entry:
            return place
    raise ConfigError(
        f"{what} = {shown(value)}: is above {shown(entries[-1])}, the highest in {table.name} ({table.standing})"
    )
