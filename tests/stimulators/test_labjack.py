"""Vendors' devices: the packets of a LabJack U3, and what the vendors' libraries are asked to do."""

import os
import sys
from types import SimpleNamespace

import pytest

from closedloop.config.line import LabJackTLine, LabJackU3Line, NiDaqmxLine
from closedloop.errors import StimulatorError
from closedloop.standins.labjack_u3 import U3
from closedloop.stimulators.departure import AT_ANY_TIME
from closedloop.stimulators.lines.labjack_t import LabJackT
from closedloop.stimulators.lines.labjack_u3 import LabJackU3
from closedloop.stimulators.lines.ni_daqmx import NiDaqmx
from closedloop.stimulators.lines.pipe_pair import TRIGGER, Replies, ReplyKind, Server
from closedloop.stimulators.lines.u3_packet import check_reply, low, output_number, pulse

SAID = bytes.fromhex("fa f8 02 00 00 00 00 00 00 00")
"""What a U3 says of a packet that it did, from its vendor's library."""


def test_a_packet_that_makes_an_output_low_is_the_vendors():
    # its library's own example: BitStateWrite of IO 5 to 0
    assert low(5) == bytes.fromhex("0b f8 02 00 10 00 00 0b 05 00")


def test_a_pulse_is_one_packet():
    # FIO4 high, 8 steps of 128 µs, low, by the sums' rule
    assert pulse(4, 0.001024) == bytes.fromhex("a8 f8 04 00 ab 00 00 0b 84 05 08 0b 04 00")


@pytest.mark.parametrize(("width_s", "steps"), [(128e-6, 1), (0.001, 8), (0.03264, 255)])
def test_a_width_is_the_nearest_number_of_the_devices_steps(width_s, steps):
    assert pulse(4, width_s)[10] == steps


@pytest.mark.parametrize(("name", "number"), [("FIO0", 0), ("FIO7", 7), ("EIO0", 8), ("EIO7", 15), ("CIO3", 19)])
def test_outputs_have_the_devices_numbers(name, number):
    assert output_number(name) == number


def test_what_the_device_says_of_a_packet_that_it_did_is_taken():
    check_reply(SAID)


REFUSED = {
    "an error code": (bytes.fromhex("2d f8 02 00 32 00 30 02 00 00"), r"error 48 in step 2 of the packet$"),
    "a wrong first sum": (b"\xfb" + SAID[1:], "a checksum of its reply is wrong"),
    "a wrong second sum": (bytes.fromhex("fb f8 02 00 01 00 00 00 00 00"), "a checksum of its reply is wrong"),
    "a turned bit": (SAID[:9] + b"\x01", "a checksum of its reply is wrong"),
    "the answer to a wrong sum": (b"\xb8\xb8", "its reply has 2 bytes in place of 10"),
    "nothing": (b"", "its reply has 0 bytes in place of 10"),
    "an answer to something else": (
        bytes.fromhex("04 f8 02 09 00 00 00 00 00 00"),
        "its reply is to something else",
    ),
}


@pytest.mark.parametrize(("reply", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_device_says_otherwise_is_an_error(reply, said):
    with pytest.raises(StimulatorError, match=said) as caught:
        check_reply(reply)
    assert "\n" not in str(caught.value)


@pytest.fixture
def u3(monkeypatch):
    """Put a stand-in in the place of the vendor's module; return those that were opened."""
    opened = []

    def make(**options):
        opened.append(U3(**options, clock=lambda: 5.0))
        return opened[-1]

    monkeypatch.setitem(sys.modules, "u3", SimpleNamespace(U3=make))
    return opened


def test_the_device_times_the_pulse(u3):
    with LabJackU3(LabJackU3Line(kind="labjack_u3", output="FIO6", width_s=0.0128)) as line:
        line.fire(AT_ANY_TIME)
    (device,) = u3
    assert device.edges == [(5.0, 6, 0), (5.0, 6, 1), (pytest.approx(5.0128), 6, 0)]
    assert device.closed


@pytest.mark.parametrize("fault", [{"error": 48}, {"damaged": True}])
def test_a_device_that_fails_is_made_low_and_let_go(u3, fault):
    line = LabJackU3(LabJackU3Line(kind="labjack_u3"))

    def use():
        with line:
            vars(u3[0]).update(fault)
            line.fire(AT_ANY_TIME)

    with pytest.raises(StimulatorError):
        use()
    assert u3[0].edges[-1][2] == 0
    assert u3[0].closed


@pytest.mark.parametrize("fault", [{"error": 48}, {"damaged": True}])
def test_of_a_pulse_whose_answer_is_wrong_nothing_is_known(u3, fault):
    (triggers, to_take), (taken, replies) = os.pipe(), os.pipe()
    os.set_blocking(taken, False)
    server = Server(triggers, replies, lambda: 5.0)
    os.write(to_take, TRIGGER)
    with LabJackU3(LabJackU3Line(kind="labjack_u3")) as line:
        vars(u3[0]).update(fault)
        server.serve(line)  # it ends: the device has failed
    said = Replies(taken).take()
    assert [(reply.kind, reply.number) for reply in said] == [(ReplyKind.UNKNOWN, 0), (ReplyKind.FAILED, -1)]
    assert said[0].fired_s == 5.0
    for fd in (triggers, to_take, taken, replies):
        os.close(fd)


class Vendor:
    """Notes every call, by its name and what it was given."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append((name, *arguments))
            return "handle"

        return call


def test_a_t_series_device_gets_high_wait_and_low_in_one_call(monkeypatch):
    ljm = Vendor()
    monkeypatch.setitem(sys.modules, "labjack", SimpleNamespace(ljm=ljm))
    monkeypatch.setitem(sys.modules, "labjack.ljm", ljm)
    with LabJackT(LabJackTLine(kind="labjack_t", device="T4", output="FIO5", width_s=0.002)) as line:
        line.fire(AT_ANY_TIME)
    assert ljm.calls == [
        ("openS", "T4", "USB", "ANY"),
        ("eWriteName", "handle", "FIO5", 0),
        ("eWriteNames", "handle", 3, ["FIO5", "WAIT_US_BLOCKING", "FIO5"], [1, 2000, 0]),
        ("eWriteName", "handle", "FIO5", 0),
        ("close", "handle"),
    ]


def test_a_t_series_device_without_the_vendors_library_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "labjack", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "labjack.ljm", SimpleNamespace())  # as the module is where its library is absent
    with pytest.raises(StimulatorError, match=r"^LabJack T4 or T7: the vendor's library LJM is not on this system$"):
        LabJackT(LabJackTLine(kind="labjack_t")).__enter__()


def test_a_u3_without_the_vendors_driver_is_one_clear_line(monkeypatch):
    # as the vendor's module fails where its driver is absent
    monkeypatch.setitem(sys.modules, "u3", SimpleNamespace(U3=lambda: None.LJUSB_OpenDevice))
    with pytest.raises(StimulatorError, match=r"^LabJack U3: the vendor's driver exodriver is not on this system$"):
        LabJackU3(LabJackU3Line(kind="labjack_u3")).__enter__()


def test_an_output_of_national_instruments_is_moved_and_left_low(monkeypatch):
    task = Vendor()
    task.do_channels = Vendor()
    monkeypatch.setitem(sys.modules, "nidaqmx", SimpleNamespace(Task=lambda: task))
    with NiDaqmx(NiDaqmxLine(kind="ni_daqmx", output="Dev2/port0/line1", width_s=0.003)) as line:
        assert line.width_s == 0.003
        line.fire(AT_ANY_TIME)
        line.take_back()
    assert task.do_channels.calls == [("add_do_chan", "Dev2/port0/line1")]
    assert task.calls == [("start",), ("write", False), ("write", True), ("write", False), ("write", False), ("close",)]
