"""Medians over recordings: what a table says of each method."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MEDIAN_OF = ("circular_sd_deg", "surrogate_sd_deg", "bias_deg", "coverage_95")


@dataclass(frozen=True)
class Medians:
    """One method's medians over recordings.

    Attributes
    ----------
    estimator, tuning
        Which method.
    by_truth
        For each truth the figures named in `MEDIAN_OF`; None where no recording has one.
    us_per_sample
        Time per sample in µs.
    """

    estimator: str
    tuning: str
    by_truth: Mapping[str, Mapping[str, float | None]]
    us_per_sample: float


def rows_at(rows: Iterable[dict[str, Any]], *, lead_s: float, share: float, **labels: Any) -> list[dict[str, Any]]:
    """Return the rows of one lead, in s, and one yield, whose labels are those given."""
    return [
        row
        for row in rows
        if math.isclose(row["lead_s"], lead_s)
        and row["yield"] == share
        and all(row[name] == value for name, value in labels.items())
    ]


def medians_of(rows: Sequence[dict[str, Any]]) -> list[Medians]:
    """Return each method's medians, in the order in which methods and truths first appear.

    Parameters
    ----------
    rows
        Of one lead, yield and montage.
    """
    truths = list(dict.fromkeys(row["truth"] for row in rows))
    lines = []
    for estimator, tuning in dict.fromkeys((row["estimator"], row["tuning"]) for row in rows):
        mine = [row for row in rows if (row["estimator"], row["tuning"]) == (estimator, tuning)]
        by_truth = {}
        for truth in truths:
            of_truth = [row for row in mine if row["truth"] == truth]
            by_truth[truth] = {name: _median([row[name] for row in of_truth]) for name in MEDIAN_OF}
        taken = float(np.median([row["us_per_sample"] for row in mine]))
        lines.append(Medians(estimator, tuning, by_truth, taken))
    return lines


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
