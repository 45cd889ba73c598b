"""Every example runs as it stands, without a warning, and says what it promises."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def said_by(example, folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", example], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_in_any_folder_and_leaves_nothing_there(example, tmp_path):
    assert said_by(example, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_phase_of_the_simulated_recording_is_close_to_its_truth_and_closer_where_it_is_surer(tmp_path):
    said = said_by(next(path for path in EXAMPLES if path.stem == "phase_of_a_recording"), tmp_path)
    assert "clear rhythm" in said
    figures = re.findall(r"off by ([+-][\d.]+) degrees in the mean, circular SD (\d+) degrees", said)
    biases, sds = ([float(value) for value in column] for column in zip(*figures, strict=True))
    assert max(map(abs, biases)) <= 5
    assert sds == sorted(sds, reverse=True)
    assert 45 > sds[0] > sds[-1] + 10
