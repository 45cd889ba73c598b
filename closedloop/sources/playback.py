"""Reading recordings: every format that MNE reads for EEG, and XDF."""

import hashlib
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
from mne.io.constants import FIFF
from numpy.typing import NDArray

from closedloop.errors import RecordingError
from closedloop.sources.recording import Recording, Role
from closedloop.sources.xdf import read_xdf

ROLES: dict[str, Role] = {"eeg": "eeg", "emg": "emg", "stim": "trigger"}
READERS: dict[str, Callable[..., Any]] = {
    ".edf": mne.io.read_raw_edf,
    ".bdf": mne.io.read_raw_bdf,
    ".vhdr": mne.io.read_raw_brainvision,
    ".set": mne.io.read_raw_eeglab,
    ".fif": mne.io.read_raw_fif,
    ".gz": mne.io.read_raw_fif,
}
LABEL = re.compile(r"^(?P<kind>EEG|EMG|ECG|EOG|MISC)[ -]+(?P<name>\S.*)$", re.IGNORECASE)
REFERENCE = re.compile(r"-(REF|LE|AVG|AR)$", re.IGNORECASE)


def read_recording(path: Path) -> Recording:
    """Read a recording whole.

    Parameters
    ----------
    path
        An EDF, BDF, BrainVision (``.vhdr``), EEGLAB (``.set``), FIF or XDF file. Labels are cleaned:
        ``EEG Fp1-Ref`` becomes ``Fp1``.

    Raises
    ------
    RecordingError
        Where the file is not there, is none of these, is damaged or truncated, or where two of its
        channels have one name.
    """
    if path.is_dir():
        raise RecordingError(f"{path} is a folder, not a recording")
    try:
        sha256, size = file_sha256(path), path.stat().st_size
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from None
    if size == 0:
        raise RecordingError(f"{path} is empty: 0 bytes")
    if path.suffix.lower() == ".xdf":
        return read_xdf(path, sha256)
    if path.suffix.lower() not in READERS:
        known = ", ".join(sorted({*READERS, ".xdf"}))
        raise RecordingError(f"{path}: the ending {path.suffix or '(none)'} is not one of {known}")
    if path.suffix.lower() in {".edf", ".bdf"}:
        _check_length(path, size)
    if path.suffix.lower() == ".vhdr":
        _check_brainvision(path)
    return _read(path, sha256)


def _read(path: Path, sha256: str) -> Recording:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            raw = READERS[path.suffix.lower()](path, preload=True, verbose="warning")
        except Exception as error:  # noqa: BLE001 - readers raise whatever a damaged file makes them
            raise RecordingError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    # MNE gives the second channel of one name another name, and says so in a warning only.
    for warning in caught:
        if "not unique" in str(warning.message):
            named = ", ".join(sorted(re.findall(r"'([^']*)'", str(warning.message))))
            raise RecordingError(f"{path}: several channels are named {named} (limit: one of each name)")
    labels = [clean_label(label) for label in raw.ch_names]
    kinds = raw.get_channel_types()
    roles = [_role(kind, label) for kind, label in zip(kinds, raw.ch_names, strict=True)]
    samples = np.ascontiguousarray(raw.get_data().T)
    # FIF says V of a trigger channel too, but its values are codes.
    in_volts = [
        channel["unit"] == FIFF.FIFF_UNIT_V and kind != "stim"
        for channel, kind in zip(raw.info["chs"], kinds, strict=True)
    ]
    samples[:, in_volts] *= 1e6
    sfreq = float(raw.info["sfreq"])
    return Recording(
        names=tuple(labels),
        roles=tuple(roles),
        sfreq=sfreq,
        samples=samples,
        times_s=np.arange(len(samples)) / sfreq,
        name=path.name,
        sha256=sha256,
        notes=tuple(" ".join(str(warning.message).split()) for warning in caught),
    )


def clean_label(label: str) -> str:
    """Return a channel's name without its kind and its reference: ``EEG Fp1-Ref`` is ``Fp1``."""
    label = label.strip()
    match = LABEL.match(label)
    name = match["name"] if match else label
    return REFERENCE.sub("", name).strip()


def _role(kind: str, label: str) -> Role:
    match = LABEL.match(label.strip())
    if match and match["kind"].upper() in {"EMG", "ECG", "EOG", "MISC"}:
        return "emg" if match["kind"].upper() == "EMG" else "misc"
    return ROLES.get(kind, "misc")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_length(path: Path, size: int) -> None:
    """Compare an EDF's or BDF's size to what its header says: a cut file must not pass for a short one."""
    with path.open("rb") as file:
        header = file.read(256)
        try:
            header_bytes, records, n_signals = int(header[184:192]), int(header[236:244]), int(header[252:256])
            file.seek(256 + 216 * n_signals)
            counts: NDArray[np.int64] = np.array([int(file.read(8)) for _ in range(n_signals)])
        except ValueError:
            raise RecordingError(f"{path} has no header of its format: it is damaged or of another kind") from None
    width = 3 if path.suffix.lower() == ".bdf" else 2
    wanted = header_bytes + records * width * int(counts.sum())
    if records >= 0 and size < wanted:
        raise RecordingError(f"{path} is truncated: {size} bytes, but its header promises {wanted}")


def _check_brainvision(path: Path) -> None:
    """Check that the data file that a header names is there and holds whole samples."""
    try:
        header = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from None
    entries = dict(re.findall(r"^(\w+)=(.*?)\s*$", header, re.MULTILINE))
    name = entries.get("DataFile", "")
    if not name:
        raise RecordingError(f"{path} is no BrainVision header: it names no data file")
    if "$b" in name:  # the format's sign for the header's own name, which MNE takes literally
        raise RecordingError(f"{path}: DataFile={name} cannot be read: write {path.stem} in place of $b")
    data = path.parent / name
    if not data.is_file():
        raise RecordingError(f"{path}: its data file {name} is not beside it")
    widths = {"INT_16": 2, "IEEE_FLOAT_32": 4, "INT_32": 4}
    frame = int(entries.get("NumberOfChannels", "0") or 0) * widths.get(entries.get("BinaryFormat", ""), 0)
    size = data.stat().st_size
    if frame and size % frame:
        raise RecordingError(f"{data} is truncated: {size} bytes are no multiple of {frame}, the size of one sample")
