"""A comparison: every contender on every case, as rows of one table."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from threadpoolctl import threadpool_limits

from closedloop.accuracy.case import Case, Cases
from closedloop.accuracy.contenders import Contender
from closedloop.accuracy.score import LEADS_S, YIELDS, Errors, errors_of, us_per_sample
from closedloop.errors import ClosedloopError
from closedloop.estimators.interface import Designed

HEADLINE_LEAD_S = 0.025
KEY = ("recording", "truth", "montage", "eyes", "estimator", "tuning", "lead_s", "yield")
FIGURES = ("n", "circular_sd_deg", "ci95_deg", "bias_deg", "plv", "surrogate_sd_deg", "us_per_sample", "coverage_95")
"""What a row says, in this order: first what it is of, then what was found."""
Progress = Callable[[str, float], None]
"""Told what is going on, and which share of that is done."""


@dataclass
class Compared:
    """What came of a comparison.

    Attributes
    ----------
    rows
        One mapping for each truth, lead, yield and contender, with the names of `KEY` and `FIGURES`.
    errors, surrogates
        For each truth and contender the errors at the headline lead, with and without a rhythm, for figures and
        pooled statistics.
    refused
        What could not be designed, and why.
    headline_s
        The headline lead in s.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[tuple[str, str, str], Errors] = field(default_factory=dict)
    surrogates: dict[tuple[str, str, str], Errors] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)
    headline_s: float = HEADLINE_LEAD_S

    def add(
        self,
        found: Mapping[tuple[str, float], Errors],
        beside: Mapping[tuple[str, float], Errors],
        labels: Mapping[str, Any],
        yields: Sequence[float],
        *,
        taken: float,
    ) -> None:
        """Add the rows of one contender on one case.

        Parameters
        ----------
        found, beside
            Its errors by truth and lead, with and without a rhythm.
        labels
            Recording, montage, eyes, estimator and tuning.
        yields
            Shares of all samples.
        taken
            Its time per sample in µs.
        """
        for (truth, lead_s), errors in found.items():
            noise = beside.get((truth, lead_s))
            if math.isclose(lead_s, self.headline_s):
                place = (truth, labels["estimator"], labels["tuning"])
                self.errors[place] = errors
                if noise is not None:
                    self.surrogates[place] = noise
            for found_row in _rows(errors, noise, yields):
                row = {**labels, "truth": truth, "lead_s": lead_s, **found_row, "us_per_sample": taken}
                self.rows.append({name: row[name] for name in (*KEY, *FIGURES)})


def _rows(errors: Errors, noise: Errors | None, yields: Sequence[float]) -> Iterator[dict[str, Any]]:
    for share in yields:
        kept = errors.surest(share)
        statistics = kept.statistics()
        surrogate = None if noise is None else noise.surest(share).statistics().circular_sd_deg
        yield {
            "yield": share,
            "n": statistics.n,
            "circular_sd_deg": statistics.circular_sd_deg,
            "ci95_deg": statistics.ci95_deg,
            "bias_deg": statistics.bias_deg,
            "plv": statistics.plv,
            "surrogate_sd_deg": surrogate,
            "coverage_95": kept.coverage(),
        }


def _nobody_listens(doing: str, share: float) -> None:
    del doing, share


def compare(
    cases: Cases,
    contenders: Sequence[Contender],
    *,
    labels: Mapping[str, str | None],
    leads_s: Sequence[float] = LEADS_S,
    yields: Sequence[float] = YIELDS,
    headline_s: float = HEADLINE_LEAD_S,
    progress: Progress = _nobody_listens,
) -> Compared:
    """Design every contender on each case's rest and judge it on what follows.

    Parameters
    ----------
    cases
        A recording's own, its synthetic one, and both without a rhythm.
    contenders
        Who takes part.
    labels
        What stands in front of each row: recording, montage, eyes.
    leads_s, yields
        What is judged, in s and in shares of all samples.
    headline_s
        The lead whose errors are kept, in s.
    progress
        Is told who is being judged, and which share has been.
    """
    compared = Compared(headline_s=headline_s)
    # Which thread sums what decides the last bits of a design.
    with threadpool_limits(limits=1, user_api="blas"):
        for done, contender in enumerate(contenders):
            progress(f"{contender.estimator}, {contender.tuning}", done / len(contenders))
            for case, surrogate in ((cases.real, cases.real_surrogate), (cases.synthetic, cases.synthetic_surrogate)):
                _judge(compared, contender, case, surrogate, labels, leads_s, yields)
    return compared


def _judge(
    compared: Compared,
    contender: Contender,
    case: Case,
    surrogate: Case,
    labels: Mapping[str, str | None],
    leads_s: Sequence[float],
    yields: Sequence[float],
) -> None:
    names = {"estimator": contender.estimator, "tuning": contender.tuning}
    designed = _made(compared, contender, case, {**labels, **names, "rhythm": "yes"})
    if designed is None:
        return
    flat = _made(compared, contender, surrogate, {**labels, **names, "rhythm": "no"})
    found = errors_of(designed, case, leads_s)
    beside = {} if flat is None else errors_of(flat, surrogate, leads_s)
    compared.add(found, beside, {**labels, **names}, yields, taken=us_per_sample(designed, case))


def _made(compared: Compared, contender: Contender, case: Case, labels: Mapping[str, str | None]) -> Designed | None:
    try:
        return contender.make(case.rest)
    except ClosedloopError as error:
        compared.refused.append({**labels, "why": str(error)})
        return None
