"""The dose record of a live session: whose, and what an earlier session left."""

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from closedloop.config.device import Stimulator as Profile
from closedloop.dose.mapping import Left
from closedloop.dose.record import DoseRecord
from closedloop.errors import ConfigError, OutputError
from closedloop.files import write_text
from closedloop.session.event_lines import event_line
from closedloop.stimulators.interface import SIMULATED

LEFT = "events_left.jsonl"
"""The file in a killed session's folder that takes the newest decisions, which it could not write itself."""


@contextmanager
def open_dose(device: Profile, subject: str | None, session: Path) -> Iterator[DoseRecord | None]:
    """Open a subject's dose record for the length of a ``with`` block; None where nobody is stimulated.

    Raises
    ------
    ConfigError
        Where a real device is to be armed and nobody says for whom.
    DoseError
        Where the record cannot be kept, read or trusted.
    """
    if device.driver == SIMULATED:
        _check_line(device)
        yield None
        return
    if subject is None:
        raise ConfigError(
            f"--subject is missing: {device.name} is a real device, and what it gives counts for somebody's dose"
        )
    with DoseRecord(subject, str(session.resolve())) as dose:
        if dose.left is not None:
            hand_back(dose.left)
        yield dose


def hand_back(left: Left) -> None:
    """Write what a killed session decided last into its folder, where that is still there."""
    folder = Path(left.session)
    names: list[Any] = []
    with suppress(OSError, ValueError, KeyError, TypeError):
        names = list(json.loads((folder / "session.json").read_text(encoding="utf-8"))["conditions"])
    lines = [event_line(event, names) for event in left.events if event["condition"] < len(names)]
    with suppress(OutputError):  # it has been moved away: how many pulses it gave is in the ledger all the same
        if folder.is_dir():
            write_text(folder / LEFT, "".join(line + "\n" for line in lines))


def _check_line(device: Profile) -> None:
    """Refuse a real trigger line under a driver that stimulates nobody: what it fires would be in no dose record."""
    if device.line is None:
        return
    path = Path(device.line.path)
    with suppress(OSError):
        found = path.stat()
        if stat.S_ISCHR(found.st_mode) and not _stands_in(path):
            raise ConfigError(
                f"{device.name}: driver = {SIMULATED} with line.path = {path}: what a real line fires belongs into a "
                "dose record: name its driver (trigger-only, where it has no other)"
            )


def _stands_in(path: Path) -> bool:
    """Return whether a character device is the end of a pseudo-terminal, or takes everything and does nothing."""
    real = path.resolve()
    return real.parent == Path("/dev/pts") or real in {Path("/dev/null"), Path("/dev/full")}
