"""Reading XDF, the format in which LabRecorder stores streams."""

import logging
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyxdf

from closedloop.errors import RecordingError
from closedloop.sources.recording import Recording, Role

TO_UV = {
    "": 1.0,
    "microvolts": 1.0,
    "microvolt": 1.0,
    "uv": 1.0,
    "µv": 1.0,
    "μv": 1.0,
    "nanovolts": 1e-3,
    "nanovolt": 1e-3,
    "nv": 1e-3,
    "millivolts": 1e3,
    "millivolt": 1e3,
    "mv": 1e3,
    "volts": 1e6,
    "volt": 1e6,
    "v": 1e6,
}
GAP_S = 0.1
"""A jump of the time stamps by more than this is samples that are missing; less is jitter."""
ROLES: dict[str, Role] = {
    "eeg": "eeg",
    "emg": "emg",
    "trig": "trigger",
    "trigger": "trigger",
    "stim": "trigger",
    "": "eeg",
}


def read_xdf(path: Path, sha256: str) -> Recording:
    """Read the first EEG stream of an XDF file.

    Raw LSL time stamps jitter by some ms from chunk to chunk, which a loop that looks at single samples would
    take for gaps and repetitions. So each stretch between two gaps gets even time stamps, as liblsl's own
    dejittering gives them live; what is missing in less than GAP_S is spread over its stretch.

    Raises
    ------
    RecordingError
        Where the file is damaged or holds no EEG.
    """
    _check_chunks(path)
    logger = logging.getLogger("pyxdf")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        streams, _ = pyxdf.load_xdf(str(path), jitter_break_threshold_seconds=GAP_S, jitter_break_threshold_samples=0)
    except Exception as error:  # noqa: BLE001 - the parser raises whatever a damaged file makes it
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            traceback.clear_frames(error.__traceback__)  # it leaves the file open, which ends with its frames
        raise RecordingError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    finally:
        logger.setLevel(level)
    for stream in streams:
        series = stream["time_series"]
        if _text(stream["info"], "type").lower() == "eeg" and isinstance(series, np.ndarray) and len(series):
            return _recording(path, sha256, stream)
    kinds = ", ".join(_text(stream["info"], "type") or "(no type)" for stream in streams) or "none"
    raise RecordingError(f"{path} holds no stream of type EEG with samples (streams: {kinds})")


def _check_chunks(path: Path) -> None:
    """Follow the chunks' lengths to the file's end: the parser passes a cut file off as a shorter recording."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"XDF:":
            raise RecordingError(f"{path} cannot be read: it does not begin like an XDF file")
        end = 4
        while end < size:
            width = int.from_bytes(file.read(1), "little")
            if width not in (1, 4, 8):
                raise RecordingError(f"{path} is damaged: byte {end} begins no chunk")
            end += 1 + width + int.from_bytes(file.read(width), "little")
            file.seek(end)
    if end > size:
        raise RecordingError(f"{path} is truncated: {size} bytes, but its last chunk ends at {end}")


def _recording(path: Path, sha256: str, stream: dict[str, Any]) -> Recording:
    info = stream["info"]
    sfreq = float(_text(info, "nominal_srate"))
    if not sfreq > 0.0:
        raise RecordingError(f"{path}: nominal_srate = {sfreq:g}: an EEG stream must have a regular rate")
    samples = np.array(stream["time_series"], dtype=float)
    channels = _channels(info, samples.shape[1])
    roles = tuple(ROLES.get(_text(channel, "type").lower(), "misc") for channel in channels)
    for place, channel in enumerate(channels):
        unit = _text(channel, "unit").lower()
        if unit not in TO_UV and roles[place] in {"eeg", "emg"}:
            raise RecordingError(f"{path}: the unit {unit} of channel {_text(channel, 'label')} is not one of volts")
        samples[:, place] *= TO_UV.get(unit, 1.0)  # what is no potential stays in its own unit
    times_s = np.asarray(stream["time_stamps"], dtype=float)
    return Recording(
        names=tuple(_text(channel, "label") or f"channel {n + 1}" for n, channel in enumerate(channels)),
        roles=roles,
        sfreq=sfreq,
        samples=samples,
        times_s=times_s - times_s[0],
        name=path.name,
        sha256=sha256,
    )


def _channels(info: dict[str, Any], n_channels: int) -> list[dict[str, Any]]:
    description = (info.get("desc") or [None])[0] or {}
    channels = (description.get("channels") or [None])[0] or {}
    found: list[dict[str, Any]] = channels.get("channel") or []
    return found if len(found) == n_channels else [{} for _ in range(n_channels)]


def _text(info: dict[str, Any], key: str) -> str:
    value = (info.get(key) or [""])[0]
    return value if isinstance(value, str) else ""
