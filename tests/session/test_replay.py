"""A session runs again from its own record; whatever was changed is found and told."""

import json
import re
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from closedloop.cli.app import app
from closedloop.core.records import EVENT, INPUT, Command, InputKind
from closedloop.errors import SessionError
from closedloop.session.differences import first_line
from closedloop.session.replay import replay_session
from closedloop.session.sums import RECORDED, take_sums


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
    change_facts(path, sums=take_sums(path))


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
    found = re.match(
        rf"decision {number} at input \d+ \([a-z]+\): (\w+) was (\S+) and is (\S+?)[,;]", replayed.difference
    )
    name, before, after = found.groups()
    assert json.dumps(recorded[name]) == before != after
    assert "{" not in replayed.difference
    assert "\n" not in replayed.difference


def test_inputs_of_a_kind_that_nobody_knows_are_named_as_such():
    inputs = np.zeros(1, INPUT)
    inputs["kind"], inputs["now"] = 99, 2.5
    found = first_line(['{"decided_s": 2.5, "lead": 1}'], ['{"decided_s": 2.5, "lead": 2}'], inputs)
    assert found.text == "decision 0 at input 0 (of unknown kind 99): lead was 1 and is 2"


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
    found = re.match(r"decision 5 at input \d+ \([a-z]+\): (.*)$", replayed.difference)
    assert found[1] == 'outcome was "delivered" and is "refused"; events.jsonl is not what was recorded'


def test_a_line_that_is_none_is_found(copied):
    edit_lines(copied, lambda lines: lines.__setitem__(5, "nonsense"))
    difference = replay_session(copied).difference
    assert re.match(r"decision 5 at input \d+ \([a-z]+\): was nonsense, which is no line of a decision;", difference)


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
    events = np.fromfile(copied / "events.bin", EVENT)
    place = int(np.flatnonzero(np.isnan(events["phase"]))[0])  # a line says null of it, whichever it is
    events["phase"].view(np.int64)[place] += 1
    events.tofile(copied / "events.bin")
    change_facts(copied, sums=take_sums(copied))
    replayed = replay_session(copied)
    assert not replayed.same
    assert replayed.difference == (
        f"events.bin: record {place}: phase was nan and is so with other bits; "
        "the fingerprint in summary.json is not that of events.bin"
    )


def test_another_fingerprint_is_found(copied):
    summary = json.loads((copied / "summary.json").read_text())
    (copied / "summary.json").write_text(json.dumps({**summary, "fingerprint": "0" * 64}))
    replayed = replay_session(copied)
    assert not replayed.same
    assert replayed.recorded == "0" * 64
    assert replayed.difference == "the fingerprint in summary.json is not that of events.bin"


def spoil(path, place, n_bytes=1):
    content = bytearray(path.read_bytes())
    for offset in range(n_bytes):
        content[place + offset] ^= 0xFF
    path.write_bytes(content)


def test_a_record_that_was_changed_is_named_with_what_differs(copied):
    place = EVENT.itemsize * 7 + EVENT.fields["trial"][1]
    spoil(copied / "events.bin", place)
    difference = replay_session(copied).difference
    assert re.match(r"events\.bin: record 7: trial was -?\d+ and is -?\d+; events\.bin is not what was ", difference)


def test_a_record_that_is_gone_is_found(copied):
    content = (copied / "events.bin").read_bytes()
    (copied / "events.bin").write_bytes(content[: -EVENT.itemsize])
    n_events = len(content) // EVENT.itemsize
    said = f"events.bin: {n_events - 1} records were recorded and {n_events} are decided; "
    assert replay_session(copied).difference.startswith(said)


def test_a_killed_session_without_a_decision_is_not_called_the_same(copied):
    change_facts(copied, status="running")
    (copied / "events.bin").write_bytes(b"")
    with pytest.raises(SessionError, match=r"events\.bin holds no decision, where its inputs lead to \d+$"):
        replay_session(copied)


def test_records_that_end_within_one_are_refused(copied):
    content = (copied / "events.bin").read_bytes()
    (copied / "events.bin").write_bytes(content[:-40])
    with pytest.raises(SessionError, match=r"events\.bin is truncated: \d+ bytes are no multiple of"):
        replay_session(copied)


@pytest.mark.parametrize("name", [name for name in RECORDED if name != "confirmed.jsonl"])  # only live
def test_a_file_that_is_missing_is_named(copied, name):
    (copied / name).unlink()
    with pytest.raises(SessionError) as caught:
        replay_session(copied)
    assert str(caught.value) == f"{copied / name} cannot be read: No such file or directory"


@pytest.mark.parametrize("name", ["samples.bin", "pipeline.yaml", "device.yaml"])
def test_a_byte_that_changes_no_decision_is_found(copied, name):
    spoil(copied / name, (copied / name).stat().st_size - 8)  # of the last sample the lowest bits
    replayed = replay_session(copied)
    assert replayed.recorded == replayed.again
    assert not replayed.same
    assert replayed.difference == f"{name} is not what was recorded"


def test_a_session_without_sums_says_that_nothing_was_checked(copied):
    spoil(copied / "pipeline.yaml", 0)
    change_facts(copied, sums={})
    replayed = replay_session(copied)
    assert replayed.same
    assert replayed.notes == ("session.json holds no sums: whether the files are what was recorded was not checked",)


def change_facts(path, **facts):
    content = json.loads((path / "session.json").read_text())
    (path / "session.json").write_text(json.dumps({**content, **facts}))


def test_a_difference_names_the_software_and_the_machine_that_changed(copied):
    facts = json.loads((copied / "session.json").read_text())
    change_facts(copied, software={**facts["software"], "numpy": "0.1"}, machine={**facts["machine"], "cpu": "abacus"})
    edit_lines(copied, lambda lines: lines.pop())
    now = facts["software"]["numpy"]
    difference = replay_session(copied).difference
    assert difference.endswith(f" (changed since: numpy 0.1 -> {now}, cpu abacus -> {facts['machine']['cpu']})")


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


def test_the_order_of_libraries_is_no_change(copied):
    facts = json.loads((copied / "session.json").read_text())
    libraries = facts["software"]["blas"].split(", ")
    assert libraries == sorted(libraries)
    change_facts(copied, software={**facts["software"], "blas": ", ".join(reversed(libraries))})
    edit_lines(copied, lambda lines: lines.pop())
    assert "changed since" not in replay_session(copied).difference


@pytest.fixture
def killed(copied):
    """Return a session as SIGKILL leaves one: without a summary and sums, not closed."""
    for name in ("summary.json", "report.png", "pipeline.yaml"):
        (copied / name).unlink()
    change_facts(copied, status="running", sums={})
    return copied


def cut(path, n_bytes):
    path.write_bytes(path.read_bytes()[:-n_bytes])


def test_a_session_that_was_killed_is_compared_as_far_as_it_is_there(killed, session):
    replayed = replay_session(killed)
    assert replayed.same
    assert replayed.n_events == len(session.outcome.events)
    assert replayed.notes == (
        "the session did not end in good order (status: running): as much of it as is there is compared",
        "session.json holds no sums: whether the files are what was recorded was not checked",
    )


def test_a_session_that_failed_says_why(killed):
    change_facts(killed, status="failed", error="StreamError: it is gone")
    assert "(status: failed, StreamError: it is gone)" in replay_session(killed).notes[0]


def test_a_killed_session_whose_decisions_lag_is_compared_up_to_them(killed, session):
    cut(killed / "events.bin", EVENT.itemsize * 3 + 40)
    cut(killed / "events.jsonl", 1000)
    replayed = replay_session(killed)
    assert replayed.same
    assert replayed.n_events == len(session.outcome.events) - 4
    assert replayed.notes[1] == "4 decisions of the replay were not written by the session: they were not compared"


@pytest.mark.parametrize(("name", "n_bytes"), [("inputs.bin", INPUT.itemsize * 900 + 7), ("samples.bin", 48 * 800 + 1)])
def test_a_killed_session_whose_inputs_lag_is_compared_up_to_them(killed, session, name, n_bytes):
    cut(killed / name, n_bytes)
    replayed = replay_session(killed)
    assert replayed.same
    assert 0 < replayed.n_events < len(session.outcome.events)
    more = len(session.outcome.events) - replayed.n_events
    assert replayed.notes[1] == f"{more} decisions came after the last input that is there: they were not compared"


def test_a_killed_session_that_was_changed_is_found(killed):
    spoil(killed / "events.bin", EVENT.itemsize * 7 + EVENT.fields["trial"][1])
    assert replay_session(killed).difference.startswith("events.bin: record 7: trial was ")
    edit_lines(killed, lambda lines: lines.__setitem__(5, lines[5].replace('"refused"', '"delivered"')))
    assert replay_session(killed).difference.startswith("decision 5 at input ")


def test_the_command_tells_what_was_not_compared(killed):
    told = CliRunner().invoke(app, ["replay", str(killed)], catch_exceptions=False)
    assert told.exit_code == 0
    assert told.output.count("warning: ") == 2
    assert "same: " in told.output
    edit_lines(killed, lambda lines: lines.__setitem__(5, lines[5].replace('"refused"', '"delivered"')))
    told = CliRunner().invoke(app, ["replay", str(killed)], catch_exceptions=False)
    assert told.exit_code == 1
    assert 'outcome was "delivered" and is "refused"' in told.output


def test_a_session_that_was_never_closed_can_be_replayed_if_all_is_there(copied):
    change_facts(copied, status="running")
    assert replay_session(copied).same
