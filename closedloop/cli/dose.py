"""``closedloop dose``: what somebody has been given so far."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from closedloop.cli.terminal import out
from closedloop.errors import DoseError
from closedloop.files import DISCLAIMER


def dose(
    subject: Annotated[str, typer.Argument(help="The code that sessions were run with.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a subject's dose record: pulses by session, within the last 24 hours, and in all."""
    from closedloop.dose.ledger import Ledger
    from closedloop.dose.record import ledger_folder

    folder = ledger_folder()
    if not (folder / f"{subject}.jsonl").is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.jsonl"))) or "nobody"
        raise DoseError(f"{folder} has no dose record of {subject} (there: {known})")
    with Ledger(folder, subject) as ledger:
        found: dict[str, Any] = {
            "subject": subject,
            "in_24_h": ledger.in_day(),
            "in_all": ledger.in_course(),
            "sessions": [vars(given) for given in ledger.sessions],
            "notice": DISCLAIMER,
        }
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        return
    table = Table("session", Column("pulses", justify="right"), "last entry (UTC)", "")
    for given in found["sessions"]:
        at = datetime.fromtimestamp(given["at_s"], UTC).isoformat(sep=" ", timespec="seconds")[:19]
        table.add_row(given["session"], str(given["pulses"]), at, "" if given["settled"] else "not settled: at most")
    out.print(table)
    out.print(f"{subject}: {found['in_24_h']} pulses within 24 h, {found['in_all']} in all. {DISCLAIMER}")
