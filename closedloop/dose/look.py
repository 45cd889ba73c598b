"""A look at a subject's dose record, which changes nothing and waits for nobody."""

import fcntl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from closedloop.dose.entries import Given, read_entries, warn_of_torn
from closedloop.dose.ledger import check_clock, count_in_day, ledger_path
from closedloop.dose.mapping import read_left
from closedloop.dose.record import counters_folder
from closedloop.errors import DoseError


@dataclass(frozen=True)
class Seen:
    """What a subject was given, as far as the record says now.

    Attributes
    ----------
    sessions
        What each session gave. Of one that has not settled: what its counters in memory say, and where they are gone
        all that it had leased.
    counted
        Names of the sessions that have not settled, and whose counters say what they gave.
    in_day, in_course
        Pulses within the last 24 h and in all.
    running
        Whether a session has the record open, so that all of this holds as of now.
    warning
        What is wrong with the file's end, in one line; empty where nothing is.
    """

    sessions: tuple[Given, ...]
    counted: frozenset[str]
    in_day: int
    in_course: int
    running: bool
    warning: str


def look(folder: Path, subject: str, *, wall_clock: Callable[[], float] = time.time) -> Seen:
    """Read a subject's dose record.

    Parameters
    ----------
    folder
        Where ledgers are.
    subject
        The subject's code.
    wall_clock
        Gives s since 1970.

    Raises
    ------
    DoseError
        Where the code is none, there is no such record, it cannot be read, or the wall clock is earlier than its last
        entry.
    """
    path = ledger_path(folder, subject)
    running, content = _read(path, folder)
    entries = read_entries(content, path)
    given = tuple(entries.given.values())
    check_clock(path, given, wall_clock())
    sessions = tuple(_counted(one, subject) for one in given)
    return Seen(
        sessions=sessions,
        counted=frozenset(one.session for one, was in zip(sessions, given, strict=True) if one is not was),
        in_day=count_in_day(sessions, wall_clock()),
        in_course=sum(one.pulses for one in sessions),
        running=running,
        # Of a session that runs it is the entry that is being written at this moment.
        warning="" if running else warn_of_torn(path, entries.torn),
    )


def _read(path: Path, folder: Path) -> tuple[bool, bytes]:
    """Return whether a session has a ledger open, and what is in its file."""
    if path.is_dir():
        raise DoseError(f"{path} is a folder and no dose record: have it looked at")
    try:
        with path.open("rb") as file:
            return _in_use(file), file.read()
    except FileNotFoundError:
        known = ", ".join(sorted(there.stem for there in folder.glob("*.jsonl") if there.is_file())) or "nobody"
        raise DoseError(f"{folder} has no dose record of {path.stem} (there: {known})") from None
    except OSError as error:
        raise DoseError(f"{path} cannot be read: {error.strerror}") from None


def _in_use(file: BinaryIO) -> bool:
    """Return whether a session holds the lock; a free one is held for a moment, which a session that begins allows."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def _counted(given: Given, subject: str) -> Given:
    """Return what a session gave by its counters, where it has not settled and they are there."""
    if given.settled:
        return given
    left = read_left(counters_folder() / subject)
    if left is None or left.session != given.session:
        return given
    return replace(given, pulses=min(left.pulses, given.pulses))
