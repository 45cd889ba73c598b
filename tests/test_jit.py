"""Compiled code is never older than its sources."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

import closedloop
from closedloop import jit

PACKAGE = Path(closedloop.__file__).parent
MODULES = ("__init__.py", "jit.py", "errors.py", "core/*.py", "estimators/*.py", "signal/*.py")

PROBE = """
from closedloop.core.gate import approve_pulse
from closedloop.core.reasons import Reason
from closedloop.core.state import CORE, make_example
from closedloop.jit import compiled
from numba import types

@compiled(types.int64(CORE, types.float64))
def ask(core, now):
    return int(approve_pulse(core, now))

core = make_example()
print(Reason(ask(core, 0.0)).name)
"""
"""Asks the gate of a core that is not armed, from a file that does not change when the gate does."""


@pytest.fixture
def copy(tmp_path):
    """Copy what the compiled gate is made of, and return the folder that holds the package."""
    for pattern in MODULES:
        for path in PACKAGE.glob(pattern):
            target = tmp_path / "closedloop" / path.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    (tmp_path / "probe.py").write_text(PROBE)
    return tmp_path


def ask_gate(folder):
    environment = {**os.environ, "PYTHONPATH": str(folder), "CLOSEDLOOP_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "probe.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


@pytest.mark.timeout(300)
@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="there is no compiled code to be old")
def test_an_edit_of_a_gate_check_changes_the_compiled_decision(copy):
    assert ask_gate(copy) == "NOT_ARMED"
    gate = copy / "closedloop" / "core" / "gate.py"
    source = gate.read_text()
    edited = source.replace('if gate["armed"] != 1:', 'if gate["armed"] != 0:')
    assert edited != source
    gate.write_text(edited)
    assert ask_gate(copy) != "NOT_ARMED"


def small_package(tmp_path):
    folder = tmp_path / "package"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.py").write_text("x = 1\n")
    (folder / "inner" / "b.py").write_text("y = 2\n")
    return folder


@pytest.mark.parametrize(
    "edit",
    [
        lambda folder: (folder / "inner" / "b.py").write_text("y = 3\n"),
        lambda folder: (folder / "c.py").write_text(""),
        lambda folder: (folder / "a.py").unlink(),
        lambda folder: (folder / "a.py").rename(folder / "d.py"),
        lambda folder: (folder / "a.py").rename(folder / "inner" / "a.py"),
    ],
)
def test_any_change_of_a_source_is_another_folder(tmp_path, edit):
    folder = small_package(tmp_path)
    before = jit.source_hash(folder)
    assert jit.source_hash(folder) == before
    edit(folder)
    assert jit.source_hash(folder) != before


@pytest.mark.parametrize(("switch", "value"), [("BOUNDSCHECK", 77), ("OPT", 77)])
def test_any_switch_of_the_compiler_is_another_folder(tmp_path, monkeypatch, switch, value):
    folder = small_package(tmp_path)
    before = jit.source_hash(folder)
    monkeypatch.setattr(numba.config, switch, value)
    assert jit.source_hash(folder) != before


@pytest.mark.parametrize("module", ["numba", "llvmlite"])
def test_another_version_of_the_compiler_is_another_folder(tmp_path, monkeypatch, module):
    folder = small_package(tmp_path)
    before = jit.source_hash(folder)
    monkeypatch.setattr(getattr(jit, module), "__version__", "0.0.0")
    assert jit.source_hash(folder) != before


def test_the_folder_lies_where_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("CLOSEDLOOP_CACHE_DIR", str(tmp_path))
    assert jit.cache_folder() == tmp_path / "numba" / jit.source_hash(PACKAGE)
    assert jit.cache_folder().is_dir()


def test_where_the_wanted_folder_cannot_be_made_another_serves(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("CLOSEDLOOP_CACHE_DIR", str(blocked))
    monkeypatch.setattr(jit.tempfile, "gettempdir", lambda: str(tmp_path))
    assert jit.cache_folder().is_relative_to(tmp_path)


def test_no_folder_at_all_is_an_error_that_names_what_was_tried(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("CLOSEDLOOP_CACHE_DIR", str(blocked))
    monkeypatch.setattr(jit.tempfile, "gettempdir", lambda: str(blocked))
    with pytest.raises(OSError, match="no folder for compiled code"):
        jit.cache_folder()


def test_other_packages_compiled_code_stays_where_they_keep_it():
    before = numba.config.CACHE_DIR
    jit.compiled()(lambda x: x)
    assert numba.config.CACHE_DIR == before
