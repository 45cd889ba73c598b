"""Recordings by name: an index with their SHA-256, and where to find or fetch each."""

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import platformdirs
import pooch
from ruamel.yaml import YAML

from closedloop.config.shipped import shipped_folder
from closedloop.errors import RecordingError
from closedloop.sources.playback import file_sha256, read_recording
from closedloop.sources.recording import Recording

FOLDER_VARIABLE = "CLOSEDLOOP_RECORDINGS"
FETCH_TIMEOUT_S = 30


@dataclass(frozen=True)
class Entry:
    """One recording of the index.

    Attributes
    ----------
    name, file
        How it is called, and the name of its file.
    sha256, bytes
        Of the file.
    origin, licence, citation
        Where it comes from, what is allowed, and what to cite.
    url
        Where it is fetched from; None for what comes with the package or is made on this machine.
    made_by
        The script that makes it, for what neither comes with the package nor can be fetched.
    eyes
        Whether they were closed or open; None where both, or where nobody's.
    usable_s
        The part that may be used, in s; None: all of it.
    note
        What is worth knowing.
    """

    name: str
    file: str
    sha256: str
    bytes: int
    origin: str
    licence: str
    citation: str | None
    url: str | None
    made_by: str | None
    eyes: Literal["closed", "open"] | None
    usable_s: tuple[float, float] | None
    note: str


@cache
def entries() -> tuple[Entry, ...]:
    """Return the index."""
    rows = YAML(typ="safe").load(shipped_folder("recordings") / "index.yaml")
    return tuple(
        Entry(**{**row, "usable_s": None if row["usable_s"] is None else tuple(row["usable_s"])}) for row in rows
    )


def find(entry: Entry) -> Path | None:
    """Return where a recording is on this machine, or None: it is looked up, not fetched.

    It may have come with the package, lie in the folder that ``CLOSEDLOOP_RECORDINGS`` names or in
    one directly below it, or in the user's cache.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    below = [Path(chosen), *sorted(path for path in Path(chosen).glob("*") if path.is_dir())] if chosen else []
    for folder in (shipped_folder("recordings"), *below, cache_folder()):
        if (folder / entry.file).is_file():
            return folder / entry.file
    return None


def cache_folder() -> Path:
    """Return the folder that fetched recordings are kept in."""
    return Path(platformdirs.user_cache_dir("closedloop")) / "recordings"


def locate(name: str) -> Path:
    """Return the path of a recording: of a file, or of one that the index knows by name.

    What the index knows and this machine lacks is fetched from its origin into the user's cache, where it
    has one.

    Raises
    ------
    RecordingError
        Where there is none, its SHA-256 is not the index's, or it cannot be fetched.
    """
    try:
        if Path(name).exists():
            return Path(name)
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise RecordingError(f"{name}: cannot be read: {error.strerror}") from None
    for entry in entries():
        if name in {entry.name, entry.file, Path(entry.file).stem}:
            path = find(entry)
            return _fetch(entry) if path is None else _checked(entry, path)
    known = ", ".join(entry.name for entry in entries())
    raise RecordingError(f"{name}: there is no such file, and no recording of that name (known: {known})")


def open_recording(name: str) -> Recording:
    """Read a recording by path or name; of one that the index knows, the part that may be used.

    Raises
    ------
    RecordingError
        Where it cannot be found or read.
    """
    recording = read_recording(locate(name))
    for entry in entries():
        if entry.sha256 == recording.sha256 and entry.usable_s is not None:
            start_s, stop_s = entry.usable_s
            kept = f"kept {start_s:g} to {stop_s:g} s: {entry.note}"
            recording = replace(recording.between(start_s, stop_s), notes=(*recording.notes, kept))
    return recording


def _checked(entry: Entry, path: Path) -> Path:
    sha256 = file_sha256(path)
    if sha256 != entry.sha256:
        remedy = "it is fetched anew" if entry.made_by is None else f"make it anew with {entry.made_by}"
        raise RecordingError(
            f"{path} is not {entry.name}: its SHA-256 is {sha256}, not {entry.sha256}; remove it and {remedy}"
        )
    return path


def _fetch(entry: Entry) -> Path:
    if entry.made_by is not None:
        raise RecordingError(
            f"{entry.name} is not here and cannot be fetched: make {entry.file} with {entry.made_by} and name "
            f"its folder in {FOLDER_VARIABLE}"
        )
    if entry.url is None:
        raise RecordingError(f"{entry.name} did not come with closedloop: install it again")
    try:
        fetched = pooch.retrieve(
            entry.url,
            known_hash=f"sha256:{entry.sha256}",
            fname=entry.file,
            path=cache_folder(),
            # Streamed, an answer that is refused (a 404) would keep its socket open for as long as its error lives.
            downloader=pooch.HTTPDownloader(timeout=FETCH_TIMEOUT_S, stream=False),
        )
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RecordingError(
            f"{entry.name} cannot be fetched from {entry.url}: {reason}; put {entry.file} into a folder and name "
            f"that in {FOLDER_VARIABLE}"
        ) from None
    return Path(fetched)
