"""Two processes side by side, as a lab would start them: a stand-in amplifier, and a live session that listens.

LSL stays on this machine, and within one run of a benchmark: its settings are the tests' loopback-only ones with a
session name of its own, so that nobody else's streams are found.
"""

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import loopback  # noqa: F401 - before pylsl

LOOPBACK = Path(__file__).parents[1] / "tests" / "lsl_loopback.cfg"


def _own_settings() -> str:
    """Write LSL's settings for this process and its children, and return where."""
    text = re.sub(r"(?m)^SessionID = .*$", f"SessionID = closedloop-bench-{os.getpid()}", LOOPBACK.read_text())
    folder = tempfile.mkdtemp(prefix="closedloop-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "lsl_api.cfg"
    path.write_text(text)
    return str(path)


ENVIRONMENT = {**os.environ, "LSLAPICFG": _own_settings(), "OPENBLAS_NUM_THREADS": "1"}
CLOSEDLOOP = [sys.executable, "-c", "from closedloop.cli import main; main()"]


def rehearse(
    play: Sequence[str],
    run: Sequence[str],
    *,
    watch: Callable[[int], None] = lambda _pid: None,
    every_s: float = 0.5,
) -> dict[str, Any]:
    """Play to a live session until that ends, and return what was sent.

    Parameters
    ----------
    play, run
        Arguments of ``closedloop play`` and of ``closedloop run``.
    watch
        Is called again and again with the session's process identifier.
    every_s
        So often.
    """
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [*CLOSEDLOOP, "play", *play, *as_an_amplifier(), "--json"],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=said,
        ) as player,
    ):
        with subprocess.Popen([*CLOSEDLOOP, "run", *run], env=ENVIRONMENT, stdout=subprocess.DEVNULL) as session:
            while session.poll() is None and not player.poll():
                watch(session.pid)
                time.sleep(every_s)
            failed = player.poll()  # before it is told to end, which is an interruption
            if session.poll() is None:
                session.terminate()
        if player.poll() is None:
            player.terminate()
        sent, _ = player.communicate()
        if failed:
            said.seek(0)
            raise SystemExit(
                f"closedloop play {' '.join(play)} ended with status {player.returncode}: {said.read().decode()}"
            )
    if session.returncode != 0:
        raise SystemExit(f"closedloop run {' '.join(run)} ended with status {session.returncode}")
    text = sent.decode()
    content: dict[str, Any] = json.loads(text) if text.strip() else {}
    return content


def as_an_amplifier() -> list[str]:
    """Return what lets a stand-in wait for nobody, as an amplifier does, where that is permitted."""
    script = "import sys; from closedloop.scheduling import ask_for_realtime; sys.exit(bool(ask_for_realtime()))"
    permitted = subprocess.run([sys.executable, "-c", script], stderr=subprocess.DEVNULL).returncode == 0
    return ["--realtime"] if permitted else []


def event_lines(folder: Path) -> list[dict[str, Any]]:
    """Return a session's decisions."""
    return [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
