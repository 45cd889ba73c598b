"""Stand-ins for trigger boxes, by the bytes that public drivers use and with times that the test gives."""

import struct

import pytest

from closedloop.standins.boxes import Bbtk, CedrusXid, Output, QuickFire, RawByteBox, Usb2Ttl8
from closedloop.standins.labjack_u3 import BAD_SUM, U3, UNKNOWN_STEP


def test_an_output_gives_an_edge_when_a_line_goes_up_and_none_when_one_falls():
    output = Output()
    for at_s, value in enumerate((1, 3, 2, 0, 1)):
        output.show(value, float(at_s))
    assert output.edges_s == [0.0, 1.0, 4.0]


def test_a_raw_byte_box_notes_each_byte_with_its_time_and_holds_it():
    box = RawByteBox()
    assert box.receive(b"\x05", 1.0) == b""
    box.receive(b"\x00\x06", 2.0)
    assert box.taken == [(1.0, 5), (2.0, 0), (2.0, 6)]
    assert box.output.state == 6
    assert box.pulses_s == [1.0, 2.0]


def test_the_same_value_twice_without_a_reset_has_no_edge():
    box = RawByteBox()
    box.receive(b"\x01", 1.0)
    box.receive(b"\x01", 2.0)
    assert (box.pulses_s, box.repeated) == ([1.0], 1)
    box.receive(b"\x00\x01", 3.0)
    assert (box.pulses_s, box.repeated) == ([1.0, 3.0], 1)


def test_a_reset_that_is_missing_leaves_the_line_up():
    box = RawByteBox()
    box.receive(b"\x01", 1.0)
    box.pass_time(100.0)
    assert box.output.state == 1


def test_a_box_that_times_its_pulse_falls_by_itself_and_hears_nothing_meanwhile():
    box = RawByteBox(width_s=0.01)
    box.receive(b"\x01", 1.0)
    box.receive(b"\x02", 1.005)
    assert box.output.state == 1
    box.pass_time(1.01)
    assert box.output.state == 0
    assert box.pulses_s == [1.0]


def test_a_box_that_starts_hears_nothing_yet_and_starts_again_by_hand():
    box = RawByteBox(boot_s=1.5)
    box.pass_time(10.0)
    box.receive(b"\x01", 11.4)
    assert box.taken == []
    box.receive(b"\x01", 11.5)
    box.actions["press-reset"](12.0)
    assert box.output.state == 0
    box.receive(b"\x01", 12.1)
    assert box.taken == [(11.5, 1)]


def test_no_box_has_a_trigger_input():
    assert not any(box.trigger(0.0) for box in (RawByteBox(), Bbtk(), CedrusXid(), Usb2Ttl8(), QuickFire()))


def test_a_bbtk_module_takes_two_digits_in_any_pieces_and_holds_them():
    box = Bbtk()
    box.receive(b"F", 1.0)
    assert box.output.state == 0
    box.receive(b"F0", 2.0)
    assert box.output.state == 0xFF
    box.receive(b"0", 3.0)
    assert (box.output.state, box.pulses_s) == (0, [2.0])


def test_a_bbtk_module_answers_its_probe_and_resets():
    box = Bbtk()
    box.receive(b"81", 1.0)
    assert box.receive(b"##RR", 2.0) == b"XX"
    assert box.output.state == 0


def test_a_bbtk_module_does_nothing_with_what_it_does_not_know():
    box = Bbtk()
    box.receive(b"ff!R01", 1.0)  # lower case; R without its second; then a value
    assert box.output.state == 1
    assert bytes(box.unknown) == b"ff!R"


def test_a_cedrus_box_says_what_it_is():
    box = CedrusXid()
    assert box.receive(b"_c1", 0.0) == b"_xid0"
    assert box.receive(b"_d2_d3_d4", 0.0) == b"S12"


def test_a_cedrus_box_times_its_pulse_once_it_is_told_how_long():
    box = CedrusXid()
    box.receive(b"c10mp" + struct.pack("<I", 10) + b"mh", 1.0)
    box.receive(struct.pack("<H", 0x0102), 2.0)
    assert box.output.state == 0x0102
    box.pass_time(2.011)
    assert (box.output.state, box.pulses_s) == (0, [2.0])


def test_a_cedrus_box_in_another_mode_gives_no_edge():
    box = CedrusXid()
    box.receive(b"mh\x01\x00", 1.0)
    assert box.pulses_s == []


def test_a_usb2ttl8_writes_once_it_was_told_to():
    box = Usb2Ttl8()
    box.receive(b"WRITE 1\n", 1.0)
    assert box.output.state == 0
    assert box.receive(b"SET DATA_MODE WRI", 2.0) == b""
    assert box.receive(b"TE\nGET CONFIG\n", 2.0).startswith(b"{")
    box.receive(b"WRITE 255\nWRITE 256\nFLY\n", 3.0)
    assert (box.output.state, box.pulses_s) == (255, [3.0])
    assert bytes(box.unknown) == b"WRITE 256\nFLY\n"


def test_a_quickfire_box_gives_a_pulse_of_the_width_that_it_is_told():
    box = QuickFire()
    assert box.receive(b"\x05", 0.0).startswith(b"{")
    box.receive(b"!" + struct.pack("<H", 1000), 1.0)
    assert box.pulses_s == []
    box.receive(b"\n", 1.5)
    box.pass_time(1.5009)
    assert box.output.state == 1
    box.pass_time(1.5011)
    assert (box.output.state, box.pulses_s) == (0, [1.5])


# A LabJack U3, by packets of its vendor's library


def asked(device, text):
    device.write(list(bytes.fromhex(text)), modbus=False, checksum=False)
    return bytes(device.read(64))


def test_a_u3_does_a_packets_steps_in_order_and_answers_as_it_should():
    device = U3(clock=lambda: 1.0)
    said = asked(device, "a8 f8 04 00 ab 00 00 0b 84 05 08 0b 04 00")
    assert said == bytes.fromhex("fa f8 02 00 00 00 00 00 00 00")
    assert device.edges == [(1.0, 4, 1), (pytest.approx(1.0 + 8 * 128e-6), 4, 0)]


def test_a_u3_returns_the_packets_echo():
    # the packet of the test above with 7 for an echo: its sums are larger by 7
    assert asked(U3(), "af f8 04 00 b2 00 07 0b 84 05 08 0b 04 00")[8] == 7


@pytest.mark.parametrize(
    "wrong", ["a9 f8 04 00 ab 00 00 0b 84 05 08 0b 04 00", "a9 f8 04 00 ac 00 00 0b 84 05 08 0b 04 00"]
)
def test_a_u3_does_nothing_where_a_sum_is_wrong(wrong):
    device = U3()
    assert asked(device, wrong) == BAD_SUM
    assert device.edges == []


def test_a_u3_names_the_step_that_it_does_not_know_and_does_none_after_it():
    device = U3()
    # the vendor's PortStateWrite, a step that is not known here
    said = asked(device, "81 f8 04 00 7f 05 00 1b ff ff ff ab cd ef")
    assert (said[6], said[7]) == (UNKNOWN_STEP, 1)
    assert device.edges == []
