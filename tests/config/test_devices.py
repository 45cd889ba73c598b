"""Devices, and pipelines that ask a device for more than it may give."""

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from closedloop.config.load import check_file, load_device_of, load_pipeline
from closedloop.errors import ConfigError

DRIVERS = sorted(point.name for point in entry_points(group="closedloop.stimulators"))
SHIPPED = sorted(path.stem for path in (Path(__file__).parents[2] / "devices").glob("*.yaml"))
AMPLIFIER = """\
kind: amplifier
name: Test amplifier
delay: {delay_s: 0.01, origin: measured by nobody}
range_uv: 400000
"""

REFUSED = {
    "a kind that there is not": (
        "kind: stimulator",
        "kind: «coil",
        "kind = \"coil\": must be one of 'stimulator', 'amplifier', 'trigger_box'",
    ),
    "no kind": ("kind: stimulator\n", "«", "the file: the key 'kind' is missing"),
    "an unknown key": (
        "driver: simulated",
        "driver: simulated\n«drivr: x",
        "drivr: unknown key (did you mean driver? known: kind, name, driver, latency, limits, line, settings, "
        "artifact, threshold_percent)",
    ),
    "an unknown key of a section": (
        "  min_interval_s: 0.5",
        "  min_interval_s: 0.5\n  «min_interval: 1",
        "limits.min_interval: unknown key (did you mean min_interval_s? known: min_interval_s, "
        "max_pulses_per_session, max_percent_of_maximum, recharge_s, max_pulses_per_train, min_train_gap_s, "
        "max_pulses_per_day, rate_caps, max_coil_c, max_status_age_s)",
    ),
    "an unknown key of what may be left out": (
        "driver: simulated",
        "driver: simulated\nartifact: {«saturaton_uv: 1, saturation_uv: 1, saturation_s: 1, decay_uv: 1, decay_s: 1, "
        "muscle_uv: 1, muscle_s: 1, recharge_after_s: 1, recharge_uv: 1, recharge_s: 1}",
        "artifact.saturaton_uv: unknown key (did you mean saturation_uv? known: saturation_uv, saturation_s, decay_uv, "
        "decay_s, muscle_uv, muscle_s, recharge_after_s, recharge_uv, recharge_s)",
    ),
    "a missing key": (
        "  latency_s: 0.01\n  origin: measured by nobody\n",
        "  «latency_s: 0.01\n",
        "latency.origin: this key is missing",
    ),
    "a latency that no estimator bridges": (
        "latency_s: 0.01",
        "latency_s: «0.1",
        "latency.latency_s = 0.1: must be at most 0.08",
    ),
    "more than all of the output": (
        "max_percent_of_maximum: 80",
        "max_percent_of_maximum: «120",
        "limits.max_percent_of_maximum = 120: must be at most 100",
    ),
    "no pulses at all": (
        "max_pulses_per_session: 1000",
        "max_pulses_per_session: «0",
        "limits.max_pulses_per_session = 0: must be at least 1",
    ),
    "a driver that is not installed": (
        "driver: simulated",
        "driver: «telepathy",
        f"driver = telepathy: there is no such driver (installed: {', '.join(DRIVERS)})",
    ),
    "an interval of 0": (
        "min_interval_s: 0.5",
        "min_interval_s: «0",
        "limits.min_interval_s = 0: must be greater than 0",
    ),
}

# Each pipeline asks for something that devices/stimulator.yaml forbids: 0.5 s, 1000 pulses, 80 %, 10 ms.
LOOSENED = {
    "more pulses": (
        "max_pulses: 200",
        "max_pulses: «1001",
        "limits.max_pulses = 1001: is above the device's limits.max_pulses_per_session = 1000",
    ),
    "a shorter interval": (
        "  min_interval_s: 1.0",
        "  min_interval_s: «0.4",
        "limits.min_interval_s = 0.4: is below the device's limits.min_interval_s = 0.5",
    ),
    "trials closer than the device's interval": (
        "{type: single_pulse, pulses: 200, min_interval_s: 2.0, jitter_s: 0.5}\n"
        "stimulator:\n  device: stimulator\n  intensity: {percent_of_maximum: 60}\n"
        "limits:\n  max_pulses: 200\n  min_interval_s: 1.0\n",
        "{type: single_pulse, pulses: 200, min_interval_s: «0.4, jitter_s: 0.5}\n"
        "stimulator:\n  device: stimulator\n  intensity: {percent_of_maximum: 60}\n"
        "limits:\n  max_pulses: 200\n",
        "protocol.min_interval_s = 0.4: is below the device's limits.min_interval_s = 0.5",
    ),
    "a faster train": (
        "{type: single_pulse, pulses: 200, min_interval_s: 2.0, jitter_s: 0.5}\n"
        "stimulator:\n  device: stimulator\n  intensity: {percent_of_maximum: 60}\n"
        "limits:\n  max_pulses: 200\n  min_interval_s: 1.0\n",
        "{type: train, trains: 10, pulses_per_train: 4, frequency_hz: «10, min_interval_s: 2.0}\n"
        "stimulator:\n  device: stimulator\n  intensity: {percent_of_maximum: 60}\n"
        "limits:\n  max_pulses: 200\n",
        "protocol.frequency_hz = 10: pulses 0.1 s apart are closer than the device's limits.min_interval_s = 0.5 "
        "(at most 2 Hz)",
    ),
    "a stronger pulse": (
        "percent_of_maximum: 60",
        "percent_of_maximum: «81",
        "stimulator.intensity.percent_of_maximum = 81: is above the device's limits.max_percent_of_maximum = 80",
    ),
    # 70 ms to the time stamp, 10 ms to the pulse, 20 ms planned ahead and one step of the grid are 110 ms.
    "a longer prediction than 100 ms": (
        "delay_s: 0.01",
        "delay_s: «0.07",
        "source.delay_s = 0.07: with the device's latency_s = 0.01, target.plan_ahead_s = 0.02 and 0.01 s for one step "
        "of the grid it takes a prediction of 0.11 s (at most 0.1)",
    ),
}


def test_trials_leave_room_for_the_spread_of_the_devices_own_command(
    written, pipeline_text, device_text, one_line_error
):
    rig, _ = written("devices/stimulator.yaml", f"{device_text}line: {{kind: command, spread_s: 0.01}}\n")
    text = pipeline_text.replace("  min_interval_s: 1.0", "  min_interval_s: 2.0")
    path, place = written(
        "pipelines/p.yaml", text.replace("pulses: 200, min_interval_s: 2.0", "pulses: 200, min_interval_s: «2.0")
    )
    assert one_line_error(ConfigError, check_file, path) == (
        f"{place}: protocol.min_interval_s = 2: is below limits.min_interval_s + the device's line.spread_s = 2.01 "
        f"({rig})"
    )
    path, _ = written(
        "pipelines/p.yaml", text.replace("pulses: 200, min_interval_s: 2.0", "pulses: 200, min_interval_s: 2.01")
    )
    check_file(path)


# And here devices/stimulator.yaml has all the limits that it can have.
STRICT = """\
  max_pulses_per_train: 30
  min_train_gap_s: 8
  max_pulses_per_day: 3000
  rate_caps: [{window_s: 60, max_pulses: 100}, {window_s: 1, max_pulses: 20}]
"""
LOOSER = {
    "a higher ceiling": (
        "max_percent_of_maximum: «80.5",
        "limits.max_percent_of_maximum = 80.5: is above the device's limits.max_percent_of_maximum = 80",
    ),
    "longer trains": (
        "max_pulses_per_train: «31",
        "limits.max_pulses_per_train = 31: is above the device's limits.max_pulses_per_train = 30",
    ),
    "a shorter wait between trains": (
        "min_train_gap_s: «7.5",
        "limits.min_train_gap_s = 7.5: is below the device's limits.min_train_gap_s = 8",
    ),
    "more pulses in 24 h": (
        "max_pulses_per_day: «3001",
        "limits.max_pulses_per_day = 3001: is above the device's limits.max_pulses_per_day = 3000",
    ),
    "more pulses in the same window": (
        "rate_caps: [{window_s: 60, max_pulses: 90}, {window_s: 60, max_pulses: «101}]",
        "limits.rate_caps.1.max_pulses = 101: is above the device's limits.rate_caps: 100 within 60 s",
    ),
    "more pulses in a shorter window": (
        "rate_caps: [{window_s: 0.5, max_pulses: «21}]",
        "limits.rate_caps.0.max_pulses = 21: is above the device's limits.rate_caps: 20 within 1 s",
    ),
}
TIGHTER = (
    "max_percent_of_maximum: 80",
    "max_pulses_per_train: 30",
    "min_train_gap_s: 8",
    "max_pulses_per_day: 3000",
    "rate_caps: [{window_s: 60, max_pulses: 100}, {window_s: 1, max_pulses: 20}, {window_s: 3600, max_pulses: 2000}]",
)


@pytest.mark.parametrize(("line", "said"), LOOSER.values(), ids=LOOSER.keys())
def test_no_limit_of_a_pipeline_may_be_looser(written, pipeline_text, device_text, one_line_error, line, said):
    rig, _ = written("devices/stimulator.yaml", device_text + STRICT)
    path, place = written("pipelines/p.yaml", f"{pipeline_text}  {line}\n")
    assert one_line_error(ConfigError, check_file, path) == f"{place}: {said} ({rig})"


@pytest.mark.parametrize("line", TIGHTER)
def test_a_limit_of_a_pipeline_may_be_as_strict(written, pipeline_text, device_text, line):
    written("devices/stimulator.yaml", device_text + STRICT)
    assert check_file(written("pipelines/p.yaml", f"{pipeline_text}  {line}\n")[0]) == "a pipeline, Test"


def test_what_is_checked_further_is_told(written, pipeline_text, rig):
    path, _ = written("pipelines/p.yaml", pipeline_text)
    assert check_file(path, lambda pipeline, device: f"{pipeline.value.name} on {device.value.name}") == (
        "a pipeline, Test; Test on Test stimulator"
    )


@pytest.fixture
def rig(written, device_text):
    """Write the device that the pipeline names into the devices/ beside pipelines/; return its path."""
    return written("devices/stimulator.yaml", device_text)[0]


def test_a_device_is_told_by_kind_and_name(rig):
    assert check_file(rig) == "a stimulator, Test stimulator"


def test_an_amplifier_is_told_by_kind_and_name(written):
    assert check_file(written("amplifier.yaml", AMPLIFIER)[0]) == "an amplifier, Test amplifier"


@pytest.mark.parametrize(("old", "new", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_device_that_cannot_be_is_refused_where_it_says_so(written, device_text, one_line_error, old, new, said):
    path, place = written("device.yaml", device_text, old, new)
    assert one_line_error(ConfigError, check_file, path) == f"{place}: {said}"


@pytest.mark.usefixtures("rig")
def test_a_pipeline_that_keeps_to_its_device_passes(written, pipeline_text):
    assert check_file(written("pipelines/p.yaml", pipeline_text)[0]) == "a pipeline, Test"


@pytest.mark.parametrize(("old", "new", "said"), LOOSENED.values(), ids=LOOSENED.keys())
def test_a_pipeline_may_not_loosen_its_devices_limits(written, pipeline_text, rig, one_line_error, old, new, said):
    path, place = written("pipelines/p.yaml", pipeline_text, old, new)
    assert load_pipeline(path).value.name == "Test"  # it is the device that forbids it
    assert one_line_error(ConfigError, check_file, path) == f"{place}: {said} ({rig})"


@pytest.mark.usefixtures("rig")
def test_the_longest_prediction_that_is_possible_passes(written, pipeline_text):
    # 60 ms, 10 ms, 20 ms and one step of 10 ms
    path, _ = written("pipelines/p.yaml", pipeline_text, "delay_s: 0.01", "delay_s: 0.06")
    assert check_file(path) == "a pipeline, Test"


def test_a_device_that_is_not_there_is_refused_where_it_is_named(written, pipeline_text, one_line_error):
    path, place = written("pipelines/p.yaml", pipeline_text, "device: stimulator", "device: «magstim")
    said = one_line_error(ConfigError, check_file, path)
    assert said == (
        f"{place}: stimulator.device = magstim: there is no such file, and none of that name in devices/ "
        f"(there: {', '.join(SHIPPED)})"
    )


def test_a_devices_path_that_leads_nowhere_is_refused(written, pipeline_text, tmp_path, one_line_error):
    gone = tmp_path / "gone.yaml"
    path, place = written("pipelines/p.yaml", pipeline_text, "device: stimulator", f"device: «{gone}")
    said = one_line_error(ConfigError, check_file, path)
    assert str(gone) in said
    assert "No such file or directory" in said
    assert said.startswith(place)


def test_an_amplifier_does_not_stimulate(written, pipeline_text, one_line_error):
    _, place = written("devices/amplifier.yaml", AMPLIFIER, "kind: ", "kind: «")
    path, _ = written("pipelines/p.yaml", pipeline_text, "device: stimulator", "device: amplifier")
    assert one_line_error(ConfigError, check_file, path) == f"{place}: kind = amplifier: must be stimulator"


def test_a_mistake_in_the_device_is_told_at_the_device(written, pipeline_text, device_text, one_line_error):
    _, place = written("devices/stimulator.yaml", device_text, "latency_s: 0.01", "latency_s: «-1")
    path, _ = written("pipelines/p.yaml", pipeline_text)
    said = one_line_error(ConfigError, load_device_of, load_pipeline(path))
    assert said == f"{place}: latency.latency_s = -1: must be at least 0"


@pytest.mark.usefixtures("rig")
def test_a_device_beside_the_pipelines_comes_before_a_shipped_one(written, pipeline_text, device_text):
    mine, _ = written("devices/simulated.yaml", device_text)
    path, _ = written("pipelines/p.yaml", pipeline_text, "device: stimulator", "device: simulated")
    assert load_device_of(load_pipeline(path)).path == mine


def test_a_shipped_device_is_found_by_its_name_from_anywhere(written, pipeline_text):
    path, _ = written("p.yaml", pipeline_text, "device: stimulator", "device: simulated")
    assert load_device_of(load_pipeline(path)).value.driver == "simulated"
