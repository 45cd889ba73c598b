"""What was tried to make `wiener` better, and what it brought: so that every claim can be repeated.

    python bench/alternatives.py --json FILE [--recordings DIR]

On six recordings and two montages, one channel, 25 ms ahead: the circular SD of each alternative over that of
``wiener`` as it is, under each member of the evaluation family and by the true phase of matched EEG. Below 1 the
alternative is better. All learn from the first minute and are judged on what follows, but for the lengths of rest,
which are compared on the last minute of each recording. Where the rhythm is weak, another length of rest may find
another peak; the truths stay around that of the first minute.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from accuracy import MONTAGES, SYNTHETIC_S
from cohort import RECORDINGS, REST_S, in_parallel, machine, show, use_recordings, write
from numpy.typing import NDArray
from scipy import signal

from closedloop.accuracy.case import HIGH_PASS_HZ, NOTCHES_HZ, SYNTHETIC, TRUTHS, Case, usable
from closedloop.accuracy.evaluation import seed_of
from closedloop.accuracy.score import Errors, Prediction, errors_at, judged_rows
from closedloop.calibration.rest import measure_rest
from closedloop.calibration.tuning import tune
from closedloop.config.estimators import Wiener
from closedloop.estimators import wiener
from closedloop.estimators.interface import Designed, Rest, at_lead, predict
from closedloop.estimators.window import stride_to
from closedloop.signal import training_target
from closedloop.signal.circular import circular_sd
from closedloop.signal.conditioning import condition_all, design_conditioning
from closedloop.signal.cross_spectrum import fit_cross_spectrum
from closedloop.signal.reference_phase import ReferencePhase, reference_phase
from closedloop.signal.spatial import weight_row
from closedloop.signal.spectrum import fit_spectrum
from closedloop.sources.library import open_recording
from closedloop.sources.matched import matched_channels

WHERE = ("O1", "F3-Hjorth")
LEAD_S = 0.025
LEAD = 2
"""The grid's lead next to it."""
RESTS_S = (20.0, 120.0)
LAST_S = 60.0
WEIGHT_FLOOR = 0.05
"""Of the mean power: without it, weights of 1/|z|² would rest on a few windows."""
KNOWN_AFTER_S, REACH_S = 0.65, 0.5
"""When the target of slow adaptation is known: it reaches so far ahead; lead and time to compute come on top."""
ADAPTATION_S, HEAD_START_S = 80.0, 30.0
DEVIATIONS_S, EARLIER_S, AMPLITUDE_MEAN_S = (0.040, 0.096), 0.024, 0.5
GATE_RIDGE = 0.01
GATED = (0.5, 0.25, 0.1)
SETTINGS = Wiener(type="wiener")
SLOW, GATE = "slow adaptation", "gate by more than SD"


@dataclass(frozen=True)
class Signal:
    """One channel in µV before conditioning, of shape (n_samples,), and what its phase was."""

    raw: NDArray[np.float64]
    sfreq: float
    reference: ReferencePhase

    def case(self, rest_s: float = REST_S, judged_from_s: float = REST_S) -> Case:
        """Lay out what is learnt from and what is judged."""
        inputs = np.empty((self.raw.size, 1))
        filters = design_conditioning(1, self.sfreq, high_pass_hz=HIGH_PASS_HZ, notch_hz=NOTCHES_HZ)
        condition_all(filters, self.raw[:, None], inputs)
        n_rest = round(rest_s * self.sfreq)
        fit, rest = measure_rest(self.raw[:n_rest], inputs[:n_rest], self.sfreq, "auto")
        judged = np.arange(self.raw.size) >= round(judged_from_s * self.sfreq)
        return Case(fit, rest, inputs, judged, self.reference)


def signals_of(name: str, montage: str) -> tuple[Signal, Signal]:
    """Return a recording's own signal and its matched synthetic one: those of `bench/accuracy.py`."""
    weights = MONTAGES[montage]
    recording = usable(open_recording(name), weights)
    row, sfreq = weight_row(weights, recording.names), recording.sfreq
    raw = recording.samples @ row
    # The truths stay those of one peak, whatever the length of rest.
    peak_hz = fit_spectrum(raw[: round(REST_S * sfreq)], sfreq).peak_hz
    family = reference_phase(raw, sfreq, peak_hz).members
    spectra = fit_cross_spectrum(recording.samples, sfreq, peak_hz)
    made = matched_channels(spectra, recording.names, duration_s=SYNTHETIC_S, sfreq=sfreq, seed=seed_of(name, montage))
    rhythm = made.rhythm @ row
    members = {TRUTHS[member]: phasors for member, phasors in family.items()}
    return (
        Signal(raw, sfreq, ReferencePhase(sfreq, members)),
        Signal(made.recording.samples @ row, sfreq, ReferencePhase(sfreq, {SYNTHETIC: rhythm / np.abs(rhythm)})),
    )


def ahead(designed: Designed, case: Case) -> Prediction:
    """Return a method's prediction after every sample."""
    return at_lead(*predict(designed, case.inputs, stop=LEAD + 2), LEAD_S)


def plain(case: Case, settings: Wiener = SETTINGS) -> Prediction:
    """Return what `wiener` predicts."""
    return ahead(wiener.design_wiener(case.rest, settings), case)


def errors(case: Case, prediction: Prediction) -> dict[str, Errors]:
    """Return the errors on what is judged, by truth."""
    rows = judged_rows(case)
    value, sd = prediction
    return {truth: found for (truth, _), found in errors_at(case, rows, {LEAD_S: (value[rows], sd[rows])}).items()}


def patched(module: Any, **other: Any) -> Callable[[Signal], Prediction]:
    """Return the alternative that is `wiener` where a module holds other values."""

    def alternative(made: Signal) -> Prediction:
        with patch.multiple(module, **other):
            return plain(made.case())

    return alternative


USUAL_BLOCKS = wiener._blocks


def weighted_blocks(rest: Rest, bins: Any, stride: int) -> list[wiener.Block]:
    """Weight each window by 1/|z|² of its held-out prediction: so phases count, not µV."""
    found = USUAL_BLOCKS(rest, bins, stride)
    held_out, _ = wiener._best(found, found[0][0].shape[1], 0.0).held_out(found)
    power = np.abs(held_out[:, LEAD]) ** 2
    roots = 1.0 / np.sqrt(power + WEIGHT_FLOOR * power.mean())
    parts = np.split(roots[:, None], np.cumsum([len(block.seen) for block in found])[:-1])
    return [wiener.Block(*(root * part for part in block)) for root, block in zip(parts, found, strict=True)]


class Newest(wiener._Bins):
    """One bin that holds the newest value itself, with no mean taken off."""

    def seen(self, sums: NDArray[np.float64], rows: NDArray[np.int64], stride: int) -> NDArray[np.float64]:
        """Return the values at samples, of shape (n, 1)."""
        del stride
        return (sums[rows + 1] - sums[rows])[:, None]


def stacked(made: Signal) -> Prediction:
    """Add another method's prediction, tuned on the same rest, to what the ridge sees."""
    case = made.case()
    other = np.nan_to_num(ahead(tune("hilbert_fir", case.rest).designed, case)[0])
    inputs = np.column_stack([case.inputs, other.real, other.imag])
    stride = stride_to(wiener.STEP_RATE_HZ, case.sfreq)
    own = wiener._Bins.over(SETTINGS.window_s, wiener.OWN_FINE_S, case.sfreq / stride)
    bins = [own, Newest(np.array([0, 1])), Newest(np.array([0, 1]))]
    blocks = wiener._blocks(replace(case.rest, inputs=inputs[: len(case.rest.inputs)]), bins, stride)
    weights = wiener._best(blocks, blocks[0][0].shape[1], 0.0).weights(blocks)
    sums = np.cumsum(np.vstack([np.zeros(inputs.shape[1]), inputs]), axis=0)
    rows = judged_rows(case)
    z = np.full((len(inputs), weights.shape[1]), np.nan + 0j)
    z[rows] = np.hstack([one.seen(sums[:, k], rows, stride) for k, one in enumerate(bins)]) @ weights
    return at_lead(z, np.full(z.shape, np.nan), LEAD_S)


def later(case: Case, target: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return a target of shape (n_samples,) as it is ``LEAD_S`` after each sample."""
    targets = replace(case.rest, target=target).targets()
    return at_lead(targets, np.zeros(targets.shape), LEAD_S)[0]


def adapted(made: Signal) -> Prediction:
    """Turn the output by the mean phase error so far, against the target as it can be known a little later."""
    case = made.case()
    z, sd = plain(case)
    frequencies = np.asarray(np.fft.fftfreq(round(4.0 * case.sfreq), 1.0 / case.sfreq), np.float64)
    gain = training_target.target_gain(frequencies, case.rest.band_hz, case.fit)
    taps = np.fft.fftshift(np.fft.ifft(np.where(frequencies > 0.0, 2.0 * gain, 0.0)))
    middle, reach = taps.size // 2, round(REACH_S * case.sfreq)
    taps = taps[middle - reach : middle + reach + 1] * signal.windows.hann(2 * reach + 1)
    # Of products, so that strong rhythm counts more: its phase is better known.
    product = np.nan_to_num(z.conj() * later(case, signal.oaconvolve(made.raw, taps, mode="same")))
    decay = np.exp(-1.0 / (ADAPTATION_S * case.sfreq))
    unturned = HEAD_START_S * case.sfreq * np.abs(product[: len(case.rest.inputs)]).mean()
    running, _ = signal.lfilter([1.0], [1.0, -decay], product, zi=[decay * unturned + 0j])
    known = np.concatenate([np.full(round(KNOWN_AFTER_S * case.sfreq), unturned + 0j), running])[: z.size]
    return z * known / np.abs(known), sd


def gated(made: Signal) -> Prediction:
    """Say for each prediction of `wiener` what error several signs of a bad moment lead one to expect."""
    case = made.case()
    grid, sds = predict(wiener.design_wiener(case.rest, SETTINGS), case.inputs, stop=LEAD + 2)
    z, sd = at_lead(grid, sds, LEAD_S)
    signs = np.column_stack([np.log(sd), *_signs(grid[:, 0], z, case)])
    truth = later(case, case.rest.target)
    rows = np.arange(0, truth.size, stride_to(100.0, case.sfreq))
    rows = rows[np.isfinite(truth[rows]) & np.isfinite(signs[rows]).all(axis=1)]
    squared = 2.0 - 2.0 * np.cos(np.angle(truth[rows] * z[rows].conj()))
    center, scale = signs[rows].mean(axis=0), signs[rows].std(axis=0)
    weights = gamma_weights((signs[rows] - center) / scale, squared)
    expected = np.exp(weights[0] + (signs - center) / scale @ weights[1:])
    return z, np.sqrt(expected)


def _signs(now: NDArray[np.complex128], z: NDArray[np.complex128], case: Case) -> Iterator[NDArray[np.float64]]:
    """Yield signs of shape (n_samples,): deviations of frequency, trends, disagreement, amplitude against its mean."""

    def since(values: NDArray[np.complex128], span_s: float, turning_s: float) -> NDArray[np.complex128]:
        """Return how the signal now differs from earlier values, beyond the peak's turn in some time."""
        earlier = np.concatenate([np.full(round(span_s * case.sfreq), np.nan + 0j), values])[: now.size]
        with np.errstate(invalid="ignore"):  # there is nothing before the first window
            change: NDArray[np.complex128] = now / earlier * np.exp(-2j * np.pi * case.rest.peak_hz * turning_s)
        return change

    for span_s in DEVIATIONS_S:
        change = since(now, span_s, span_s)
        yield np.abs(np.angle(change))
        yield np.log(np.abs(change))
    yield np.abs(np.angle(since(z, EARLIER_S, EARLIER_S - LEAD_S)))
    keep = np.exp(-1.0 / (AMPLITUDE_MEAN_S * case.sfreq))
    mean = signal.lfilter([1.0 - keep], [1.0, -keep], np.nan_to_num(np.abs(now)))
    yield np.log(np.abs(now) / np.maximum(mean, np.finfo(float).tiny))


def gamma_weights(signs: NDArray[np.float64], squared: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a squared error's mean, log-linear in signs of shape (n, n_signs), by Gamma likelihood with a ridge."""
    columns = np.column_stack([np.ones(len(signs)), signs])
    ridge = GATE_RIDGE * np.eye(columns.shape[1])
    ridge[0, 0] = 0.0
    weights = np.append(np.log(squared.mean()), np.zeros(signs.shape[1]))
    for _ in range(30):
        mean = np.exp(columns @ weights)
        slope = columns.T @ (squared / mean - 1.0) / len(columns) - ridge @ weights
        # Fisher's information of a Gamma with a log link does not depend on the mean.
        weights += np.linalg.solve(columns.T @ columns / len(columns) + ridge, slope)
    return weights


ALTERNATIVES: dict[str, Callable[[Signal], Prediction]] = {
    "target: band alone": patched(training_target, COMPONENT_SHARE=0.0),
    "target: component alone": patched(training_target, COMPONENT_SHARE=1.0),
    "means of 8 ms all over": patched(wiener, FINE_BIN_S=0.008, COARSE_BIN_S=0.008),
    "0.64 s of the past": lambda made: plain(made.case(), SETTINGS.model_copy(update={"window_s": 0.64})),
    "weighted by 1/|z|²": patched(wiener, _blocks=weighted_blocks),
    "stacked with hilbert_fir": stacked,
    SLOW: adapted,
}


def measure(name: str, montage: str) -> list[dict[str, Any]]:
    """Compare all alternatives on one recording at one montage."""
    rows: list[dict[str, Any]] = []
    for made in signals_of(name, montage):
        case = made.case()
        usual = errors(case, plain(case))
        for title, alternative in ALTERNATIVES.items():
            rows += beside(title, errors(case, alternative(made)), usual)
        rows += beside(GATE, errors(case, gated(made)), usual, GATED)
        last_s = made.raw.size / made.sfreq - LAST_S
        usual = errors(made.case(REST_S, last_s), plain(case))
        for rest_s in RESTS_S:
            other = made.case(rest_s, last_s)
            rows += beside(f"rest of {rest_s:g} s", errors(other, plain(other)), usual)
    return [{"recording": name, "montage": montage, **row} for row in rows]


def beside(
    title: str, found: dict[str, Errors], usual: dict[str, Errors], yields: Sequence[float] = (1.0,)
) -> Iterator[dict[str, Any]]:
    """Yield rows of an alternative beside what is usual."""
    for truth, share in itertools.product(found, yields):
        row: dict[str, Any] = {"alternative": title, "truth": truth, "yield": share}
        for whose, part in (("", found[truth]), ("wiener_", usual[truth])):
            mean = complex(np.exp(1j * part.surest(share).error).mean())
            row |= {
                f"{whose}circular_sd_deg": float(np.degrees(circular_sd(abs(mean)))),
                f"{whose}bias_deg": float(np.degrees(np.angle(mean))),
            }
        yield row


def by_truth(rows: list[dict[str, Any]], figure: Callable[[dict[str, Any]], float], over: Any) -> list[dict[str, Any]]:
    """Return a row's figure over recordings, for each montage, alternative and yield, by truth."""
    found: dict[Any, dict[str, list[float]]] = {}
    for row in rows:
        of_truth = found.setdefault((row["montage"], row["alternative"], row["yield"]), {})
        of_truth.setdefault(row["truth"], []).append(figure(row))
    return [
        {"montage": montage, "alternative": title, "yield": share}
        | {truth: float(over(figures)) for truth, figures in of_truth.items()}
        for (montage, title, share), of_truth in found.items()
    ]


def fine(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ratios as tables show them: to a thousandth, since most lie within 1 % of one."""
    shown = (*TRUTHS.values(), SYNTHETIC)
    return [{name: f"{value:.3f}" if name in shown else value for name, value in line.items()} for line in lines]


def ratio(row: dict[str, Any]) -> float:
    """Return an alternative's circular SD over that of `wiener`."""
    return float(row["circular_sd_deg"] / row["wiener_circular_sd_deg"])


def main() -> None:
    """Run all of it and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write rows and tables to this file")
    parser.add_argument("--recordings", type=Path, help="folder in which the six recordings are")
    options = parser.parse_args()
    use_recordings(options.recordings)
    jobs = [(name, montage) for montage in WHERE for name in RECORDINGS]
    rows = [row for part in in_parallel(measure, jobs, doing="recordings, montages") for row in part]
    gate, slow = ([row for row in rows if row["alternative"] == one] for one in (GATE, SLOW))
    before = by_truth(slow, lambda row: abs(row["wiener_bias_deg"]), np.mean)
    after = by_truth(slow, lambda row: abs(row["bias_deg"]), np.mean)
    tables = {
        "ratios": by_truth([row for row in rows if row["alternative"] != GATE], ratio, np.median),
        "gate": by_truth(gate, ratio, np.median),
        "bias": [{**line, "alternative": "wiener"} for line in before] + after,
    }
    show(f"Circular SD over that of wiener, {1000 * LEAD_S:g} ms ahead, medians ({machine()})", fine(tables["ratios"]))
    show("Circular SD of the surest by more than SD, over that of the surest by SD, medians", fine(tables["gate"]))
    show("Mean |bias| in degrees, before and after slow adaptation", tables["bias"])
    write(options.json, rows=rows, **tables)


if __name__ == "__main__":
    main()
