"""Every format gives the same recording back; what is damaged is told."""

import edfio
import eeglabio.raw
import mne
import numpy as np
import pybv
import pytest

from closedloop.errors import RecordingError
from closedloop.sources.playback import clean_label, file_sha256, read_recording

SFREQ = 250.0
NAMES = ("Fp1", "F3", "O1")


def write_edf(path, samples, labels=tuple(f"EEG {name}" for name in NAMES), unit="uV", scale=1.0):
    signals = [
        edfio.EdfSignal(
            samples[:, place] * scale,
            sampling_frequency=SFREQ,
            label=label,
            physical_dimension=unit,
            physical_range=(-3276.8 * scale, 3276.7 * scale),
        )
        for place, label in enumerate(labels)
    ]
    edfio.Edf(signals).write(path)


def write_bdf(path, samples):
    signals = [
        edfio.BdfSignal(
            samples[:, place],
            sampling_frequency=SFREQ,
            label=name,
            physical_dimension="uV",
            physical_range=(-3276.8, 3276.7),
        )
        for place, name in enumerate(NAMES)
    ]
    edfio.Bdf(signals).write(path)


def raw_of(samples):
    info = mne.create_info(list(NAMES), SFREQ, "eeg", verbose="error")
    return mne.io.RawArray(samples.T * 1e-6, info, verbose="error")


def write_brainvision(path, samples):
    pybv.write_brainvision(
        data=samples.T * 1e-6,
        sfreq=SFREQ,
        ch_names=list(NAMES),
        fname_base=path.stem,
        folder_out=path.parent,
        resolution=0.1,
        unit="µV",
    )


def write_eeglab(path, samples):
    eeglabio.raw.export_set(str(path), samples.T * 1e-6, SFREQ, list(NAMES))


def write_fif(path, samples):
    raw_of(samples).save(path, verbose="error")


FORMATS = {
    "a.edf": write_edf,
    "a.bdf": write_bdf,
    "a.vhdr": write_brainvision,
    "a.set": write_eeglab,
    "a_raw.fif": write_fif,
    "a_raw.fif.gz": write_fif,
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_gives_back_what_was_written(tmp_path, samples_uv, name):
    FORMATS[name](tmp_path / name, samples_uv)
    recording = read_recording(tmp_path / name)
    assert recording.names == NAMES
    assert recording.roles == ("eeg",) * 3
    assert recording.sfreq == SFREQ
    assert recording.name == name
    assert recording.sha256 == file_sha256(tmp_path / name)
    np.testing.assert_allclose(recording.samples, samples_uv, atol=0.06)
    np.testing.assert_allclose(recording.times_s, np.arange(1000) / SFREQ)


def test_kinds_of_channels_become_roles_and_only_volts_are_scaled(tmp_path, samples_uv):
    info = mne.create_info(["F3", "FDI", "STI"], SFREQ, ["eeg", "emg", "stim"], verbose="error")
    data = samples_uv.T * [[1e-6], [1e-6], [1.0]]  # a trigger's values are codes, not volts
    mne.io.RawArray(data, info, verbose="error").save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    recording = read_recording(tmp_path / "a_raw.fif")
    assert recording.roles == ("eeg", "emg", "trigger")
    np.testing.assert_allclose(recording.samples, samples_uv, atol=1e-9)


def test_the_ending_may_be_of_capital_letters(tmp_path, samples_uv, write_xdf):
    write_edf(tmp_path / "A.EDF", samples_uv)
    np.testing.assert_allclose(read_recording(tmp_path / "A.EDF").samples, samples_uv, atol=0.06)
    path = write_xdf(samples_uv, np.arange(1000) / SFREQ)
    np.testing.assert_array_equal(read_recording(path.rename(tmp_path / "A.XDF")).samples, samples_uv)


def test_what_the_reader_warns_of_is_noted(tmp_path, samples_uv):
    write_fif(tmp_path / "a_raw.fif", samples_uv)
    (tmp_path / "a_raw.fif").rename(tmp_path / "strange.fif")
    (note,) = read_recording(tmp_path / "strange.fif").notes
    assert "does not conform to MNE naming conventions" in note
    assert "\n" not in note


def test_a_recording_that_was_never_ended_is_read(tmp_path, samples_uv):
    write_edf(tmp_path / "a.edf", samples_uv)
    content = (tmp_path / "a.edf").read_bytes()
    (tmp_path / "a.edf").write_bytes(content[:236] + b"-1      " + content[244:])  # EDF: -1 while it is recorded
    np.testing.assert_allclose(read_recording(tmp_path / "a.edf").samples, samples_uv, atol=0.06)


def test_a_header_that_names_its_data_by_a_sign_is_told_what_to_write(tmp_path, samples_uv, one_line_error):
    write_brainvision(tmp_path / "a.vhdr", samples_uv)
    header = (tmp_path / "a.vhdr").read_text(encoding="utf-8")
    assert "DataFile=a.eeg" in header
    (tmp_path / "a.vhdr").write_text(header.replace("DataFile=a.eeg", "DataFile=$b.eeg"), encoding="utf-8")
    said = one_line_error(RecordingError, read_recording, tmp_path / "a.vhdr")
    assert said == f"{tmp_path / 'a.vhdr'}: DataFile=$b.eeg cannot be read: write a in place of $b"


def test_xdf_gives_back_what_was_written(write_xdf, samples_uv, tmp_path):
    recording = read_recording(write_xdf(samples_uv, 1234.5 + np.arange(1000) / SFREQ))
    assert recording.names == NAMES
    assert recording.roles == ("eeg", "emg", "misc")
    assert recording.sfreq == SFREQ
    assert recording.name == "recording.xdf"
    assert recording.sha256 == file_sha256(tmp_path / "recording.xdf")
    np.testing.assert_array_equal(recording.samples, samples_uv)
    np.testing.assert_allclose(recording.times_s, np.arange(1000) / SFREQ, atol=1e-9)


def test_of_several_streams_the_first_with_eeg_in_it_is_read(write_xdf_streams, samples_uv):
    times_s = 7.0 + np.arange(1000) / SFREQ
    markers = {"names": ("code",), "kinds": ("",), "stream": "Markers", "sfreq": 0.0}
    path = write_xdf_streams(
        (np.ones((2, 1)), [7.1, 7.2], markers),
        (np.zeros((0, 3)), [], {}),
        (samples_uv, times_s, {}),
        (2.0 * samples_uv, times_s, {}),
    )
    np.testing.assert_array_equal(read_recording(path).samples, samples_uv)


@pytest.mark.parametrize("described", [0, 2])
def test_channels_of_xdf_that_are_not_all_described_are_counted(write_xdf, samples_uv, described):
    recording = read_recording(write_xdf(samples_uv, np.arange(1000) / SFREQ, described=described))
    assert recording.names == ("channel 1", "channel 2", "channel 3")
    assert recording.roles == ("eeg", "eeg", "eeg")
    np.testing.assert_array_equal(recording.samples, samples_uv)


@pytest.mark.parametrize("kind", ["stim", "Trigger", "TRIG"])
def test_kinds_of_channels_of_xdf_become_roles(write_xdf, samples_uv, kind):
    path = write_xdf(samples_uv, np.arange(1000) / SFREQ, kinds=(kind, "EMG", "EOG"))
    assert read_recording(path).roles == ("trigger", "emg", "misc")


def test_two_channels_of_one_name_in_xdf_are_refused(write_xdf, samples_uv, one_line_error):
    path = write_xdf(samples_uv, np.arange(1000) / SFREQ, names=("F3", "F3", "O1"))
    assert one_line_error(RecordingError, read_recording, path) == ("recording.xdf: 2 channels are named F3 (limit: 1)")


def test_an_xdf_of_no_regular_rate_is_refused(write_xdf, samples_uv, one_line_error):
    path = write_xdf(samples_uv, np.arange(1000) / SFREQ, sfreq=0.0)
    assert one_line_error(RecordingError, read_recording, path) == (
        f"{path}: nominal_srate = 0: an EEG stream must have a regular rate"
    )


@pytest.mark.parametrize(("unit", "scale"), [("uV", 1.0), ("mV", 1e-3), ("V", 1e-6)])
def test_units_are_turned_into_microvolts(tmp_path, samples_uv, unit, scale):
    write_edf(tmp_path / "a.edf", samples_uv, unit=unit, scale=scale)
    np.testing.assert_allclose(read_recording(tmp_path / "a.edf").samples, samples_uv, atol=0.06)


@pytest.mark.parametrize(
    ("unit", "scale"), [("volts", 1e-6), ("millivolts", 1e-3), ("nanovolts", 1e3), ("µV", 1.0), ("", 1.0)]
)
def test_units_of_xdf_are_turned_into_microvolts(write_xdf, samples_uv, unit, scale):
    path = write_xdf(samples_uv * scale, np.arange(1000) / SFREQ, unit=unit)
    np.testing.assert_allclose(read_recording(path).samples, samples_uv, atol=1e-9)


def test_jitter_of_the_time_stamps_is_taken_out(write_xdf, samples_uv):
    chunks = np.repeat(np.random.default_rng(2).normal(0.0, 0.003, 100), 10)
    recording = read_recording(write_xdf(samples_uv, np.arange(1000) / SFREQ + chunks))
    assert np.diff(recording.times_s).min() > 0.0
    np.testing.assert_allclose(np.diff(recording.times_s), 1.0 / SFREQ, rtol=0.01)


def test_a_gap_stays_where_it_is(write_xdf, samples_uv):
    times_s = np.arange(1000) / SFREQ
    times_s[400:] += 0.3
    found = read_recording(write_xdf(samples_uv, times_s)).times_s
    np.testing.assert_allclose(found, times_s, atol=1e-6)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("EEG Fp1", "Fp1"),
        ("EEG Fp1-Ref", "Fp1"),
        ("EEG F3-LE", "F3"),
        ("Cz", "Cz"),
        (" O1 ", "O1"),
        ("EMG FDI", "FDI"),
        ("ECG ECG", "ECG"),
        ("EEG A2-A1", "A2-A1"),
        ("EEG", "EEG"),
    ],
)
def test_a_label_is_cleaned(label, name):
    assert clean_label(label) == name


def test_a_label_says_its_channels_role(tmp_path, samples_uv):
    write_edf(tmp_path / "a.edf", samples_uv, labels=("EEG F3", "EMG FDI", "ECG ECG"))
    assert read_recording(tmp_path / "a.edf").roles == ("eeg", "emg", "misc")


@pytest.mark.parametrize("name", ["a.edf", "a.bdf", "a.vhdr"])
def test_a_truncated_file_is_told_with_both_sizes(tmp_path, samples_uv, one_line_error, name):
    FORMATS[name](tmp_path / name, samples_uv)
    data = tmp_path / name.replace(".vhdr", ".eeg")
    data.write_bytes(data.read_bytes()[:-777])
    said = one_line_error(RecordingError, read_recording, tmp_path / name)
    assert said.startswith(f"{data} is truncated: {data.stat().st_size} bytes")


@pytest.mark.parametrize("name", ["a.set", "a_raw.fif"])
def test_a_file_of_which_the_end_is_missing_is_told(tmp_path, samples_uv, one_line_error, name):
    FORMATS[name](tmp_path / name, samples_uv)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    assert one_line_error(RecordingError, read_recording, tmp_path / name).startswith(
        f"{tmp_path / name} cannot be read:"
    )


@pytest.mark.parametrize("cut", [5, 30, 5000])
def test_a_truncated_xdf_is_told_with_both_sizes(write_xdf, samples_uv, one_line_error, cut):
    path = write_xdf(samples_uv, np.arange(1000) / SFREQ)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    said = one_line_error(RecordingError, read_recording, path)
    assert said.startswith(f"{path} is truncated: {len(whole) - cut} bytes, but its last chunk ends at ")


def test_an_xdf_that_is_damaged_in_the_middle_is_told(write_xdf, samples_uv, one_line_error):
    path = write_xdf(samples_uv, np.arange(1000) / SFREQ)
    path.write_bytes(path.read_bytes() + b"\x07rubbish")
    assert "is damaged: byte" in one_line_error(RecordingError, read_recording, path)


def test_a_header_without_its_data_is_told(tmp_path, samples_uv, one_line_error):
    write_brainvision(tmp_path / "a.vhdr", samples_uv)
    (tmp_path / "a.eeg").unlink()
    said = one_line_error(RecordingError, read_recording, tmp_path / "a.vhdr")
    assert said == f"{tmp_path / 'a.vhdr'}: its data file a.eeg is not beside it"


def test_a_header_that_names_no_data_is_told(tmp_path, one_line_error):
    (tmp_path / "a.vhdr").write_text("no EEG at all")
    said = one_line_error(RecordingError, read_recording, tmp_path / "a.vhdr")
    assert said == f"{tmp_path / 'a.vhdr'} is no BrainVision header: it names no data file"


def test_an_empty_file_is_told(tmp_path, one_line_error):
    (tmp_path / "a.edf").touch()
    assert one_line_error(RecordingError, read_recording, tmp_path / "a.edf").endswith("is empty: 0 bytes")


def test_a_folder_is_no_recording(tmp_path, one_line_error):
    assert one_line_error(RecordingError, read_recording, tmp_path) == f"{tmp_path} is a folder, not a recording"


def test_a_file_that_is_not_there_is_told(tmp_path, one_line_error):
    said = one_line_error(RecordingError, read_recording, tmp_path / "a.edf")
    assert said == f"{tmp_path / 'a.edf'} cannot be read: No such file or directory"


def test_an_unknown_ending_is_told_with_those_that_are_known(tmp_path, one_line_error):
    (tmp_path / "a.csv").write_text("1,2")
    said = one_line_error(RecordingError, read_recording, tmp_path / "a.csv")
    assert said.endswith("the ending .csv is not one of .bdf, .edf, .fif, .gz, .set, .vhdr, .xdf")


@pytest.mark.parametrize("name", ["a.edf", "a.bdf", "a.vhdr", "a.set", "a_raw.fif", "a.xdf"])
def test_a_file_of_another_kind_is_told(tmp_path, one_line_error, name):
    (tmp_path / name).write_bytes(b"no EEG at all " * 100)
    assert str(tmp_path / name) in one_line_error(RecordingError, read_recording, tmp_path / name)


@pytest.mark.parametrize("labels", [("EEG F3", "EEG F3", "EEG O1"), ("EEG F3", "F3", "EEG O1")])
def test_two_channels_of_one_name_are_refused(tmp_path, samples_uv, one_line_error, labels):
    write_edf(tmp_path / "a.edf", samples_uv, labels=labels)
    assert "F3" in one_line_error(RecordingError, read_recording, tmp_path / "a.edf")


def test_an_xdf_without_eeg_is_told_with_what_it_holds(write_xdf, samples_uv, one_line_error):
    path = write_xdf(samples_uv, np.arange(1000) / SFREQ, stream="Markers")
    assert one_line_error(RecordingError, read_recording, path).endswith("(streams: Markers)")


def test_what_is_no_potential_stays_in_its_own_unit(write_xdf, samples_uv):
    path = write_xdf(samples_uv, np.arange(1000) / SFREQ, kinds=("EEG", "ACC", "trigger"), unit=("mV", "g", "integer"))
    np.testing.assert_allclose(read_recording(path).samples, samples_uv * [1e3, 1.0, 1.0], atol=1e-9)


@pytest.mark.parametrize("kind", ["EEG", "EMG"])
def test_an_xdf_in_a_unit_that_is_none_of_volts_is_refused(write_xdf, samples_uv, one_line_error, kind):
    path = write_xdf(samples_uv, np.arange(1000) / SFREQ, kinds=(kind, "misc", "misc"), unit="tesla")
    assert one_line_error(RecordingError, read_recording, path).endswith(
        "the unit tesla of channel Fp1 is not one of volts"
    )
