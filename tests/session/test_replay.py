"""A session runs again from its own record; whatever was changed is found and told."""

import json
import re
import shutil

import numpy as np
import pytest

from closedloop.core.records import INPUT, Command, InputKind
from closedloop.errors import SessionError
from closedloop.session.replay import replay_session


@pytest.fixture
def copied(session, tmp_path):
    """Return a copy of a whole session that may be changed."""
    return shutil.copytree(session.path, tmp_path / "copy")


def test_a_replay_decides_the_same_bit_for_bit(session):
    replayed = replay_session(session.path)
    assert replayed.same
    assert replayed.difference is None
    assert replayed.recorded == replayed.again == session.summary["fingerprint"]
    assert replayed.n_events == len(session.outcome.events)


def test_a_replay_changes_nothing_in_the_folder(copied):
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    replay_session(copied)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before


def test_a_replay_does_not_need_the_pipeline_or_the_recording(copied):
    (copied / "report.png").unlink()
    assert replay_session(copied).same


def put_rest_in_front(path, *, rows=500, shift=500):
    """Store a session as a live one is: its rest first, and the inputs count from there on."""
    samples = np.fromfile(path / "samples.bin", np.float64)
    np.concatenate([np.full(rows * 6, 1e9), samples]).tofile(path / "samples.bin")
    inputs = np.fromfile(path / "inputs.bin", INPUT)
    inputs["code"][inputs["kind"] == InputKind.SAMPLE] += shift
    inputs.tofile(path / "inputs.bin")


def test_a_session_whose_rest_comes_first_replays(copied):
    put_rest_in_front(copied)
    assert replay_session(copied).same


@pytest.mark.parametrize("shift", [501, -1])
def test_a_session_whose_inputs_point_beyond_its_samples_is_refused(copied, shift):
    put_rest_in_front(copied, shift=shift)
    with pytest.raises(SessionError, match=r"samples\.bin is truncated or inputs\.bin damaged"):
        replay_session(copied)


def change_state(path, name, change):
    with np.load(path / "state.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    change(arrays[name])
    np.savez(path / "state.npz", **arrays)


def change_records(path, name, kind, change):
    records = np.fromfile(path / name, kind)
    change(records)
    records.tofile(path / name)


def stop_early(inputs):
    places = np.flatnonzero(inputs["kind"] == InputKind.DEADLINE)
    inputs["kind"][places[0]], inputs["code"][places[0]] = InputKind.COMMAND, Command.STOP


def spoil_sample(samples):
    samples.reshape(-1, 6)[1000:1400:3, 2] += 20.0  # F3, for longer than a hold


CHANGED = {
    "a sample": lambda path: change_records(path, "samples.bin", np.float64, spoil_sample),
    "an input": lambda path: change_records(path, "inputs.bin", INPUT, stop_early),
    "a limit of the state": lambda path: change_state(
        path, "limits", lambda limits: limits.__setitem__("min_interval_s", 3.0)
    ),
    "a weight of the state": lambda path: change_state(
        path, "signals.weights", lambda weights: weights.__imul__(1.001)
    ),
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED.keys())
def test_a_change_of_what_went_in_is_found_at_the_first_decision_that_differs(copied, change):
    change(copied)
    replayed = replay_session(copied)
    assert not replayed.same
    assert replayed.again != replayed.recorded
    number = int(replayed.difference.split()[1])
    recorded = json.loads((copied / "events.jsonl").read_text().splitlines()[number])
    assert re.match(rf'decision {number} at input \d+ \([a-z]+\) was {{"number": {number}, ', replayed.difference)
    assert f'"outcome": "{recorded["outcome"]}"' in replayed.difference
    assert "\n" not in replayed.difference


def test_a_changed_sample_leaves_the_decisions_before_it_as_they_were(copied):
    CHANGED["a sample"](copied)
    number = int(replay_session(copied).difference.split()[1])
    lines = [json.loads(line) for line in (copied / "events.jsonl").read_text().splitlines()]
    assert lines[number]["sample"] >= 1000
    assert number == 0 or lines[number - 1]["sample"] <= 1400


def edit_lines(path, edit):
    lines = (path / "events.jsonl").read_text().splitlines()
    edit(lines)
    (path / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))


def test_a_changed_line_is_found(copied):
    edit_lines(copied, lambda lines: lines.__setitem__(5, lines[5].replace('"refused"', '"delivered"')))
    replayed = replay_session(copied)
    assert not replayed.same
    assert re.match(r'decision 5 at input \d+ \([a-z]+\) was {"number": 5, "outcome": "delivered"', replayed.difference)
    assert 'and is {"number": 5, "outcome": "refused"' in replayed.difference


def test_a_line_that_is_gone_is_found(copied):
    edit_lines(copied, lambda lines: lines.pop())
    replayed = replay_session(copied)
    assert not replayed.same
    assert re.match(
        rf"decision {replayed.n_events - 1} at input \d+ \([a-z]+\) was absent and is {{", replayed.difference
    )


def test_a_line_too_many_is_found(copied):
    edit_lines(copied, lambda lines: lines.append(lines[-1]))
    replayed = replay_session(copied)
    assert not replayed.same
    assert "and is absent" in replayed.difference


def test_last_bits_that_no_line_shows_are_found(copied):
    summary = json.loads((copied / "summary.json").read_text())
    (copied / "summary.json").write_text(json.dumps({**summary, "fingerprint": "0" * 64}))
    replayed = replay_session(copied)
    assert not replayed.same
    assert replayed.recorded == "0" * 64
    assert replayed.difference.startswith("the decisions differ in their last bits only")


def change_facts(path, **facts):
    content = json.loads((path / "session.json").read_text())
    (path / "session.json").write_text(json.dumps({**content, **facts}))


def test_a_difference_names_the_software_and_the_machine_that_changed(copied):
    facts = json.loads((copied / "session.json").read_text())
    change_facts(copied, software={**facts["software"], "numpy": "0.1"}, machine={**facts["machine"], "cpu": "abacus"})
    edit_lines(copied, lambda lines: lines.pop())
    now = facts["software"]["numpy"]
    difference = replay_session(copied).difference
    assert difference.endswith(f"(changed since: numpy 0.1 -> {now}, cpu abacus -> {facts['machine']['cpu']})")


def test_other_software_alone_is_no_difference(copied):
    facts = json.loads((copied / "session.json").read_text())
    change_facts(copied, software={**facts["software"], "numpy": "0.1"})
    assert replay_session(copied).same


def test_a_session_that_lost_an_input_is_refused(copied):
    change_facts(copied, replayable=False, lost=3)
    with pytest.raises(SessionError) as caught:
        replay_session(copied)
    assert str(caught.value) == f"{copied} lost 3 records: it cannot be replayed"


def test_an_estimator_that_is_not_installed_is_named(copied):
    change_facts(copied, steps=["another_lab.phase:step"] * 4)
    with pytest.raises(SessionError, match=r"another_lab\.phase:step that this session used is not installed"):
        replay_session(copied)


def test_a_session_that_was_never_closed_can_be_replayed_if_all_is_there(copied):
    change_facts(copied, status="running")
    assert replay_session(copied).same
