"""An evaluation as a picture: how far off the best of ours and the best of its rivals are, and when they are closer."""

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from closedloop.accuracy.case import SYNTHETIC, TRUTHS
from closedloop.accuracy.medians import Medians, medians_of, rows_at
from closedloop.files import DISCLAIMER

REAL = TRUTHS["peak±2 Hz"]
SHOWN = {
    REAL: "recorded EEG, its phase by a zero-phase filter, peak ± 2 Hz",
    SYNTHETIC: "synthetic EEG matched to it, its true phase known",
}
LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"))
"""Colour and marker of the best of ours, of tuned and of published: told apart by the colour-blind as well."""
OTHERS_COLOR, SURROGATE_COLOR, INK = "#c9c9c9", "#555555", "#222222"
HIGHEST_DEG = 125.0
"""Where curves end: beyond, the error is as good as evenly spread."""
ROW_INCHES, WIDTH_INCHES = 4.4, 15.5
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "text.parse_math": False,  # a dollar in a name is a dollar
}
Method = tuple[str, str]
"""Estimator and tuning."""


@dataclass(frozen=True)
class _Curve:
    """One method's circular SD in degrees, and that of its surrogate, over what changes; NaN where unknown."""

    at: NDArray[np.float64]
    sd_deg: NDArray[np.float64]
    surrogate_deg: NDArray[np.float64]


def write_figure(path: Path, content: Mapping[str, Any]) -> None:
    """Draw the content of ``evaluation.json``, of which at least one row was measured, as a PNG file.

    Parameters
    ----------
    path
        Where to write.
    content
        What the file holds.
    """
    places = [(montage, truth) for montage in content["plan"]["montages"] for truth in SHOWN]
    places = [place for place in places if best_of(_at_lead(content, *place), place[1])]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, 1.5 + ROW_INCHES * len(places)), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(_heading(content), fontsize=15, x=0.01, ha="left")
        figure.supxlabel(DISCLAIMER, fontsize=10, style="italic", color=SURROGATE_COLOR)
        parts = figure.subfigures(max(1, len(places)), 1, squeeze=False)[:, 0]
        for part, (montage, truth) in zip(parts, places, strict=False):
            _draw_row(part, content, montage, truth)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from")  # a name in letters that the font lacks
            figure.savefig(path, dpi=110, format="png", facecolor="white")


def _at_lead(content: Mapping[str, Any], montage: str, truth: str) -> list[dict[str, Any]]:
    """Return the rows of all samples at the lead of the plan."""
    return rows_at(content["rows"], lead_s=content["plan"]["lead_s"], share=1.0, montage=montage, truth=truth)


def _heading(content: Mapping[str, Any]) -> str:
    plan, names = content["plan"], [recording["name"] for recording in content["recordings"]]
    of = Path(names[0]).name if len(names) == 1 else f"{len(names)} recordings (curves: medians over them)"
    return (
        f"How far is the predicted phase from the phase that came, {1000 * plan['lead_s']:g} ms ahead?\n"
        f"{of}; methods learn from the first {plan['rest_s']:g} s and are judged on what follows"
    )


def best_of(rows: Sequence[dict[str, Any]], truth: str) -> list[Method]:
    """Return the method with the smallest median circular SD of ours, of the tuned and of the published ones.

    Parameters
    ----------
    rows
        Of one lead, yield and montage.
    truth
        By which they are judged.

    Returns
    -------
        Up to three methods: those kinds that take part, in this order.
    """
    known = [(_sd(median, truth), median) for median in medians_of(rows) if _sd(median, truth) is not None]
    found = []
    for tuning in ("ours", "tuned", "published"):
        of_kind = [(sd, median) for sd, median in known if median.tuning == tuning]
        if of_kind:
            best = min(of_kind, key=lambda pair: pair[0] or 0.0)[1]
            found.append((best.estimator, best.tuning))
    return found


def _sd(median: Medians, truth: str) -> float | None:
    return median.by_truth.get(truth, {}).get("circular_sd_deg")


def _draw_row(part: SubFigure, content: Mapping[str, Any], montage: str, truth: str) -> None:
    part.suptitle(f"{montage} — {SHOWN[truth]}\n", fontsize=13, fontweight="bold", x=0.01, ha="left")
    cells = part.add_gridspec(1, 4, width_ratios=(1, 1, 1.25, 1.25))
    lead_s = content["plan"]["lead_s"]
    rows = [row for row in content["rows"] if row["montage"] == montage and row["truth"] == truth]
    best = best_of(_at_lead(content, montage, truth), truth)
    looks = {method: LOOKS[("ours", "tuned", "published").index(method[1])] for method in best}
    _draw_circles(part, cells, content, (montage, truth), _two(_at_lead(content, montage, truth), best, truth), looks)
    methods = list(dict.fromkeys((row["estimator"], row["tuning"]) for row in rows))
    yields = sorted({row["yield"] for row in rows}, reverse=True)
    by_yield = {method: _curve(rows, method, [(lead_s, share) for share in yields], yields) for method in methods}
    yields_axes = part.add_subplot(cells[2])
    _draw_yields(yields_axes, by_yield, looks)
    leads_s = sorted({row["lead_s"] for row in rows})
    leads_ms = [1000.0 * lead for lead in leads_s]
    by_lead = {method: _curve(rows, method, [(lead, 1.0) for lead in leads_s], leads_ms) for method in methods}
    _draw_leads(part.add_subplot(cells[3], sharey=yields_axes), by_lead, looks)
    yields_axes.set_ylim(0.0, min(HIGHEST_DEG, 1.08 * max(_highest(by_yield), _highest(by_lead))))
    handles = [Line2D([], [], color=looks[method][0], marker=looks[method][1], linewidth=2.4) for method in best]
    names = [_name(method) for method in best]
    handles.append(Line2D([], [], color=SURROGATE_COLOR, linestyle="--", linewidth=1.6))
    names.append("the same without a rhythm")
    if len(methods) > len(best):
        handles.append(Line2D([], [], color=OTHERS_COLOR, linewidth=1.2))
        names.append("other methods")
    part.legend(handles, names, loc="outside lower right", ncols=len(names), frameon=False, fontsize=10)


def _two(rows: Sequence[dict[str, Any]], best: list[Method], truth: str) -> list[Method]:
    """Return the best of ours, where it takes part, and the best of its rivals."""
    order = {(median.estimator, median.tuning): _sd(median, truth) for median in medians_of(rows)}
    ours = [method for method in best if method[1] == "ours"]
    rivals = sorted((method for method in best if method[1] != "ours"), key=lambda method: order[method] or 0.0)
    return [*ours, *rivals][:2]


def _curve(
    rows: Sequence[dict[str, Any]], method: Method, places: Sequence[tuple[float, float]], at: Sequence[float]
) -> _Curve:
    """Return a method's medians at leads in s and yields."""
    found = []
    for lead_s, share in places:
        chosen = rows_at(rows, lead_s=lead_s, share=share, estimator=method[0], tuning=method[1])
        figures = next(iter(medians_of(chosen)[0].by_truth.values())) if chosen else {}
        found.append([figures.get("circular_sd_deg"), figures.get("surrogate_sd_deg")])
    sd_deg, surrogate_deg = np.array(found, dtype=float).T
    return _Curve(np.array(at), sd_deg, surrogate_deg)


def _draw_circles(
    part: SubFigure,
    cells: Any,
    content: Mapping[str, Any],
    place: tuple[str, str],
    two: list[Method],
    looks: Mapping[Method, tuple[str, str]],
) -> None:
    shares = []
    for method in two:
        (found,) = (
            line
            for line in content["histograms"]
            if (line["montage"], line["truth"], line["estimator"], line["tuning"]) == (*place, *method)
        )
        shares.append([_share(found["counts"]), _share(found["surrogate_counts"])])
    highest = max(float(np.max(pair)) for pair in shares)
    rows = _at_lead(content, *place)
    for cell, method, (share, surrogate) in zip((cells[0], cells[1]), two, shares, strict=False):
        axes = part.add_subplot(cell, projection="polar")
        assert isinstance(axes, PolarAxes)
        (median,) = medians_of([row for row in rows if (row["estimator"], row["tuning"]) == method])
        _draw_errors(axes, share, surrogate, highest, looks[method][0])
        axes.set_title(_found(method, median.by_truth[place[1]]), loc="center", color=looks[method][0])


def _share(counts: Sequence[int]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = 100.0 * np.array(counts) / max(1, sum(counts))
    return share


def _name(method: Method) -> str:
    return f"{method[0]} ({method[1]})"


def _found(method: Method, figures: Mapping[str, float | None]) -> str:
    spread, bias, noise = figures["circular_sd_deg"], figures["bias_deg"], figures["surrogate_sd_deg"]
    said = f"SD {_degrees(spread)}, bias {_degrees(bias, '+')}; no rhythm: SD {_degrees(noise)}"
    return "\n".join([*textwrap.wrap(_name(method), 30), said])


def _degrees(value: float | None, sign: str = "") -> str:
    return "unknown" if value is None else f"{value:{sign}.0f}°"


def _draw_errors(
    axes: PolarAxes,
    share: NDArray[np.float64],
    surrogate: NDArray[np.float64],
    highest: float,
    color: str,
) -> None:
    """Draw how errors are spread, 0 on top, what came later than predicted to the right."""
    edges = np.linspace(-np.pi, np.pi, share.size + 1)
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_axisbelow(True)
    axes.grid(color="#e3e3e3")
    axes.bar(edges[:-1], share, 2 * np.pi / share.size, align="edge", color=color, alpha=0.85)
    if surrogate.any():
        axes.stairs(surrogate, edges, color=SURROGATE_COLOR, linestyle="--", linewidth=1.6, baseline=None)
    axes.set_xticks(np.radians([0, 90, 180, 270]), ["0°", "90°", "180°", "-90°"])
    step = next(step for step in (1, 2, 5, 10, 20, 50) if highest / step <= 4.0)
    ticks = np.arange(step, highest + step, step)
    axes.set_ylim(0.0, 1.05 * max(highest, step))
    axes.set_yticks(ticks[ticks <= 1.05 * highest], [f"{tick:g} %" for tick in ticks[ticks <= 1.05 * highest]])
    axes.set_rlabel_position(135.0)
    axes.tick_params(axis="y", labelsize=9, labelcolor=SURROGATE_COLOR)


def _draw_curves(axes: Axes, curves: Mapping[Method, _Curve], looks: Mapping[Method, tuple[str, str]]) -> None:
    for method, curve in curves.items():
        if method not in looks:
            axes.plot(curve.at, curve.sd_deg, color=OTHERS_COLOR, linewidth=1.0, zorder=1)
    for method, (color, marker) in reversed(list(looks.items())):
        curve = curves[method]
        axes.plot(curve.at, curve.sd_deg, color=color, marker=marker, linewidth=2.4, markersize=7, zorder=3)
        axes.plot(curve.at, curve.surrogate_deg, color=color, linestyle="--", linewidth=1.5, zorder=2)
    noise = np.concatenate([curves[method].surrogate_deg for method in looks])
    if np.nanmin(noise, initial=np.inf) > HIGHEST_DEG and np.isfinite(noise).any():
        axes.annotate(
            "↑ without a rhythm: chance", (0.98, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=10
        )
    axes.set_ylabel("circular SD of the error (°)")
    axes.grid(axis="y", color="#ececec")
    axes.set_axisbelow(True)


def _highest(curves: Mapping[Method, _Curve]) -> float:
    return float(np.nanmax([np.concatenate([curve.sd_deg, curve.surrogate_deg]) for curve in curves.values()]))


def _draw_yields(axes: Axes, curves: Mapping[Method, _Curve], looks: Mapping[Method, tuple[str, str]]) -> None:
    _draw_curves(axes, curves, looks)
    first = next(iter(looks))
    at = curves[first].at
    axes.set_xscale("log")
    axes.set_xlim(1.1 * at.max(), at.min() / 1.1)
    axes.set_xticks(at, ["all" if share == 1.0 else f"{100 * share:g} %" for share in at])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("kept: the samples that a method is surest of")
    axes.set_title(_said(curves[first], f"The surest {100 * at[-1]:g} %", "all"), color=looks[first][0])


def _draw_leads(axes: Axes, curves: Mapping[Method, _Curve], looks: Mapping[Method, tuple[str, str]]) -> None:
    _draw_curves(axes, curves, looks)
    axes.set_xlabel("how far ahead (ms)")
    first = next(iter(looks))
    curve = curves[first]
    axes.set_title(_said(curve, f"{curve.at[-1]:g} ms ahead", f"{curve.at[0]:g} ms"), color=looks[first][0])


def _said(curve: _Curve, last: str, first: str) -> str:
    """Say what a curve comes to at its end, instead of what it begins with."""
    if curve.at.size == 1:
        return f"{last}: {curve.sd_deg[-1]:.0f}°"
    return f"{last}: {curve.sd_deg[-1]:.0f}° instead of {curve.sd_deg[0]:.0f}° ({first})"
