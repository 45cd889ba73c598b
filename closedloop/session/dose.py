"""The dose record of a live session: whose, and what an earlier session left."""

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from closedloop.config.device import SIMULATED
from closedloop.config.device import Stimulator as Profile
from closedloop.config.line import BytesLine, CommandLine, LslMarkerLine
from closedloop.config.readiness import lacks
from closedloop.dose.mapping import Left
from closedloop.dose.record import DoseRecord
from closedloop.errors import ConfigError, OutputError
from closedloop.files import write_text
from closedloop.session.event_lines import event_line

LEFT = "events_left.jsonl"
"""The file in a killed session's folder that takes the newest decisions, which it could not write itself."""


@contextmanager
def open_dose(device: Profile, subject: str | None, session: Path) -> Iterator[DoseRecord | None]:
    """Open a subject's dose record for the length of a ``with`` block; None where nobody is stimulated.

    Raises
    ------
    ConfigError
        Where a real device is to be armed and nobody says for whom, what fires it, or has measured its latency.
    DoseError
        Where the record cannot be kept, read or trusted.
    """
    if not device.is_real:
        _check_line(device)
        yield None
        return
    if faults := lacks(device):
        raise ConfigError(f"{device.name}: {faults[0].named}; until then it is not armed")
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
    line = device.line
    if line is None or isinstance(line, LslMarkerLine | CommandLine):
        return
    if isinstance(line, BytesLine) and _stands_in(Path(line.path)):
        return
    where = getattr(line, "path", line.kind)
    raise ConfigError(
        f"{device.name}: driver = {SIMULATED} with line.path = {where}: what a real line fires belongs into a dose "
        "record: name its driver (trigger-only, where it has no other)"
    )


def _stands_in(path: Path) -> bool:
    """Return whether nothing can be fired by a path: a pipe, a pseudo-terminal, or what takes all and does nothing."""
    real = path.resolve()
    if real.parent == Path("/dev/pts") or real in {Path("/dev/null"), Path("/dev/full")}:
        return True
    try:
        return not stat.S_ISCHR(real.stat().st_mode)
    except OSError:
        return True  # opening it will say what is wrong
