"""Recordings to write: what every format is given, and a writer of XDF."""

import struct

import numpy as np
import pytest

SFREQ = 250.0
NAMES = ("Fp1", "F3", "O1")


@pytest.fixture
def samples_uv():
    """Return 4 s of three channels, whole µV so that 16-bit formats keep them."""
    return np.round(np.random.default_rng(1).normal(0.0, 30.0, (1000, 3)))


def chunk(tag, content):
    body = struct.pack("<H", tag) + content
    return b"\x04" + struct.pack("<I", len(body)) + body


def channel_xml(name, kind, unit):
    return f"<channel><label>{name}</label><type>{kind}</type><unit>{unit}</unit></channel>"


def xdf_bytes(
    samples, times_s, *, names=NAMES, kinds=("EEG", "EMG", "misc"), unit="microvolts", stream="EEG", sfreq=SFREQ
):
    """Return an XDF file with one stream (specification: XDF 1.0), every sample with its time stamp."""
    described = "".join(channel_xml(name, kind, unit) for name, kind in zip(names, kinds, strict=True))
    header = (
        f"<info><name>amp</name><type>{stream}</type><channel_count>{len(names)}</channel_count>"
        f"<nominal_srate>{sfreq:g}</nominal_srate><channel_format>double64</channel_format>"
        f"<desc><channels>{described}</channels></desc></info>"
    )
    stamped = b"".join(
        b"\x08" + struct.pack("<d", t) + row.tobytes()
        for t, row in zip(times_s, np.asarray(samples, "<f8"), strict=True)
    )
    number = struct.pack("<I", 1)
    return b"XDF:" + b"".join(
        [
            chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>"),
            chunk(2, number + header.encode()),
            chunk(3, number + b"\x04" + struct.pack("<I", len(times_s)) + stamped),
            chunk(6, number + b"<info></info>"),
        ]
    )


@pytest.fixture
def write_xdf(tmp_path):
    def write(samples, times_s, **described):
        path = tmp_path / "recording.xdf"
        path.write_bytes(xdf_bytes(samples, times_s, **described))
        return path

    return write
