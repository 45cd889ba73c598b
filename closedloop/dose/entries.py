"""The entries of a ledger: how one is written, and what may stand in its file.

A line of JSON each. The last may be torn, by a power that failed or by a look while it is being written; nothing else
that is no entry is ever left out.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closedloop.errors import DoseError

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


@dataclass(frozen=True)
class Entries:
    """What a ledger's file holds.

    Attributes
    ----------
    given
        The newest entry of each session by its name, oldest first.
    kept
        So many bytes of the file are whole entries.
    ended
        Whether the last of them ends with its line.
    torn
        What follows them: the beginning of one entry, or nothing.
    """

    given: dict[str, Given]
    kept: int
    ended: bool
    torn: bytes


def write_entry(kind: str, session: str, pulses: int, at_s: float) -> bytes:
    """Return an entry as a line."""
    return json.dumps({"kind": kind, "session": session, "pulses": pulses, "at_s": at_s}).encode() + b"\n"


def read_entries(content: bytes, path: Path) -> Entries:
    """Return what a ledger's file holds.

    Parameters
    ----------
    content
        Of the file.
    path
        Its path, for errors.

    Raises
    ------
    DoseError
        Where it holds anything but entries and, at its very end, the beginning of one.
    """
    *lines, last = content.split(b"\n")
    found: dict[str, Given] = {}
    for number, line in enumerate(lines, 1):
        _add(found, _parse(line, f"{path}:{number}"))
    if not last:
        return Entries(found, len(content), ended=True, torn=b"")
    if _BEGINNING.fullmatch(last):
        # An entry is on the disk, whole, before a pulse is allowed by it. So one that is torn allowed none: a lease
        # had not been relied on yet, and without its settlement a session counts by all that it had leased.
        return Entries(found, len(content) - len(last), ended=True, torn=last)
    # Whole but for the end of its line: it may have been relied on, if somebody's editor took that away.
    _add(found, _parse(last, f"{path}:{len(lines) + 1}"))
    return Entries(found, len(content), ended=False, torn=b"")


def warn_of_torn(path: Path, torn: bytes) -> str:
    """Return what has to be told of a ledger's torn end, in one line; nothing where it has none."""
    if not torn:
        return ""
    return (
        f"{path}: the last {len(torn)} bytes are the beginning of an entry that was never finished: no pulse was "
        "allowed by it, and it is left out"
    )


def _add(found: dict[str, Given], given: Given) -> None:
    found.pop(given.session, None)
    found[given.session] = given


def _parse(line: bytes, place: str) -> Given:
    if b"\0" in line:
        raise DoseError(
            f"{place}: {line.count(0)} bytes of zero among {len(line)}, which a loss of power may leave: nothing was "
            "changed: look at the file, and restore it from a copy, or remove this by hand where no entry is in it"
        )
    try:
        entry: Any = json.loads(line)
        kind, session, pulses, at_s = (entry[name] for name in ("kind", "session", "pulses", "at_s"))
    except (ValueError, KeyError, TypeError, RecursionError):
        kind = session = pulses = at_s = None
    whole = isinstance(pulses, int) and not isinstance(pulses, bool) and pulses >= 0
    timed = isinstance(at_s, float) and math.isfinite(at_s) and at_s >= 0.0
    if kind not in (LEASE, SETTLED) or not isinstance(session, str) or not whole or not timed:
        said = repr(line[:30]).removeprefix("b")
        raise DoseError(
            f"{place}: this is no entry of a dose record: have it looked at before anything; it has {len(line)} bytes "
            f"and begins with {said}"
        )
    return Given(session, pulses, at_s, kind == SETTLED)


def _beginning_of(parts: list[str]) -> str:
    """Return a pattern of all that the parts of one begin with, the whole left out."""
    pattern = parts[-1]
    for part in reversed(parts[:-1]):
        pattern = f"{part}(?:{pattern})?"
    return pattern


def _letters(text: str) -> list[str]:
    return [re.escape(letter) for letter in text]


_STRING = r'(?:[^"\\\x00-\x1f\x7f-\xff]|\\(?:["\\bfnrt]|u[0-9a-f]{4}))*(?:\\(?:u[0-9a-f]{0,3})?\Z)?'
"""What JSON makes of a session's name; at the end of what is torn a letter's code may be cut."""
_NUMBERED = [*_letters('", "pulses": '), r"[0-9]+", *_letters(', "at_s": '), r"[0-9]+", r"\.", r"[0-9]*"]
_BEGINNING = re.compile(
    "|".join(
        _beginning_of([*_letters(f'{{"kind": "{kind}", "session": "'), _STRING, *_NUMBERED])
        for kind in (LEASE, SETTLED)
    ).encode()
)
"""The proper beginnings of an entry as `write_entry` writes it."""
