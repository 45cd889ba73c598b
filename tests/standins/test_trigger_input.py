"""A stand-in's trigger input, over a real named pipe."""

import os
import time

import pytest

from closedloop.errors import ConfigError
from closedloop.standins.table import STANDINS
from closedloop.standins.terminal import Terminal
from closedloop.standins.trigger_input import TriggerInput


@pytest.fixture
def stood_in(tmp_path):
    standin = STANDINS["magventure-x100"]()
    with Terminal(standin) as terminal, TriggerInput(tmp_path / "trigger", terminal) as trigger:
        yield standin, terminal, trigger


def write(trigger, content):
    """Write as a trigger line does, and wait until all of it has been read."""
    wanted, until_s = trigger.edges + sum(byte != 0 for byte in content), time.monotonic() + 5.0
    fd = os.open(trigger.path, os.O_WRONLY | os.O_NONBLOCK)
    os.write(fd, content)
    os.close(fd)
    while trigger.edges < wanted:
        assert time.monotonic() < until_s
        time.sleep(0.002)


def test_each_byte_but_0_is_an_edge(stood_in):
    standin, terminal, trigger = stood_in
    write(trigger, b"\x01\x00")
    assert (trigger.edges, trigger.fired) == (1, 0)  # it is disabled
    terminal.act("press-enable")
    time.sleep(0.05)
    write(trigger, b"\x00\x02\x00")
    assert (trigger.edges, trigger.fired, len(standin.pulses_s)) == (2, 1, 1)


def test_a_line_that_is_opened_and_closed_again_ends_nothing(stood_in):
    _, _, trigger = stood_in
    for _ in range(3):
        write(trigger, b"\x01")
    assert trigger.edges == 3


def test_the_pipe_is_gone_at_the_end(tmp_path):
    with Terminal(STANDINS["duomag"]()) as terminal, TriggerInput(tmp_path / "trigger", terminal) as trigger:
        assert trigger.path.is_fifo()
    assert not trigger.path.exists()


def test_what_is_there_already_is_left_alone(tmp_path, one_line_error):
    (tmp_path / "mine").write_text("kept")
    with Terminal(STANDINS["duomag"]()) as terminal:
        said = one_line_error(ConfigError, TriggerInput(tmp_path / "mine", terminal).__enter__)
    assert said == f"--trigger {tmp_path / 'mine'}: exists already; name a path at which nothing is"
    assert (tmp_path / "mine").read_text() == "kept"
