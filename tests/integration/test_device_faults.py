"""`closedloop devices simulate --fault`: what is wrong with a stand-in from its start."""

import pytest
from typer.testing import CliRunner

from closedloop.cli.app import app
from closedloop.errors import ConfigError


@pytest.fixture
def simulate():
    """Run the command; return its lines."""

    def run(device, *faults, hands=()):
        options = [part for fault in faults for part in ("--fault", fault)]
        result = CliRunner().invoke(
            app, ["devices", "simulate", device, *options], input="\n".join(hands), catch_exceptions=False
        )
        assert result.exit_code == 0
        return result.stdout.splitlines()

    return run


def test_without_a_fault_it_fires(simulate):
    assert simulate("magventure-x100", hands=["press-enable", "trigger"])[-2:] == ["fired", "pulses: 1"]


def test_a_fault_of_the_device_is_there_from_the_start(simulate):
    lines = simulate("magventure-x100", "remove-coil", "garbage=4", "split", hands=["press-enable", "trigger"])
    assert lines[-2:] == ["did not fire", "pulses: 0"]


def test_the_plug_can_be_pulled_by_hand(simulate):
    assert simulate("duomag", "set-coil-temperature=201", hands=["pull-plug", "trigger"])[-1] == "pulses: 0"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("explode", "--fault = explode: there is no such fault (there: split, merge, "),
        ("turn-knob", "--fault = turn-knob: it needs a number"),
        ("remove-coil=2", "--fault = remove-coil: it needs no number"),
    ],
)
def test_a_fault_that_cannot_be_is_one_line(simulate, fault, said):
    with pytest.raises(ConfigError) as caught:
        simulate("magventure-x100", fault)
    assert str(caught.value).startswith(said)
