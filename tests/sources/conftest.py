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


def xdf_stream(
    number,
    samples,
    times_s,
    *,
    names=NAMES,
    kinds=("EEG", "EMG", "misc"),
    unit="microvolts",
    stream="EEG",
    sfreq=SFREQ,
    described=None,
):
    """Return the chunks of one stream, every sample with its time stamp; ``described`` channels have a description."""
    units = (unit,) * len(names) if isinstance(unit, str) else unit
    rows = list(zip(names, kinds, units, strict=True))[:described]
    channels = "".join(channel_xml(*row) for row in rows)
    header = (
        f"<info><name>amp</name><type>{stream}</type><channel_count>{len(names)}</channel_count>"
        f"<nominal_srate>{sfreq:g}</nominal_srate><channel_format>double64</channel_format>"
        f"<desc><channels>{channels}</channels></desc></info>"
    )
    stamped = b"".join(
        b"\x08" + struct.pack("<d", t) + row.tobytes()
        for t, row in zip(times_s, np.asarray(samples, "<f8"), strict=True)
    )
    identity = struct.pack("<I", number)
    chunks = [
        chunk(2, identity + header.encode()),
        chunk(3, identity + b"\x04" + struct.pack("<I", len(times_s)) + stamped) if len(times_s) else b"",
        chunk(6, identity + b"<info></info>"),
    ]
    return b"".join(chunks)


def xdf_file(*streams):
    """Return an XDF file (specification: XDF 1.0)."""
    return b"XDF:" + chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>") + b"".join(streams)


@pytest.fixture
def write_xdf_streams(tmp_path):
    """Return a function that writes a file of several streams, each given as samples, times and other fields."""

    def write(*streams):
        path = tmp_path / "recording.xdf"
        made = [xdf_stream(n + 1, samples, times_s, **fields) for n, (samples, times_s, fields) in enumerate(streams)]
        path.write_bytes(xdf_file(*made))
        return path

    return write


@pytest.fixture
def write_xdf(write_xdf_streams):
    return lambda samples, times_s, **fields: write_xdf_streams((samples, times_s, fields))
