"""An outlet that ends while it is still sending."""

import os
import time

import pylsl
import pytest

from closedloop.outlet import SETTLE_S, Outlet


@pytest.fixture
def outlet():
    name = f"outlet-{os.getpid()}-{time.monotonic_ns()}"
    return [Outlet(pylsl.StreamInfo(name, "Markers", 1, pylsl.IRREGULAR_RATE, "string", name))]


def connect(outlet):
    (found,) = pylsl.resolve_byprop("source_id", outlet[0].get_info().source_id(), timeout=10.0)
    inlet = pylsl.StreamInlet(found, recover=False)
    inlet.open_stream(10.0)
    assert outlet[0].wait_for_consumers(10.0)
    return inlet


def test_what_is_pushed_last_has_time_to_leave_before_an_outlet_ends(outlet, monkeypatch):
    ended_s = []

    def end(handle, end=pylsl.outlet.lib.lsl_destroy_outlet):
        ended_s.append(time.monotonic())
        end(handle)

    monkeypatch.setattr(pylsl.outlet.lib, "lsl_destroy_outlet", end)
    inlet = connect(outlet)
    outlet[0].push_sample(["last"])
    pushed_s = time.monotonic()
    outlet.clear()
    assert ended_s[0] >= pushed_s + SETTLE_S
    inlet.close_stream()


def test_an_outlet_that_nobody_hears_ends_without_a_wait(outlet, monkeypatch):
    waits_s = []
    monkeypatch.setattr("closedloop.outlet.time.sleep", waits_s.append)
    outlet.clear()
    assert not waits_s


def test_one_whose_wait_is_broken_off_ends_all_the_same(outlet, monkeypatch):
    def break_off(_):
        raise KeyboardInterrupt

    inlet = connect(outlet)
    ended = []
    monkeypatch.setattr("closedloop.outlet.time.sleep", break_off)
    monkeypatch.setattr(pylsl.outlet.lib, "lsl_destroy_outlet", ended.append)
    handle = outlet[0].obj
    with pytest.raises(KeyboardInterrupt):
        outlet[0].__del__()
    monkeypatch.undo()
    outlet.clear()
    inlet.close_stream()
    assert ended == [handle]


def test_one_that_could_not_be_made_has_nothing_to_wait_for():
    Outlet.__new__(Outlet).__del__()
