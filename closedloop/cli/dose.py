"""``closedloop dose``: what somebody has been given so far."""

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from closedloop.cli.terminal import out, warn
from closedloop.files import DISCLAIMER

if TYPE_CHECKING:
    from closedloop.dose.entries import Given
    from closedloop.dose.look import Seen


def dose(
    subject: Annotated[str, typer.Argument(help="The code that sessions were run with.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a subject's dose record: pulses by session, within the last 24 hours, and in all.

    It changes nothing, and may be asked while a session runs: that one counts by what it has given so far.
    """
    from closedloop.dose.look import look
    from closedloop.dose.record import ledger_folder

    seen = look(ledger_folder(), subject)
    if seen.warning:
        warn(seen.warning)
    if as_json:
        sys.stdout.write(json.dumps(_content(subject, seen), indent=2, ensure_ascii=False) + "\n")
        return
    _show(subject, seen)


def _content(subject: str, seen: "Seen") -> dict[str, Any]:
    return {
        "subject": subject,
        "in_24_h": seen.in_day,
        "in_all": seen.in_course,
        "running": seen.running,
        "sessions": [{**vars(given), "counted": given.session in seen.counted} for given in seen.sessions],
        "notice": DISCLAIMER,
    }


def _show(subject: str, seen: "Seen") -> None:
    if seen.running:
        out.print("A session is running: what follows is as of now.")
    if not seen.sessions:
        out.print(f"{subject}: nothing has been given yet. {DISCLAIMER}")
        return
    table = Table("session", Column("pulses", justify="right"), "last entry (UTC)", "")
    for given in seen.sessions:
        at = datetime.fromtimestamp(given.at_s, UTC).isoformat(sep=" ", timespec="seconds")[:19]
        table.add_row(given.session, str(given.pulses), at, _remark(given, seen))
    out.print(table)
    out.print(f"{subject}: {seen.in_day} pulses within 24 h, {seen.in_course} in all. {DISCLAIMER}")


def _remark(given: "Given", seen: "Seen") -> str:
    """Return what a session's number of pulses is."""
    if given.settled:
        return ""
    if given.session in seen.counted:
        return "so far, by its counters" if seen.running else "not settled: by its counters"
    return "not settled: at most"
