"""The SHA-256 of what a session recorded, taken when it closes, so that any later change of a file is noticed."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from closedloop.errors import OutputError, SessionError

RECORDED = (
    *("pipeline.yaml", "device.yaml", "state.npz"),
    *("inputs.bin", "samples.bin", "events.bin", "events.jsonl", "confirmed.jsonl"),
)
"""The files of a session folder that are never written again once it is closed."""


def take_sums(folder: Path, names: Iterable[str] = RECORDED) -> dict[str, str]:
    """Return the SHA-256 of those files that are there, in hexadecimal digits, by name.

    Raises
    ------
    OutputError
        Where one cannot be read.
    """
    found = {}
    for name in names:
        try:
            found[name] = _sum(folder / name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OutputError(f"{folder / name} cannot be read: {error.strerror}") from None
    return found


def find_changed(folder: Path, sums: Mapping[str, str]) -> list[str]:
    """Return the names of the files that are not what they were when the sums were taken.

    Raises
    ------
    SessionError
        Where one is missing or cannot be read.
    """
    changed = []
    for name, before in sums.items():
        try:
            now = _sum(folder / name)
        except OSError as error:
            raise SessionError(f"{folder / name} cannot be read: {error.strerror}") from None
        if now != before:
            changed.append(name)
    return changed


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
