"""The session folder: never overwritten, never mistaken for whole, and damage is named on reading."""

import json
import shutil
import zipfile

import numpy as np
import pytest

from closedloop.core.records import EVENT, INPUT
from closedloop.core.replay import Drained
from closedloop.errors import OutputError, SessionError
from closedloop.session.folder import FORMAT, Recorder, SessionFolder, StoredSession, default_path
from closedloop.session.replay import replay_session


def refusal(call, *arguments):
    with pytest.raises((OutputError, SessionError)) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def facts(path):
    return json.loads((path / "session.json").read_text(encoding="utf-8"))


def drained(n_samples=3, n_channels=2, n_events=2):
    inputs = np.zeros(n_samples, INPUT)
    inputs["code"] = np.arange(n_samples)
    events = np.zeros(n_events, EVENT)
    events["kind"] = 1
    events["number"] = np.arange(n_events)
    return Drained(inputs, np.arange(n_samples * n_channels, dtype=float).reshape(n_samples, n_channels), events)


def test_a_new_folder_says_that_it_is_running(tmp_path):
    SessionFolder(tmp_path / "new")
    assert facts(tmp_path / "new") == {"format": FORMAT, "status": "running"}


@pytest.mark.parametrize("status", ["complete", "stopped", "interrupted"])
def test_a_closed_folder_says_how_it_ended_and_keeps_its_facts(tmp_path, status):
    folder = SessionFolder(tmp_path / "new")
    folder.note(seed=7)
    folder.close(status)
    assert facts(tmp_path / "new") == {"format": FORMAT, "status": status, "seed": 7}


def test_an_existing_folder_is_refused_and_untouched(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "session.json").write_text("precious")
    said = refusal(SessionFolder, tmp_path / "old")
    assert said == (f"session folder {tmp_path / 'old'} exists already; nothing was written: choose another with --out")
    assert [entry.name for entry in (tmp_path / "old").iterdir()] == ["session.json"]
    assert (tmp_path / "old" / "session.json").read_text() == "precious"


def test_an_existing_file_is_refused_and_untouched(tmp_path):
    (tmp_path / "file").write_text("precious")
    assert "exists already" in refusal(SessionFolder, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_folder_that_cannot_be_made_is_named_with_the_cause(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "session"
    assert refusal(SessionFolder, path) == f"session folder {path} cannot be made: Not a directory"


def test_folders_on_the_way_are_made(tmp_path):
    SessionFolder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "session.json").is_file()


def test_an_unused_folder_goes_with_all_that_was_made_for_it(tmp_path):
    (tmp_path / "there").mkdir()
    SessionFolder(tmp_path / "there" / "a" / "b").remove_if_unused()
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]
    assert list((tmp_path / "there").iterdir()) == []


def test_a_neighbour_keeps_the_folder_around_an_unused_one(tmp_path):
    first = SessionFolder(tmp_path / "sessions" / "first")
    SessionFolder(tmp_path / "sessions" / "second")
    first.remove_if_unused()
    assert [entry.name for entry in (tmp_path / "sessions").iterdir()] == ["second"]


def test_to_remove_an_unused_folder_twice_is_no_error(tmp_path):
    folder = SessionFolder(tmp_path / "new")
    folder.remove_if_unused()
    folder.remove_if_unused()
    assert not (tmp_path / "new").exists()


def test_a_folder_that_was_written_to_stays(tmp_path):
    folder = SessionFolder(tmp_path / "new")
    folder.write_text("note.txt", "something")
    folder.remove_if_unused()
    assert (tmp_path / "new" / "note.txt").read_text() == "something"


def test_a_file_is_there_in_full_or_not_at_all(tmp_path):
    folder = SessionFolder(tmp_path / "new")
    folder.write_json("summary.json", {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write_json("summary.json", {"a": float("nan")})
    assert json.loads((tmp_path / "new" / "summary.json").read_text()) == {"a": 1}
    assert sorted(entry.name for entry in (tmp_path / "new").iterdir()) == ["session.json", "summary.json"]


def test_a_file_that_cannot_be_written_is_named_with_the_cause(tmp_path):
    folder = SessionFolder(tmp_path / "new")
    shutil.rmtree(tmp_path / "new")
    path = tmp_path / "new"
    for name, write in (
        ("session.json", lambda: folder.close("complete")),
        ("a.txt", lambda: folder.write_text("a.txt", "a")),
        ("a.npz", lambda: folder.write_arrays("a.npz", {"a": np.zeros(1)})),
    ):
        assert refusal(write) == f"{path / name} cannot be written: No such file or directory"


def test_a_full_disk_is_one_clear_line(tmp_path):
    folder = SessionFolder(tmp_path / "new")
    (tmp_path / "new" / "inputs.bin").symlink_to("/dev/full")

    def record():
        with Recorder(folder, ["trough"]) as recorder:
            recorder.write(drained())

    assert refusal(record) == f"{tmp_path / 'new'} cannot be written: No space left on device"


def test_a_recorder_appends_inputs_samples_and_one_line_per_decision(tmp_path):
    folder = SessionFolder(tmp_path / "new")
    with Recorder(folder, ["trough"]) as recorder:
        recorder.write(drained())
        recorder.write(drained())
    folder.note(steps=[], conditions=["trough"], recording={"channels": ["A", "B"]})
    stored = StoredSession(tmp_path / "new")
    assert stored.inputs()["code"].tolist() == [0, 1, 2, 0, 1, 2]
    np.testing.assert_array_equal(stored.samples(), np.tile(drained().values, (2, 1)))
    assert [json.loads(line)["number"] for line in stored.event_lines()] == [0, 1, 0, 1]


def test_the_samples_of_rest_come_before_those_of_the_loop(tmp_path):
    folder = SessionFolder(tmp_path / "new")
    rest = np.full((4, 2), -1.0)
    with Recorder(folder, ["trough"]) as recorder:
        recorder.write_rest(rest)
        recorder.write(drained())
    folder.note(steps=[], conditions=["trough"], recording={"channels": ["A", "B"]})
    np.testing.assert_array_equal(StoredSession(tmp_path / "new").samples(), np.vstack([rest, drained().values]))


def test_a_delivery_whose_write_never_came_is_recorded_at_the_end(tmp_path):
    folder = SessionFolder(tmp_path / "new")
    with Recorder(folder, ["trough"]) as recorder:
        recorder.write(drained())
        recorder.flush()
        assert (tmp_path / "new" / "events.jsonl").read_text() == ""
    lines = (tmp_path / "new" / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["written_s"] for line in lines] == [None, None]


def test_what_was_flushed_is_there_for_whoever_looks(tmp_path):
    folder = SessionFolder(tmp_path / "new")
    with Recorder(folder, ["trough"]) as recorder:
        recorder.write(drained())
        recorder.flush()
        assert (tmp_path / "new" / "samples.bin").stat().st_size == drained().values.nbytes
        assert (tmp_path / "new" / "inputs.bin").stat().st_size == drained().inputs.nbytes


def test_what_was_recorded_before_an_error_is_kept(tmp_path):
    folder = SessionFolder(tmp_path / "new")

    def record():
        with Recorder(folder, ["trough"]) as recorder:
            recorder.write(drained())
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        record()
    assert (tmp_path / "new" / "samples.bin").stat().st_size == drained().values.nbytes
    assert facts(tmp_path / "new")["status"] == "running"


def test_a_session_without_a_name_goes_below_sessions():
    path = default_path("demo")
    assert path.parent.name == "sessions"
    assert path.name.startswith("demo-")


@pytest.fixture
def copied(session, tmp_path):
    """Return a copy of a whole session that may be damaged."""
    return shutil.copytree(session.path, tmp_path / "copy")


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def rewrite(path, **changes):
    content = json.loads(path.read_text())
    for key, value in changes.items():
        if value is None:
            del content[key]
        else:
            content[key] = value
    path.write_text(json.dumps(content))


def save_one_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


NO_SESSIONS = {
    "nothing": (
        lambda path: shutil.rmtree(path),
        "{path} is no session folder: session.json: No such file or directory",
    ),
    "no session.json": (
        lambda path: (path / "session.json").unlink(),
        "{path} is no session folder: session.json: No such file or directory",
    ),
    "a cut session.json": (
        lambda path: cut(path / "session.json", 40),
        "{path} is no session folder: session.json cannot be read: ",
    ),
    "a list": (
        lambda path: (path / "session.json").write_text("[]"),
        "{path} is no session folder: session.json cannot be read: ",
    ),
    "bytes": (
        lambda path: (path / "session.json").write_bytes(b"\xff\xfe"),
        "{path} is no session folder: session.json cannot be read: ",
    ),
    "no format": (
        lambda path: rewrite(path / "session.json", format=None),
        "{path} is no session folder: session.json has no format",
    ),
    "no status": (
        lambda path: rewrite(path / "session.json", status=None),
        "{path} is no session folder: session.json has no status",
    ),
    "another format": (
        lambda path: rewrite(path / "session.json", format=FORMAT + 1),
        f"{{path}}: format = {FORMAT + 1} is not {FORMAT}, which this version reads",
    ),
    "no channels": (
        lambda path: rewrite(path / "session.json", recording={}),
        "{path}: session.json is damaged: 'channels' is missing or of another kind",
    ),
    "an empty list of channels": (
        lambda path: rewrite(path / "session.json", recording={"channels": []}),
        "{path}: session.json is damaged: 'recording.channels' is missing or of another kind",
    ),
    "no conditions": (
        lambda path: rewrite(path / "session.json", conditions=None),
        "{path}: session.json is damaged: 'conditions' is missing or of another kind",
    ),
    "a loop that never began": (
        lambda path: rewrite(path / "session.json", steps=None, status="interrupted"),
        "{path} was interrupted before the loop began: there is nothing to replay",
    ),
    "no inputs": (lambda path: (path / "inputs.bin").unlink(), "{path}/inputs.bin cannot be read: No such file"),
    "cut inputs": (
        lambda path: cut(path / "inputs.bin", 48 * 100 + 7),
        "{path}/inputs.bin is truncated: 4807 bytes are no multiple of 48",
    ),
    "cut samples": (
        lambda path: cut(path / "samples.bin", 48 * 100 + 1),
        "{path}/samples.bin is truncated: 4801 bytes are no multiple of 48",
    ),
    # 50 s of run at 125 Hz.
    "samples cut between two": (
        lambda path: cut(path / "samples.bin", 48 * 100),
        "{path}/samples.bin is truncated or inputs.bin damaged: 6250 inputs, 100 samples",
    ),
    "no samples at all": (
        lambda path: cut(path / "samples.bin", 0),
        "{path}/samples.bin is truncated or inputs.bin damaged: 6250 inputs, 0 samples",
    ),
    "another number of channels": (
        lambda path: rewrite(path / "session.json", recording={"channels": ["A", "B", "C"]}),
        "{path}/samples.bin: 3 channels are not the 6 that the core was made for",
    ),
    "no state": (lambda path: (path / "state.npz").unlink(), "{path}/state.npz cannot be read: "),
    "a cut state": (lambda path: cut(path / "state.npz", 1000), "{path}/state.npz cannot be read: "),
    "an empty state": (lambda path: cut(path / "state.npz", 0), "{path}/state.npz cannot be read: "),
    "a state of one array": (
        lambda path: save_one_array(path / "state.npz"),
        "{path}/state.npz cannot be read: ",
    ),
    "a state that is none": (
        lambda path: (path / "state.npz").write_text("nothing"),
        "{path}/state.npz cannot be read: ",
    ),
    "no decisions": (lambda path: (path / "events.jsonl").unlink(), "{path}/events.jsonl cannot be read: "),
    "decisions that are no text": (
        lambda path: (path / "events.jsonl").write_bytes(b"\xff"),
        "{path}/events.jsonl cannot be read: ",
    ),
    "no summary": (lambda path: (path / "summary.json").unlink(), "{path}/summary.json cannot be read: "),
    "a cut summary": (
        lambda path: cut(path / "summary.json", 100),
        "{path}/summary.json is damaged: it has no fingerprint",
    ),
    "a summary of nothing": (
        lambda path: (path / "summary.json").write_text("{}"),
        "{path}/summary.json is damaged: it has no fingerprint",
    ),
}


@pytest.mark.parametrize(("damage", "said"), NO_SESSIONS.values(), ids=NO_SESSIONS.keys())
def test_damage_is_named_with_its_file_and_never_replayed(copied, damage, said):
    damage(copied)
    assert refusal(replay_session, copied).startswith(said.format(path=copied))


def test_a_byte_that_fell_over_in_the_state_is_noticed(copied):
    content = bytearray((copied / "state.npz").read_bytes())
    with zipfile.ZipFile(copied / "state.npz") as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    content[largest.header_offset + largest.file_size // 2] ^= 1  # among its numbers, not among the archive's own
    (copied / "state.npz").write_bytes(content)
    assert refusal(replay_session, copied).startswith(f"{copied / 'state.npz'} cannot be read: ")


def test_inputs_that_point_elsewhere_are_refused(copied):
    inputs = np.fromfile(copied / "inputs.bin", INPUT)
    inputs["code"][inputs["kind"] == 1] += np.arange(6250) % 2 * 1000
    inputs.tofile(copied / "inputs.bin")
    assert "inputs.bin damaged" in refusal(replay_session, copied)
