"""Running a session again from its own record, and saying where it differs if it does."""

import json
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from closedloop.core.records import InputKind
from closedloop.core.replay import fingerprint, replay
from closedloop.core.storage import find_steps, from_arrays
from closedloop.errors import SessionError
from closedloop.session.event_lines import EventLines
from closedloop.session.facts import machine, software
from closedloop.session.folder import StoredSession


@dataclass(frozen=True)
class Replayed:
    """What a replay came to.

    Attributes
    ----------
    recorded, again
        Fingerprints of the session's decisions and of the replay's.
    n_events
        Decisions of the replay.
    difference
        The first decision that differs, in one line; None where all are the same.
    """

    recorded: str
    again: str
    n_events: int
    difference: str | None

    @property
    def same(self) -> bool:
        """Whether every decision is the same, bit for bit."""
        return self.recorded == self.again and self.difference is None


def replay_session(path: Path) -> Replayed:
    """Give a session's recorded inputs to its designed state once more.

    Raises
    ------
    SessionError
        Where the folder is no session, cannot be read, or lost an input while it was recorded.
    """
    stored = StoredSession(path)
    if stored.facts.get("replayable") is False:
        raise SessionError(f"{path} lost {stored.facts.get('lost', '?')} records: it cannot be replayed")
    core, inputs, samples = from_arrays(stored.arrays()), stored.inputs(), stored.samples()
    _check_rows(stored, inputs, samples, core.values.shape[1])
    recorded = stored.fingerprint()
    first = _first_row(inputs)
    events = replay(core, find_steps(stored.steps), inputs, samples[first:])
    lined = EventLines(stored.conditions)
    lines = [*lined.add(events, inputs), *lined.remaining()]
    again = fingerprint(events)
    difference = _first_difference(stored.event_lines(), lines, inputs)
    if recorded != again and difference is None:
        difference = "the decisions differ in their last bits only"
    if difference is not None:
        difference += _changed(stored)
    return Replayed(recorded, again, len(events), difference)


def _check_rows(stored: StoredSession, inputs: NDArray[np.void], samples: NDArray[np.float64], n_channels: int) -> None:
    """Refuse inputs that point beyond the samples: compiled code would read whatever lies behind them."""
    path = stored.path / "samples.bin"
    if samples.shape[1] != n_channels:
        raise SessionError(f"{path}: {samples.shape[1]} channels are not the {n_channels} that the core was made for")
    rows = inputs["code"][inputs["kind"] == InputKind.SAMPLE]
    first = _first_row(inputs)
    if first < 0 or not np.array_equal(rows, np.arange(rows.size) + first) or first + rows.size > len(samples):
        raise SessionError(f"{path} is truncated or inputs.bin damaged: {rows.size} inputs, {len(samples)} samples")


def _first_row(inputs: NDArray[np.void]) -> int:
    """Return where the first sample of the inputs stands among all that were recorded."""
    rows = inputs["code"][inputs["kind"] == InputKind.SAMPLE]
    return int(rows[0]) if rows.size else 0


def _first_difference(recorded: list[str], again: list[str], inputs: NDArray[np.void]) -> str | None:
    for number, (before, after) in enumerate(zip_longest(recorded, again)):
        if before != after:
            told_s = json.loads(before or after)["decided_s"]
            at = np.flatnonzero(inputs["now"] == told_s)
            where = f" at input {at[0]} ({InputKind(inputs['kind'][at[0]]).name.lower()})" if at.size else ""
            return f"decision {number}{where} was {before or 'absent'} and is {after or 'absent'}"
    return None


def _changed(stored: StoredSession) -> str:
    """Name what is not as it was when the session was recorded."""
    now = {**software(), **machine()}
    before = {**stored.facts.get("software", {}), **stored.facts.get("machine", {})}
    changed = [f"{name} {before[name]} -> {now.get(name)}" for name in before if before[name] != now.get(name)]
    return f" (changed since: {', '.join(changed)})" if changed else ""
