"""Files are there in full or not at all; folders that were made for nothing go again."""

import json
import os

import pytest

from closedloop.errors import OutputError
from closedloop.files import make_folder, unmake, write_json, write_text, write_whole, writing


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def test_a_file_has_all_its_text_and_nothing_is_left_beside_it(tmp_path):
    write_text(tmp_path / "a.txt", "é µV\n")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "é µV\n"
    assert names_in(tmp_path) == ["a.txt"]


def test_json_is_readable_and_ends_with_a_line(tmp_path):
    write_json(tmp_path / "a.json", {"µ": [1, None]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert "µ" in text
    assert json.loads(text) == {"µ": [1, None]}


def test_a_number_that_json_has_not_leaves_the_file_as_it_was(tmp_path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", [float("nan")])
    assert json.loads((tmp_path / "a.json").read_text()) == [1]


@pytest.mark.parametrize("error", [OSError(28, os.strerror(28)), KeyboardInterrupt(), RuntimeError("defect")])
def test_a_file_that_is_not_finished_leaves_the_old_one_and_nothing_beside_it(tmp_path, error):
    place = tmp_path / "a.txt"
    write_text(place, "old")

    def half(part):
        part.write_text("ne")
        raise error

    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)):
        write_whole(place, half)
    assert place.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_what_cannot_be_written_is_one_clear_line(tmp_path, one_line_error):
    place = tmp_path / "missing" / "a.txt"
    assert one_line_error(OutputError, write_text, place, "") == (
        f"{place} cannot be written: No such file or directory"
    )


def test_no_other_error_is_taken_for_one_of_writing(tmp_path):
    with pytest.raises(KeyError), writing(tmp_path):
        raise KeyError("a")


def test_a_folder_is_made_with_those_around_it_and_goes_with_them(tmp_path):
    made = make_folder(tmp_path / "a" / "b" / "c")
    assert made == [tmp_path / "a" / "b" / "c", tmp_path / "a" / "b", tmp_path / "a"]
    (made[0] / "file").touch()
    unmake(made, ["file", "never written"])
    assert names_in(tmp_path) == []


def test_a_folder_that_somebody_else_uses_stays(tmp_path):
    made = make_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "other").touch()
    unmake(made, [])
    assert names_in(tmp_path / "a") == ["other"]


def test_a_file_that_somebody_else_put_there_stays(tmp_path):
    made = make_folder(tmp_path / "a")
    (made[0] / "notes.txt").touch()
    unmake(made, ["file"])
    assert names_in(made[0]) == ["notes.txt"]


def test_a_folder_that_exists_is_refused_by_its_name(tmp_path, one_line_error):
    line = one_line_error(OutputError, lambda: make_folder(tmp_path, called="session folder"))
    assert line == f"session folder {tmp_path} exists already; nothing was written: choose another with --out"


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path, one_line_error):
    (tmp_path / "file").touch()
    line = one_line_error(OutputError, make_folder, tmp_path / "file" / "a")
    assert line == f"folder {tmp_path}/file/a cannot be made: Not a directory"
