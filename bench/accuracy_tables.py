"""The tables of `accuracy.py`: ours over the best rival, medians of all, and whether ours knows its own error."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np

from closedloop.accuracy.case import SYNTHETIC, TRUTHS
from closedloop.accuracy.compare import HEADLINE_LEAD_S, Compared
from closedloop.accuracy.contenders import MANY_CHANNELS
from closedloop.accuracy.medians import medians_of, rows_at
from closedloop.accuracy.score import BLOCK_S, Errors
from closedloop.signal.circular import phase_statistics

OURS = ("wiener", MANY_CHANNELS)


def at_headline(rows: Iterable[dict[str, Any]], share: float) -> list[dict[str, Any]]:
    """Return the rows at the headline's lead and one yield."""
    return rows_at(rows, lead_s=HEADLINE_LEAD_S, share=share)


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
    spreads = _spreads([row for row in at_headline(rows, share) if row["eyes"] != "open"])
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


def medians(rows: list[dict[str, Any]], montage: str, eyes: str | None = "closed") -> list[dict[str, Any]]:
    """Return each contender's median circular SD by truth, its surrogate's beside it, and its time."""
    lines = []
    for median in medians_of(
        [row for row in at_headline(rows, 1.0) if (row["montage"], row["eyes"]) == (montage, eyes)]
    ):
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
