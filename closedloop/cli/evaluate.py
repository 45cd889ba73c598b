"""``closedloop evaluate``: methods, compared on recordings."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from closedloop.cli.terminal import INTERRUPTED_STATUS, fail, out, show_progress
from closedloop.errors import ConfigError
from closedloop.files import DISCLAIMER

if TYPE_CHECKING:
    from closedloop.accuracy.evaluation import Plan


def evaluate(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RECORDING...", help="Files that MNE or pyxdf reads, or names of `recordings list`."),
    ],
    montages: Annotated[
        list[str] | None,
        typer.Option("--montage", help="A channel, O1, or a Laplacian, F3=Fp1,F7,C3,Fz; give it again for another."),
    ] = None,
    estimators: Annotated[
        str | None,
        typer.Option(
            help="Methods, also of other packages, with commas between.",
            show_default="all; sspe and phastimate take most of the time",
        ),
    ] = None,
    rest_s: Annotated[float, typer.Option(min=10.0, help="How much of the beginning methods learn from, in s.")] = 60.0,
    notch_hz: Annotated[
        float, typer.Option(min=0.0, help="The mains' frequency, which is filtered out; 0: none.")
    ] = 50.0,
    lead_ms: Annotated[float, typer.Option(help="How far ahead the table predicts, in ms.")] = 25.0,
    leads: Annotated[str, typer.Option(help="All leads that are judged, in ms.")] = "0,10,25,50,80",
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; it must not exist.", show_default="evaluation-TIME")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print evaluation.json instead of tables.")] = False,
) -> None:
    """Compare methods on your recordings: published, tuned and ours, on real and matched EEG, beside no rhythm."""
    from closedloop.session.interruption import Interruption

    folder, new = None, False
    try:
        with Interruption().handled():
            from closedloop.accuracy.output import default_path

            plan = _plan(names, montages or [], estimators, rest_s, notch_hz, lead_ms, leads)
            folder = default_path() if out_folder is None else out_folder
            new = not folder.exists()
            content = _evaluate(plan, folder)
    except KeyboardInterrupt:
        if folder is None or not (new and folder.exists()):
            fail("interrupted before anything was measured; nothing was written", INTERRUPTED_STATUS)
        fail(f"interrupted: {folder} is marked as interrupted and holds what was measured", INTERRUPTED_STATUS)
    if as_json:
        sys.stdout.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    else:
        from closedloop.accuracy.table import show_evaluation

        show_evaluation(content, folder / "evaluation.png", out)
        out.print(DISCLAIMER, style="italic")


def _plan(
    names: list[str],
    montages: list[str],
    estimators: str | None,
    rest_s: float,
    notch_hz: float,
    lead_ms: float,
    leads: str,
) -> "Plan":
    from closedloop.accuracy.evaluation import Plan, montage

    try:
        leads_ms = {float(lead) for lead in leads.split(",")}
    except ValueError:
        raise ConfigError(f"--leads {leads}: not numbers with commas between, such as 0,10,25,50,80") from None
    return Plan(
        recordings=names,
        montages={text: montage(text) for text in montages},
        estimators=None if estimators is None else tuple(name.strip() for name in estimators.split(",")),
        rest_s=rest_s,
        lead_s=lead_ms / 1000.0,
        leads_s=[lead / 1000.0 for lead in sorted(leads_ms | {lead_ms})],
        notches_hz=(notch_hz,) if notch_hz > 0.0 else (),
    )


def _evaluate(plan: "Plan", folder: Path) -> dict[str, Any]:
    with show_progress("loading (the first time it is compiled: up to a minute)") as progress:
        from closedloop.accuracy.output import run_evaluation
        from closedloop.session.facts import machine, now_utc, software

        facts = {"created": now_utc(), "software": software(), "machine": machine()}
        return run_evaluation(plan, folder, facts=facts, progress=progress)
