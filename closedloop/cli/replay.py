"""``closedloop replay``: a session's inputs again."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from closedloop.cli.terminal import DIFFERS_STATUS, fail, out, warn


def replay(
    session: Annotated[Path, typer.Argument(help="A session folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a session's recorded inputs again; exit 0 only where every decision is the same, bit for bit.

    Of a session that failed or was killed, what is there is compared.
    """
    from closedloop.session.replay import replay_session

    replayed = replay_session(session)
    for note in replayed.notes:
        warn(note)
    if as_json:
        content = {**vars(replayed), "same": replayed.same}
        sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    elif replayed.same:
        out.print(f"same: {replayed.n_events} decisions, fingerprint {replayed.again}", soft_wrap=True)
    if not replayed.same:
        fail(f"different: {replayed.difference}", DIFFERS_STATUS)
