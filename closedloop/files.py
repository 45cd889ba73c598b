"""Folders and files that are written: there in full, or not at all, or saying that they are not whole."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from closedloop.errors import ConfigError, OutputError

DISCLAIMER = "Research software, not a medical device."
"""What everything says that is shown to a user."""
RUNNING, COMPLETE, STOPPED, INTERRUPTED, FAILED = "running", "complete", "stopped", "interrupted", "failed"
"""What a folder says of itself: from its first moment that it is being written, at its end how it ended.

A person at the keys has ended a session that was stopped: it is as good as a complete one, as far as it goes.
"""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say of a file that cannot be written, on a full disk for one, which it is and why.

    Raises
    ------
    OutputError
        In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there when it is on the disk.

    Parameters
    ----------
    path
        Its place; what was there is replaced.
    write
        Writes the file that it is given.

    Raises
    ------
    OutputError
        Where it cannot be written; then the place is as it was.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with writing(path):
            write(part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file; the errors are those of `write_whole`."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: Mapping[str, Any] | Sequence[Any], *, indent: int | None = 2) -> None:
    """Write a whole JSON file, in which every number is one; the errors are those of `write_whole`."""
    write_text(path, json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def make_folder(path: Path, *, called: str = "folder") -> list[Path]:
    """Make a folder, and those around it that are missing.

    Parameters
    ----------
    path
        The folder; it must not exist.
    called
        How errors call it.

    Returns
    -------
        What was made, innermost first.

    Raises
    ------
    OutputError
        Where it exists or cannot be made.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise OutputError(f"{called} {path} exists already; nothing was written: choose another with --out") from None
    except OSError as error:
        raise OutputError(f"{called} {path} cannot be made: {error.strerror}") from None
    return made


def unmake(made: Sequence[Path], files: Iterable[str]) -> None:
    """Remove some files from the first of some folders, then the folders as far as they are empty."""
    for name in files:
        (made[0] / name).unlink(missing_ok=True)
    with suppress(OSError):  # somebody else has put something there
        for folder in made:
            folder.rmdir()


@contextmanager
def named_pipe(path: Path, option: str) -> Iterator[int]:
    """Make a named pipe for the length of a ``with`` block, and yield its reading end, which does not block.

    Parameters
    ----------
    path
        Where.
    option
        The option that names it, for errors.

    Raises
    ------
    ConfigError
        Where something is at its path.
    OutputError
        Where it cannot be made.
    """
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        raise ConfigError(f"{option} {path}: exists already; name a path at which nothing is") from None
    except OSError as error:
        raise OutputError(f"{option} {path}: the pipe cannot be made: {error.strerror}") from None
    try:
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            # A writer of our own: without any, the end of the last one would be read again and again.
            writing = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            try:
                yield reading
            finally:
                os.close(writing)
        finally:
            os.close(reading)
    finally:
        path.unlink(missing_ok=True)
