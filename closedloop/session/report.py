"""The session as a picture: where the pulses fell, how far apart, and why the others did not."""

import textwrap
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from numpy.typing import NDArray

from closedloop.core.records import EventKind
from closedloop.files import DISCLAIMER
from closedloop.session.evaluation import Phases, as_json, pooled
from closedloop.session.outcome import Outcome
from closedloop.session.summary import degrees_text

N_BINS = 24
COLORS = ("#0b6e99", "#c8553d", "#588157", "#7b2d8b", "#b8860b", "#444444")
SURROGATE_COLOR = "#9a9a9a"
PULSES, WITHHELD = "pulses", "withheld trials"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "text.parse_math": False,  # a dollar in a name is a dollar
}


def write_report(path: Path, outcome: Outcome, summary: dict[str, Any]) -> None:
    """Draw a session that has run its loop and write it as a PNG file."""
    conditions = outcome.pipeline.target.conditions
    phases, label = known_phases(outcome)
    surrogates = pooled(outcome.surrogates)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(11.0, 4.2 * len(conditions)), 9.6), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(_heading(outcome, summary), fontsize=11)
        rows = figure.add_gridspec(2, 1, height_ratios=(1.35, 1))
        above, below = figure.add_subfigure(rows[0]), figure.add_subfigure(rows[1])
        circles = above.subplots(1, len(conditions), subplot_kw={"projection": "polar"}, squeeze=False)[0]
        for place, (axes, condition) in enumerate(zip(circles, conditions, strict=True)):
            target = None if condition.phase_deg == "random" else np.radians(condition.phase_deg)
            _draw_phases(axes, phases.of(place), surrogates.of(place), target, place, label)
            statistics = degrees_text(summary["per_condition"][condition.name])
            if label == WITHHELD:
                statistics = f"{label}: {degrees_text(as_json(phases.of(place).statistics()))}"
            axes.set_title(f"{condition.name}\n" + "\n".join(textwrap.wrap(statistics, 56)))
        errors, intervals, refusals = below.subplots(1, 3)
        _draw_errors(errors, phases, surrogates, label)
        _draw_intervals(intervals, outcome)
        _draw_refusals(refusals, summary)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from")  # a name in letters that the font lacks
            figure.savefig(path, dpi=110)


def known_phases(outcome: Outcome) -> tuple[Phases, str]:
    """Return the phases that are known, and whose they are.

    Where the EEG shows every pulse, only the trials that were withheld have a phase that anybody can know.
    """
    pulses = outcome.phases(EventKind.DELIVERED)
    if not outcome.disturbed or np.isfinite(pulses.reference).any():
        return pulses, PULSES
    return outcome.phases(EventKind.WITHHELD), WITHHELD


def _heading(outcome: Outcome, summary: dict[str, Any]) -> str:
    rate = summary["pulses_per_minute"]
    status = "" if summary["status"] == "complete" else f" — {summary['status'].upper()}"
    return (
        f"{summary['name']} — {summary['recording']}{status}\n"
        f"{summary['calibration']['verdict']}; {summary['delivered']} pulses delivered"
        + (f" ({rate:.1f} a minute)" if rate else "")
        + f", {summary['withheld']} withheld, {len(outcome.surrogates)} surrogate runs\n{DISCLAIMER}"
    )


def _density(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of values in each bin, in percent."""
    known = values[np.isfinite(values)]
    counts = np.histogram(known, np.linspace(-np.pi, np.pi, N_BINS + 1))[0]
    share: NDArray[np.float64] = 100.0 * counts / max(1, known.size)
    return share


def _draw_phases(
    axes: PolarAxes, phases: Phases, surrogates: Phases, target: float | None, place: int, label: str
) -> None:
    """Draw the reference phase at the pulses, or at what stands for them, 0 (the peak) on top, time clockwise."""
    edges = np.linspace(-np.pi, np.pi, N_BINS + 1)
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_axisbelow(True)
    axes.grid(color="#e3e3e3")
    axes.bar(
        edges[:-1],
        _density(phases.reference),
        2 * np.pi / N_BINS,
        align="edge",
        color=COLORS[place % len(COLORS)],
        alpha=0.85,
        label=label,
    )
    if surrogates.target.size:
        share = _density(surrogates.reference)
        axes.stairs(share, edges, color=SURROGATE_COLOR, linewidth=1.6, label="no rhythm (surrogates)")
    if target is not None:
        axes.plot([target, target], [0.0, axes.get_rmax()], color="black", linestyle="--", label="target", zorder=3)
    axes.set_xticks(np.radians([0, 90, 180, 270]), ["peak", "falling", "trough", "rising"])
    axes.set_yticks([])
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, frameon=False, fontsize=8)


def _draw_errors(axes: Axes, phases: Phases, surrogates: Phases, label: str) -> None:
    edges = np.linspace(-180.0, 180.0, 2 * N_BINS + 1)
    for values, color, whose, filled in (
        (phases.error, COLORS[0], label, True),
        (surrogates.error, SURROGATE_COLOR, "no rhythm (surrogates)", False),
    ):
        known = np.degrees(values[np.isfinite(values)])
        if known.size:
            share = 100.0 * np.histogram(known, edges)[0] / known.size
            axes.stairs(share, edges, fill=filled, color=color, alpha=0.85, label=whose, linewidth=1.6)
    axes.axvline(0.0, color="black", linestyle="--", linewidth=1)
    axes.set(
        title="Phase error, all conditions",
        xlabel="reference phase minus target (°), positive is late",
        ylabel=f"share of {label} (%)",
        xticks=range(-180, 181, 90),
    )
    if label == WITHHELD:
        axes.set_title("Phase error of withheld trials\n(the EEG shows the pulses: theirs is not known)")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", frameon=False, fontsize=8)
    axes.margins(y=0.25)


def _draw_intervals(axes: Axes, outcome: Outcome) -> None:
    assert outcome.events is not None
    events = outcome.events
    due = events["due_s"][(events["kind"] == EventKind.DELIVERED) & (events["pulse"] == 0)]
    intervals = np.diff(due)
    axes.set(title="Intervals between pulses", xlabel="s", ylabel="count")
    if intervals.size:
        axes.hist(intervals, bins=min(30, max(5, intervals.size // 2)), color=COLORS[0], alpha=0.85)
        axes.axvline(outcome.pipeline.protocol.min_interval_s, color="black", linestyle="--", linewidth=1)
        axes.set_xlim(left=0.0)
        axes.annotate(
            "  protocol's minimum",
            (outcome.pipeline.protocol.min_interval_s, 1.0),
            xycoords=("data", "axes fraction"),
            va="top",
            fontsize=8,
        )
    else:
        axes.annotate("fewer than two pulses", (0.5, 0.5), xycoords="axes fraction", ha="center")


def _draw_refusals(axes: Axes, summary: dict[str, Any]) -> None:
    refused = summary["refused"]
    axes.set_title("Chances that were not used, by reason")
    axes.set_xlabel("count")
    if not refused:
        axes.annotate("none", (0.5, 0.5), xycoords="axes fraction", ha="center")
        return
    labels = [reason.replace("_", " ") for reason in refused]
    bars = axes.barh(labels, list(refused.values()), color=SURROGATE_COLOR)
    axes.bar_label(bars, padding=2, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
