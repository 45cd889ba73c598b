"""What the loop saw and decided, as LSL streams of its own: LabRecorder records them with everything else.

They are fed from the rings, at the supervisor's pace, with the time stamps of what they describe.
"""

import json
import math
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
import pylsl
from numpy.typing import NDArray

from closedloop.config.pipeline import Pipeline
from closedloop.core.reasons import Reason
from closedloop.core.records import EventKind
from closedloop.outlet import Outlet

NAME = "closedloop"


class Outlets:
    """The outlets of a live session; use them in a ``with`` block.

    Parameters
    ----------
    pipeline
        Names signals and conditions.
    sfreq
        Sampling rate of the signals in Hz.
    """

    def __init__(self, pipeline: Pipeline, sfreq: float) -> None:
        self._conditions = [condition.name for condition in pipeline.target.conditions]
        self._markers = [condition.marker for condition in pipeline.target.conditions]
        self._decisions = Outlet(_decisions_info(pipeline.name))
        self._signals = [Outlet(_signal_info(pipeline.name, name, sfreq)) for name in pipeline.signals]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._decisions
        self._signals.clear()

    def push(self, sights: NDArray[np.void], events: NDArray[np.void]) -> None:
        """Send records of the types ``SIGHT`` and ``EVENT``."""
        for event in events:
            self._decisions.push_sample([self._marker(event)], float(event["due_s"]))
        if not sights.size:
            return
        stamps = sights["time_s"].tolist()
        for place, outlet in enumerate(self._signals):
            values = np.column_stack(
                [
                    sights["x"][:, place],
                    np.degrees(np.angle(sights["z"][:, place])),
                    np.degrees(sights["sd"][:, place]),
                    np.abs(sights["z"][:, place]),
                    1e3 * sights["lead_s"],
                ]
            ).astype(np.float32)
            outlet.push_chunk(values.tolist(), stamps)

    def _marker(self, event: np.void) -> str:
        """Return a decision in the words of ``events.jsonl``, short."""
        condition = int(event["condition"])
        reason = Reason(int(event["reason"]))
        content = {
            "outcome": EventKind(int(event["kind"])).name.lower(),
            "reason": None if reason == Reason.NONE else reason.label,
            "condition": self._conditions[condition] if condition >= 0 else None,
            "marker": self._markers[condition] if condition >= 0 else None,
            "trial": int(event["trial"]),
            "pulse": int(event["pulse"]),
            "target_deg": math.degrees(event["target"]),
            "due_s": float(event["due_s"]),
        }
        return json.dumps(content, ensure_ascii=False)


def _decisions_info(pipeline_name: str) -> pylsl.StreamInfo:
    info = pylsl.StreamInfo(
        f"{NAME}-decisions", "Markers", 1, pylsl.IRREGULAR_RATE, pylsl.cf_string, f"{NAME}-decisions-{pipeline_name}"
    )
    _describe(info, [("decision", "", "Marker")])
    info.desc().append_child_value("pipeline", pipeline_name)
    info.desc().append_child_value("time_stamp", "when the pulse reaches the tissue, or would have")
    return info


def _signal_info(pipeline_name: str, name: str, sfreq: float) -> pylsl.StreamInfo:
    # Of a type of its own: whoever looks for EEG, this program first of all, must not find its own results.
    info = pylsl.StreamInfo(f"{NAME}-{name}", "Phase", 5, sfreq, pylsl.cf_float32, f"{NAME}-{name}-{pipeline_name}")
    _describe(
        info,
        [
            (name, "microvolts", "EEG"),
            (f"{name} phase", "degrees", "Misc"),
            (f"{name} phase SD", "degrees", "Misc"),
            (f"{name} amplitude", "microvolts", "Misc"),
            (f"{name} lead", "milliseconds", "Misc"),
        ],
    )
    info.desc().append_child_value("lead", "phase, SD and amplitude are predicted for so long after the sample")
    return info


def _describe(info: pylsl.StreamInfo, channels: Sequence[tuple[str, str, str]]) -> None:
    listed = info.desc().append_child("channels")
    for label, unit, kind in channels:
        channel = listed.append_child("channel")
        for key, value in (("label", label), ("unit", unit), ("type", kind)):
            channel.append_child_value(key, value)
    info.desc().append_child("acquisition").append_child_value("manufacturer", NAME)
