"""The script that makes recordings with open eyes: where the eyes turn, and what is written."""

import os
import runpy
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.config.shipped import shipped_folder
from closedloop.errors import RecordingError
from closedloop.signal.spectrum import fit_spectrum
from closedloop.sources.library import entries, open_recording
from closedloop.sources.playback import file_sha256, read_recording

SCRIPT = shipped_folder("recordings") / "make_eyes_open.py"
MADE = runpy.run_path(str(SCRIPT))
SFREQ = 1000
ORIGINAL = "CLOSEDLOOP_EYES_SOURCE"


def marker(*lengths, low=22000, high=54000):
    """Return a marker that switches after each length, from closed eyes on."""
    levels = [high if place % 2 else low for place in range(len(lengths))]
    return np.repeat(levels, lengths).astype(np.uint16)


@given(lengths=st.lists(st.integers(1, 50), min_size=2, max_size=8))
def test_the_stretches_are_those_between_the_markers_switches(lengths):
    found = MADE["stretches"](marker(*lengths))
    assert [one.stop - one.start for one in found] == lengths
    assert [one.eyes for one in found] == [("closed", "open")[place % 2] for place in range(len(lengths))]


def test_the_stretches_leave_nothing_out():
    found = MADE["stretches"](marker(7, 5, 3))
    assert (found[0].start, found[-1].stop) == (0, 15)
    assert [one.stop for one in found[:-1]] == [one.start for one in found[1:]]


def test_what_is_written_is_in_microvolts_by_the_sensors_transfer_function(tmp_path):
    values = np.linspace(0, 65535, 3 * SFREQ).astype(np.uint16)
    MADE["edf"](values, 0, len(values), []).write(tmp_path / "made.edf")
    recording = read_recording(tmp_path / "made.edf")
    assert (recording.names, recording.roles, recording.sfreq) == (("P3-P4",), ("eeg",), SFREQ)
    # The data sheet: (value / 2^16 - 1/2) * 3 V / 40000; half a step is 0.0006 µV.
    np.testing.assert_allclose(recording.samples[:, 0], (values / 65536 - 0.5) * 3e6 / 40000, atol=1e-5)


def test_a_range_is_cut_to_whole_seconds_from_its_start(tmp_path):
    values = np.arange(5 * SFREQ, dtype=np.uint16)
    MADE["edf"](values, 1234, 4000, []).write(tmp_path / "made.edf")
    samples = read_recording(tmp_path / "made.edf").samples[:, 0]
    assert samples.size == 2 * SFREQ
    assert samples[0] == pytest.approx((1234 / 65536 - 0.5) * 75.0, abs=1e-5)


def test_annotations_end_where_the_recording_does():
    values = np.zeros(4 * SFREQ + 31, dtype=np.uint16)
    found = MADE["stretches"](marker(1500, 2531))
    said = [(one.onset, one.duration, one.text) for one in MADE["edf"](values, 0, len(values), found).annotations]
    assert said == [(0.0, 1.5, "eyes closed"), (1.5, 2.5, "eyes open")]


def test_another_file_is_refused_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "other.h5").write_bytes(b"something else")
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(tmp_path / "other.h5"), str(tmp_path / "into")])
    with pytest.raises(SystemExit) as caught:
        MADE["main"]()
    assert "is not the file of biosignalsnotebooks 0.6.14: its SHA-256 is" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "into").exists()


def test_the_recordings_are_made_again_byte_for_byte(tmp_path, monkeypatch):
    pytest.importorskip("h5py", reason="h5py is in the extra bench")
    if ORIGINAL not in os.environ:
        pytest.skip(f"{ORIGINAL} does not name eeg_sample_closed_open_eyes.h5")
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), os.environ[ORIGINAL], str(tmp_path)])
    MADE["main"]()
    made = [one for one in entries() if one.made_by == f"recordings/{SCRIPT.name}"]
    assert {one.file: one.sha256 for one in made} == {path.name: file_sha256(path) for path in tmp_path.iterdir()}
    assert {one.file: one.bytes for one in made} == {path.name: path.stat().st_size for path in tmp_path.iterdir()}


def test_with_open_eyes_the_rhythm_is_weaker():
    try:
        opened, closed = (open_recording(f"eyes-{eyes}") for eyes in ("open", "closed"))
    except RecordingError as error:
        pytest.skip(str(error))
    fits = [fit_spectrum(one.samples[:, 0], one.sfreq) for one in (opened, closed)]
    assert fits[0].component_uv < fits[1].component_uv / 2
    assert fits[0].snr_db < fits[1].snr_db - 3.0
