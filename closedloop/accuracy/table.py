"""The tables that an evaluation prints."""

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from closedloop.accuracy.case import SYNTHETIC, TRUTHS
from closedloop.accuracy.evaluation import refusal_text
from closedloop.accuracy.medians import Medians, medians_of, rows_at


def show_evaluation(content: Mapping[str, Any], picture: Path, out: Console) -> None:
    """Print what each recording promises, each method's medians, and what was refused.

    Parameters
    ----------
    content
        Of ``evaluation.json``.
    picture
        Where its figure is.
    out
        Where to print.
    """
    for found in content["verdicts"]:
        out.print(f"{found['recording']}, {found['montage']}: {found['verdict']}", soft_wrap=True, highlight=False)
    lead_s = content["plan"]["lead_s"]
    for name in content["plan"]["montages"]:
        medians = medians_of(rows_at(content["rows"], lead_s=lead_s, share=1.0, montage=name))
        if medians:
            out.print()
            out.print(medians_table(f"{name}, {1000 * lead_s:g} ms ahead", medians))
    out.print()
    out.print(
        "Circular SD in degrees / the same without a rhythm, by true phase (matched synthetic EEG) and by zero-phase "
        "filters (real EEG); medians over recordings. Bias, and coverage of the method's own 95 % interval, by true "
        "phase; time per sample."
    )
    for refused in content["refused"]:
        out.print(f"not measured: {refusal_text(refused)}", soft_wrap=True, highlight=False)
    out.print(f"Look at {picture}", soft_wrap=True, highlight=False)


def medians_table(title: str, medians: Sequence[Medians]) -> Table:
    """Return one line for each method: ours, tuned and published, the best by the true phase first in each."""
    truths = (SYNTHETIC, *TRUTHS.values())
    # Titles in two lines, nothing around columns: a terminal has 80 characters.
    names = ["true\nphase", *(name.replace("±", "\n±") for name in TRUTHS), "bias\n°", "95 %", "µs"]
    numbers = [Column(name, justify="right", no_wrap=True) for name in names]
    table = Table("method", *numbers, title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    for tuning in dict.fromkeys(median.tuning for median in medians):
        table.add_row(Text(tuning, style="bold"))
        mine = [median for median in medians if median.tuning == tuning]
        for median in sorted(mine, key=lambda one: one.by_truth[SYNTHETIC]["circular_sd_deg"] or inf):
            spreads = [median.by_truth[truth] for truth in truths]
            cells = [
                f"{_text(one['circular_sd_deg'], '.0f')}/{_text(one['surrogate_sd_deg'], '.0f')}" for one in spreads
            ]
            own = [_text(spreads[0]["bias_deg"], "+.0f"), _text(spreads[0]["coverage_95"], ".0%")]
            table.add_row(f" {median.estimator}", *cells, *own, f"{median.us_per_sample:.1f}")
    return table


def _text(value: float | None, shown: str) -> str:
    return "–" if value is None else format(value, shown)
