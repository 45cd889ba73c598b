"""The program that drives a line: ``python -m closedloop.stimulators.lines.child LINE TRIGGERS REPLIES``.

``LINE`` is a line's settings as JSON, the other two are the file descriptors of its ends of a pair of pipes. It is
started by the loop's side, and ends with it.
"""

import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

import pylsl
from pydantic import TypeAdapter

from closedloop.config.line import LabJackTLine, LabJackU3Line, Line, LslMarkerLine, NiDaqmxLine
from closedloop.scheduling import granted_scheduler
from closedloop.stimulators.lines.pipe_pair import Firing, ReplyKind, Server, one_line


def open_firing(line: Any) -> AbstractContextManager[Firing]:
    """Return what fires a line, not opened yet; a vendor's library is imported by the kind that needs it only."""
    match line:
        case LslMarkerLine():
            from closedloop.stimulators.lines.lsl_marker import LslMarker

            return LslMarker(line)
        case LabJackU3Line():
            from closedloop.stimulators.lines.labjack_u3 import LabJackU3

            return LabJackU3(line)
        case LabJackTLine():
            from closedloop.stimulators.lines.labjack_t import LabJackT

            return LabJackT(line)
        case NiDaqmxLine():
            from closedloop.stimulators.lines.ni_daqmx import NiDaqmx

            return NiDaqmx(line)
    raise ValueError(f"line.kind = {line.kind}: no program drives such a line")


def main(arguments: Sequence[str]) -> int:
    """Open the line, say so, and fire until the loop ends; return the exit status."""
    settings, triggers, replies = arguments
    # However it is told to end, the line is taken back first.
    signal.signal(signal.SIGTERM, _leave)
    server = Server(int(triggers), int(replies), pylsl.local_clock)
    try:
        with open_firing(TypeAdapter(Line).validate_json(settings)) as firing:
            server.tell(ReplyKind.READY, granted_scheduler())
            server.serve(firing)
    except Exception as error:  # noqa: BLE001 - a vendor's library raises what it likes
        server.tell(ReplyKind.FAILED, one_line(error))
        return 1
    return 0


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
