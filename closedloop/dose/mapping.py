"""What survives the program: the gate's counters and the ring of decisions, in memory that the system keeps.

The compiled loop counts a pulse and records it in arrays that are a file on a tmpfs, before it writes the trigger.
A program that is killed leaves them as they were at that moment; the next start reads them. They do not survive the
power, which is what the ledger's lease is for. When pulses came, so far as windows of time need it, is the ledger's.
"""

import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedloop.core.records import EVENT, WRITTEN, Ring
from closedloop.core.state import EVENT_CAPACITY, GATE, Core
from closedloop.errors import DoseError

BOOT = Path("/proc/sys/kernel/random/boot_id")
MAGIC = b"closedloop dose 2"
MOST_BYTES = 4096
"""Of a session's name: the longest path that Linux knows."""
HEADER = np.dtype([("magic", "S24"), ("boot", "S40"), ("session", f"S{MOST_BYTES}"), ("open", "i8")], align=True)
"""``open`` is 1 from when a session begins until it has settled."""
ALIGNMENT = 64
PARTS = ((HEADER, 1), (GATE, 1), (np.dtype("i8"), 3), (EVENT, EVENT_CAPACITY))
"""What lies in the file, in order: type and count of each array."""
PLACES = np.cumsum([0, *(-(-kind.itemsize * count // ALIGNMENT) * ALIGNMENT for kind, count in PARTS)]).tolist()
"""Where each of them begins, and where the last ends."""
SIZE = PLACES[-1]


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
    events
        Records of type ``EVENT``: the newest decisions, oldest first.
    """

    session: str
    pulses: int
    last_pulse_s: float
    events: NDArray[np.void]


class Mapping:
    """A file on a tmpfs that holds what must outlive the program.

    Parameters
    ----------
    path
        The file.
    session
        Name of the session that begins.

    Raises
    ------
    DoseError
        Where it cannot be made.
    """

    def __init__(self, path: Path, session: str) -> None:
        self.path = path
        if len(session.encode()) > MOST_BYTES:
            raise DoseError(
                f"{session}: {len(session.encode())} bytes are too many for a session's name ({MOST_BYTES})"
            )
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("w+b") as file:
                os.posix_fallocate(file.fileno(), 0, SIZE)  # a full tmpfs is found now, and not by the loop
                self._map = mmap.mmap(file.fileno(), SIZE)
            part.replace(path)
        except OSError as error:
            raise DoseError(f"{path} cannot be made: {error.strerror}") from None
        self._header, self._gate, self._indices, self._events = _arrays(self._map)
        self._header["magic"], self._header["boot"], self._header["session"] = MAGIC, boot(), session.encode()
        self._header["open"] = 1

    @property
    def pulses(self) -> int:
        """Delivered so far."""
        return int(self._gate["pulses"][0])

    def share(self, core: Core) -> Core:
        """Return the core with its counters and decisions in this file; nothing has been decided yet."""
        self._gate[:] = core.gate
        return core._replace(gate=self._gate, events=Ring(records=self._events, indices=self._indices))

    def close(self) -> None:
        """Say that all of it is settled on disk."""
        self._header["open"] = 0


def _arrays(memory: bytes | mmap.mmap) -> list[NDArray[Any]]:
    placed = zip(PARTS, PLACES[:-1], strict=True)
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
    if len(content) != SIZE:
        raise DoseError(f"{path} is no whole dose record: {len(content)} bytes")
    _, gate, indices, events = _arrays(content)
    written = int(indices[WRITTEN])
    return Left(
        session=header["session"].decode(),
        pulses=int(gate["pulses"][0]),
        last_pulse_s=float(gate["last_pulse_s"][0]),
        events=events[np.arange(max(0, written - EVENT_CAPACITY), written) % EVENT_CAPACITY].copy(),
    )
