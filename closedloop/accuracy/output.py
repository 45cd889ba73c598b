"""The folder that an evaluation writes: whole, or saying that it is not.

::

    evaluation.json   status, plan, software, machine, recordings, verdicts, rows, what was refused, histograms
    evaluation.png    the picture; only of an evaluation that is complete
"""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from closedloop.accuracy.compare import Progress
from closedloop.accuracy.evaluation import Plan, check, evaluate
from closedloop.accuracy.figure import write_figure
from closedloop.errors import ClosedloopError, OutputError
from closedloop.files import COMPLETE, FAILED, INTERRUPTED, RUNNING, make_folder, unmake, write_json, write_whole

FORMAT = 1
FILES = ("evaluation.json", "evaluation.png")


def default_path() -> Path:
    """Return where an evaluation goes if nobody says."""
    return Path(f"evaluation-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")


def run_evaluation(plan: Plan, path: Path, *, facts: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Check a plan, carry it out, and write what came of it.

    Parameters
    ----------
    plan
        What to compare.
    path
        Folder to make; it must not exist. It is made when all recordings have been checked, and removed again where
        nothing could be measured. An interruption or an unexpected error leaves it marked, with the rows so far.
    facts
        What else the file says: software, machine, time.
    progress
        Is told what is going on, and which share of that is done.

    Returns
    -------
        The content of ``evaluation.json``.

    Raises
    ------
    ClosedloopError
        Where a recording cannot be used, the folder exists or cannot be written, or nothing could be measured.
    """
    if path.exists():
        raise OutputError(f"folder {path} exists already; nothing was written: choose another with --out")
    evaluation = check(plan, progress)
    made = make_folder(path)

    def save(status: str, **more: Any) -> dict[str, Any]:
        content = {"format": FORMAT, "status": status, **more, **facts, **evaluation.content()}
        write_json(path / "evaluation.json", content, indent=1)
        return content

    try:
        save(RUNNING)
        evaluate(evaluation, progress, after_each=lambda: save(RUNNING))
        progress("drawing", 1.0)
        content = save(RUNNING)
        write_whole(path / "evaluation.png", lambda part: write_figure(part, content))
        return save(COMPLETE)
    except KeyboardInterrupt:
        save(INTERRUPTED)
        raise
    except Exception as error:
        if isinstance(error, ClosedloopError) and not evaluation.rows:
            unmake(made, FILES)
        else:
            with suppress(Exception):  # what went wrong is the error that is told
                save(FAILED, error=f"{type(error).__name__}: {error}")
        raise
