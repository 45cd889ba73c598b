"""Where the decisions of two runs differ first, in words: the lines that people read, and the records behind them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedloop.core.records import InputKind


@dataclass(frozen=True)
class Difference:
    """A decision that differs.

    Attributes
    ----------
    number
        Its place, from 0.
    text
        What differs, in one line.
    """

    number: int
    text: str


def first_line(recorded: Sequence[str], again: Sequence[str], inputs: NDArray[np.void]) -> Difference | None:
    """Return the first of two runs' lines that differ, with the input that decided it, or None.

    Parameters
    ----------
    recorded, again
        Lines of JSON.
    inputs
        Records of type ``INPUT``.
    """
    for number, (before, after) in enumerate(zip_longest(recorded, again)):
        if before != after:
            place = f"decision {number}{_input_of(after or before, inputs)}"
            if before is None or after is None:
                return Difference(number, f"{place} was {before or 'absent'} and is {after or 'absent'}")
            return Difference(number, f"{place}: {_fields(before, after)}")
    return None


def first_record(recorded: NDArray[np.void], again: NDArray[np.void]) -> Difference | None:
    """Return the first of two runs' records of type ``EVENT`` that differs in any bit, or None."""
    common = min(len(recorded), len(again))
    differs = (_bytes(recorded[:common]) != _bytes(again[:common])).any(axis=1)
    if differs.any():
        number = int(np.argmax(differs))
        before, after = recorded[number], again[number]
        told = [
            _numbers(name, before[name].item(), after[name].item())
            for name in before.dtype.names or ()
            if before[name].tobytes() != after[name].tobytes()
        ]
        return Difference(number, f"events.bin: record {number}: {', '.join(told)}")
    if len(recorded) != len(again):
        return Difference(common, f"events.bin: {len(recorded)} records were recorded and {len(again)} are decided")
    return None


def _numbers(name: str, before: float, after: float) -> str:
    if repr(before) == repr(after):  # one that is none has many patterns of bits
        return f"{name} was {before!r} and is so with other bits"
    return f"{name} was {before!r} and is {after!r}"


def _bytes(records: NDArray[np.void]) -> NDArray[np.uint8]:
    return np.frombuffer(records.tobytes(), np.uint8).reshape(len(records), records.dtype.itemsize)


def _input_of(line: str, inputs: NDArray[np.void]) -> str:
    """Return which input decided a line, as far as it says when."""
    said = _object(line)
    at = np.flatnonzero(inputs["now"] == said["decided_s"]) if said and "decided_s" in said else np.zeros(0, int)
    return f" at input {at[0]} ({_kind(int(inputs['kind'][at[0]]))})" if at.size else ""


def _kind(code: int) -> str:
    return next((kind.name.lower() for kind in InputKind if kind == code), f"of unknown kind {code}")


def _fields(before: str, after: str) -> str:
    """Return what differs between two lines."""
    was, now = _object(before), _object(after)
    if was is None or now is None:
        return f"was {before[:80]}, which is no line of a decision"
    told = [
        f"{name} was {_value(was, name)} and is {_value(now, name)}"
        for name in {**was, **now}
        if _value(was, name) != _value(now, name)
    ]
    return ", ".join(told) or f"was {before} and is {after}"


def _value(line: dict[str, Any], name: str) -> str:
    return json.dumps(line[name], ensure_ascii=False) if name in line else "absent"


def _object(line: str) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
