"""A subject's ledger: how many pulses, and when, on disk before they are given.

One line of JSON an entry, appended and flushed to the disk before anything relies on it. A session takes out a *lease*
of pulses before they are given, again and again, and settles at its end what was really given. Where it never settled,
and nothing else is known of it, all that it had leased counts as given: a record may count a pulse that was never
fired, and never misses one that was.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from closedloop.errors import DoseError
from closedloop.files import writing

DAY_S = 86400.0
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""A subject's code: it names files, and is a BIDS label but for its hyphens."""
LEASE, SETTLED = "lease", "settled"


@dataclass(frozen=True)
class Given:
    """What a session gave, as far as its ledger knows.

    Attributes
    ----------
    session
        Its name.
    pulses
        Given, or leased where it never settled.
    at_s
        When it gave its last one at the latest, in s of the wall clock since 1970.
    settled
        Whether the number is what was given, and no upper bound.
    """

    session: str
    pulses: int
    at_s: float
    settled: bool


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

    Raises
    ------
    DoseError
        Where the code is none, another program has the ledger open, a line in it cannot be read, or the wall clock is
        earlier than the last entry.
    OutputError
        Where it cannot be written.
    """

    def __init__(self, folder: Path, subject: str, *, wall_clock: Callable[[], float] = time.time) -> None:
        if not NAME.fullmatch(subject):
            raise DoseError(f"subject = {subject!r} is no code: use letters, digits, - and _ (at most 64)")
        self.subject, self._wall_clock = subject, wall_clock
        self.path = folder / f"{subject}.jsonl"
        with writing(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        try:
            self._lock()
            self._given = self._read()
            self._newest_s = max((given.at_s for given in self._given.values()), default=-float("inf"))
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
        now_s = self._wall_clock()
        return sum(given.pulses for given in self._given.values() if now_s - given.at_s < DAY_S)

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
        entry = {"kind": kind, "session": session, "pulses": pulses, "at_s": at_s}
        with writing(self.path):
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        self._given[session] = Given(session, pulses, at_s, kind == SETTLED)
        self._newest_s = max(self._newest_s, at_s)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DoseError(f"{self.path} is in use: another session of {self.subject} is running") from None

    def _check_clock(self) -> None:
        """Refuse a wall clock that is earlier than the last entry: within 24 h could then be any time."""
        now_s = self._wall_clock()
        if not now_s >= self._newest_s:
            behind_s = self._newest_s - now_s
            raise DoseError(
                f"{self.path}: the wall clock is {behind_s:.0f} s earlier than the last entry: set it right"
            )

    def _read(self) -> dict[str, Given]:
        self._file.seek(0)
        text = self._file.read()
        whole, _, torn = text.rpartition(b"\n")
        if torn:
            # The power failed while it was written, so that nothing relied on it yet.
            self._file.truncate(len(text) - len(torn))
        found: dict[str, Given] = {}
        for number, line in enumerate(whole.splitlines(), 1):
            given = self._parse(line, number)
            found.pop(given.session, None)
            found[given.session] = given
        return found

    def _parse(self, line: bytes, number: int) -> Given:
        try:
            entry: Any = json.loads(line)
            kind, session, pulses, at_s = (entry[name] for name in ("kind", "session", "pulses", "at_s"))
        except (ValueError, KeyError, TypeError):
            kind = session = pulses = at_s = None
        whole = isinstance(pulses, int) and not isinstance(pulses, bool) and pulses >= 0
        if kind not in (LEASE, SETTLED) or not isinstance(session, str) or not whole or not isinstance(at_s, float):
            raise DoseError(
                f"{self.path}:{number}: this is no entry of a dose record: have it looked at before anything"
            )
        assert isinstance(pulses, int)
        return Given(session, pulses, at_s, kind == SETTLED)
