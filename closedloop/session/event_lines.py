"""Decisions as lines of JSON: one per chance, for people and for other programs."""

import json
import math
import os
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedloop.core.reasons import Reason
from closedloop.core.records import HELD_UP, PART, EventKind, InputKind

_WRITE_ERRORS = {PART: "written in part", HELD_UP: "not written: the loop was held up until the moment had passed"}


class EventLines:
    """Turns decisions into lines, each delivery with what became of writing its trigger.

    The loop decides first and writes then, so a delivery may be read before the result of its write is there:
    it and all after it wait for that.

    Parameters
    ----------
    condition_names
        Of the pipeline's conditions, in order.
    """

    def __init__(self, condition_names: Sequence[str]) -> None:
        self._names = tuple(condition_names)
        self._events: deque[np.void] = deque()
        self._written: deque[np.void] = deque()

    def add(self, events: NDArray[np.void], inputs: NDArray[np.void]) -> list[str]:
        """Take decisions and inputs, each in their order, and return the lines that are complete."""
        self._events.extend(events)
        self._written.extend(inputs[(inputs["kind"] == InputKind.WRITTEN) & (inputs["value"] == 0.0)])
        lines = []
        while self._events:
            written = None
            if self._events[0]["kind"] == EventKind.DELIVERED:
                if not self._written:
                    break
                written = self._written.popleft()
            lines.append(event_line(self._events.popleft(), self._names, written))
        return lines

    def remaining(self) -> list[str]:
        """Return the lines of what still waits, without the results that never came."""
        lines = [event_line(event, self._names) for event in self._events]
        self._events.clear()
        return lines


def event_line(event: np.void, condition_names: Sequence[str], written: np.void | None = None) -> str:
    """Return one decision as a line of JSON.

    Times are in s on the session's clock; numbers are written so that they read back bit for bit.

    Parameters
    ----------
    event
        Record of type ``EVENT``.
    condition_names
        Of the pipeline's conditions, in order.
    written
        Record of type ``INPUT``: the result of writing a delivery's trigger.
    """
    return json.dumps({**_event(event, condition_names), **_write(written)}, ensure_ascii=False, allow_nan=False)


def _event(event: np.void, condition_names: Sequence[str]) -> dict[str, Any]:
    condition = int(event["condition"])
    reason = Reason(int(event["reason"]))
    return {
        "number": int(event["number"]),
        "outcome": EventKind(int(event["kind"])).name.lower(),
        "reason": None if reason == Reason.NONE else reason.label,
        "condition": condition_names[condition] if condition >= 0 else None,
        "trial": int(event["trial"]),
        "pulse": int(event["pulse"]),
        "pulses": int(event["pulses"]),
        "target_deg": _degrees(event["target"]),
        "predicted_phase_deg": _degrees(event["phase"]),
        "phase_sd_deg": _degrees(event["sd"]),
        "amplitude_uv": _number(event["amplitude"]),
        "percent_of_maximum": _number(event["percent"]),
        "snr_db": _number(event["snr_db"]),
        "lead_s": _number(event["lead_s"]),
        "due_s": _number(event["due_s"]),
        "trigger_s": _number(event["trigger_s"]),
        "decided_s": _number(event["now_s"]),
        "sample": int(event["sample"]),
        "sample_age_s": _number(event["age_s"]),
    }


def _write(written: np.void | None) -> dict[str, Any]:
    if written is None:
        return {"written_s": None, "write_returned_s": None, "write_error": None}
    code = int(written["code"])
    return {
        "written_s": _number(written["now"]),
        "write_returned_s": _number(written["timestamp"]),
        "write_error": None if code == 0 else _WRITE_ERRORS.get(code) or os.strerror(code),
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _degrees(value: float) -> float | None:
    return math.degrees(value) if math.isfinite(value) else None
