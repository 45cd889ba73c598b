"""What a killed program leaves in memory that the system keeps."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import closedloop.dose.mapping
from closedloop.core.records import EVENT, WRITTEN
from closedloop.core.state import make_example
from closedloop.dose.mapping import Mapping, boot, read_left
from closedloop.errors import DoseError

KILLED = """
import os, signal, sys
from pathlib import Path
from closedloop.core.atomics import store_release
from closedloop.core.state import make_example
from closedloop.dose.mapping import Mapping

core = make_example()
core = Mapping(Path(sys.argv[1]), "killed").share(core)
for n in range(3):
    core.gate["pulses"] += 1
    core.gate["last_pulse_s"] = 10.0 + n
    core.events.records[n]["number"] = n
    store_release(core.events.indices, 0, n + 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_program_that_is_killed_leaves_every_pulse_and_every_decision(tmp_path):
    path = tmp_path / "dose"
    done = subprocess.run([sys.executable, "-P", "-c", KILLED, str(path)], check=False, timeout=100)
    assert done.returncode == -signal.SIGKILL
    left = read_left(path)
    assert left is not None
    assert (left.session, left.pulses, left.last_pulse_s) == ("killed", 3, 12.0)
    assert left.events["number"].tolist() == [0, 1, 2]


@pytest.fixture
def mapping(tmp_path):
    return Mapping(tmp_path / "dose", "one")


@pytest.fixture
def shared(mapping):
    return mapping.share(make_example())


def test_it_knows_how_many_pulses_were_given(mapping, shared):
    shared.gate["pulses"] += 5
    assert mapping.pulses == 5
    assert read_left(mapping.path).pulses == 5


def test_of_more_decisions_than_the_ring_holds_the_newest_are_left(mapping, shared):
    capacity = shared.events.records.size
    shared.events.records["number"] = np.arange(capacity) + np.where(np.arange(capacity) < 3, capacity, 0)
    shared.events.indices[WRITTEN] = capacity + 3
    assert read_left(mapping.path).events["number"].tolist() == list(range(3, capacity + 3))


def test_what_was_settled_leaves_nothing(mapping):
    mapping.close()
    assert read_left(mapping.path) is None


def test_what_an_earlier_start_of_the_machine_left_is_not_believed(mapping, monkeypatch):
    monkeypatch.setattr(closedloop.dose.mapping, "boot", lambda: b"another")
    assert read_left(mapping.path) is None


def test_nothing_is_left_where_there_was_nothing(tmp_path):
    assert read_left(tmp_path / "none") is None


def test_the_loop_sees_its_own_arrays(mapping, shared):
    example = make_example()
    assert shared.gate.dtype == example.gate.dtype
    assert shared.events.records.dtype == EVENT
    assert all(array.flags.writeable for array in (shared.gate, shared.events.records))


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 10**4])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "dose").write_bytes(content)
    with pytest.raises(DoseError, match=r"dose is "):
        read_left(tmp_path / "dose")


def test_a_file_that_was_cut_is_refused(mapping):
    whole = mapping.path.read_bytes()
    cut = mapping.path.with_name("cut")
    cut.write_bytes(whole[:-1])
    with pytest.raises(DoseError, match="no whole dose record"):
        read_left(cut)


def test_a_place_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(DoseError, match=r"none/dose cannot be made: No such file or directory"):
        Mapping(tmp_path / "none" / "dose", "one")


def test_a_name_longer_than_any_path_is_refused(tmp_path):
    with pytest.raises(DoseError, match="4097 bytes are too many"):
        Mapping(tmp_path / "dose", "x" * 4097)


def test_the_start_of_the_machine_has_a_name():
    assert len(boot()) == 36
    assert os.path.exists("/dev/shm")  # noqa: PTH110
