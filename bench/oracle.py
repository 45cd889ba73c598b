"""How far `wiener` is from the best linear filter there is: one that was designed knowing the truth.

    python bench/oracle.py --json FILE

On simulated EEG of one channel: a rhythm of 10 Hz, 1 Hz wide, in pink noise, at four ratios of their powers within
8-13 Hz. ``wiener`` learns from 60 s as ever. The oracle learns the *true* analytic signal from 15 minutes of the
same process, with a window three times as long and no ridge to speak of. Both are judged by the true phase, 25 ms
ahead, on other EEG.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from cohort import in_parallel, machine, show, write
from numpy.typing import NDArray
from scipy import signal

from closedloop.accuracy.case import HIGH_PASS_HZ, NOTCHES_HZ
from closedloop.accuracy.compare import HEADLINE_LEAD_S
from closedloop.calibration.rest import measure_rest
from closedloop.config.estimators import Wiener
from closedloop.estimators.interface import at_lead, predict
from closedloop.estimators.wiener import design_wiener
from closedloop.estimators.window import windows
from closedloop.signal.circular import circular_sd
from closedloop.signal.conditioning import condition_all, design_conditioning
from closedloop.sources.synthetic import simulate

SNRS_DB = (0.0, 5.0, 10.0, 15.0)
SEEDS = range(6)
SFREQ = 250.0
"""In halves of 10 ms: 25 ms."""
REST_S, JUDGED_S, LEARNT_S = 60.0, 600.0, 900.0
ORACLE_VALUES = 240
EVERY = 2


def draw(snr_db: float, seed: int, duration_s: float) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Return EEG in µV and the rhythm's analytic signal in it."""
    settings: dict[str, Any] = {"duration_s": duration_s, "sfreq": SFREQ, "channels": ("O1",)}
    settings |= {"alpha_drift_hz": 0.0, "alpha_waxing": 0.0, "alpha_bandwidth_hz": 1.0}
    made = simulate(**settings, seed=seed, alpha_uv=10.0)
    noise = made.recording.samples[:, 0] - made.alpha.real
    frequencies, density = signal.welch(noise, SFREQ, nperseg=1024)
    inside = (frequencies >= 8.0) & (frequencies <= 13.0)
    power = float(density[inside].sum() * frequencies[1])
    scale = np.sqrt(power * 10.0 ** (snr_db / 10.0) / np.mean(made.alpha.real**2))
    return noise + scale * made.alpha.real, scale * made.alpha


def conditioned(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pass a signal through the causal filters."""
    out = np.empty((x.size, 1))
    condition_all(design_conditioning(1, SFREQ, high_pass_hz=HIGH_PASS_HZ, notch_hz=NOTCHES_HZ), x[:, None], out)
    return out


def ahead(rhythm: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return the rhythm 25 ms later, between samples along its own turn; NaN past the end."""
    place = HEADLINE_LEAD_S * SFREQ
    whole = int(place)
    padded = np.append(rhythm, np.full(whole + 1, np.nan + 0j))
    here, following = padded[whole : whole + rhythm.size], padded[whole + 1 : whole + 1 + rhythm.size]
    later: NDArray[np.complex128] = here * np.exp(1j * (place - whole) * np.angle(following * here.conj()))
    return later


def spread(z: NDArray[np.complex128], truth: NDArray[np.complex128]) -> float:
    """Return the circular SD in degrees."""
    known = np.isfinite(z) & np.isfinite(truth)
    return float(np.degrees(circular_sd(abs(complex(np.exp(1j * np.angle(truth[known] / z[known])).mean())))))


def measure(snr_db: float, seed: int) -> dict[str, Any]:
    """Return both spreads at one ratio of powers."""
    x, rhythm = draw(snr_db, 100 * seed + 1, REST_S + JUDGED_S)
    inputs, truth = conditioned(x), ahead(rhythm)
    n_rest = round(REST_S * SFREQ)
    _, rest = measure_rest(x[:n_rest], inputs[:n_rest], SFREQ, "auto")
    z, sd = predict(design_wiener(rest, Wiener(type="wiener")), inputs, first=2, stop=4)
    ours, _ = at_lead(z, sd, HEADLINE_LEAD_S)
    learnt, known = draw(snr_db, 100 * seed + 2, LEARNT_S)
    view, first = windows(conditioned(learnt)[:, 0], ORACLE_VALUES, 1)
    seen, target = view[::EVERY], ahead(known)[first::EVERY]
    there = np.isfinite(target)
    gram = seen[there].T @ seen[there]
    gram[np.diag_indices_from(gram)] += 1e-9 * np.trace(gram) / len(gram)
    weights = np.linalg.solve(gram, seen[there].T @ target[there])
    view, first = windows(inputs[:, 0], ORACLE_VALUES, 1)
    oracle = np.concatenate([np.full(first, np.nan), view @ weights])
    judged = slice(n_rest, None)
    return {
        "snr_db": snr_db,
        "wiener": spread(ours[judged], truth[judged]),
        "oracle": spread(oracle[judged], truth[judged]),
    }


def main() -> None:
    """Run all of it and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    rows = list(in_parallel(measure, [(snr_db, seed) for snr_db in SNRS_DB for seed in SEEDS], doing="simulations"))
    lines = []
    for snr_db in SNRS_DB:
        mine = [row for row in rows if row["snr_db"] == snr_db]
        beyond = [row["wiener"] - row["oracle"] for row in mine]
        line = {
            "SNR dB": snr_db,
            **{name: float(np.median([row[name] for row in mine])) for name in ("wiener", "oracle")},
        }
        lines.append({**line, "beyond the oracle": float(np.median(beyond)), "at most": max(beyond)})
    show(f"Circular SD in degrees, true phase, 25 ms ahead, medians of {len(SEEDS)} ({machine()})", lines)
    write(options.json, rows=rows, summary=lines)


if __name__ == "__main__":
    main()
