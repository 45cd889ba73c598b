"""Running a session again from its own record, and saying where it differs if it does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedloop.core.records import InputKind
from closedloop.core.replay import fingerprint, replay
from closedloop.core.storage import find_steps, from_arrays
from closedloop.errors import SessionError
from closedloop.session.differences import first_line, first_record
from closedloop.session.event_lines import EventLines
from closedloop.session.facts import machine, software
from closedloop.session.folder import StoredSession
from closedloop.session.sums import find_changed


@dataclass(frozen=True)
class Replayed:
    """What a replay came to.

    Attributes
    ----------
    recorded, again
        Fingerprints of the session's decisions and of the replay's.
    n_events
        Decisions that were compared.
    difference
        What differs, in one line: the first decision, and files that are not as they were; None where nothing does.
    notes
        What could not be compared, a line each.
    """

    recorded: str
    again: str
    n_events: int
    difference: str | None
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether every decision is the same, bit for bit, and every file is what was recorded."""
        return self.recorded == self.again and self.difference is None


@dataclass(frozen=True)
class _Decisions:
    """Decisions of one run: records of type ``EVENT``, and lines."""

    events: NDArray[np.void]
    lines: list[str]


def replay_session(path: Path) -> Replayed:
    """Give a session's recorded inputs to its designed state once more.

    Of a session that was never closed, since it failed or was killed, what is there of both is compared.

    Raises
    ------
    SessionError
        Where the folder is no session, cannot be read, or lost an input while it was recorded.
    """
    stored = StoredSession(path, may_be_torn=True)
    if stored.facts.get("replayable") is False:
        raise SessionError(f"{path} lost {stored.facts.get('lost', '?')} records: it cannot be replayed")
    sums = stored.sums
    changed = find_changed(path, sums)
    core, inputs, samples = from_arrays(stored.arrays()), stored.inputs(), stored.samples()
    if not stored.closed:
        inputs = _with_samples(inputs, len(samples))
    _check_rows(stored, inputs, samples, core.values.shape[1])
    before = _Decisions(stored.events(), stored.event_lines())
    events = replay(core, find_steps(stored.steps), inputs, samples[_first_row(inputs) :])
    lined = EventLines(stored.conditions)
    after = _Decisions(events, lined.add(events, inputs))
    notes = [] if sums else ["session.json holds no sums: whether the files are what was recorded was not checked"]
    if stored.closed:
        after.lines.extend(lined.remaining())
        recorded = stored.fingerprint()
    else:
        notes = [_unclosed(stored), *_not_compared(before, after), *notes]
        if len(after.events) and not len(before.events):
            raise SessionError(f"{path / 'events.bin'} holds no decision, where its inputs lead to {len(after.events)}")
        before, after = _in_common(before, after)
        recorded = fingerprint(before.events)
    again = fingerprint(after.events)
    told = [*_differences(before, after, inputs), *(f"{name} is not what was recorded" for name in changed)]
    if recorded != fingerprint(before.events):
        told.append("the fingerprint in summary.json is not that of events.bin")
    difference = "; ".join(told) + _changed(stored) if told else None
    return Replayed(recorded, again, len(after.events), difference, tuple(notes))


def _differences(before: _Decisions, after: _Decisions, inputs: NDArray[np.void]) -> list[str]:
    """Return the first line that differs, and the first record where that is another one."""
    line, record = first_line(before.lines, after.lines, inputs), first_record(before.events, after.events)
    if line is not None and record is not None and line.number == record.number:
        return [line.text]
    return [found.text for found in (line, record) if found is not None]


def _unclosed(stored: StoredSession) -> str:
    error = stored.facts.get("error")
    why = f", {error}" if error else ""
    return (
        f"the session did not end in good order (status: {stored.status}{why}): as much of it as is there is compared"
    )


def _not_compared(before: _Decisions, after: _Decisions) -> list[str]:
    more = len(before.events) - len(after.events)
    if more > 0:
        return [f"{more} decisions came after the last input that is there: they were not compared"]
    return [f"{-more} decisions of the replay were not written by the session: they were not compared"] if more else []


def _in_common(before: _Decisions, after: _Decisions) -> tuple[_Decisions, _Decisions]:
    """Return as many decisions of two runs as both have; lines may lag behind their records."""
    n_events = min(len(before.events), len(after.events))
    n_lines = min(len(before.lines), len(after.lines), n_events)
    first, second = (_Decisions(one.events[:n_events], one.lines[:n_lines]) for one in (before, after))
    return first, second


def _with_samples(inputs: NDArray[np.void], n_samples: int) -> NDArray[np.void]:
    """Return the inputs up to the first whose sample is not there, since the session ended before it was written."""
    missing = (inputs["kind"] == InputKind.SAMPLE) & (inputs["code"] >= n_samples)
    return inputs[: int(np.argmax(missing))] if missing.any() else inputs


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


def _changed(stored: StoredSession) -> str:
    """Name what is not as it was when the session was recorded."""
    now = {**software(), **machine()}
    before = {**stored.facts.get("software", {}), **stored.facts.get("machine", {})}
    changed = [
        f"{name} {before[name]} -> {now.get(name)}" for name in before if _parts(before[name]) != _parts(now.get(name))
    ]
    return f" (changed since: {', '.join(changed)})" if changed else ""


def _parts(value: Any) -> Any:
    """Return a fact to be compared: of a list in words, such as that of libraries, the order means nothing."""
    return set(value.split(", ")) if isinstance(value, str) else value
