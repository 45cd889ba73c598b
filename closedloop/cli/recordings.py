"""``closedloop recordings``: those that are known by name."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from closedloop.cli.terminal import out

if TYPE_CHECKING:
    from closedloop.sources.library import Entry

recordings = typer.Typer(
    help="Recordings that are known by name: where they come from, and where they are on this machine.",
    epilog="Examples: closedloop recordings list — closedloop recordings path Subject25_1.edf",
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
    for title in dict.fromkeys(_origin(entry) for entry, _ in found):
        table = Table(Column("name", no_wrap=True), "here", "eyes", "SHA-256", box=SIMPLE)
        for entry, path in found:
            if _origin(entry) == title:
                here, eyes = "no" if path is None else "yes", entry.eyes or "–"
                table.add_row(entry.name, here, eyes, entry.sha256[:12] + "…")
        out.print(title, soft_wrap=True, highlight=False)
        out.print(table)
    out.print("`closedloop recordings path NAME` fetches what is not here or says how to make it.")


def _origin(entry: "Entry") -> str:
    return f"{entry.origin}; {entry.licence}"


@recordings.command("path", epilog="Example: closedloop recordings path Subject25_1.edf")
def recording_path(name: Annotated[str, typer.Argument(help="A name of `recordings list`.")]) -> None:
    """Print where a recording is on this machine; one that is not here is fetched from its origin."""
    from closedloop.sources.library import locate

    sys.stdout.write(f"{locate(name)}\n")
