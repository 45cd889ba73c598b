"""The methods of other packages on a pure sine and on synthetic EEG of known phase, beside our own ``echt``.

    python bench/other_packages.py [--json FILE] [--sfreq HZ]

It shows that each adapter of ``packages.py`` uses its package rightly, and what an estimate costs: the time of the
adapter's call over the number of samples, a phase being asked for after each. Positive bias is late, as everywhere.
"""

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cohort import machine, show, write
from numpy.typing import NDArray
from packages import Band, Real, available, missing
from threadpoolctl import threadpool_limits

from closedloop.config.estimators import Echt
from closedloop.estimators.echt import design_echt
from closedloop.estimators.interface import Rest, predict
from closedloop.signal.circular import circular_sd
from closedloop.signal.conditioning import condition_all, design_conditioning
from closedloop.sources.synthetic import simulate

PEAK_HZ, BAND_HZ = 10.0, (8.0, 12.0)
DURATION_S, FIRST_S = 300.0, 185.0
"""Phases are asked for after FIRST_S: what precedes is enough for the one method that needs three minutes."""
EVERY = 5
TIMED_S = 20.0


def own_echt(x: Real, sfreq: float, band_hz: Band, peak_hz: float, places: NDArray[np.intp]) -> NDArray[np.complex128]:
    """Return what closedloop's own ``echt`` says, to compare."""
    rest = Rest(x[:, None], np.full(x.size, np.nan + 0j), sfreq, band_hz, peak_hz)
    z, _ = predict(design_echt(rest, Echt(type="echt")), x[:, None], first=0, stop=1)
    return z[places, 0]


def measure(phases: Callable[..., NDArray[np.complex128]], sfreq: float) -> dict[str, Any]:
    """Return bias and circular SD in degrees on a sine and on synthetic EEG, and the time for one estimate in µs."""
    made = simulate(duration_s=DURATION_S, sfreq=sfreq, seed=1, channels=["O1"], alpha_uv=15.0)
    conditioned = np.empty_like(made.recording.samples)
    filters = design_conditioning(1, sfreq, high_pass_hz=0.5, notch_hz=(50.0,))
    condition_all(filters, made.recording.samples, conditioned)
    places = np.arange(round(FIRST_S * sfreq), conditioned.shape[0], EVERY)
    sine = 10.0 * np.exp(2j * np.pi * PEAK_HZ * np.arange(conditioned.shape[0]) / sfreq)
    ask = functools.partial(phases, sfreq=sfreq, band_hz=BAND_HZ, peak_hz=PEAK_HZ)
    row: dict[str, Any] = {}
    for kind, x, truth in (("sine", sine.real.copy(), sine), ("EEG", conditioned[:, 0].copy(), made.alpha)):
        found = ask(x, places=places)
        given = np.isfinite(found)
        mean = complex(np.exp(1j * np.angle(truth[places] * found.conj())[given]).mean())
        row[f"{kind} bias"] = float(np.degrees(np.angle(mean)))
        row[f"{kind} SD"] = float(np.degrees(circular_sd(abs(mean))))
        row[f"{kind} given (%)"] = 100.0 * float(given.mean())
    stretch = conditioned[: round(TIMED_S * sfreq), 0].copy()
    each = np.arange(round(sfreq), stretch.size)
    start_s = time.perf_counter()
    ask(stretch, places=each)
    row["us per estimate"] = 1e6 * (time.perf_counter() - start_s) / each.size
    return row


def main() -> None:
    """Measure all that are installed beside our own ``echt`` and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--sfreq", type=float, default=250.0, help="sampling rate in Hz")
    options = parser.parse_args()
    # At 1 kHz a filter's dot products call for a second thread, which only waits: up to 30 times as long.
    with threadpool_limits(1):
        rows = [{"method": "closedloop echt", **measure(own_echt, options.sfreq)}]
        rows += [{"method": adapter.name, **measure(adapter.phases, options.sfreq)} for adapter in available()]
    show(f"Other packages' methods at {options.sfreq:g} Hz, lead 0, in degrees ({machine()})", rows)
    if missing():
        print(f"not installed: {', '.join(missing())}")
    write(options.json, rows=rows)


if __name__ == "__main__":
    main()
