"""Why a port cannot be used, in words of ours."""

import os
import pty

import pytest

from closedloop.errors import StimulatorError
from closedloop.stimulators.port import Port


def opened(path):
    with Port(str(path), baud=9600, name="Rig"):
        pass


def test_a_port_that_is_none_says_what_it_is(one_line_error, tmp_path):
    file = tmp_path / "port"
    for make, why in (
        (lambda: None, "there is no such port"),
        (file.touch, "it is no serial port"),
        (lambda: (file.unlink(), file.mkdir()), "it is a folder"),
    ):
        make()
        assert one_line_error(StimulatorError, opened, file) == f"Rig: the port {file} cannot be opened: {why}"


def test_a_device_that_has_gone_is_told(one_line_error):
    ours, theirs = pty.openpty()
    path = os.ttyname(theirs)
    with Port(path, baud=9600, name="Rig") as port:
        os.close(theirs)
        os.close(ours)
        message = one_line_error(StimulatorError, port.read, 0.1)
    assert message == f"Rig: the port {path} cannot be read: the device has gone"


def test_another_program_has_it():
    ours, theirs = pty.openpty()
    path = os.ttyname(theirs)
    try:
        with Port(path, baud=9600, name="First"), pytest.raises(StimulatorError, match=r"another program uses it$"):
            opened(path)
    finally:
        os.close(theirs)
        os.close(ours)
