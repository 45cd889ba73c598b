"""What is no pipeline at all: one line that says why."""

import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from closedloop.config.load import check_file, load_pipeline
from closedloop.errors import ConfigError

CONTENTS = {
    "empty": (b"", "must hold keys and values (it holds nothing)"),
    "comments only": (b"# nothing\n", "must hold keys and values (it holds nothing)"),
    "a list at the top": (b"- name: Test\n", "must hold keys and values (it holds none)"),
    "a word": (b"hello", "must hold keys and values (it holds none)"),
    "binary": (b"\x00\x01\x02\xff\xfe", "is no text: byte 3 is not UTF-8"),
    "another encoding": ("name: µV".encode("latin-1"), "is no text: byte 6 is not UTF-8"),
    "a control character": (b"a: \x01", "is no YAML: unacceptable character #x0001"),
    "a day that there is not": (b"name: 2020-13-45\n", "is no YAML: month must be in 1..12"),
    "a number of 5000 digits": (b"name: 1" + b"0" * 5000, "is no YAML: Exceeds the limit"),
    "brackets without end": (b"a: " + b"[" * 500, "is no YAML that can be read: it is nested too deeply"),
}

PLACES = {
    "a bracket that is not closed": ("C3, Fz]}", "C3, Fz«}", "is no YAML: expected ',' or ']'"),
    "a tab": ("  withhold: 0.1", "«\twithhold: 0.1", "is no YAML: found character '\\t'"),
    "a name that stands for nothing": ("name: Test", "name: «*test", "is no YAML: found undefined alias"),
    "a second document": ("name: Test\n", "name: Test\n«---\n", "is no YAML: but found another document"),
}


@pytest.mark.parametrize(("content", "said"), CONTENTS.values(), ids=CONTENTS.keys())
def test_a_file_without_keys_and_values_is_refused(tmp_path, one_line_error, content, said):
    path = tmp_path / "pipeline.yaml"
    path.write_bytes(content)
    assert one_line_error(ConfigError, load_pipeline, path).startswith(f"{path}: {said}")
    assert one_line_error(ConfigError, check_file, path).startswith(f"{path}: {said}")


@pytest.mark.parametrize(("old", "new", "said"), PLACES.values(), ids=PLACES.keys())
def test_what_is_no_yaml_is_refused_where_it_stands(written, pipeline_text, one_line_error, old, new, said):
    path, place = written("pipeline.yaml", pipeline_text, old, new)
    assert one_line_error(ConfigError, load_pipeline, path).startswith(f"{place}: {said}")


def test_a_folder_is_refused(tmp_path, one_line_error):
    assert one_line_error(ConfigError, load_pipeline, tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    assert one_line_error(ConfigError, check_file, tmp_path) == f"{tmp_path}: cannot be read: Is a directory"


def test_a_path_that_leads_nowhere_is_refused(tmp_path, one_line_error):
    path = tmp_path / "no" / "pipeline.yaml"
    assert one_line_error(ConfigError, load_pipeline, path) == f"{path}: cannot be read: No such file or directory"


def test_a_path_through_a_file_is_refused(tmp_path, one_line_error):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "pipeline.yaml"
    assert one_line_error(ConfigError, load_pipeline, path) == f"{path}: cannot be read: Not a directory"


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch, one_line_error):
    path = tmp_path / "pipeline.yaml"
    path.write_text("name: Test\n")
    path.chmod(0)
    if os.access(path, os.R_OK):  # the superuser reads everything

        def refuse(self, *_, **__):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(type(path), "read_text", refuse)
    assert one_line_error(ConfigError, load_pipeline, path) == f"{path}: cannot be read: Permission denied"


def test_a_name_that_is_not_shipped_is_refused_with_those_that_are(one_line_error):
    said = one_line_error(ConfigError, load_pipeline, "domo")
    assert said.startswith("domo: there is no such file, and none of that name in pipelines/ (there: ")
    assert "demo" in said


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(alphabet="ab:-[]{}#&*!|>'\"%@`,? \n\t0.1~<\\", max_size=60))
@example("? [a]\n: 1\n")
@example("? {a: 1}\n: 1\n")
@example(": 1\n")
@example("a: !!set {b}\nc: !!omap [d: 1]\n")
@example("a: &a [*a]\n")
def test_any_text_is_either_a_pipeline_or_told_in_one_line(tmp_path, content):
    path = tmp_path / "pipeline.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(str(path))
