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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from accuracy_gate import baseline, worse
from accuracy_tables import honesty, medians, ratios
from cohort import RECORDINGS, REST_S, in_parallel, machine, show, use_recordings, write
from packages import Adapter, available, missing

from closedloop.accuracy.case import NOTCHES_HZ, Case, Cases, make_cases
from closedloop.accuracy.compare import HEADLINE_LEAD_S, Compared, compare
from closedloop.accuracy.contenders import MANY_CHANNELS, contenders
from closedloop.accuracy.evaluation import seed_of
from closedloop.accuracy.score import LEADS_S, YIELDS, Prediction, errors_at, judged_rows
from closedloop.errors import ClosedloopError
from closedloop.signal.spatial import Weights, hjorth, single
from closedloop.sources.library import entries, open_recording

MONTAGES: dict[str, Weights] = {
    "F3-Hjorth": hjorth("F3", ("Fp1", "F7", "C3", "Fz")),
    "C3-Hjorth": hjorth("C3", ("F3", "T3", "P3", "Cz")),
    "O1": single("O1"),
}
LATER_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
"""What channels of the 10-20 system are called since."""
OPEN_EYES, OPEN_EYES_MONTAGE = "eyes-in-turn", "P3-P4"
OPEN_EYES_S = (58.0, 208.0)
OPEN_EYES_REST_S = 29.5
OPEN_EYES_JUDGED_S = ((60.5, 90.0), (121.0, 150.0))
"""Of that recording: from where eyes first open; then, from there, 29.5 s to learn from, and the later stretches of
open eyes to be judged on. It has one bipolar channel."""
SYNTHETIC_S = 240.0
QUICK_RECORDINGS = ("Subject08_1.edf", "Subject25_1.edf")
QUICK_MONTAGES = ("F3-Hjorth", "O1")
QUICK_LEADS_S = (0.0, HEADLINE_LEAD_S)
QUICK_METHODS = ("wiener", "c-echt", "hilbert_fir")
PACKAGES_EVERY = 4
"""Of the samples that methods are judged after, packages are asked after every so manieth: their calls take long."""


class Job(NamedTuple):
    """One recording at one montage."""

    recording: str
    montage: str
    eyes: str | None = "closed"


def cases_of(job: Job, notches_hz: tuple[float, ...] = NOTCHES_HZ, *, draw: int = 0) -> Cases:
    """Lay out the cases of a job; another draw has other synthetic EEG."""
    recording = open_recording(job.recording)
    made_of: dict[str, Any] = {
        "synthetic_s": SYNTHETIC_S,
        "seed": seed_of(Path(job.recording).name, job.montage) + draw,
        "notches_hz": notches_hz,
    }
    if job.eyes == "open":
        cut = recording.between(*OPEN_EYES_S)
        only = single(recording.names[0])
        return make_cases(cut, only, rest_s=OPEN_EYES_REST_S, judged_s=OPEN_EYES_JUDGED_S, **made_of)
    return make_cases(recording, weights_in(job.montage, recording.names), rest_s=REST_S, **made_of)


def weights_in(montage: str, names: Sequence[str]) -> Weights:
    """Return a montage by the names that a recording uses."""
    named = {name if name in names else LATER_NAMES.get(name, name): w for name, w in MONTAGES[montage].items()}
    # Where neither is there, the error names what the montage asks for.
    return named if all(name in names for name in named) else MONTAGES[montage]


def measure(
    job: Job,
    quick: bool = False,
    methods: tuple[str, ...] | None = None,
    notches_hz: tuple[float, ...] = NOTCHES_HZ,
) -> Compared:
    """Compare methods on one recording at one montage; those of other packages where all take part."""
    labels = {"recording": Path(job.recording).name, "montage": job.montage, "eyes": job.eyes}
    try:
        cases = cases_of(job, notches_hz)
    except ClosedloopError as error:
        return Compared(refused=[{**labels, "why": str(error)}])
    chosen = contenders(QUICK_METHODS if quick and methods is None else methods)
    if job.eyes == "open":
        chosen = [one for one in chosen if one.estimator != MANY_CHANNELS]  # one channel has no others to help
    compared = compare(cases, chosen, labels=labels, leads_s=QUICK_LEADS_S if quick else LEADS_S)
    if not quick and methods is None:
        for adapter in available():
            try:
                _add_package(compared, adapter, cases, labels)
            except Exception as error:  # noqa: BLE001 - whatever another package raises is its own refusal
                compared.refused.append({**labels, "estimator": adapter.name, "tuning": "published", "why": str(error)})
    return compared


def _add_package(compared: Compared, adapter: Adapter, cases: Cases, labels: dict[str, str | None]) -> None:
    """Add the rows of another package's method: it knows no leads, so its phase is turned on at the peak."""
    for case, surrogate in ((cases.real, cases.real_surrogate), (cases.synthetic, cases.synthetic_surrogate)):
        rows, noise_rows = (judged_rows(one)[::PACKAGES_EVERY] for one in (case, surrogate))
        begin = time.perf_counter()
        now = _package_predictions(adapter, case, rows)
        # An oscillator takes every sample; what looks at a window is called where it is asked.
        taken = 1e6 * (time.perf_counter() - begin) / (rows[-1] + 1 if adapter.takes_every_sample else rows.size)
        found = errors_at(case, rows, now)
        beside = errors_at(surrogate, noise_rows, _package_predictions(adapter, surrogate, noise_rows))
        compared.add(found, beside, {**labels, "estimator": adapter.name, "tuning": "published"}, YIELDS, taken=taken)


def _package_predictions(adapter: Adapter, case: Case, rows: Any) -> dict[float, Prediction]:
    rest = case.rest
    now = adapter.phases(case.inputs[:, 0], rest.sfreq, rest.band_hz, rest.peak_hz, rows)
    unknown = np.full(rows.size, np.nan)
    return {lead_s: (now * np.exp(2j * np.pi * rest.peak_hz * lead_s), unknown) for lead_s in LEADS_S}


def jobs_of(folder: Path | None, quick: bool) -> list[Job]:
    """Return what is to be measured."""
    if quick:
        return [Job(name, montage) for montage in QUICK_MONTAGES for name in QUICK_RECORDINGS]
    index = {entry.name: entry for entry in entries()}
    known = {entry.file: entry.name for entry in index.values()}
    names = list(RECORDINGS)
    if folder is not None:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        names = [known.get(path.name, str(path)) for path in files]
    names = [name for name in names if name not in index or (index[name].eyes == "closed" and name != "eyes-closed")]
    jobs = [Job(name, montage, "closed" if name in index else None) for montage in MONTAGES for name in names]
    # A folder of somebody else's recordings says what is compared.
    asked = folder is None or (folder / index[OPEN_EYES].file).exists()
    return [*jobs, *([Job(OPEN_EYES, OPEN_EYES_MONTAGE, "open")] if asked else [])]


SUFFIXES = {".edf", ".bdf", ".vhdr", ".set", ".fif", ".xdf"}


def main() -> None:
    """Run all of it and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows, a list, to this file")
    parser.add_argument("--summary", type=Path, help="write the tables and what was refused to this file")
    parser.add_argument("--recordings", type=Path, help="folder of recordings; otherwise the library's six")
    parser.add_argument("--methods", help="only these, as wiener,echt; otherwise all, and those of other packages")
    parser.add_argument("--notch-hz", type=float, default=NOTCHES_HZ[0], help="the mains' frequency; 0: no notch")
    parser.add_argument("--quick", action="store_true", help="a subset, within two minutes")
    parser.add_argument("--baseline", type=Path, help="write the rows of ours, without times, to this file")
    parser.add_argument("--against", type=Path, help="an earlier baseline: exit with 1 where a row has become worse")
    options = parser.parse_args()
    before = None if options.against is None else json.loads(options.against.read_text(encoding="utf-8"))
    use_recordings(options.recordings)
    methods = None if options.methods is None else tuple(options.methods.split(","))
    notches_hz = (options.notch_hz,) if options.notch_hz else ()
    jobs = jobs_of(options.recordings, options.quick)
    todo = [(job, options.quick, methods, notches_hz) for job in jobs]
    found = list(in_parallel(measure, todo, doing="recordings, montages, methods"))
    rows = [row for compared in found for row in compared.rows]
    refused = [line for compared in found for line in compared.refused]
    # Figures first: nothing that a table stumbles over may lose them.
    if options.json is not None:
        options.json.write_text(json.dumps(rows, ensure_ascii=False) + "\n", encoding="utf-8")
    pairs = zip(jobs, found, strict=True)
    closed = [(job.recording, job.montage, part) for job, part in pairs if job.eyes != "open" and part.rows]
    tables = {"ratios": [line for share in (1.0, 0.5) for line in ratios(rows, share)], "honesty": honesty(closed)}
    for montage, eyes in dict.fromkeys((row["montage"], row["eyes"]) for row in rows):
        tables[f"medians, {montage}, eyes {eyes or 'unknown'}"] = medians(rows, montage, eyes)
    for title, lines in tables.items():
        if lines:
            show(f"{title} ({1000 * HEADLINE_LEAD_S:g} ms ahead, {machine()})", lines)
    for line in refused:
        print("not designed:", ", ".join(f"{name} {value}" for name, value in line.items()), file=sys.stderr)
    if not options.quick and methods is None and missing():
        print(f"not installed, so not compared: {', '.join(missing())}", file=sys.stderr)
    write(options.summary, tables=tables, refused=refused)
    if options.baseline is not None:
        options.baseline.write_text(json.dumps(baseline(rows), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if before is not None:
        lines_worse = worse(rows, before)
        for text in lines_worse:
            print(f"worse: {text}", file=sys.stderr)
        if lines_worse:
            sys.exit(1)
        print(f"no row is worse than in {options.against}")


if __name__ == "__main__":
    main()
