"""What survives the program: the gate's counters and the ring of decisions, in memory that the system keeps.

The compiled loop counts a pulse and records it in arrays that are a file on a tmpfs, before it writes the trigger.
A program that is killed leaves them as they were at that moment; the next start reads them. They do not survive the
power, which is what the ledger's lease is for.
"""

import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from closedloop.core.exposure import RUN
from closedloop.core.records import EVENT, WRITTEN, Ring
from closedloop.core.state import EVENT_CAPACITY, GATE, Core
from closedloop.errors import DoseError

BOOT = Path("/proc/sys/kernel/random/boot_id")
MAGIC = b"closedloop dose 1"
HEADER = np.dtype(
    [("magic", "S24"), ("boot", "S40"), ("session", "S200"), ("recent", "i8"), ("open", "i8")], align=True
)
"""``open`` is 1 from when a session begins until it has settled."""
ALIGNMENT = 64
MAX_RECENT = 10**6


@dataclass(frozen=True)
class Left:
    """What a program that was killed left.

    Attributes
    ----------
    session
        The session's name.
    pulses
        Delivered.
    last_pulse_s
        When the last one reached the tissue, on the monotonic clock, in s.
    recent_s
        Array of shape (n,): when the newest ones did, oldest first.
    events
        Records of type ``EVENT``: the newest decisions, oldest first.
    """

    session: str
    pulses: int
    last_pulse_s: float
    recent_s: NDArray[np.float64]
    events: NDArray[np.void]


class Mapping:
    """A file on a tmpfs that holds what must outlive the program; use it in a ``with`` block.

    Parameters
    ----------
    path
        The file.
    session
        Name of the session that begins.
    recent
        How many pulse times the gate remembers.

    Raises
    ------
    DoseError
        Where it cannot be made.
    """

    def __init__(self, path: Path, session: str, *, recent: int) -> None:
        self.path = path
        size = _size(recent)
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("w+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)  # a full tmpfs is found now, and not by the loop
                self._map = mmap.mmap(file.fileno(), size)
            part.replace(path)
        except OSError as error:
            raise DoseError(f"{path} cannot be made: {error.strerror}") from None
        header, self._gate, self._run, self._recent, self._indices, self._events = _arrays(self._map, recent)
        self._header = header
        header["magic"], header["boot"], header["session"] = MAGIC, boot(), session.encode()
        header["recent"], header["open"] = recent, 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._map.flush()

    def share(self, core: Core) -> Core:
        """Return the core with its counters and decisions in this file; nothing has been decided yet."""
        self._gate[:] = core.gate
        self._run[:] = core.exposure.run
        self._recent[:] = core.exposure.recent_s
        return core._replace(
            gate=self._gate,
            exposure=core.exposure._replace(run=self._run, recent_s=self._recent),
            events=Ring(records=self._events, indices=self._indices),
        )

    def close(self) -> None:
        """Say that all of it is settled on disk."""
        self._header["open"] = 0


def _parts(recent: int) -> list[tuple[np.dtype[Any], int]]:
    """Return what lies in the file, in order: type and count of each array."""
    return [(HEADER, 1), (GATE, 1), (RUN, 1), (np.dtype("f8"), recent), (np.dtype("i8"), 3), (EVENT, EVENT_CAPACITY)]


def _places(recent: int) -> list[int]:
    """Return where each of them begins, and where the last ends."""
    sizes = [-(-kind.itemsize * count // ALIGNMENT) * ALIGNMENT for kind, count in _parts(recent)]
    return [0, *np.cumsum(sizes).tolist()]


def _size(recent: int) -> int:
    return _places(recent)[-1] if 0 <= recent <= MAX_RECENT else -1


def _arrays(memory: bytes | mmap.mmap, recent: int) -> list[NDArray[Any]]:
    placed = zip(_parts(recent), _places(recent)[:-1], strict=True)
    return [np.frombuffer(memory, kind, count, place) for (kind, count), place in placed]


def boot() -> bytes:
    """Return what names this start of the machine; monotonic times of another one mean nothing."""
    try:
        return BOOT.read_bytes().strip()
    except OSError as error:
        raise DoseError(f"{BOOT} cannot be read: {error.strerror}: a dose record needs Linux") from None


def read_left(path: Path) -> Left | None:
    """Return what a session that never settled left here in this start of the machine, or None.

    Raises
    ------
    DoseError
        Where the file is there and cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DoseError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) < HEADER.itemsize:
        raise DoseError(f"{path} is no dose record: {len(content)} bytes")
    header = np.frombuffer(content, HEADER, 1)[0]
    if header["magic"] != MAGIC:
        raise DoseError(f"{path} is a dose record of another version: settle the session with the version that made it")
    if header["boot"] != boot() or header["open"] == 0:
        return None
    recent = int(header["recent"])
    if len(content) != _size(recent):
        raise DoseError(f"{path} is no whole dose record: {len(content)} bytes")
    _, gate, run, recent_s, indices, events = _arrays(content, recent)
    n = int(run["pulses"][0])
    written = int(indices[WRITTEN])
    return Left(
        session=header["session"].decode(),
        pulses=int(gate["pulses"][0]),
        last_pulse_s=float(gate["last_pulse_s"][0]),
        recent_s=recent_s[np.arange(max(0, n - recent), n) % recent].copy(),
        events=events[np.arange(max(0, written - EVENT_CAPACITY), written) % EVENT_CAPACITY].copy(),
    )
