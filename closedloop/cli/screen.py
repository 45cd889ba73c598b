"""The operator's screen of a live session: one status line that is kept, lines that stay, and keys."""

import math
import select
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.text import Text

from closedloop.cli.terminal import err
from closedloop.session.status import Status, Wish

PLAIN_EVERY_S = 10.0
"""Where nobody watches, a log takes a line this often."""
KEYS = {"p": Wish.PAUSE, "r": Wish.RESUME, "a": Wish.ARM, "s": Wish.STOP, "q": Wish.STOP}
HELP = "p pause · r resume · s stop · a arm again"


class Screen:
    """Shows a live session on standard error and reads keys from standard input; use it in a ``with`` block."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._stack = ExitStack()
        self._plain_s = -math.inf

    def __enter__(self) -> Self:
        self._stack.enter_context(_keyboard())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack, suppress(OSError):  # a terminal that has gone takes nothing any more
            if self._live is not None:
                self._live.stop()

    def say(self, line: str) -> None:
        """Show one line that stays."""
        with suppress(OSError):
            err.print(line, soft_wrap=True, highlight=False)

    def show(self, status: Status) -> None:
        """Show the status in place of the one before; where nobody watches, now and then."""
        with suppress(OSError):
            if not err.is_interactive:
                if time.monotonic() - self._plain_s >= PLAIN_EVERY_S:
                    self._plain_s = time.monotonic()
                    err.print(status_text(status), soft_wrap=True)
                return
            if self._live is None:
                self._live = Live(console=err, auto_refresh=False, transient=True, redirect_stdout=False)
                self._live.start()
            text = status_text(status)
            text.append(f"\n{HELP}", style="dim")
            self._live.update(text, refresh=True)

    def wishes(self) -> list[Wish]:
        """Return what keys were pressed for."""
        found = []
        with suppress(OSError, ValueError):
            while sys.stdin.isatty() and select.select([sys.stdin], [], [], 0.0)[0]:
                key = sys.stdin.read(1)
                if not key:
                    break
                if key.lower() in KEYS:
                    found.append(KEYS[key.lower()])
        return found


def status_text(status: Status) -> Text:
    """Return a status as a line, or two where something has to be done."""
    color = {"armed": "bold green", "paused": "bold yellow", "starting": "bold"}.get(status.state, "bold red")
    refused = ", ".join(f"{count} {reason.label}" for reason, count in list(status.reasons.items())[:3])
    parts = [
        f"{status.elapsed_s:.0f} s",
        f"{_number(status.rate_hz, '.1f')} Hz, newest {_number(1e3 * status.age_s, '.1f')} ms old",
        f"SNR {_number(status.snr_db, '.1f')} dB, phase ±{_number(math.degrees(status.sd), '.0f')}°",
        f"next in {status.next_s:.1f} s" if status.next_s > 0.0 else "next at once",
        f"delivered {status.delivered}, withheld {status.withheld}, refused {status.refused}"
        + (f" ({refused})" if refused else ""),
        f"sample {_number(1e3 * status.age_p50_s, '.2f')}/{_number(1e3 * status.age_p99_s, '.2f')} ms",
        f"loop {_number(1e6 * status.loop_p50_s, '.0f')}/{_number(1e6 * status.loop_p99_s, '.0f')} µs p50/p99",
    ]
    text = Text.assemble((status.state.upper(), color), "  " + " · ".join(parts))
    if status.need:
        text.append(f"\n{status.need}", style="bold red")
    return text


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if math.isfinite(value) else "–"


@contextmanager
def _keyboard() -> Iterator[None]:
    """Let keys be read one at a time, and leave the terminal as it was."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        with suppress(termios.error, OSError):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
