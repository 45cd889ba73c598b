"""Each driver on each kind of wire, in short; and what the count says of a device that fires twice, or untold."""

import pytest

from closedloop.standins.magpro import MagPro
from closedloop.standins.magstim import Magstim200StandIn
from closedloop.standins.magstim_wire import ConflictError
from closedloop.standins.table import STANDINS

WIRES = ("sound", "split reads", "merged reads", "dropped bytes", "turned bits", "all together")


@pytest.fixture
def drivers(bench_module):
    return bench_module("drivers")


def test_the_wires_are_those_that_are_tried_here(drivers):
    assert tuple(drivers.WIRES) == WIRES


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("device", STANDINS)
def test_no_pulse_is_missing_from_the_record_and_none_is_double(drivers, device, wire):
    row = drivers.exercise(device, wire, 4)
    assert row["asked"] == 4
    assert row["fired"] <= row["delivered: yes"] + row["unknown"] == 4 - row["denied"]
    assert (row["unrecorded"], row["doubled"]) == (0, 0)
    if wire in ("sound", "split reads", "merged reads"):
        assert row["fired"] == 4
        # A DuoMAG tells of a pulse by its stream alone, which a busy machine may bring too late.
        assert row["delivered: yes"] == 4 or device == "duomag"


class Double(MagPro):
    """Fires twice at each trigger."""

    def trigger(self, now_s):
        return super().trigger(now_s) and super().trigger(now_s)


class Untold(Magstim200StandIn):
    """Fires by command, and says that it does not."""

    def _fire(self, now_s):
        super()._fire(now_s)
        if self._commanded:
            raise ConflictError

    def _set_mode(self, data, now_s):
        self._commanded = True
        try:
            return super()._set_mode(data, now_s)
        finally:
            self._commanded = False

    _commanded = False


def test_a_device_that_fires_twice_is_noticed(drivers):
    row = drivers.exercise("magventure-x100", "sound", 4, lambda: Double("X100"))
    assert (row["fired"], row["unrecorded"], row["doubled"]) == (6, 2, 2)


def test_a_pulse_that_the_device_denies_is_noticed(drivers):
    row = drivers.exercise("magstim-200-squared", "sound", 4, Untold)
    assert (row["fired"], row["unrecorded"], row["doubled"]) == (4, 2, 0)
