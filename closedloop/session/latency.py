"""How late a session was: its samples, its decisions, its triggers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedloop.core.records import Command, EventKind, InputKind
from closedloop.session.onsets import channel_onsets
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
    written = inputs[is_trigger(inputs)]
    delivered = events[events["kind"] == EventKind.DELIVERED][: written.size]
    written = written[: delivered.size]
    is_sample = inputs["kind"] == InputKind.SAMPLE
    # Before it is armed the loop works off what came during calibration, which says nothing of the stream.
    arming = np.flatnonzero((inputs["kind"] == InputKind.COMMAND) & (inputs["code"] == Command.ARM))
    armed = is_sample[: arming[0]].sum() if arming.size else is_sample.sum()
    age_s = inputs["now"][is_sample] - corrected_stamps(inputs, watch.correction_s)
    return {
        "sample_age_ms": percentiles(age_s[armed:]),
        "decision_ms": watch.decision_percentiles(PERCENTILES),
        "deciding_sample_age_ms": percentiles(delivered["age_s"][delivered["pulse"] == 0]),
        "write_late_ms": percentiles(written["now"] - delivered["trigger_s"]),
        "write_took_ms": percentiles(written["timestamp"] - written["now"]),
    }


def is_trigger(inputs: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which inputs, records of type ``INPUT``, are the result of a trigger's write."""
    found: NDArray[np.bool_] = (inputs["kind"] == InputKind.WRITTEN) & (inputs["value"] == 0.0)
    return found


def trigger_lags(
    inputs: NDArray[np.void], column: NDArray[np.float64], correction_s: float, threshold: float
) -> NDArray[np.float64]:
    """Return from each trigger's write to the stamp that shows it, of shape (n_written,) in s.

    NaN stands for one that is not seen, and for a write that failed.

    Parameters
    ----------
    inputs
        Records of type ``INPUT``.
    column
        Array of shape (n_samples,): the trigger channel in the samples of the inputs.
    correction_s
        The clock's first correction.
    threshold
        A value above it is high.
    """
    written = inputs[is_trigger(inputs)]
    left = written["code"] == 0
    written_s = written["now"][left]
    seen_s = channel_onsets(written_s, corrected_stamps(inputs, correction_s), column, threshold=threshold)
    lags = np.full(written.size, np.nan)
    lags[left] = seen_s - written_s
    return lags


def corrected_stamps(inputs: NDArray[np.void], correction_s: float) -> NDArray[np.float64]:
    """Return the samples' time stamps on this machine's clock, of shape (n_samples,) in s.

    Parameters
    ----------
    inputs
        Records of type ``INPUT``.
    correction_s
        The clock's first correction, which came before them.
    """
    is_sample, is_clock = inputs["kind"] == InputKind.SAMPLE, inputs["kind"] == InputKind.CLOCK
    corrections = np.concatenate([[correction_s], inputs["value"][is_clock]])
    stamps: NDArray[np.float64] = inputs["timestamp"][is_sample] + corrections[np.cumsum(is_clock)[is_sample]]
    return stamps


def percentiles(seconds: NDArray[np.float64]) -> dict[str, Any] | None:
    """Return n and percentiles in ms of durations in s."""
    known = seconds[np.isfinite(seconds)]
    if not known.size:
        return None
    found = np.percentile(known, PERCENTILES) * 1e3
    return {"n": int(known.size), **{percentile_name(p): float(v) for p, v in zip(PERCENTILES, found, strict=True)}}
