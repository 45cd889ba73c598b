"""Decisions as lines of JSON: one per chance, for people and for other programs."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from closedloop.core.reasons import Reason
from closedloop.core.records import EventKind


def event_line(event: np.void, condition_names: Sequence[str]) -> str:
    """Return one decision, a record of type ``EVENT``, as a line of JSON.

    Times are in s on the session's clock; numbers are written so that they read back bit for bit.
    """
    return json.dumps(_event(event, condition_names), ensure_ascii=False, allow_nan=False)


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
        "snr_db": _number(event["snr_db"]),
        "lead_s": _number(event["lead_s"]),
        "due_s": _number(event["due_s"]),
        "trigger_s": _number(event["trigger_s"]),
        "decided_s": _number(event["now_s"]),
        "sample": int(event["sample"]),
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _degrees(value: float) -> float | None:
    return math.degrees(value) if math.isfinite(value) else None
