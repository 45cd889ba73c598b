"""Make recordings with open and with closed eyes, from a sample file of the package biosignalsnotebooks.

    pip install --no-deps --target FOLDER biosignalsnotebooks==0.6.14
    python recordings/make_eyes_open.py FOLDER/biosignalsnotebooks/.../eeg_sample_closed_open_eyes.h5 INTO

Run it with the extras test and bench installed. It writes eyes-open.edf and eyes-closed.edf, each the longest
stretch of its kind, and eyes-in-turn.edf, the whole with the stretches as annotations. Nothing is joined: the eyes
were open for 30 s at a time. The same bytes come out each time; their SHA-256 stand in recordings/index.yaml.

What is known of the file, and from where:

- Channel 1 is the EEG, as the package's notebook "EEG - Alpha Band Extraction" says; raw values of 16 bits.
- Its unit follows from the transfer function in the sensor's data sheet, (value / 2^16 - 1/2) * 3 V / 40000, a range
  of ±37.5 µV. The sensor passes 0.8 to 48 Hz. The package's own code divides by 41990: amplitudes may be 5 % lower.
- The electrodes were at P3 and P4: `eeg_sample_p.h5`, of which the package says so, is the same recording's first
  65 s. The sensor is bipolar, and which of the two is its plus is not said: a phase may be half a cycle off.
- Channel 5 has two levels, and no text explains them. It switches after 58 s and then about every 30 s; at the upper
  level the density at 9 to 12.5 Hz is 1.0 to 1.6 µV²/Hz, at the lower one 5.7 to 8.1. So the upper one is taken for
  open eyes.
"""

import datetime
import hashlib
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import edfio
import numpy as np
from numpy.typing import NDArray

SOURCE_SHA256 = "090cde13e3d194e9a2524f9fa7266af57f9a7e05339fa8880e247f06cde54429"
SFREQ = 1000
START = datetime.datetime(2019, 3, 28, 11, 35, 29)
N_LEVELS = 2**16
RANGE_UV = 3e6 / 40000
"""Operating voltage over gain."""


@dataclass(frozen=True)
class Stretch:
    """Samples from ``start`` up to but not at ``stop``, during which the eyes stayed as they were."""

    eyes: Literal["closed", "open"]
    start: int
    stop: int


def main() -> None:
    """Write the three files."""
    if len(sys.argv) != 3:
        sys.exit("usage: python recordings/make_eyes_open.py EEG_SAMPLE_CLOSED_OPEN_EYES.h5 FOLDER")
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    check(source)
    values, marker = read(source)
    found = stretches(marker)
    folder.mkdir(parents=True, exist_ok=True)
    for eyes in ("open", "closed"):
        longest = max((one for one in found if one.eyes == eyes), key=lambda one: one.stop - one.start)
        edf(values, longest.start, longest.stop, []).write(folder / f"eyes-{eyes}.edf")
    edf(values, 0, len(values), found).write(folder / "eyes-in-turn.edf")


def check(source: Path) -> None:
    """End in one line where the file is not the one that the rest was written for."""
    try:
        sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError as error:
        sys.exit(f"{source} cannot be read: {error.strerror}")
    if sha256 != SOURCE_SHA256:
        sys.exit(
            f"{source} is not the file of biosignalsnotebooks 0.6.14: its SHA-256 is {sha256}, not {SOURCE_SHA256}"
        )


def read(source: Path) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Return the raw values of the EEG and of the marker, two arrays of shape (n_samples,)."""
    import h5py

    with h5py.File(source) as file:
        (device,) = file.values()
        return device["raw/channel_1"][:, 0], device["raw/channel_5"][:, 0]


def stretches(marker: NDArray[np.uint16]) -> list[Stretch]:
    """Return the stretches between the marker's switches, in order; above the middle of its levels eyes are open.

    No margin is cut: the rhythm follows a switch within 1.5 s, and leaving out 2 s changes no stretch's SNR by 1 dB.
    """
    is_open = marker > (int(marker.min()) + int(marker.max())) / 2
    edges = [0, *(np.flatnonzero(np.diff(is_open)) + 1).tolist(), len(marker)]
    return [Stretch("open" if is_open[start] else "closed", start, stop) for start, stop in pairwise(edges)]


def edf(values: NDArray[np.uint16], start: int, stop: int, annotated: list[Stretch]) -> edfio.Edf:
    """Return a range as EDF: the raw values themselves, their scale, and whole seconds of them."""
    n_samples = (stop - start) // SFREQ * SFREQ
    begins = START + datetime.timedelta(seconds=start / SFREQ)
    signal = edfio.EdfSignal.from_digital(
        (values[start : start + n_samples].astype(np.int32) - N_LEVELS // 2).astype(np.int16),
        SFREQ,
        label="EEG P3-P4",
        transducer_type="biosignalsplux EEG sensor, bipolar",
        physical_dimension="uV",
        physical_range=(-RANGE_UV / 2, round(RANGE_UV * (0.5 - 1 / N_LEVELS), 5)),
        prefiltering="HP:0.8Hz LP:48Hz",
    )
    return edfio.Edf(
        [signal],
        recording=edfio.Recording(startdate=begins.date(), equipment_code="biosignalsplux"),
        starttime=begins.time().replace(microsecond=0),
        data_record_duration=1.0,
        annotations=[
            edfio.EdfAnnotation(one.start / SFREQ, (min(one.stop, n_samples) - one.start) / SFREQ, f"eyes {one.eyes}")
            for one in annotated
        ],
    )


if __name__ == "__main__":
    main()
