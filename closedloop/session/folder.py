"""The session folder: what was designed, what went in, what was decided.

::

    session.json     status, software, machine, recording, seed, how to read the rest; once closed, the rest's SHA-256
    pipeline.yaml    the pipeline with every default written out; device.yaml likewise
    state.npz        the designed state arrays of the core
    inputs.bin       every input of the core in one order, records of type INPUT
    samples.bin      the samples that the inputs refer to, float64, one row each; of a live session first its rest
    events.jsonl     one line per chance
    confirmed.jsonl  of a live session, one line per delivered pulse: was it really given, and what says so
    events.bin       the same decisions as records of type EVENT, bit for bit
    summary.json     what the session came to; report.png shows it

A folder is made before anything else happens and says ``running`` until it is closed: one that was
never closed cannot be taken for a whole one.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TextIO

import numpy as np
from numpy.typing import NDArray

from closedloop.core.records import EVENT, INPUT
from closedloop.errors import OutputError, SessionError
from closedloop.files import (
    COMPLETE,
    FAILED,
    INTERRUPTED,
    RUNNING,
    STOPPED,
    make_folder,
    unmake,
    write_json,
    write_text,
    write_whole,
    writing,
)
from closedloop.session.event_lines import EventLines
from closedloop.session.sums import take_sums

if TYPE_CHECKING:  # importing it compiles the core, which the folder need not wait for
    from closedloop.core.replay import Drained

FORMAT = 4
BEFORE_THE_LOOP = frozenset({"session.json", "pipeline.yaml", "device.yaml"})
"""What a session that recorded nothing has written."""


def default_path(name: str) -> Path:
    """Return where a session of a pipeline goes if nobody says: a folder of its own under ``sessions``."""
    return Path("sessions") / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


class SessionFolder:
    """A session's folder while it is being written.

    Parameters
    ----------
    path
        Folder to make; it must not exist.

    Raises
    ------
    OutputError
        Where it exists or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._facts: dict[str, Any] = {"format": FORMAT, "status": RUNNING}
        self._made = make_folder(path, called="session folder")
        self._write_facts()

    def note(self, **facts: Any) -> None:
        """Add facts to ``session.json``."""
        self._facts.update(facts)
        self._write_facts()

    def close(self, status: str) -> None:
        """Write the session's last status, and the SHA-256 of what it recorded."""
        sums = take_sums(self.path)
        self.note(status=status, **({"sums": sums} if sums else {}))

    def fail(self, error: Exception) -> None:
        """Mark the session as failed, with the error's words; where that cannot be written, it stays ``running``."""
        with suppress(OutputError):
            self.note(status=FAILED, error=f"{type(error).__name__}: {error}")

    def remove_if_unused(self) -> bool:
        """Take the folder, and those made for it, away again where nothing was recorded in it; return whether."""
        if not self.path.exists() or not {entry.name for entry in self.path.iterdir()} <= BEFORE_THE_LOOP:
            return False
        unmake(self._made, BEFORE_THE_LOOP)
        return True

    def write_text(self, name: str, text: str) -> None:
        """Write a whole text file."""
        write_text(self.path / name, text)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a whole JSON file."""
        write_json(self.path / name, content)

    def write_arrays(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write named arrays."""

        def write(part: Path) -> None:
            with part.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)

        write_whole(self.path / name, write)

    def _write_facts(self) -> None:
        self.write_json("session.json", self._facts)


class Recorder:
    """Appends what the core took in and decided to a session folder; use it in a ``with`` block.

    Parameters
    ----------
    folder
        Where to write.
    condition_names
        Of the pipeline's conditions, in order.
    """

    def __init__(self, folder: SessionFolder, condition_names: Sequence[str]) -> None:
        self._folder = folder
        self._lines = EventLines(condition_names)
        self._inputs: BinaryIO
        self._samples: BinaryIO
        self._events: TextIO
        self._records: BinaryIO

    def __enter__(self) -> Self:
        path = self._folder.path
        with writing(path):
            self._inputs = (path / "inputs.bin").open("wb")
            self._samples = (path / "samples.bin").open("wb")
            self._records = (path / "events.bin").open("wb")
            self._events = (path / "events.jsonl").open("w", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with writing(self._folder.path), self._inputs, self._samples, self._records, self._events:
            self._write_lines(self._lines.remaining())
            for file in (self._inputs, self._samples, self._records, self._events):
                file.flush()
                os.fsync(file.fileno())

    def write(self, drained: "Drained") -> None:
        """Append what has come out of the rings."""
        with writing(self._folder.path):
            self._inputs.write(drained.inputs.tobytes())
            self._samples.write(np.ascontiguousarray(drained.values).tobytes())
            self._records.write(drained.events.tobytes())
            self._write_lines(self._lines.add(drained.events, drained.inputs))

    def write_rest(self, samples: NDArray[np.float64]) -> None:
        """Write the samples of calibration, in front of all others."""
        with writing(self._folder.path):
            self._samples.write(np.ascontiguousarray(samples).tobytes())

    def flush(self) -> None:
        """Hand what was written to the system, so that a killed process loses none of it."""
        with writing(self._folder.path):
            for file in (self._inputs, self._samples, self._records, self._events):
                file.flush()

    def _write_lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._events.write(line + "\n")


class StoredSession:
    """A session folder that is read.

    Parameters
    ----------
    path
        The folder.
    may_be_torn
        Whether the files of a session that was never closed may end within a record or a line, which is left out.

    Attributes
    ----------
    status
        What it says of itself.
    closed
        Whether it ended in good order.
    sums
        SHA-256 of its files by name, as they were when it closed; empty where it did not.

    Raises
    ------
    SessionError
        Where it is no session, of another format, or holds nothing that could be run again.
    """

    def __init__(self, path: Path, *, may_be_torn: bool = False) -> None:
        self.path = path
        try:
            self.facts: dict[str, Any] = json.loads((path / "session.json").read_text(encoding="utf-8"))
            self.format, self.status = int(self.facts["format"]), str(self.facts["status"])
        except OSError as error:
            raise SessionError(f"{path} is no session folder: session.json: {error.strerror}") from None
        except KeyError as error:
            raise SessionError(f"{path} is no session folder: session.json has no {error.args[0]}") from None
        except (ValueError, TypeError) as error:
            raise SessionError(f"{path} is no session folder: session.json cannot be read: {error}") from None
        if self.format != FORMAT:
            raise SessionError(f"{path}: format = {self.format} is not {FORMAT}, which this version reads")
        self.closed = self.status in (COMPLETE, STOPPED, INTERRUPTED)
        self._torn = may_be_torn and not self.closed
        if "steps" not in self.facts:
            raise SessionError(f"{path} was {self.status} before the loop began: there is nothing to replay")
        try:
            self.steps, self.conditions = list(self.facts["steps"]), list(self.facts["conditions"])
            self.n_channels = len(self.facts["recording"]["channels"])
            if not self.n_channels:
                raise KeyError("recording.channels")
            self.sums: dict[str, str] = {str(name): str(said) for name, said in self.facts.get("sums", {}).items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise SessionError(f"{path}: session.json is damaged: {error} is missing or of another kind") from None

    def fingerprint(self) -> str:
        """Return the fingerprint of the decisions, which ``summary.json`` holds."""
        try:
            return str(json.loads(self._text("summary.json"))["fingerprint"])
        except (ValueError, KeyError, TypeError) as error:
            raise SessionError(f"{self.path / 'summary.json'} is damaged: it has no fingerprint ({error})") from None

    def event_lines(self) -> list[str]:
        """Return the lines of ``events.jsonl``."""
        return self._text("events.jsonl").splitlines()

    def inputs(self) -> NDArray[np.void]:
        """Return the recorded inputs, records of type ``INPUT``."""
        return self._records("inputs.bin", INPUT)

    def events(self) -> NDArray[np.void]:
        """Return the recorded decisions, records of type ``EVENT``."""
        return self._records("events.bin", EVENT)

    def samples(self) -> NDArray[np.float64]:
        """Return the recorded samples, of shape (n_samples, n_channels) in µV, mapped, not read."""
        samples: NDArray[np.float64] = self._records("samples.bin", np.dtype(np.float64), per_row=self.n_channels)
        return samples.reshape(-1, self.n_channels)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the designed state arrays by name."""
        try:
            # Opened here: of a file that is no archive np.load leaves its own open.
            with (self.path / "state.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise SessionError(f"{self.path / 'state.npz'} cannot be read: {error}") from None

    def _text(self, name: str) -> str:
        try:
            content = (self.path / name).read_bytes()
            return (content[: content.rfind(b"\n") + 1] if self._torn else content).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise SessionError(f"{self.path / name} cannot be read: {error}") from None

    def _records(self, name: str, kind: np.dtype[Any], *, per_row: int = 1) -> NDArray[Any]:
        path = self.path / name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise SessionError(f"{path} cannot be read: {error.strerror}") from None
        if self._torn:
            size -= size % (kind.itemsize * per_row)
        if size % (kind.itemsize * per_row):
            raise SessionError(f"{path} is truncated: {size} bytes are no multiple of {kind.itemsize * per_row}")
        # Copy on write: compiled code takes arrays that it could write to, the file stays as it is.
        count = size // kind.itemsize
        return np.asarray(np.memmap(path, kind, "c", shape=(count,))) if size else np.zeros(0, kind)
