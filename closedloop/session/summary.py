"""What a session came to, as numbers: the content of ``summary.json``."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedloop.core.reasons import EXPLANATIONS, Reason
from closedloop.core.records import EVENT, EventKind
from closedloop.core.replay import fingerprint
from closedloop.files import DISCLAIMER
from closedloop.session.evaluation import as_json, pooled, spread
from closedloop.session.outcome import Outcome
from closedloop.signal.circular import phase_statistics, wrap


def summarise(outcome: Outcome) -> dict[str, Any]:
    """Return the summary of a session, of an interrupted one too: what it never reached is null or empty."""
    events = outcome.events if outcome.events is not None else np.zeros(0, EVENT)
    kinds = Counter(int(kind) for kind in events["kind"])
    refused = Counter(Reason(int(reason)) for reason in events["reason"][events["kind"] == EventKind.REFUSED])
    delivered = kinds[EventKind.DELIVERED]
    summary: dict[str, Any] = {
        "name": outcome.pipeline.name,
        "status": outcome.status,
        "notice": DISCLAIMER,
        "recording": None if outcome.source is None else outcome.source.recording.name,
        "calibration": _calibration(outcome),
        "delivered": delivered,
        "withheld": kinds[EventKind.WITHHELD],
        "refused": {reason.label: count for reason, count in refused.most_common()},
        "refused_because": {reason.label: EXPLANATIONS[reason] for reason, _ in refused.most_common()},
        "per_condition": {},
        "phase_error": None,
        "phase_error_withheld": None,
        "true_phase_error": None,
        "surrogates": None,
        "played_s": outcome.played_s,
        "pulses_per_minute": 60.0 * delivered / outcome.played_s if outcome.played_s else None,
        "replay_speed_x": outcome.played_s / outcome.elapsed_s if outcome.elapsed_s else None,
        "disturbed": outcome.disturbed,
        "confirmed": outcome.confirmed,
        "latency": outcome.latency,
        "messages": outcome.messages,
        "trouble": outcome.trouble,
        "fingerprint": fingerprint(events),
    }
    if outcome.events is not None:
        summary.update(_phase_errors(outcome))
    return summary


def _calibration(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.calibration is None:
        return None
    return {**outcome.calibration.facts(), "promise": outcome.calibration.promise(outcome.pipeline)}


def _phase_errors(outcome: Outcome) -> dict[str, Any]:
    phases = outcome.phases(EventKind.DELIVERED)
    surrogates = pooled(outcome.surrogates)
    names = [condition.name for condition in outcome.pipeline.target.conditions]
    return {
        "per_condition": {
            name: {
                **as_json(phases.of(place).statistics()),
                "amplitude_uv": _mean_amplitude(outcome, place),
                "surrogate": as_json(surrogates.of(place).statistics()),
            }
            for place, name in enumerate(names)
        },
        "phase_error": {
            **as_json(phases.statistics()),
            "members": {
                name: as_json(phase_statistics(wrap(phase - phases.target), phases.block))
                for name, phase in phases.members.items()
            },
        },
        "phase_error_withheld": as_json(outcome.phases(EventKind.WITHHELD).statistics()),
        "true_phase_error": _true_phase_error(outcome),
        "surrogates": {"runs": len(outcome.surrogates), **as_json(surrogates.statistics())},
    }


def _mean_amplitude(outcome: Outcome, condition: int) -> float | None:
    """Return the mean predicted amplitude at a condition's pulses, in µV: conditions should be alike."""
    assert outcome.events is not None
    events = outcome.events
    fired = (events["kind"] == EventKind.DELIVERED) & (events["condition"] == condition) & (events["pulse"] == 0)
    return float(events["amplitude"][fired].mean()) if fired.any() else None


def _true_phase_error(outcome: Outcome) -> dict[str, Any] | None:
    """Describe the errors against the rhythm that was simulated, which no filter defines."""
    assert outcome.source is not None
    assert outcome.calibration is not None
    assert outcome.events is not None
    design, recording = outcome.calibration.design, outcome.source.recording
    row = np.zeros(len(recording.names))
    row[design.montage.places] = design.montage.weights[design.signal_names.index(design.target)]
    component = outcome.source.true_component(row)
    if component is None:
        return None
    regular = spread(recording, component)
    events = outcome.events
    fired = events[(events["kind"] == EventKind.DELIVERED) & (events["pulse"] == 0)]
    errors = wrap(_angle_at(regular, (fired["due_s"] - recording.times_s[0]) * recording.sfreq) - fired["target"])
    return as_json(phase_statistics(errors))


def _angle_at(component: NDArray[np.complex128], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angle at places between samples, in rad; NaN beside a missing one."""
    before = np.clip(place.astype(int), 0, component.size - 2)
    turn = np.angle(component[before + 1] / component[before])
    return wrap(np.angle(component[before]) + (place - before) * turn)


def degrees_text(statistics: dict[str, Any] | None) -> str:
    """Return bias and circular SD as people read them: ``+1.2° ± 12.3° (11.0 to 13.9)``."""
    if not statistics or statistics["circular_sd_deg"] is None:
        return "none"
    bias, spread = statistics["bias_deg"], statistics["circular_sd_deg"]
    interval = statistics["ci95_deg"]
    if statistics["n"] < 2:
        return f"bias {bias:+.1f}°, n = 1 (too few for a scatter)"
    between = f" ({interval[0]:.1f} to {interval[1]:.1f})" if interval else " (too few for an interval)"
    return f"bias {bias:+.1f}°, circular SD {spread:.1f}°{between}, n = {statistics['n']}"
