"""How accurate every method is: published, tuned and ours, on real and matched EEG, beside no rhythm at all.

    python bench/accuracy.py --json FILE [--recordings DIR] [--methods wiener,echt] [--quick]

Each of six people at three montages, and one with open eyes where that recording is there; with ``--recordings``
all of a folder, of any recordings with 10-20 names. Methods learn from the first minute and are judged on what
follows, under each member of the evaluation family and, on synthetic EEG matched to the recording, by the rhythm's
true phase. The same on EEG without its rhythm stands beside. ``--quick`` takes two people, two montages, two leads
and the methods that are quick to tune; with ``--against`` it is the gate on accuracy.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from cohort import RECORDINGS, REST_S, in_parallel, machine, show, use_recordings, write
from packages import Adapter, available, missing

from closedloop.accuracy.case import SYNTHETIC, TRUTHS, Case, Cases, make_cases
from closedloop.accuracy.compare import HEADLINE_LEAD_S, KEY, Compared, compare
from closedloop.accuracy.contenders import MANY_CHANNELS, contenders
from closedloop.accuracy.evaluation import seed_of
from closedloop.accuracy.medians import medians_of, rows_at
from closedloop.accuracy.score import BLOCK_S, LEADS_S, YIELDS, Errors, Prediction, errors_at, judged_rows
from closedloop.errors import ClosedloopError
from closedloop.signal.circular import phase_statistics
from closedloop.signal.spatial import Weights, hjorth, single
from closedloop.sources.library import entries, open_recording

MONTAGES: dict[str, Weights] = {
    "F3-Hjorth": hjorth("F3", ("Fp1", "F7", "C3", "Fz")),
    "C3-Hjorth": hjorth("C3", ("F3", "T3", "P3", "Cz")),
    "O1": single("O1"),
}
OPEN_EYES = "eyes-in-turn"
OPEN_EYES_S = (58.0, 208.0)
OPEN_EYES_REST_S = 29.5
OPEN_EYES_JUDGED_S = ((60.5, 90.0), (121.0, 150.0))
"""Of that recording: from where eyes first open; then, from there, 29.5 s to learn from, and the later stretches of
open eyes to be judged on. Its one bipolar channel, P3-P4, stands where others have O1."""
SYNTHETIC_S = 240.0
QUICK_RECORDINGS = ("Subject08_1.edf", "Subject25_1.edf")
QUICK_MONTAGES = ("F3-Hjorth", "O1")
QUICK_LEADS_S = (0.0, HEADLINE_LEAD_S)
QUICK_METHODS = ("wiener", "c-echt", "hilbert_fir")
OURS = ("wiener", MANY_CHANNELS)
MORE_SCATTER = 1.02
MORE_BIAS_DEG = 1.5
"""The gate: circular SD may grow by this factor, and bias move so far; the same machine gives the same figures."""


def cases_of(name: str, montage: str, eyes: str) -> Cases:
    """Lay out the cases of one recording at one montage."""
    recording = open_recording(name)
    seed = seed_of(Path(name).name, montage)
    if eyes == "open":
        return make_cases(
            recording.between(*OPEN_EYES_S),
            single(recording.names[0]),
            rest_s=OPEN_EYES_REST_S,
            synthetic_s=SYNTHETIC_S,
            seed=seed,
            judged_s=OPEN_EYES_JUDGED_S,
        )
    return make_cases(recording, MONTAGES[montage], rest_s=REST_S, synthetic_s=SYNTHETIC_S, seed=seed)


def measure(name: str, montage: str, eyes: str, quick: bool, methods: tuple[str, ...] | None = None) -> Compared:
    """Compare methods on one recording at one montage; those of other packages where all take part."""
    labels = {"recording": Path(name).name, "montage": montage, "eyes": eyes}
    try:
        cases = cases_of(name, montage, eyes)
    except ClosedloopError as error:
        return Compared(refused=[{**labels, "why": str(error)}])
    chosen = contenders(QUICK_METHODS if quick and methods is None else methods)
    if eyes == "open":
        chosen = [one for one in chosen if one.estimator != MANY_CHANNELS]  # one channel has no others to help
    compared = compare(cases, chosen, labels=labels, leads_s=QUICK_LEADS_S if quick else LEADS_S)
    if not quick and methods is None:
        for adapter in available():
            try:
                _add_package(compared, adapter, cases, labels)
            except Exception as error:  # noqa: BLE001 - whatever another package raises is its own refusal
                compared.refused.append({**labels, "estimator": adapter.name, "tuning": "published", "why": str(error)})
    return compared


def _add_package(compared: Compared, adapter: Adapter, cases: Cases, labels: dict[str, str]) -> None:
    """Add the rows of another package's method: it knows no leads, so its phase is turned on at the peak."""
    for case, surrogate in ((cases.real, cases.real_surrogate), (cases.synthetic, cases.synthetic_surrogate)):
        rows = judged_rows(case)
        begin = time.perf_counter()
        now = _package_predictions(adapter, case, rows)
        taken = 1e6 * (time.perf_counter() - begin) / rows.size
        noise_rows = judged_rows(surrogate)
        found = errors_at(case, rows, now)
        beside = errors_at(surrogate, noise_rows, _package_predictions(adapter, surrogate, noise_rows))
        compared.add(found, beside, {**labels, "estimator": adapter.name, "tuning": "published"}, YIELDS, taken=taken)


def _package_predictions(adapter: Adapter, case: Case, rows: Any) -> dict[float, Prediction]:
    rest = case.rest
    now = adapter.phases(case.inputs[:, 0], rest.sfreq, rest.band_hz, rest.peak_hz, rows)
    unknown = np.full(rows.size, np.nan)
    return {lead_s: (now * np.exp(2j * np.pi * rest.peak_hz * lead_s), unknown) for lead_s in LEADS_S}


def at_headline(rows: Iterable[dict[str, Any]], share: float, eyes: str = "closed") -> list[dict[str, Any]]:
    """Return the rows at the headline's lead and one yield."""
    return rows_at(rows, lead_s=HEADLINE_LEAD_S, share=share, eyes=eyes)


def _spreads(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, float]]:
    """Return circular SDs by montage, truth and recording; in each by estimator and tuning."""
    spreads: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows:
        if row["circular_sd_deg"] is not None:
            place = (row["montage"], row["truth"], row["recording"])
            spreads.setdefault(place, {})[f"{row['estimator']} ({row['tuning']})"] = row["circular_sd_deg"]
    return spreads


def ratios(rows: list[dict[str, Any]], share: float) -> list[dict[str, Any]]:
    """Return ours over each recording's best rival, by montage and truth: medians over recordings, and the worst."""
    spreads = _spreads(at_headline(rows, share))
    # A recording counts where both of ours and rivals of either kind could be designed.
    needed = (*(f"{ours} (ours)" for ours in OURS), "(tuned)", "(published)")
    whole = {
        place: found for place, found in spreads.items() if all(any(n.endswith(end) for n in found) for end in needed)
    }
    lines = []
    for montage, truth in dict.fromkeys((montage, truth) for montage, truth, _ in whole):
        cells = [found for place, found in whole.items() if place[:2] == (montage, truth)]
        line: dict[str, Any] = {"montage": montage, "truth": truth, "yield": share, "recordings": len(cells)}
        for ours in OURS:
            for tuning in ("tuned", "published"):
                best = [min(value for name, value in found.items() if name.endswith(f"({tuning})")) for found in cells]
                over = [found[f"{ours} (ours)"] / rival for found, rival in zip(cells, best, strict=True)]
                line[f"{ours} / best {tuning}"] = float(np.median(over))
        both = [found[f"{OURS[1]} (ours)"] / found[f"{OURS[0]} (ours)"] for found in cells]
        line |= {"many / one": float(np.median(both)), "many / one, worst": max(both)}
        lines.append(line)
    return lines


def medians(rows: list[dict[str, Any]], montage: str, eyes: str = "closed") -> list[dict[str, Any]]:
    """Return each contender's median circular SD by truth, its surrogate's beside it, and its time."""
    lines = []
    for median in medians_of([row for row in at_headline(rows, 1.0, eyes) if row["montage"] == montage]):
        line: dict[str, Any] = {"montage": montage, "estimator": median.estimator, "tuning": median.tuning}
        for truth, figures in median.by_truth.items():
            line[truth] = figures["circular_sd_deg"]
            line[f"{truth}, no rhythm"] = figures["surrogate_sd_deg"]
        lines.append({**line, "us per sample": median.us_per_sample})
    return lines


def pooled(parts: list[tuple[str, Errors]]) -> tuple[Errors, Any]:
    """Put errors together, each with its recording's name, and return the bootstrap's blocks beside them."""
    names = [field.name for field in fields(Errors)]
    whole = Errors(*(np.concatenate([getattr(part, name) for _, part in parts]) for name in names))
    # The same ten seconds are one block at every montage and under every truth; those of two recordings are not.
    order = list(dict.fromkeys(recording for recording, _ in parts))
    blocks = [100_000 * order.index(recording) + part.times_s // BLOCK_S for recording, part in parts]
    return whole, np.concatenate(blocks).astype(np.int64)


def honesty(found: list[tuple[str, str, Compared]]) -> list[dict[str, Any]]:
    """Return pooled bias and coverage of ours by montage and truth, and the range of the deciles' coverage."""
    lines = []
    for ours in OURS:
        for montage in (*dict.fromkeys(montage for _, montage, _ in found), "all"):
            for truth in (SYNTHETIC, *TRUTHS.values(), "real"):
                truths = tuple(TRUTHS.values()) if truth == "real" else (truth,)
                parts = [
                    (recording, errors)
                    for recording, place, compared in found
                    for (known, name, _), errors in compared.errors.items()
                    if name == ours and montage in (place, "all") and known in truths
                ]
                if parts:
                    lines.append({"estimator": ours, "montage": montage, "truth": truth, **_honest(parts)})
    return lines


def _honest(parts: list[tuple[str, Errors]]) -> dict[str, Any]:
    whole, blocks = pooled(parts)
    statistics = phase_statistics(whole.error, blocks)
    covered = whole.covered().astype(float)
    deciles = np.array_split(np.argsort(whole.sd), 10)
    within = [_interval(covered[places], blocks[places]) for places in deciles]
    return {
        "n": statistics.n,
        "bias_deg": statistics.bias_deg,
        "bias_ci95_deg": statistics.bias_ci95_deg,
        "coverage_95": float(covered.mean()),
        "deciles": [float(covered[places].mean()) for places in deciles],
        "deciles whose interval holds 0.95": sum(low <= 0.95 <= high for low, high in within),
    }


def _interval(values: Any, blocks: Any) -> tuple[float, float]:
    """Return the 95 % interval of a mean by block bootstrap."""
    labels = np.unique(blocks, return_inverse=True)[1]
    sums, counts = np.bincount(labels, values), np.bincount(labels)
    drawn = np.random.default_rng(0).integers(counts.size, size=(1000, counts.size))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def worse(rows: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[str]:
    """Return a line for each row of ours that has become worse than it was, or has gone."""
    now = {tuple(row[name] for name in KEY): row for row in rows}
    lines = []
    for old in before:
        if old["tuning"] != "ours":
            continue
        key = tuple(old[name] for name in KEY)
        name, row = ", ".join(map(str, key)), now.get(key)
        if row is None or row["bias_deg"] is None:
            lines.append(f"{name}: is no longer measured")
            continue
        if not row["circular_sd_deg"] <= MORE_SCATTER * old["circular_sd_deg"]:
            lines.append(
                f"{name}: circular SD {row['circular_sd_deg']:.2f} deg, was {old['circular_sd_deg']:.2f} "
                f"(at most {MORE_SCATTER:g} times as much)"
            )
        moved = (row["bias_deg"] - old["bias_deg"] + 180.0) % 360.0 - 180.0
        if not abs(moved) <= MORE_BIAS_DEG:
            lines.append(
                f"{name}: bias {row['bias_deg']:+.2f} deg, was {old['bias_deg']:+.2f} (at most {MORE_BIAS_DEG:g} away)"
            )
    return lines


def jobs_of(folder: Path | None, quick: bool) -> list[tuple[str, str, str, bool]]:
    """Return recordings, montages and eyes."""
    if quick:
        return [(name, montage, "closed", True) for montage in QUICK_MONTAGES for name in QUICK_RECORDINGS]
    index = {entry.name: entry for entry in entries()}
    known = {entry.file: entry.name for entry in index.values()}
    names = list(RECORDINGS)
    if folder is not None:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        names = [known.get(path.name, str(path)) for path in files]
    names = [name for name in names if name not in index or (index[name].eyes == "closed" and name != "eyes-closed")]
    jobs = [(name, montage, "closed", False) for montage in MONTAGES for name in names]
    return [*jobs, (OPEN_EYES, "O1", "open", False)]


SUFFIXES = {".edf", ".bdf", ".vhdr", ".set", ".fif", ".xdf"}


def main() -> None:
    """Run all of it and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows, a list, to this file")
    parser.add_argument("--summary", type=Path, help="write the tables and what was refused to this file")
    parser.add_argument("--recordings", type=Path, help="folder of recordings; otherwise the library's six")
    parser.add_argument("--methods", help="only these, as wiener,echt; otherwise all, and those of other packages")
    parser.add_argument("--quick", action="store_true", help="a subset, within two minutes")
    parser.add_argument("--baseline", type=Path, help="write the rows of ours, without times, to this file")
    parser.add_argument("--against", type=Path, help="an earlier baseline: exit with 1 where a row has become worse")
    options = parser.parse_args()
    before = None if options.against is None else json.loads(options.against.read_text(encoding="utf-8"))
    use_recordings(options.recordings)
    methods = None if options.methods is None else tuple(options.methods.split(","))
    jobs = jobs_of(options.recordings, options.quick)
    found = list(in_parallel(measure, [(*job, methods) for job in jobs], doing="recordings, montages, methods"))
    rows = [row for compared in found for row in compared.rows]
    refused = [line for compared in found for line in compared.refused]
    # Figures first: nothing that a table stumbles over may lose them.
    if options.json is not None:
        options.json.write_text(json.dumps(rows, ensure_ascii=False) + "\n", encoding="utf-8")
    closed = [(job[0], job[1], part) for job, part in zip(jobs, found, strict=True) if job[2] == "closed" and part.rows]
    tables = {"ratios": [line for share in (1.0, 0.5) for line in ratios(rows, share)], "honesty": honesty(closed)}
    for montage in dict.fromkeys(row["montage"] for row in rows):
        tables[f"medians, {montage}"] = medians(rows, montage)
    tables["medians, open eyes"] = medians(rows, "O1", "open")
    for title, lines in tables.items():
        if lines:
            show(f"{title} ({1000 * HEADLINE_LEAD_S:g} ms ahead, {machine()})", lines)
    for line in refused:
        print("not designed:", ", ".join(f"{name} {value}" for name, value in line.items()), file=sys.stderr)
    if not options.quick and methods is None and missing():
        print(f"not installed, so not compared: {', '.join(missing())}", file=sys.stderr)
    write(options.summary, tables=tables, refused=refused)
    if options.baseline is not None:
        kept = [{k: v for k, v in row.items() if k != "us_per_sample"} for row in rows if row["tuning"] == "ours"]
        options.baseline.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if before is not None:
        lines_worse = worse(rows, before)
        for text in lines_worse:
            print(f"worse: {text}", file=sys.stderr)
        if lines_worse:
            sys.exit(1)
        print(f"no row is worse than in {options.against}")


if __name__ == "__main__":
    main()
