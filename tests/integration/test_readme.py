"""The README's commands, run as they stand in a folder that looks like a fresh clone."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands(block):
    """Return the closedloop commands of a block; what is installed is what is tested."""
    lines = [part.strip() for line in block.splitlines() for part in line.split("&&")]
    return [shlex.split(line) for line in lines if line.startswith("closedloop ")]


@pytest.fixture
def clone(tmp_path):
    for name in ("pipelines", "devices", "schema"):
        (tmp_path / name).symlink_to(CHECKOUT / name, target_is_directory=True)
    return tmp_path


def takes_real_time(block):
    """Return whether a block needs a stream, an amplifier or somebody; `.ci/live` rehearses what needs no device."""
    return any(command[1] in {"play", "latency"} or "--subject" in command for command in commands(block))


@pytest.mark.parametrize("block", [b for b in BLOCKS if takes_real_time(b)], ids=lambda block: commands(block)[0][1])
def test_the_options_of_the_live_commands_are_those_of_the_program(block):
    for command in commands(block):
        program = Path(sys.executable).with_name(command[0])
        said = subprocess.run([program, command[1], "--help"], capture_output=True, text=True, check=True).stdout
        for option in (word for word in command[2:] if word.startswith("--")):
            assert option in said


@pytest.mark.parametrize(
    "block",
    [b for b in BLOCKS if commands(b) and not takes_real_time(b)],
    ids=lambda block: commands(block)[0][1],
)
def test_the_commands_of_the_readme_do_what_it_says(block, clone, request):
    if "Subject" in block:
        request.getfixturevalue("recordings_folder")
    for command in commands(block):
        program = Path(sys.executable).with_name(command[0])
        done = subprocess.run([program, *command[1:]], cwd=clone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
        assert "Traceback" not in done.stderr


def test_the_readme_has_both_commands_that_do_all_the_set_up():
    whole = "\n".join(BLOCKS)
    assert "pip install . && closedloop run pipelines/demo.yaml" in whole
    assert "pip install '.[test]' && pytest" in whole


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_what_the_readme_points_to_is_there(target):
    assert (CHECKOUT / target).exists()
