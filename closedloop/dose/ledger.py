"""A subject's ledger: how many pulses, and when, on disk before they are given.

One line of JSON an entry, appended and flushed to the disk before anything relies on it. A session takes out a *lease*
of pulses before they are given, again and again, and settles at its end what was really given. Where it never settled,
and nothing else is known of it, all that it had leased counts as given: a record may count a pulse that was never
fired, and never misses one that was.
"""

import fcntl
import math
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from closedloop.dose.entries import LEASE, SETTLED, Given, read_entries, write_entry
from closedloop.errors import DoseError
from closedloop.files import writing

DAY_S = 86400.0
LOOK_S, LOOK_EVERY_S = 0.2, 0.01
"""Whoever looks whether a session runs holds the lock for a moment: so long is waited for that, and asked so often."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""A subject's code: it names files, and is a BIDS label but for its hyphens."""


def code_of(subject: str) -> str:
    """Return a subject's code.

    Raises
    ------
    DoseError
        Where it is none.
    """
    if not NAME.fullmatch(subject):
        raise DoseError(f"subject = {subject!r} is no code: use letters, digits, - and _ (at most 64)")
    return subject


def ledger_path(folder: Path, subject: str) -> Path:
    """Return the file of a subject's ledger; the error is that of `code_of`."""
    return folder / f"{code_of(subject)}.jsonl"


def count_in_day(sessions: Iterable[Given], now_s: float) -> int:
    """Return how many pulses were given within the last 24 h; a session counts whole by its last pulse."""
    return sum(given.pulses for given in sessions if now_s - given.at_s < DAY_S)


def check_clock(path: Path, sessions: Iterable[Given], now_s: float) -> None:
    """Refuse a wall clock that is earlier than the last entry: within 24 h could then be any time.

    Raises
    ------
    DoseError
        Where it is.
    """
    newest_s = max((given.at_s for given in sessions), default=-math.inf)
    if not now_s >= newest_s:
        raise DoseError(f"{path}: the wall clock is {newest_s - now_s:.0f} s earlier than the last entry: set it right")


class Ledger:
    """A subject's ledger, open and locked; use it in a ``with`` block.

    Parameters
    ----------
    folder
        Where ledgers are; made where it is not there.
    subject
        The subject's code.
    wall_clock
        Gives s since 1970.

    Attributes
    ----------
    torn
        What follows the last whole entry: the beginning of one that nothing relied on. It leaves the file when the
        next entry is written, and not before.

    Raises
    ------
    DoseError
        Where the code is none, another program has the ledger open, a line in it cannot be read, or the wall clock is
        earlier than the last entry.
    OutputError
        Where it cannot be written.
    """

    def __init__(self, folder: Path, subject: str, *, wall_clock: Callable[[], float] = time.time) -> None:
        self.path = ledger_path(folder, subject)
        self.subject, self._wall_clock = subject, wall_clock
        with writing(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b", buffering=0)  # what could not be written is not written later
        try:
            self._lock()
            self._file.seek(0)
            entries = read_entries(self._file.read(), self.path)
            self._given, self._kept, self._ended = entries.given, entries.kept, entries.ended
            self.torn, self._begun = entries.torn, b""
            self._check_clock()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def sessions(self) -> tuple[Given, ...]:
        """What each session gave, oldest first."""
        return tuple(self._given.values())

    def in_course(self) -> int:
        """Return how many pulses were given in all."""
        return sum(given.pulses for given in self._given.values())

    def in_day(self) -> int:
        """Return how many pulses were given within the last 24 h; a session counts whole by its last pulse."""
        return count_in_day(self.sessions, self._wall_clock())

    def lease(self, session: str, pulses: int) -> None:
        """Set down on disk that a session may have given so many pulses in all; return when it is there."""
        known = self._given.get(session)
        if known is not None and (known.settled or pulses < known.pulses):
            raise DoseError(f"{self.path}: {session} cannot lease {pulses} pulses after {known.pulses}")
        self._append(LEASE, session, pulses)

    def settle(self, session: str, pulses: int) -> None:
        """Set down on disk how many pulses a session gave in all."""
        known = self._given.get(session)
        if known is None or known.settled or pulses > known.pulses:
            leased = 0 if known is None else known.pulses
            raise DoseError(f"{self.path}: {session} gave {pulses} pulses, more than the {leased} that it had leased")
        self._append(SETTLED, session, pulses)

    def _append(self, kind: str, session: str, pulses: int) -> None:
        self._check_clock()
        at_s = self._wall_clock()
        line = b"" if self._ended else b"\n"
        line += write_entry(kind, session, pulses, at_s)
        with writing(self.path):
            self._drop_torn()
            left = self._begun = line
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        self._kept += len(line)
        self.torn, self._begun, self._ended = b"", b"", True
        self._given[session] = Given(session, pulses, at_s, kind == SETTLED)

    def _drop_torn(self) -> None:
        """Take away what a loss of power, or a full disk, left of an entry; what somebody else has added is none."""
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(self._kept)
        tail = self._file.read()
        if size < self._kept or not (tail == self.torn or self._begun.startswith(tail)):
            raise DoseError(f"{self.path} has been changed by another program while a session kept it: look at it")
        if tail:
            self._file.truncate(self._kept)

    def _lock(self) -> None:
        until_s = time.monotonic() + LOOK_S
        while True:
            try:
                return fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= until_s:
                    raise DoseError(f"{self.path} is in use: another session of {self.subject} is running") from None
            time.sleep(LOOK_EVERY_S)

    def _check_clock(self) -> None:
        check_clock(self.path, self._given.values(), self._wall_clock())
