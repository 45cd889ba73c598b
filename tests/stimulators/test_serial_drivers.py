"""What holds for every driver of a device at a serial port, each against its stand-in."""

import time
from contextlib import contextmanager

import numpy as np
import pytest

from closedloop.config.load import load_device
from closedloop.errors import StimulatorError
from closedloop.standins.table import SETTINGS, STANDINS
from closedloop.standins.terminal import Terminal
from closedloop.stimulators.interface import find_driver
from closedloop.stimulators.port import Port

NOT_OPEN = "it is not open: use it in a with block"
STAYS_ARMED = {"magventure-r30", "magventure-x100", "duomag"}
"""Those without a keep-alive: a host that cannot reach them has to say that they may still fire."""


class Clock:
    """Real time, in which a driver's own waits pass at once."""

    def __init__(self):
        self._slept_s = 0.0

    def __call__(self):
        return time.monotonic() + self._slept_s

    def sleep(self, duration_s):
        self._slept_s += duration_s
        time.sleep(0.003)  # the stand-in's own turn


@pytest.fixture(params=STANDINS)
def device(request):
    return request.param


def make(device, path, clock):
    profile = load_device(device)
    driver = find_driver(profile.driver)
    given = {**profile.settings, **SETTINGS.get(device, {}), "port": path}
    if "reply_s" in driver.settings_model.model_fields:
        given["reply_s"] = 0.1
    settings = driver.settings_model.model_validate(given)
    return driver(profile, settings, clock=clock, sleep=clock.sleep)


@contextmanager
def opened(device):
    """Return a stand-in, its wire and its driver, ready to be armed."""
    standin, clock = STANDINS[device](), Clock()
    with Terminal(standin, clock=clock) as terminal, make(device, terminal.path, clock) as driver:
        driver.configure()
        driver.set_intensity(40.0)
        yield standin, terminal, driver


def refusal(action, *values):
    """Return the one clear line with which something is refused, without the device's name."""
    with pytest.raises(StimulatorError) as caught:
        action(*values)
    said = str(caught.value)
    assert "\n" not in said
    return said.partition(": ")[2]


def test_a_driver_that_is_not_open_says_so(device):
    driver = make(device, "/dev/null", Clock())
    for call, values in (
        (driver.status, ()),
        (driver.configure, ()),
        (driver.set_train, (1, 1.0)),
        (driver.set_intensity, (10.0,)),
        (driver.armed().__enter__, ()),
    ):
        assert refusal(call, *values) == NOT_OPEN
    assert (driver.recovered, driver.refused) == (0, 0)


def test_it_opens_once_and_again_when_it_was_closed(device):
    with opened(device) as (_, terminal, driver):
        assert refusal(driver.__enter__) == "it is open already"
        driver.__exit__(None, None, None)
        assert refusal(driver.status) == NOT_OPEN
        assert (driver.recovered, driver.refused) == (0, 0)
        with Port(terminal.path, baud=9600, name="Other"):  # the port is free
            pass
        driver.__enter__()
        assert driver.status().fault == ""


def test_a_part_of_a_percent_is_refused_and_never_rounded(device):
    with opened(device) as (_, _, driver):
        assert refusal(driver.set_intensity, 40.5) == "intensity = 40.5 % of the maximum is not a whole number"


def test_a_pulse_whose_answer_ends_in_an_error_is_unknown(device, monkeypatch):
    def fail(_port, _timeout_s):
        raise StimulatorError("the port cannot be read")

    with opened(device) as (standin, _, driver), driver.armed():
        write = Port.write_at_once
        with monkeypatch.context() as broken:
            # The port fails for reading once the command that fires is out.
            def write_once(port, data):
                write(port, data)
                broken.setattr(Port, "read", fail)

            broken.setattr(Port, "write_at_once", write_once)
            assert driver.fire() == "unknown"
        assert driver.status().fault == ""
        assert len(standin.pulses_s) == 1


def test_a_cable_that_is_pulled_is_one_clear_line_and_says_what_may_be_armed_still(device):
    def pull_while_armed(terminal, driver):
        with driver.armed():
            terminal.vanish()
            assert f"the port {terminal.path} cannot be" in refusal(driver.status)

    def pull():
        with opened(device) as (_, terminal, driver):
            pull_while_armed(terminal, driver)

    assert ("may still" in refusal(pull)) == (device in STAYS_ARMED)


def test_a_real_device_leaves_no_artifact_in_played_back_samples(device):
    driver = make(device, "/dev/null", Clock())
    assert driver.artifact(1000.0, np.array([True, False])).shape == (0, 2)
