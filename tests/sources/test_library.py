"""Recordings by name: found on this machine, or fetched once and checked."""

import functools
import gc
import hashlib
import http.server
import sys
import threading

import edfio
import numpy as np
import pytest

from closedloop.config.shipped import shipped_folder
from closedloop.errors import RecordingError
from closedloop.sources import library
from closedloop.sources.library import Entry, entries, find, locate, open_recording
from closedloop.sources.playback import file_sha256

CONTENT = b"a recording, for all that the library knows"


def entry(url=None, content=CONTENT, **fields):
    return Entry(
        **{
            "name": "away",
            "file": "away.edf",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "origin": "a test",
            "licence": "none",
            "citation": None,
            "url": url,
            "made_by": None,
            "eyes": None,
            "usable_s": None,
            "note": "",
            **fields,
        }
    )


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Let the user's cache be an empty folder, and nothing be chosen."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(library, "cache_folder", lambda: folder)
    monkeypatch.delenv("CLOSEDLOOP_RECORDINGS", raising=False)
    return folder


@pytest.fixture
def known(monkeypatch):
    """Return a function that makes one entry the whole index."""
    return lambda only: monkeypatch.setattr(library, "entries", lambda: (only,))


@pytest.fixture
def server(tmp_path):
    """Serve a folder on this machine; give the folder, its address, and what was asked for."""
    folder = tmp_path / "served"
    folder.mkdir()
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked.append(arguments)

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    ) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{listening.server_address[1]}", asked
        listening.shutdown()
        thread.join()


def test_every_entry_says_where_it_comes_from_and_what_is_allowed():
    assert len({one.name for one in entries()}) == len(entries())
    for one in entries():
        assert len(one.sha256) == 64
        assert one.bytes > 0
        assert one.origin
        assert one.licence
        assert one.url is None or one.url.endswith(one.file)
        assert one.eyes in {"closed", "open", None}


def test_every_recording_comes_along_or_is_fetched_or_is_made_by_a_script_that_is_there():
    for one in entries():
        comes_along = (shipped_folder("recordings") / one.file).is_file()
        assert [comes_along, one.url is not None, one.made_by is not None].count(True) == 1
        if one.made_by is not None:
            folder, script = one.made_by.split("/")
            assert (shipped_folder(folder) / script).is_file()


def test_there_are_recordings_with_open_eyes_and_with_closed_ones():
    assert {one.eyes for one in entries() if "eegmat" in one.origin} == {"closed"}
    assert {one.name for one in entries() if one.eyes == "open"} == {"eyes-open"}


def test_the_embedded_recording_is_the_one_of_the_index(cache):
    one = entries()[0]
    path = locate(one.name)
    assert path == shipped_folder("recordings") / one.file
    assert file_sha256(path) == one.sha256
    assert path.stat().st_size == one.bytes < 500_000


@pytest.mark.parametrize("asked", ["away", "away.edf"])
def test_a_chosen_folder_is_looked_through_and_the_folders_in_it(cache, known, tmp_path, monkeypatch, asked):
    known(entry())
    (tmp_path / "mine" / "set").mkdir(parents=True)
    (tmp_path / "mine" / "set" / "away.edf").write_bytes(CONTENT)
    monkeypatch.setenv("CLOSEDLOOP_RECORDINGS", str(tmp_path / "mine"))
    assert locate(asked) == tmp_path / "mine" / "set" / "away.edf"


def test_the_chosen_folder_comes_before_the_cache(cache, known, tmp_path, monkeypatch):
    known(entry())
    for folder in (cache, tmp_path / "mine"):
        folder.mkdir()
        (folder / "away.edf").write_bytes(CONTENT)
    monkeypatch.setenv("CLOSEDLOOP_RECORDINGS", str(tmp_path / "mine"))
    assert locate("away") == tmp_path / "mine" / "away.edf"
    monkeypatch.delenv("CLOSEDLOOP_RECORDINGS")
    assert locate("away") == cache / "away.edf"


def test_what_came_along_comes_before_the_chosen_folder(cache, tmp_path, monkeypatch):
    shipped = entries()[0]
    (tmp_path / shipped.file).write_bytes(b"of the same name")
    monkeypatch.setenv("CLOSEDLOOP_RECORDINGS", str(tmp_path))
    assert find(shipped) == shipped_folder("recordings") / shipped.file


@pytest.mark.parametrize("asked", ["eeg of somebody", "away.edf", "away"])
def test_a_recording_is_known_by_its_name_its_file_and_the_files_stem(cache, known, asked):
    known(entry(name="eeg of somebody"))
    cache.mkdir()
    (cache / "away.edf").write_bytes(CONTENT)
    assert locate(asked) == cache / "away.edf"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's conventions name the folder")
def test_the_cache_is_where_the_user_keeps_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert library.cache_folder() == tmp_path / "closedloop" / "recordings"


def test_what_is_not_here_is_fetched_once(cache, known, server):
    folder, address, asked = server
    (folder / "away.edf").write_bytes(CONTENT)
    known(entry(f"{address}/away.edf"))
    assert find(library.entries()[0]) is None
    for _ in range(2):
        assert locate("away") == cache / "away.edf"
    assert (cache / "away.edf").read_bytes() == CONTENT
    assert len(asked) == 1


def test_what_was_fetched_and_is_not_the_indexs_is_an_error_and_not_kept(cache, known, server, one_line_error):
    folder, address, _ = server
    (folder / "away.edf").write_bytes(b"something else")
    known(entry(f"{address}/away.edf"))
    said = one_line_error(RecordingError, locate, "away")
    assert "hash" in said.lower()
    assert not list(cache.glob("*"))


def test_what_lies_here_and_is_not_the_indexs_is_an_error(cache, known, one_line_error):
    cache.mkdir()
    (cache / "away.edf").write_bytes(b"something else")
    known(entry())
    said = one_line_error(RecordingError, locate, "away")
    assert said.startswith(f"{cache / 'away.edf'} is not away: its SHA-256 is ")
    assert hashlib.sha256(CONTENT).hexdigest() in said


def test_a_server_that_has_it_not_is_told_with_what_to_do(cache, known, server, one_line_error):
    known(entry(f"{server[1]}/away.edf"))
    said = one_line_error(RecordingError, locate, "away")
    assert said.startswith(f"away cannot be fetched from {server[1]}/away.edf: ")
    assert said.endswith("put away.edf into a folder and name that in CLOSEDLOOP_RECORDINGS")


def test_a_server_that_has_it_not_leaves_no_socket_open(cache, known, server):
    known(entry(f"{server[1]}/away.edf"))
    with pytest.raises(RecordingError) as caught:
        locate("away")
    held = [caught]
    held.append(held)
    del caught, held
    gc.collect()  # warnings are errors: an open socket among the garbage fails the test


def test_an_answer_that_breaks_off_is_an_error_and_not_kept(cache, known, server, one_line_error):
    folder, address, _ = server
    (folder / "away.edf").write_bytes(CONTENT[:-1])
    known(entry(f"{address}/away.edf"))
    one_line_error(RecordingError, locate, "away")
    assert not list(cache.glob("*"))


def test_a_server_that_does_not_answer_is_told(cache, known, one_line_error):
    known(entry("http://127.0.0.1:9/away.edf"))  # discard: nobody listens there
    assert one_line_error(RecordingError, locate, "away").startswith("away cannot be fetched from")


def test_what_should_have_come_along_and_did_not_is_told(cache, known, one_line_error):
    known(entry(url=None))
    assert one_line_error(RecordingError, locate, "away") == "away did not come with closedloop: install it again"


def test_what_has_to_be_made_is_told_with_the_script_that_makes_it(cache, known, one_line_error):
    known(entry(made_by="recordings/make_away.py"))
    said = one_line_error(RecordingError, locate, "away")
    assert said == (
        "away is not here and cannot be fetched: make away.edf with recordings/make_away.py and name its folder in "
        "CLOSEDLOOP_RECORDINGS"
    )


def test_what_was_made_and_is_not_the_indexs_is_told_with_the_script(cache, known, one_line_error):
    cache.mkdir()
    (cache / "away.edf").write_bytes(b"something else")
    known(entry(made_by="recordings/make_away.py"))
    said = one_line_error(RecordingError, locate, "away")
    assert said.endswith("remove it and make it anew with recordings/make_away.py")


def test_an_unknown_name_is_told_with_those_that_are_known(cache, known, one_line_error):
    known(entry())
    said = one_line_error(RecordingError, locate, "nowhere.edf")
    assert said == "nowhere.edf: there is no such file, and no recording of that name (known: away)"


def test_a_name_that_no_file_can_have_is_told(cache, one_line_error):
    assert one_line_error(RecordingError, locate, "x" * 300 + ".edf").endswith("cannot be read: File name too long")


def test_a_file_is_found_by_its_path(cache, tmp_path):
    (tmp_path / "mine.edf").write_bytes(b"")
    assert locate(str(tmp_path / "mine.edf")) == tmp_path / "mine.edf"


def write_edf(path, seed):
    samples = np.random.default_rng(seed).normal(0.0, 10.0, 1000)
    signal = edfio.EdfSignal(samples, 250.0, label="EEG F3", physical_dimension="uV", physical_range=(-100.0, 100.0))
    edfio.Edf([signal]).write(path)
    return path


def test_a_known_recording_is_cut_whatever_its_file_is_called(cache, known, tmp_path):
    path = write_edf(tmp_path / "renamed.edf", 1)
    known(entry(content=path.read_bytes(), usable_s=(0.0, 3.0), note="constant from 3 s on"))
    recording = open_recording(str(path))
    assert recording.duration_s == pytest.approx(3.0)
    assert recording.notes[-1] == "kept 0 to 3 s: constant from 3 s on"


def test_an_unknown_recording_is_whole_whatever_its_file_is_called(cache, known, tmp_path):
    known(entry(content=write_edf(tmp_path / "known.edf", 1).read_bytes(), usable_s=(0.0, 3.0)))
    recording = open_recording(str(write_edf(tmp_path / "away.edf", 2)))
    assert recording.duration_s == pytest.approx(4.0)
    assert not any("kept" in note for note in recording.notes)


def test_of_a_known_recording_only_the_usable_part_is_kept(recordings_folder):
    recording = open_recording("Subject25_1.edf")
    assert recording.duration_s == pytest.approx(180.0)
    assert "kept 0 to 180 s" in recording.notes[-1]
    # To the end it is alive: a constant stretch has an SD of nothing but rounding.
    assert recording.samples[-50:].std(axis=0).min() > 0.01


def test_every_real_recording_that_is_here_is_the_one_of_the_index(recordings_folder):
    here = [one for one in entries() if (one.url or one.made_by) and find(one) is not None]
    assert here
    for one in here:
        assert locate(one.name).stat().st_size == one.bytes
