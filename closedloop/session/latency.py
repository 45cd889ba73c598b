"""How late a session was: its samples, its decisions, its triggers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedloop.core.records import EventKind, InputKind
from closedloop.session.status import Watch, percentile_name

PERCENTILES = (50.0, 99.0, 99.9, 100.0)


def latency_facts(inputs: NDArray[np.void], events: NDArray[np.void], watch: Watch) -> dict[str, Any]:
    """Return the distributions of a live session's latencies.

    Parameters
    ----------
    inputs, events
        Records of the types ``INPUT`` and ``EVENT``.
    watch
        What followed the loop.

    Returns
    -------
        By name: n, and 50th, 99th, 99.9th and 100th percentiles, in ms, or None where there is none.
    """
    written = inputs[inputs["kind"] == InputKind.WRITTEN]
    delivered = events[events["kind"] == EventKind.DELIVERED][: written.size]
    written = written[: delivered.size]
    samples = inputs[(inputs["kind"] == InputKind.SAMPLE)]
    corrections = np.concatenate([[watch.correction_s], inputs["value"][inputs["kind"] == InputKind.CLOCK]])
    which = np.cumsum(inputs["kind"] == InputKind.CLOCK)[inputs["kind"] == InputKind.SAMPLE]
    return {
        "sample_age_ms": percentiles(samples["now"] - samples["timestamp"] - corrections[which]),
        "decision_ms": watch.decision_percentiles(PERCENTILES),
        "deciding_sample_age_ms": percentiles(delivered["age_s"][delivered["pulse"] == 0]),
        "write_late_ms": percentiles(written["now"] - delivered["trigger_s"]),
        "write_took_ms": percentiles(written["timestamp"] - written["now"]),
    }


def percentiles(seconds: NDArray[np.float64]) -> dict[str, Any] | None:
    """Return n and percentiles in ms of durations in s."""
    known = seconds[np.isfinite(seconds)]
    if not known.size:
        return None
    found = np.percentile(known, PERCENTILES) * 1e3
    return {"n": int(known.size), **{percentile_name(p): float(v) for p, v in zip(PERCENTILES, found, strict=True)}}
