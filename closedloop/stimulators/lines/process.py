"""The loop's side of a line that a program of its own drives: starts it, and ends it."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from closedloop.config.line import ProcessLine
from closedloop.errors import StimulatorError
from closedloop.stimulators.lines.pipe_pair import TRIGGER, Replies, Reply, ReplyKind
from closedloop.stimulators.lines.wire import TriggerLine

START_S = 30.0
"""The program imports a vendor's library and finds its device within this time."""
END_S = 5.0


@contextmanager
def open_process(line: ProcessLine) -> Iterator[TriggerLine]:
    """Start the program that drives a line of its kind.

    Raises
    ------
    StimulatorError
        Where a library is not installed, the device is not there, or the program does not end when it should.
    """
    kind = str(line.model_dump()["kind"])
    command = [sys.executable, "-P", "-m", "closedloop.stimulators.lines.child", line.model_dump_json()]
    with driven(command, kind) as opened:
        yield opened


@contextmanager
def driven(command: Sequence[str], name: str) -> Iterator[TriggerLine]:
    """Start a program that serves a pair of pipes, and end it: by the end of its first pipe, which takes the line back.

    Parameters
    ----------
    command
        What is started, with two more arguments: the file descriptors of its ends of the two pipes.
    name
        What the line is called, for errors.

    Raises
    ------
    StimulatorError
        Where it does not get ready, or does not end.
    """
    triggers, to_take = os.pipe()
    taken, replies = os.pipe()
    # A program that another thread starts meanwhile gets none of them, and a terminal's Ctrl-C does not reach it: it
    # ends when the loop does.
    try:
        process = subprocess.Popen(  # noqa: S603 - this package's own module, or a test's
            [*command, str(triggers), str(replies)],
            pass_fds=(triggers, replies),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        os.close(triggers)
        os.close(replies)
    try:
        os.set_blocking(to_take, False)
        os.set_blocking(taken, False)
        heard = Replies(taken)
        _await_ready(heard, name)
        yield TriggerLine(to_take, TRIGGER, b"", 0.0, name, replies=heard)
    finally:
        os.close(to_take)
        ended = _ends(process)
        os.close(taken)
    if not ended:
        raise StimulatorError(
            f"line.kind = {name}: the program that drives it did not end within {END_S:g} s and was killed: its output "
            "may still be high"
        )


def _await_ready(heard: Replies, name: str) -> None:
    until_s = time.monotonic() + START_S
    while (left_s := until_s - time.monotonic()) > 0.0 and select.select([heard.fd], [], [], left_s)[0]:
        said: list[Reply] = heard.take()
        if not said:
            raise StimulatorError(f"line.kind = {name}: the program that drives it ended before it was ready")
        if said[0].kind == ReplyKind.READY:
            heard.granted = said[0].text
            return
        raise StimulatorError(f"line.kind = {name}: {said[0].text}")
    raise StimulatorError(f"line.kind = {name}: the program that drives it was not ready within {START_S:g} s")


def _ends(process: subprocess.Popen[bytes]) -> bool:
    """Wait for a program's end, and kill it where that does not come; return whether it came."""
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True
