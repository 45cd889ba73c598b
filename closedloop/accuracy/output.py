"""The folder that an evaluation writes: whole, or saying that it is not.

::

    evaluation.json   status, plan, software, machine, recordings, verdicts, rows, what was refused, histograms
    evaluation.png    the picture; only of an evaluation that is complete
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from closedloop.accuracy.compare import Progress
from closedloop.accuracy.evaluation import Plan, check, evaluate
from closedloop.accuracy.figure import write_figure
from closedloop.errors import ClosedloopError, ConfigError

FORMAT = 1
RUNNING, COMPLETE, INTERRUPTED, FAILED = "running", "complete", "interrupted", "failed"


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
        raise ConfigError(f"folder {path} exists already; nothing was written: choose another with --out")
    evaluation = check(plan, progress)
    made = _make(path)

    def save(status: str, **more: Any) -> dict[str, Any]:
        content = {"format": FORMAT, "status": status, **more, **facts, **evaluation.content()}
        _write_json(path / "evaluation.json", content)
        return content

    try:
        save(RUNNING)
        evaluate(evaluation, progress)
        progress("drawing", 1.0)
        content = save(RUNNING)
        _whole(path / "evaluation.png", lambda part: write_figure(part, content))
        return save(COMPLETE)
    except KeyboardInterrupt:
        save(INTERRUPTED)
        raise
    except ClosedloopError:
        if not evaluation.rows:
            _remove(made)
        raise
    except Exception as error:
        with suppress(ClosedloopError):
            save(FAILED, error=f"{type(error).__name__}: {error}")
        raise


def _make(path: Path) -> list[Path]:
    """Make a folder and return what was made, innermost first."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"folder {path} cannot be made: {error.strerror}") from None
    return made


def _remove(made: list[Path]) -> None:
    for entry in made[0].iterdir():
        entry.unlink()
    with suppress(OSError):  # somebody else has put something there
        for folder in made:
            folder.rmdir()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def _whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file so that it is there in full or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with _writing(path):
            write(part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    _whole(path, lambda part: _write_text(part, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
