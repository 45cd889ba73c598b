"""The operator's screen of a live session: one status line that is kept, lines that stay, and keys."""

import math
import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from closedloop.cli.terminal import err
from closedloop.files import DISCLAIMER
from closedloop.session.status import Status, Wish

PLAIN_EVERY_S = 10.0
"""Where nobody watches, a log takes a line this often."""
KEYS = {"p": Wish.PAUSE, "r": Wish.RESUME, "a": Wish.ARM, "s": Wish.STOP, "q": Wish.STOP}
COLORS = {"armed": "green", "paused": "dark_orange", "starting": "blue"}
HELP = "p pause · r resume · s stop · a arm again"


class Screen:
    """Shows a live session on standard error and reads keys from standard input; use it in a ``with`` block."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._stack = ExitStack()
        self._plain_s = -math.inf
        self._has_keys = sys.stdin.isatty()

    def __enter__(self) -> Self:
        self._stack.enter_context(_keyboard())
        self.say(DISCLAIMER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            self.done()

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
            self._live.update(status_panel(status), refresh=True)

    def done(self) -> None:
        """Take the panel away."""
        with suppress(OSError):  # a terminal that has gone takes nothing any more
            if self._live is not None:
                self._live.stop()
        self._live = None

    def wishes(self) -> list[Wish]:
        """Return what keys were pressed for."""
        found: list[Wish] = []
        if not self._has_keys:
            return found
        try:
            keyboard = sys.stdin.fileno()
            while select.select([keyboard], [], [], 0.0)[0]:
                # Not through Python's buffer, in which keys would wait unseen.
                keys = os.read(keyboard, 256).decode(errors="ignore").lower()
                if not keys:
                    return [Wish.GIVE_UP]
                found.extend(KEYS[key] for key in keys if key in KEYS)
        except (OSError, ValueError):
            return [Wish.GIVE_UP]
        return found


def status_panel(status: Status) -> Panel:
    """Return a status as an operator watches it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    for label, text in _rows(status).items():
        grid.add_row(label, text)
    if status.need:
        grid.add_row("to do", Text(status.need, style="bold red"))
    color = COLORS.get(status.state, "red")
    state = Text(f" {status.state.upper()} ", style=f"bold white on {color}")
    # The state stands last: where a library writes to the terminal itself, the top of an older panel stays above.
    return Panel(grid, title=HELP, title_align="left", subtitle=state, subtitle_align="left", border_style="dim")


def status_text(status: Status) -> Text:
    """Return a status as one line of a log, and a second one where something has to be done."""
    text = Text(status.state.upper() + "  " + " · ".join(_rows(status).values()))
    if status.need:
        text.append(f"\n{status.need}")
    return text


def _rows(status: Status) -> dict[str, str]:
    refused = ", ".join(f"{count} {reason.label}" for reason, count in list(status.reasons.items())[:3])
    allowed = f"in {status.next_s:.1f} s at the earliest" if status.next_s > 0.0 else "at any time"
    allowed = f", next pulse {allowed}" if status.state in {"armed", "paused"} else ""
    decided = f"{_number(1e6 * status.loop_p50_s, '.0f')} µs (p99 {_number(1e6 * status.loop_p99_s, '.0f')})"
    return {
        "time": f"{status.elapsed_s:.0f} s{allowed}",
        "stream": f"{_number(status.rate_hz, '.1f')} Hz, newest sample {_number(1e3 * status.age_s, '.1f')} ms old; "
        f"they arrive after {_number(1e3 * status.age_p50_s, '.2f')} ms (p99 {_number(1e3 * status.age_p99_s, '.2f')})",
        "rhythm": f"SNR {_number(status.snr_db, '.1f')} dB, phase ±{_number(math.degrees(status.sd), '.0f')}°",
        "chances": f"{status.delivered} delivered, {status.withheld} withheld, {status.refused} refused"
        + (f" ({refused})" if refused else ""),
        "loop": f"decides in {decided}",
    }


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
