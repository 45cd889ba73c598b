"""A subject's dose while a session gives it: the ledger on disk and the counters in memory, as one.

When a session begins, all earlier ones are settled first: one that was killed by what it left in memory, one whose
memory the power took by all that it had leased. So whatever happens, what the gate counts with is never too little.
"""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import platformdirs

from closedloop.core.state import Core
from closedloop.dose.entries import Given, warn_of_torn
from closedloop.dose.ledger import Ledger
from closedloop.dose.mapping import Left, Mapping, read_left
from closedloop.errors import DoseError

LEASE_PULSES = 100
"""So many pulses are set down on disk before they are given; of a power loss so many at most are counted in excess."""
FOLDER = "CLOSEDLOOP_DOSE"
"""Environment variable: where ledgers are, one for all who use this machine."""
TMPFS = Path("/dev/shm")  # noqa: S108 - the system's one memory for files; the folder in it is made for its user only


def ledger_folder() -> Path:
    """Return where ledgers are."""
    chosen = os.environ.get(FOLDER)
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("closedloop")) / "dose"


def counters_folder() -> Path:
    """Return the folder in memory of this user's counters, whether it is there or not."""
    return TMPFS / f"closedloop-dose-{os.getuid()}"


def counters_path(subject: str) -> Path:
    """Return the file in memory that holds a subject's counters, its folder made and nobody else's.

    Raises
    ------
    DoseError
        Where the folder cannot be made, or belongs to somebody else.
    """
    folder = counters_folder()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.lstat().st_uid
    except OSError as error:
        raise DoseError(f"{folder} cannot be made: {error.strerror}: a dose record needs Linux") from None
    if owner != os.getuid() or folder.is_symlink():
        raise DoseError(f"{folder} belongs to somebody else (user {owner}): have it removed")
    return folder / subject


class DoseRecord:
    """What a subject has been given, and is being given; use it in a ``with`` block, which settles it.

    Parameters
    ----------
    subject
        The subject's code.
    session
        A name that no other session of the subject has: its folder.
    folder
        Where ledgers are.
    clock, wall_clock
        Give s since the machine started, and since 1970.

    Attributes
    ----------
    left
        What the subject's last session left that was killed, or None.
    in_day, in_course
        Given before this session, within 24 h and in all.
    settled
        What earlier sessions had not settled themselves, as it was settled now.
    warning
        What whoever begins a session has to be told of the ledger's file, in one line; empty where there is nothing.

    Raises
    ------
    DoseError
        Where it cannot be kept, read or trusted.
    OutputError
        Where the ledger cannot be written.
    """

    def __init__(
        self,
        subject: str,
        session: str,
        *,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._session, self._clock, self._wall_clock = session, clock, wall_clock
        self._leased = 0
        with ExitStack() as stack:
            self._ledger = stack.enter_context(
                Ledger(ledger_folder() if folder is None else folder, subject, wall_clock=wall_clock)
            )
            self.warning = warn_of_torn(self._ledger.path, self._ledger.torn)
            path = counters_path(subject)
            self.left: Left | None = read_left(path)
            self.settled = self._settle_others()
            self.in_day, self.in_course = self._ledger.in_day(), self._ledger.in_course()
            self._mapping = Mapping(path, session)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if self._leased:
                self._ledger.settle(self._session, self.pulses)
            self._mapping.close()

    @property
    def pulses(self) -> int:
        """Given in this session so far."""
        return self._mapping.pulses

    def share(self, core: Core) -> Core:
        """Return the core with its counters and decisions in the record, and what was given before counted in it.

        What an earlier session gave counts in windows of time as of when it ended.
        """
        gate = core.gate.copy()
        gate["before_day"], gate["before_course"] = self.in_day, self.in_course
        recent_s, run = core.exposure.recent_s.copy(), core.exposure.run.copy()
        before_s = self._before_s(recent_s.size)
        gate["before_last_s"] = before_s[-1] if before_s.size else -np.inf
        recent_s[: before_s.size] = before_s
        run["pulses"] = before_s.size
        exposure = core.exposure._replace(recent_s=recent_s, run=run)
        return self._mapping.share(core._replace(gate=gate, exposure=exposure))

    def lease(self, pulses: int | None = None) -> int:
        """Set down on disk that some more pulses may be given, and return how many of the session may be in all."""
        leased = self.pulses + (LEASE_PULSES if pulses is None else pulses)
        self._ledger.lease(self._session, leased)
        self._leased = leased
        return leased

    @property
    def used_up(self) -> bool:
        """Whether half of the lease has been given, so that it is time for another."""
        return self._leased - self.pulses <= LEASE_PULSES // 2

    def _before_s(self, most: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """Return when the newest pulses of earlier sessions were, at the latest, oldest first, in s."""
        ahead_s = self._clock() - self._wall_clock()
        times = [np.full(given.pulses, given.at_s + ahead_s) for given in self._ledger.sessions]
        return np.sort(np.concatenate([*times, np.zeros(0)]))[-most:]

    def _settle_others(self) -> tuple[Given, ...]:
        """Settle what was not: nothing is known of it but that it is over by now."""
        names = [given.session for given in self._ledger.sessions if not given.settled]
        leased = {given.session: given.pulses for given in self._ledger.sessions}
        for name in names:
            known = self.left is not None and self.left.session == name
            pulses = min(self.left.pulses, leased[name]) if known and self.left is not None else leased[name]
            self._ledger.settle(name, pulses)
        return tuple(given for given in self._ledger.sessions if given.session in names)
