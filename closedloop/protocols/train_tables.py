"""Published tables of safe trains of pulses, as the files in ``limits/`` give them.

Whatever a table has not shown to be safe is unsafe: ``insufficient data``, ``doubtful``, and trains
longer than the longest that was tested (written ``>``).
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, RootModel, model_validator

from closedloop.config.fault import Fault
from closedloop.config.model import Model
from closedloop.config.quantity import Positive
from closedloop.config.threshold import Day
from closedloop.protocols.limit_file import load_limit_file
from closedloop.protocols.publication import Source, Text

FROM_MEMORY = "transcribed from memory of the publication, verify before clinical use"
"""What every use of a table says that nobody has compared with its publication."""

LongestTested = Annotated[str, Field(pattern=r"^>[0-9]{1,5}(\.[0-9]{1,3})?$")]
Duration = Positive | LongestTested
Count = Annotated[int, Field(ge=1)] | LongestTested
Verdict = Literal["safe", "unsafe", "insufficient data", "doubtful"]
Ascending = Annotated[tuple[Positive, ...], Field(min_length=1, strict=False)]


class _Table(Model):
    """What every table has."""

    name: Text
    """What refusals call it."""
    source: Source
    """The publication."""
    status: Literal[
        "transcribed from memory of the publication, verify before clinical use", "verified against the publication"
    ]
    """Whether a qualified person has compared every number with the publication."""
    verified_by: Text | None
    """Who has; null: nobody."""
    verified_on: Day | None
    """When; null: never."""
    percent_of_motor_threshold: Ascending
    """Its columns, ascending: intensities in percent of the resting motor threshold, measured by EMG."""

    @property
    def standing(self) -> str:
        """Say how far the table can be trusted."""
        return FROM_MEMORY if self.verified_by is None else f"verified by {self.verified_by} on {self.verified_on}"

    @model_validator(mode="after")
    def _vouched_for(self) -> Self:
        _check_ascending("percent_of_motor_threshold", self.percent_of_motor_threshold)
        named = self.verified_by is not None
        if named != (self.verified_on is not None):
            raise Fault(("verified_on",), "give both verified_by and verified_on, or neither")
        if named == (self.status == FROM_MEMORY):
            raise Fault(("status",), f'must be "{FROM_MEMORY}" while verified_by is null, and only then')
        return self


class DurationRow(Model):
    """One frequency of a table of durations."""

    frequency_hz: Positive
    """Of the pulses, in Hz."""
    longest_s: Annotated[tuple[Duration, ...], Field(strict=False)]
    """Longest safe train by intensity, in s; with > before it: the longest that was tested."""
    most_pulses: Annotated[tuple[Count, ...], Field(strict=False)] | None = None
    """Most pulses of a safe train by intensity; null: the publication gives none."""


class TrainDurations(_Table):
    """A table of the longest safe train by frequency and intensity."""

    kind: Literal["train_durations"]
    min_inter_train_interval_s: Positive | None
    """The table holds for no shorter wait between trains, in s; null: it is of single trains, and says nothing."""
    rows: Annotated[tuple[DurationRow, ...], Field(min_length=1, strict=False)]
    """By frequency, ascending."""

    @model_validator(mode="after")
    def _falling(self) -> Self:
        """Refuse an entry above one of a lower frequency or intensity: to round up would not be the safe side."""
        _check_ascending("rows", [row.frequency_hz for row in self.rows])
        for number, row in enumerate(self.rows):
            above = self.rows[max(number - 1, 0)]
            for key in ("longest_s", "most_pulses"):
                _check_row(("rows", number, key), getattr(row, key), getattr(above, key), self)
        return self


class IntervalRow(Model):
    """One wait of a table of inter-train intervals."""

    inter_train_interval_s: Positive
    """From the last pulse of a train to the first of the next, in s."""
    verdicts: Annotated[tuple[Verdict, ...], Field(strict=False)]
    """By intensity; whatever is not safe counts as unsafe."""
    remark: Text | None = None
    """What the publication or the transcription adds."""


class InterTrainIntervals(_Table):
    """A table of which waits between trains were safe, by intensity."""

    kind: Literal["inter_train_intervals"]
    frequency_hz: Positive
    """Of the pulses with which it was measured, in Hz: a higher one is outside the table."""
    rows: Annotated[tuple[IntervalRow, ...], Field(min_length=1, strict=False)]
    """By wait, the longest first."""

    @model_validator(mode="after")
    def _falling(self) -> Self:
        """Refuse a wait that is safe where a longer one, or a lower intensity, is not."""
        _check_ascending("rows", [row.inter_train_interval_s for row in self.rows][::-1])
        safe_above = [True] * len(self.percent_of_motor_threshold)
        for number, row in enumerate(self.rows):
            keys = ("rows", number, "verdicts")
            safe = [verdict == "safe" for verdict in row.verdicts]
            if len(safe) != len(safe_above):
                raise Fault(keys, f"must have {len(safe_above)} entries, one for each intensity")
            if safe != sorted(safe, reverse=True) or any(
                now and not before for now, before in zip(safe, safe_above, strict=True)
            ):
                raise Fault(keys, "is safe where a longer wait or a lower intensity is not")
            safe_above = safe
        return self


Table = TrainDurations | InterTrainIntervals


class TrainTable(RootModel[Annotated[Table, Field(discriminator="kind")]]):
    """One published table."""


def load_train_table(path: Path) -> Table:
    """Load a table of train durations or of inter-train intervals.

    Raises
    ------
    ConfigError
        Where it cannot be read or used; one line with place, key, value and limit.
    """
    return load_limit_file(path, TrainTable).root


def number_in(entry: float | str) -> float:
    """Return the number of an entry, the > of a longest tested one left out."""
    return float(entry.removeprefix(">")) if isinstance(entry, str) else float(entry)


def _check_ascending(key: str, entries: Sequence[float]) -> None:
    if any(not low < high for low, high in pairwise(entries)):
        raise Fault((key,), "must be in order, each entry once")


def _check_row(
    keys: tuple[str | int, ...],
    entries: Sequence[float | str] | None,
    before: Sequence[float | str] | None,
    table: TrainDurations,
) -> None:
    if (entries is None) != (before is None):
        raise Fault(keys, "must be given for all rows or for none")
    if entries is None or before is None:
        return
    n_columns = len(table.percent_of_motor_threshold)
    if len(entries) != n_columns:
        raise Fault(keys, f"must have {n_columns} entries, one for each intensity")
    numbers = [number_in(entry) for entry in entries]
    if not all(0.0 < number < math.inf for number in numbers):
        raise Fault(keys, "must be above 0")
    falling = [*pairwise(numbers), *zip(map(number_in, before), numbers, strict=True)]
    if any(not lower <= higher for higher, lower in falling):
        raise Fault(keys, "allows more than a lower intensity or a lower frequency does")
