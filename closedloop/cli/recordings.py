"""``closedloop recordings``: those that are known by name."""

import json
import sys
from typing import Annotated

import typer
from rich.table import Column, Table

from closedloop.cli.terminal import out

recordings = typer.Typer(
    help="Recordings that are known by name: where they come from, and where they are on this machine.",
    no_args_is_help=True,
)


@recordings.command("list", epilog="Example: closedloop recordings list --json")
def list_recordings(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the recordings that are known by name, with their origin and licence."""
    from closedloop.sources.library import entries, find

    found = [(entry, find(entry)) for entry in entries()]
    if as_json:
        content = [{**vars(entry), "path": None if path is None else str(path)} for entry, path in found]
        sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        return
    table = Table(Column("name", no_wrap=True), "here", "eyes", "origin", "licence", "SHA-256")
    for entry, path in found:
        here, eyes = "no" if path is None else "yes", entry.eyes or "–"
        table.add_row(entry.name, here, eyes, entry.origin, entry.licence, entry.sha256[:12] + "…")
    out.print(table)
    out.print("`closedloop recordings path NAME` fetches what is not here or says how to make it.")


@recordings.command("path", epilog="Example: closedloop recordings path Subject25_1.edf")
def recording_path(name: Annotated[str, typer.Argument(help="A name of `recordings list`.")]) -> None:
    """Print where a recording is on this machine; one that is not here is fetched from its origin."""
    from closedloop.sources.library import locate

    sys.stdout.write(f"{locate(name)}\n")
