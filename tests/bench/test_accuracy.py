"""The benchmark of accuracy: its jobs are those it names."""

import pytest

from closedloop.sources.library import entries


@pytest.fixture
def accuracy(bench_module):
    return bench_module("accuracy")


def test_the_quick_jobs_are_two_people_at_two_montages(accuracy):
    jobs = accuracy.jobs_of(None, True)
    assert len(jobs) == len(set(jobs)) == 4
    assert {job.eyes for job in jobs} == {"closed"}
    assert {job.recording for job in jobs} == set(accuracy.QUICK_RECORDINGS)


def test_all_jobs_are_six_people_at_every_montage_and_the_open_eyes_once(accuracy):
    jobs = accuracy.jobs_of(None, False)
    closed = [job for job in jobs if job.eyes == "closed"]
    assert {job[:2] for job in closed} == {(n, m) for n in accuracy.RECORDINGS for m in accuracy.MONTAGES}
    assert len(closed) == 18
    assert [job for job in jobs if job.eyes == "open"] == [(accuracy.OPEN_EYES, "P3-P4", "open")]


def test_of_a_folder_all_recordings_of_closed_eyes_take_part_whatever_their_format(accuracy, tmp_path):
    index = {entry.file: entry for entry in entries()}
    for name in ("Subject08_1.edf", "own.EDF", "other.vhdr", "notes.txt", "other.eeg"):
        (tmp_path / name).touch()
    jobs = accuracy.jobs_of(tmp_path, False)
    assert {job.eyes for job in jobs if job.recording == index["Subject08_1.edf"].name} == {"closed"}
    names = {job.recording for job in jobs}
    assert names == {index["Subject08_1.edf"].name, str(tmp_path / "own.EDF"), str(tmp_path / "other.vhdr")}


def test_of_a_folder_what_is_known_to_be_of_open_eyes_or_of_nobody_is_left_out(accuracy, tmp_path):
    for entry in entries():
        if entry.eyes != "closed":
            (tmp_path / entry.file).touch()
    assert [job.eyes for job in accuracy.jobs_of(tmp_path, False)] == ["open"]


def test_open_eyes_have_no_part_in_a_folder_that_lacks_them(accuracy, tmp_path):
    (tmp_path / "own.edf").touch()
    assert {job.eyes for job in accuracy.jobs_of(tmp_path, False)} == {None}


def test_no_file_is_left_out_for_want_of_its_montage_before_it_is_opened(accuracy, tmp_path):
    (tmp_path / "own.edf").touch()
    montages = [job.montage for job in accuracy.jobs_of(tmp_path, False)]
    assert montages == list(accuracy.MONTAGES)


def test_channels_of_the_temporal_lobe_are_found_by_their_later_names_too(accuracy):
    names = ("F3", "T7", "P3", "Cz", "C3")
    weights = accuracy.weights_in("C3-Hjorth", names)
    assert weights == {"C3": 1.0, "F3": -0.25, "T7": -0.25, "P3": -0.25, "Cz": -0.25}
    assert accuracy.weights_in("C3-Hjorth", (*names, "T3")) == accuracy.MONTAGES["C3-Hjorth"]


def test_a_montage_that_is_not_there_at_all_keeps_the_names_that_it_asks_for(accuracy):
    assert accuracy.weights_in("C3-Hjorth", ("EEG 1",)) == accuracy.MONTAGES["C3-Hjorth"]
