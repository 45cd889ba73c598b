"""What can be kept from a core, so that the judgement of its runs is seen to fail.

Either a limit, which the oracle still knows; or inputs of a kind, in place of which the core is told something
harmless at the same time, while the oracle is told what they were.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gate_driver import Log
from numpy.typing import NDArray

from closedloop.core.records import Command, InputKind
from closedloop.core.state import OPEN_LIMITS, Core

MARK = 1e6
"""A resumption with a value from here on stands for an input that was kept from the core."""
OPEN = {
    **OPEN_LIMITS,
    "max_pulses": 10**9,
    "min_interval_s": 0.0,
    "max_lateness_s": 1e6,
    "max_data_age_s": 1e6,
    "rhythm_snr_db": -1e6,
    "max_phase_sd": 1e6,
}


@dataclass(frozen=True)
class Break:
    """What is kept from a core.

    Attributes
    ----------
    open_up
        Takes a limit from the core.
    unheard
        Of the rows of a run, True for each that the core is not told.
    """

    open_up: Callable[[Core], object] = id
    unheard: Callable[[NDArray[np.void]], NDArray[np.bool_]] = lambda rows: np.zeros(rows.size, bool)

    def keep_back(self, core: Core, rows: NDArray[np.void]) -> NDArray[np.void]:
        """Return what the core is told instead of the rows of a run."""
        self.open_up(core)
        kept = np.flatnonzero(self.unheard(rows))
        told = rows.copy()
        told["kind"][kept], told["code"][kept], told["value"][kept] = InputKind.COMMAND, Command.RESUME, MARK + kept
        return told

    def own_up(self, log: Log, rows: NDArray[np.void]) -> None:
        """Put what was kept back into the log, for the oracle."""
        kept = np.flatnonzero((log.told["kind"] == InputKind.COMMAND) & (log.told["value"] >= MARK))
        places = (log.told["value"][kept] - MARK).astype(int)
        for name in ("kind", "code", "value"):
            log.told[name][kept] = rows[name][places]


def _without(limit: str) -> Break:
    def open_up(core: Core) -> None:
        core.limits[limit] = OPEN[limit]

    return Break(open_up=open_up)


def _without_table(core: Core) -> None:
    core.exposure.longest_s[:], core.exposure.most_pulses[:], core.exposure.percents[-1] = 1e9, 10**9, 1e9


def _without_caps(core: Core) -> None:
    core.exposure.caps["window_s"] = 1e-6
    core.exposure.caps["max_pulses"] = np.maximum(core.exposure.caps["max_pulses"], 1)


def _without_window(core: Core) -> None:
    core.quality["needed"], core.quality["hold_s"] = 0, 0.0
    core.extremes.ceiling[:], core.extremes.watched[:] = math.inf, 0


def _without_lease(core: Core) -> None:
    core.gate["leased"] = 10**6


def _command(*codes: Command) -> Callable[[NDArray[np.void]], NDArray[np.bool_]]:
    return lambda rows: (rows["kind"] == InputKind.COMMAND) & np.isin(rows["code"], codes)


BREAKS: dict[str, Break] = {
    **{limit: _without(limit) for limit in OPEN},
    "table": Break(_without_table),
    "caps": Break(_without_caps),
    "window": Break(_without_window),
    "leased": Break(_without_lease),
    "stop": Break(unheard=_command(Command.STOP, Command.DISARM)),
    "pause": Break(unheard=_command(Command.PAUSE)),
    "lost": Break(unheard=_command(Command.LOST, Command.UNWATCHED)),
    "stream": Break(unheard=lambda rows: rows["kind"] == InputKind.STREAM),
    "device": Break(unheard=lambda rows: (rows["kind"] == InputKind.DEVICE) & (rows["code"] != 1)),
}
