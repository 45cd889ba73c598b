"""Trigger lines of every kind, and trigger boxes that lend a stimulator theirs."""

from pathlib import Path

import pytest

from closedloop.config.device import TriggerBox
from closedloop.config.line import BytesLine
from closedloop.config.load import check_file, load_device, load_device_of, load_pipeline, resolved_yaml
from closedloop.errors import ConfigError

DEVICES = Path(__file__).parents[2] / "devices"
BOX_FILES = sorted({*DEVICES.glob("trigger-*.yaml")} - {DEVICES / "trigger-only.yaml"})
BOX = """\
kind: trigger_box
name: Test box
line: {path: /dev/ttyUSB7, on: "a1", off: null, baud: 9600, setup: [{send: "01", answer: "02"}]}
latency: {latency_s: 0.002, origin: by an oscilloscope}
wiring: none
limits: {min_interval_s: 0.3}
"""
KINDS = {
    "bytes": "{path: /dev/ttyUSB0}",
    "serial_control": "{kind: serial_control, path: /dev/ttyS0, line: dtr, active: low, width_s: 0.001, shared: true}",
    "parallel": "{kind: parallel, on: '01'}",
    "lsl_marker": "{kind: lsl_marker, stream: s, marker: m}",
    "labjack_u3": "{kind: labjack_u3, output: CIO3, width_s: 0.03264, serial_number: 320012345}",
    "labjack_t": "{kind: labjack_t, device: T4, connection: ETHERNET, identifier: 10.0.0.7}",
    "ni_daqmx": "{kind: ni_daqmx, output: Dev2/port1/line3}",
}
WRONG = {
    "a kind that there is not": (
        "{kind: «laser, path: /dev/x}",
        "line.kind = \"laser\": must be one of 'bytes', 'serial_control', 'parallel', 'lsl_marker', 'labjack_u3', "
        "'labjack_t', 'ni_daqmx', 'command', 'box'",
    ),
    "a key of another kind": (
        "{kind: serial_control, path: /dev/x, «off: '00'}",
        "line.off: unknown key (known: kind, path, line, active, width_s, shared)",
    ),
    "a key that is nearly one": (
        "{path: /dev/x, «baut: 9600}",
        "line.baut: unknown key (did you mean baud? known: kind, path, on, off, off_after_s, baud, settle_s, setup)",
    ),
    "no port": ("«{kind: serial_control}", "line.path: this key is missing"),
    "a control line that there is not": (
        "{kind: serial_control, path: /dev/x, line: «cts}",
        "line.line = \"cts\": must be 'rts' or 'dtr'",
    ),
    "a pulse without a width": (
        "{kind: parallel, width_s: «0}",
        "line.width_s = 0: must be greater than 0",
    ),
    "a width beyond the device's counter": (
        "{kind: labjack_u3, width_s: «0.033}",
        "line.width_s = 0.033: must be at most 0.03264",
    ),
    "no speed at all": ("{path: /dev/x, baud: «0}", "line.baud = 0: must be at least 50"),
    "an answer to nothing": ("{path: /dev/x, setup: [«{answer: '58'}]}", "line.setup.0.send: this key is missing"),
    "no line at all": ("«3", "line = 3: must be a mapping"),
}


@pytest.fixture
def lined(written, device_text):
    """Return a function that writes a stimulator with a line; it returns the path, and the place of «."""
    return lambda line, text=device_text: written(
        "devices/stimulator.yaml", text, "driver: simulated", f"driver: simulated\nline: {line}"
    )


@pytest.fixture
def box(written):
    """Write a trigger box beside the stimulator; return its path."""
    return written("devices/box.yaml", BOX)[0]


@pytest.mark.parametrize(("kind", "line"), KINDS.items(), ids=KINDS.keys())
def test_a_line_of_each_kind_can_be_stated_and_comes_back_from_resolved_yaml(lined, tmp_path, kind, line):
    device = load_device(lined(line)[0])
    assert device.line.kind == kind
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(resolved_yaml(device), encoding="utf-8")
    assert load_device(resolved) == device


@pytest.mark.parametrize(("line", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_line_that_cannot_be_is_refused_where_it_says_so(lined, one_line_error, line, said):
    path, place = lined(line)
    assert one_line_error(ConfigError, check_file, path) == f"{place}: {said}"


def test_a_trigger_box_is_told_by_kind_and_name(box):
    assert check_file(box) == "a trigger box, Test box"


def test_a_stimulator_takes_its_boxs_line_and_adds_its_latency(lined, box):
    device = load_device(lined("{box: box}")[0])
    assert device.line == load_device(box).line
    assert device.latency.latency_s == pytest.approx(0.012)
    assert device.latency.origin == "measured by nobody; with that of Test box: by an oscilloscope"


def test_what_a_stimulator_says_itself_takes_the_place_of_the_boxs(lined, box):
    found = load_device(lined("{box: box, path: /dev/ttyUSB1, off: '00', off_after_s: 0.001}")[0]).line
    assert isinstance(found, BytesLine)
    assert (found.path, found.on, found.off, found.off_after_s, found.baud) == (
        "/dev/ttyUSB1",
        "a1",
        "00",
        0.001,
        9600,
    )


def test_a_stimulator_with_a_box_comes_back_from_resolved_yaml_with_the_box_worked_in(lined, box, tmp_path):
    device = load_device(lined("{box: box, path: /dev/ttyUSB1}")[0])
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(resolved_yaml(device), encoding="utf-8")
    assert load_device(resolved) == device


def test_a_box_may_be_named_by_its_path(lined, box):
    assert load_device(lined(f"{{box: {box}}}")[0]).line == load_device(box).line


def test_a_pipeline_counts_with_both_latencies(lined, box, written, pipeline_text):
    lined("{box: box}")
    path, _ = written("pipelines/p.yaml", pipeline_text)
    assert load_device_of(load_pipeline(path)).value.latency.latency_s == pytest.approx(0.012)


def test_a_prediction_that_only_the_box_makes_too_long_is_refused(lined, box, written, pipeline_text, one_line_error):
    lined("{box: box}")
    # 60 ms, 10 ms, 20 ms and one step of 10 ms are 100 ms; the box's 2 ms are too much.
    path, place = written("pipelines/p.yaml", pipeline_text, "delay_s: 0.01", "delay_s: «0.06")
    line = one_line_error(ConfigError, check_file, path)
    assert line.startswith(f"{place}: source.delay_s = 0.06: with the device's latency_s = 0.012, ")


LENT_WRONGLY = {
    "a value that cannot be": ("{box: box, on: «'zz'}", 'line.on = "zz": '),
    "a key that the box's line has not": (
        "{box: box, «width_s: 0.001}",
        "line.width_s: unknown key (known: kind, path, on, off, off_after_s, baud, settle_s, setup)",
    ),
    "no such box": ("{box: «bux}", "line.box = bux: there is no such file, and none of that name in devices/ (there: "),
    "a stimulator for a box": (
        "{box: «stimulator}",
        "line.box = stimulator: is a stimulator (kind must be trigger_box): ",
    ),
    "a name that is none": ("{box: «3}", "line.box = 3: must be a valid string"),
}


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize(("line", "said"), LENT_WRONGLY.values(), ids=LENT_WRONGLY.keys())
def test_a_line_that_a_box_cannot_lend_is_refused_where_it_says_so(lined, one_line_error, line, said):
    path, place = lined(line)
    assert one_line_error(ConfigError, check_file, path).startswith(f"{place}: {said}")


def test_a_stimulator_may_not_be_triggered_more_often_than_its_box(lined, box, device_text, one_line_error):
    path, _ = lined("{box: box}", device_text.replace("min_interval_s: 0.5", "min_interval_s: 0.2"))
    line = one_line_error(ConfigError, check_file, path)
    row = path.read_text().splitlines().index("  min_interval_s: 0.2") + 1
    assert line == (
        f"{path}:{row}:19: limits.min_interval_s = 0.2: is below the limits.min_interval_s = 0.3 of its trigger box, "
        "Test box"
    )


def test_two_latencies_that_are_together_too_long_are_refused(lined, box, device_text, one_line_error):
    path, _ = lined("{box: box}", device_text.replace("latency_s: 0.01", "latency_s: 0.079"))
    line = one_line_error(ConfigError, check_file, path)
    assert line.endswith(": latency.latency_s = 0.079: with the 0.002 of Test box it is 0.081 (at most 0.08)")


def test_a_fault_in_the_box_is_told_with_its_place_there(lined, written, one_line_error):
    _, place = written("devices/box.yaml", BOX, "latency_s: 0.002", "latency_s: «-1")
    path, _ = lined("{box: box}")
    assert one_line_error(ConfigError, check_file, path) == f"{place}: latency.latency_s = -1: must be at least 0"


# What public drivers send, and what the profiles say in hexadecimal digits.
SENT = {
    "trigger-brain-products": (b"\x01", b"\x00", []),
    "trigger-arduino": (b"\x01", None, []),
    "trigger-bbtk": (b"01", b"00", [(b"RR", None), (b"##", b"XX")]),
    "trigger-cedrus": (
        b"mh\x01\x00",
        None,
        [(b"_c1", b"_xid0"), (b"c10", None), (b"mp" + (5).to_bytes(4, "little"), None)],
    ),
    "trigger-usb2ttl8": (b"WRITE 255\n", b"WRITE 0\n", [(b"GET CONFIG\n", b"{"), (b"SET DATA_MODE WRITE\n", None)]),
    "trigger-quickfire": (b"!" + (1000).to_bytes(2, "little") + b"\n", None, [(b"\x05", b"{")]),
}


def hexed(digits):
    return None if digits is None else bytes.fromhex(digits)


@pytest.mark.parametrize(("name", "sent"), SENT.items(), ids=SENT.keys())
def test_a_shipped_box_says_the_bytes_that_its_public_drivers_send(name, sent):
    line = load_device(DEVICES / f"{name}.yaml").line
    said = (hexed(line.on), hexed(line.off), [(hexed(step.send), hexed(step.answer)) for step in line.setup])
    assert said == sent


@pytest.mark.parametrize(
    "path", sorted({*DEVICES.glob("trigger-*.yaml")} - {DEVICES / "trigger-only.yaml"}), ids=lambda path: path.stem
)
def test_a_shipped_box_is_a_draft_that_a_stimulator_can_use(lined, path):
    box = load_device(path)
    assert isinstance(box, TriggerBox)
    assert "not measured" in box.latency.origin
    device = load_device(lined(f"{{box: {path.stem}}}")[0])
    assert device.line == box.line
