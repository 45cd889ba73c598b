"""What an operator sees of a running loop, and what the operator may ask for."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from closedloop.core.live import SIGHT
from closedloop.core.reasons import Reason
from closedloop.core.records import EventKind

TOOK_EDGES_S = np.geomspace(1e-7, 10.0, 931)
"""Steps of 2 % from 0.1 us to 10 s."""
SILENT_S = 2.0
WINDOW_S = 10.0
"""Rates and latencies are those of so long."""


class Wish(StrEnum):
    """What an operator may ask for."""

    PAUSE = "pause"
    RESUME = "resume"
    ARM = "arm"
    STOP = "stop"
    GIVE_UP = "stop, for the terminal has gone"


@dataclass(frozen=True)
class Status:
    """What there is to see at one moment.

    Attributes
    ----------
    state
        ``armed``, ``paused``, ``disarmed``, or why it was disarmed.
    need
        What somebody has to do to go on, or nothing.
    elapsed_s
        Since the loop began, in s.
    rate_hz, age_s
        Samples a second, and how old the newest is now; NaN before the first.
    snr_db, sd
        Sliding SNR in dB, and SD of the predicted phase in rad.
    next_s
        Until the protocol allows the next pulse, in s.
    delivered, withheld, refused
        Chances so far.
    reasons
        Refusals by reason.
    age_p50_s, age_p99_s
        Age of samples when the loop got them.
    loop_p50_s, loop_p99_s
        From then until it had decided.
    """

    state: str
    need: str
    elapsed_s: float
    rate_hz: float
    age_s: float
    snr_db: float
    sd: float
    next_s: float
    delivered: int
    withheld: int
    refused: int
    reasons: Mapping[Reason, int]
    age_p50_s: float
    age_p99_s: float
    loop_p50_s: float
    loop_p99_s: float


class Operator(Protocol):
    """Whoever watches and steers a live session."""

    def say(self, line: str) -> None:
        """Show one line that stays."""
        ...

    def show(self, status: Status) -> None:
        """Show the loop's status, in place of the one before."""
        ...

    def done(self) -> None:
        """Take the status away: the loop has ended."""
        ...

    def wishes(self) -> list[Wish]:
        """Return what was asked for since the last time."""
        ...


@dataclass
class Watch:
    """Follows what comes out of the loop.

    Attributes
    ----------
    target
        Place of the target signal.
    correction_s
        The clock's first correction.
    """

    target: int
    correction_s: float = 0.0
    newest: np.void | None = None
    counts: Counter[EventKind] = field(default_factory=Counter)
    reasons: Counter[Reason] = field(default_factory=Counter)
    _recent: deque[NDArray[np.void]] = field(default_factory=deque)
    _took: NDArray[np.int64] = field(default_factory=lambda: np.zeros(TOOK_EDGES_S.size + 1, np.int64))

    def follow(self, sights: NDArray[np.void], events: NDArray[np.void]) -> None:
        """Take records of the types ``SIGHT`` and ``EVENT``."""
        self.counts.update(EventKind(int(kind)) for kind in events["kind"])
        self.reasons.update(Reason(int(reason)) for reason in events["reason"] if reason != Reason.NONE)
        if not sights.size:
            return
        self.newest = sights[-1]
        took = sights["done_s"] - sights["told_s"]
        self._took += np.bincount(np.searchsorted(TOOK_EDGES_S, took), minlength=self._took.size)
        self._recent.append(sights)
        while self._recent[0]["told_s"][-1] < self.newest["told_s"] - WINDOW_S:
            self._recent.popleft()

    def has_caught_up(self) -> None:
        """Forget how old the samples were that waited during calibration: it says nothing of the stream."""
        self._recent.clear()

    def decision_percentiles(self, percents: Sequence[float]) -> dict[str, float] | None:
        """Return n and percentiles in ms of how long the loop took from a sample to its decision.

        They come from counts in steps of 2 %, so that hours take no more memory than minutes.
        """
        n = int(self._took.sum())
        if n == 0:
            return None
        share = np.cumsum(self._took) / n
        upper = np.append(TOOK_EDGES_S, TOOK_EDGES_S[-1]) * 1e3
        found = {percentile_name(p): float(upper[np.searchsorted(share, p / 100.0 - 1e-12)]) for p in percents}
        return {"n": n, **found}

    def status(self, now_s: float, *, began_s: float, need: str, gone: bool = False) -> Status:
        """Return what there is to see at ``now_s``."""
        recent = np.concatenate([*self._recent, np.zeros(0, SIGHT)])
        if self.newest is not None and not now_s - float(self.newest["told_s"]) <= SILENT_S:
            recent = recent[:0]  # what came before it fell silent says nothing of now
        age = recent["told_s"] - recent["time_s"]
        took = recent["done_s"] - recent["told_s"]
        span_s = float(recent["time_s"][-1] - recent["time_s"][0]) if recent.size > 1 else np.nan
        newest = self.newest
        return Status(
            state=self._state(gone=gone),
            need=need,
            elapsed_s=now_s - began_s,
            rate_hz=(recent.size - 1) / span_s if span_s > 0.0 else np.nan,
            age_s=np.nan if newest is None else now_s - float(newest["time_s"]),
            snr_db=np.nan if newest is None else float(newest["snr_db"]),
            sd=np.nan if newest is None else float(newest["sd"][self.target]),
            next_s=np.nan if newest is None else max(0.0, float(newest["next_s"]) - now_s),
            delivered=self.counts[EventKind.DELIVERED],
            withheld=self.counts[EventKind.WITHHELD],
            refused=self.counts[EventKind.REFUSED],
            reasons=dict(self.reasons.most_common()),
            age_p50_s=_percentile(age, 50),
            age_p99_s=_percentile(age, 99),
            loop_p50_s=_percentile(took, 50),
            loop_p99_s=_percentile(took, 99),
        )

    def _state(self, *, gone: bool) -> str:
        if self.newest is None:
            return "starting"
        if gone and self.newest["armed"] == 1:
            return "disarmed"  # since the newest sample, which knows nothing of it
        if self.newest["armed"] != 1:
            reason = Reason(int(self.newest["disarmed_by"]))
            return "disarmed" if reason == Reason.NONE else f"disarmed: {reason.label}"
        return "paused" if self.newest["paused"] == 1 else "armed"


def percentile_name(percent: float) -> str:
    """Return how a percentile is called: ``p50``, ``p99_9``, ``max``."""
    return "max" if percent == 100.0 else f"p{percent:g}".replace(".", "_")


def _percentile(values: NDArray[np.float64], percent: float) -> float:
    return float(np.percentile(values, percent)) if values.size else np.nan
