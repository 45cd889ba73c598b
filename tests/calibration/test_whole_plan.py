"""A plan that could never pass the gate is refused before a session begins, where the value stands."""

import re

import pytest
from ruamel.yaml import YAML

from closedloop.calibration.whole_plan import check_individual, check_whole_plan
from closedloop.config.device import Stimulator
from closedloop.config.load import load_device_of, load_pipeline
from closedloop.config.model import Model
from closedloop.config.shipped import shipped_folder
from closedloop.errors import CalibrationError, ConfigError, StimulatorError
from closedloop.stimulators.follow import fastest_hz

PIPELINE = """\
name: Test
source: {type: playback, recording: some.edf, delay_s: 0.01}
signals:
  alpha:
    spatial: {type: single, channel: O1}
    estimator: {type: wiener}
target:
  signal: alpha
  conditions: [{name: trough, phase_deg: 180}]
protocol: {type: train, trains: 75, pulses_per_train: 40, frequency_hz: 10, min_interval_s: 26}
stimulator:
  device: rig
  intensity: {percent_of_motor_threshold: 110}
  motor_threshold: {percent_of_maximum: 42, method: emg, measured_on: 2026-02-03}
limits:
  max_pulses: 3000
"""
LIVE = "source: {type: lsl, stream: {type: EEG}, delay_s: 0.01}"
RIG = """\
kind: stimulator
name: Rig
driver: simulated
latency: {latency_s: 0.01, origin: set by a test}
limits: {min_interval_s: 0.02, max_pulses_per_session: 5000, max_percent_of_maximum: 80}
"""
DASH = "  envelope: left_10_hz_dash\n"
IAF = "  envelope: left_individual_alpha_george_2023\n"
SINGLE = "{type: single_pulse, pulses: 1800, min_interval_s: 1}"


@pytest.fixture
def check(tmp_path):
    """Write pipeline and device with parts replaced, check them, and return what is said, and the marked place."""

    def run(*replaced, more="", rig=RIG):
        text = PIPELINE + more
        for old, new in replaced:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        before = text.partition("«")[0]
        path = tmp_path / "p.yaml"
        place = f"{path}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        path.write_text(text.replace("«", ""), encoding="utf-8")
        (tmp_path / "rig.yaml").write_text(rig, encoding="utf-8")
        path.write_text(path.read_text().replace("device: rig", f"device: {tmp_path / 'rig.yaml'}"), encoding="utf-8")
        pipeline = load_pipeline(path)
        try:
            return check_whole_plan(pipeline, load_device_of(pipeline)), place
        except ConfigError as error:
            return str(error), place

    return run


def test_trains_that_the_tables_allow_pass(check):
    assert check() == (None, check()[1])


TABLES = {
    "too long": (
        [("pulses_per_train: 40", "pulses_per_train: «51"), ("trains: 75", "trains: 50")],
        "protocol.pulses_per_train: train duration = 5.1 s (51 pulses at 10 Hz, 110 % of motor threshold): is above "
        "5 s, the longest tested at 10 Hz and 110 % in Rossi 2009, Table 4",
    ),
    "too fast": (
        [("frequency_hz: 10", "frequency_hz: «26"), ("pulses_per_train: 40", "pulses_per_train: 4")],
        "protocol.frequency_hz: frequency_hz = 26: is above 25, the highest in Rossi 2009, Table 4",
    ),
    "too soon after another": (
        [("min_interval_s: 26", "min_interval_s: «4.5")],
        "protocol.min_interval_s: inter_train_interval_s = 4.5 (110 % of motor threshold): is below 5 s",
    ),
    "too strong to follow each other": (
        [("percent_of_motor_threshold: 110", "percent_of_motor_threshold: «115")],
        "stimulator.intensity.percent_of_motor_threshold: percent_of_motor_threshold = 115: no wait between trains is",
    ),
    "more pulses than the device's trains may have": (
        [("pulses_per_train: 40", "pulses_per_train: «40")],
        "protocol.pulses_per_train: pulses_per_train = 40: is above the device's limits.max_pulses_per_train = 30",
    ),
}


@pytest.mark.parametrize(("replaced", "said"), TABLES.values(), ids=TABLES.keys())
def test_trains_that_the_tables_do_not_show_to_be_safe_are_refused_where_they_stand(check, replaced, said):
    rig = RIG.replace("80}", "80, max_pulses_per_train: 30}") if "device's" in said else RIG
    message, place = check(*replaced, rig=rig)
    assert message.startswith(f"{place}: {said}")


RAPID = (
    RIG.replace("driver: simulated", "driver: magstim-rapid-squared")
    + """\
settings: {port: /dev/ttyS0, mains_v: 115, variant: rapid}
"""
)
COMMAND = "line: {kind: command, spread_s: 0.01}\n"
RATES = {
    "the device's power": (
        [
            ("frequency_hz: 10", "frequency_hz: «20"),
            ("pulses_per_train: 40", "pulses_per_train: 4"),
            ("percent_of_maximum: 42", "percent_of_maximum: 60"),
        ],
        RAPID,
        "frequency_hz = 20: is above 16, the highest that the Rig follows at 66 % of its maximum: triggers at least "
        "0.0625 s apart",
    ),
    "its own command": (
        [],
        RAPID + COMMAND,
        "frequency_hz = 10: is above 1, the highest that the Rig takes by its own command (line.kind = command): "
        "triggers at least 1 s apart",
    ),
    "what is heard between": (
        [("frequency_hz: 10", "frequency_hz: «12"), ("pulses_per_train: 40", "pulses_per_train: 4")],
        RIG + COMMAND,
        "frequency_hz = 12: is above 10, the highest that leaves time to hear how the device is (line.kind = command): "
        "triggers at least 0.1 s apart",
    ),
}


@pytest.mark.parametrize(("replaced", "rig", "said"), RATES.values(), ids=RATES.keys())
def test_triggers_that_a_device_cannot_follow_are_refused_where_they_stand(check, replaced, rig, said):
    message, place = check(*(replaced or [("frequency_hz: 10", "frequency_hz: «10")]), rig=rig)
    assert message == f"{place}: protocol.frequency_hz: {said}"


def test_trains_at_an_individual_frequency_that_no_person_has_are_refused_before_rest(check):
    message, place = check(("frequency_hz: 10", "frequency_hz: «individual"), rig=RAPID + COMMAND)
    assert message.startswith(
        f"{place}: protocol.frequency_hz: frequency_hz = 7.5: is above 1, the highest that the Rig"
    )


def test_a_driver_that_does_not_say_how_fast_it_may_be_triggered_is_one_line(monkeypatch, one_line_error):
    class Silent:
        settings_model = Model

    monkeypatch.setattr("closedloop.stimulators.follow.find_driver", lambda _: Silent)
    profile = Stimulator.model_validate(YAML(typ="safe").load(RIG))
    said = one_line_error(StimulatorError, fastest_hz, profile, 50.0)
    assert said.startswith("driver = simulated: it does not say how fast it may be triggered: ")


def test_single_pulses_that_a_device_cannot_follow_are_refused_by_their_interval(check):
    rig = RAPID + COMMAND
    trains = "{type: train, trains: 75, pulses_per_train: 40, frequency_hz: 10, min_interval_s: 26}"
    pulses = "{type: single_pulse, pulses: 3, min_interval_s: «0.5}"
    message, place = check((trains, pulses), rig=rig)
    assert message.startswith(
        f"{place}: protocol.min_interval_s: frequency_hz = 2: is above 1, the highest that the Rig"
    )


def test_without_a_threshold_no_train_is_allowed(check):
    message, _ = check(
        ("percent_of_motor_threshold: 110", "percent_of_maximum: 50"),
        ("  motor_threshold: {percent_of_maximum: 42, method: emg, measured_on: 2026-02-03}\n", ""),
    )
    assert message.endswith(
        ": the subject's motor threshold is not known, in percent of which the table of longest trains is"
    )


INTENSITIES = {
    "above the device's ceiling": (
        [("percent_of_motor_threshold: 110", "percent_of_motor_threshold: «200")],
        "percent_of_motor_threshold: percent_of_maximum = 84: is above the device's max_percent_of_maximum = 80 "
        "(200 % of the motor threshold 42 %)",
    ),
    "above the pipeline's own": (
        [
            ("percent_of_motor_threshold: 110", "percent_of_maximum: «46"),
            ("3000\n", "3000\n  max_percent_of_maximum: 45\n"),
        ],
        "percent_of_maximum: percent_of_maximum = 46: is above the pipeline's max_percent_of_maximum = 45",
    ),
    "of a threshold that is not known": (
        [
            ("percent_of_motor_threshold: 110", "percent_of_motor_threshold: «110"),
            ("  motor_threshold: {percent_of_maximum: 42, method: emg, measured_on: 2026-02-03}\n", ""),
        ],
        "percent_of_motor_threshold: percent_of_motor_threshold = 110: the subject's threshold is not known",
    ),
}


@pytest.mark.parametrize(("replaced", "said"), INTENSITIES.values(), ids=INTENSITIES.keys())
def test_an_intensity_that_cannot_be_given_is_refused_where_it_stands(check, replaced, said):
    message, place = check(*replaced)
    assert message.startswith(f"{place}: stimulator.intensity.{said}")


def test_an_envelope_lets_its_own_protocol_through_and_what_it_is_is_said(check):
    message, _ = check(
        ("percent_of_motor_threshold: 110", "percent_of_motor_threshold: 120"),
        ("min_interval_s: 26", "min_interval_s: 11"),
        more=DASH,
    )
    assert message.startswith("trains are held against the envelope 10 Hz left, Dash (unsigned): nobody answers for it")
    assert re.search("[0-9]+ of its numbers are from memory; it serves only because nobody is stimulated here", message)


ENVELOPES = {
    "a higher intensity": (
        DASH,
        [("percent_of_motor_threshold: 110", "percent_of_motor_threshold: «120.5")],
        "stimulator.intensity.percent_of_motor_threshold: percent_of_motor_threshold = 120.5: is above 120 (seen), in "
        "the envelope 10 Hz left, Dash (unsigned)",
    ),
    "a lower frequency": (
        DASH,
        [("frequency_hz: 10", "frequency_hz: «9.5")],
        "protocol.frequency_hz: frequency_hz = 9.5: is below 10 (seen)",
    ),
    "longer trains": (
        DASH,
        [("pulses_per_train: 40", "pulses_per_train: «41"), ("trains: 75", "trains: 73")],
        "protocol.pulses_per_train: pulses_per_train = 41: is above 40 (seen)",
    ),
    "a shorter wait": (
        DASH,
        [("min_interval_s: 26", "min_interval_s: «10.9")],
        "protocol.min_interval_s: inter_train_interval_s = 10.9: is below 11 (seen)",
    ),
    "more trains": (
        DASH,
        [("trains: 75", "trains: «76"), ("max_pulses: 3000", "max_pulses: 3040")],
        "protocol.trains: pulses_per_session = 3040: is above 3000 (seen)",
    ),
    "single pulses": (
        DASH,
        [
            (
                "{type: train, trains: 75, pulses_per_train: 40, frequency_hz: 10, min_interval_s: 26}",
                "{type: single_pulse, pulses: 200, min_interval_s: «2}",
            )
        ],
        "protocol.min_interval_s: frequency_hz = 0.5: is below 10 (seen)",
    ),
    "bursts": (
        "  envelope: left_itbs_saint_cole_2022\n",
        [
            ("percent_of_motor_threshold: 110", "percent_of_motor_threshold: 90"),
            ("pulses_per_train: 40", "pulses_per_train: «40"),
        ],
        "protocol.pulses_per_train: burst.pulses = 1: must be 3 (recalled)",
    ),
    "a file that is none": (
        "  envelope: «nothing\n",
        [],
        "limits.envelope: limits.envelope = nothing: there is no such file (there: left_10_hz_dash, ",
    ),
}


@pytest.mark.parametrize(("more", "replaced", "said"), ENVELOPES.values(), ids=ENVELOPES.keys())
def test_what_is_outside_its_envelope_is_refused_where_it_stands(check, more, replaced, said):
    message, place = check(*replaced, more=more)
    assert message.startswith(f"{place}: {said}")


def test_single_pulses_may_be_the_one_train_of_their_envelope(check):
    trains = "{type: train, trains: 75, pulses_per_train: 40, frequency_hz: 10, min_interval_s: 26}"
    message, _ = check((trains, SINGLE), more="  envelope: right_1_hz\n")
    assert "1 Hz right (unsigned)" in message


REAL = RIG.replace("driver: simulated", "driver: duomag").replace("}\n", "}\n", 1) + (
    "line: {path: /dev/null}\nsettings: {port: /dev/null, coils: [70BF]}\n"
)


def test_a_real_stimulator_needs_a_signed_envelope(check, tmp_path):
    live = ("source: {type: playback, recording: some.edf, delay_s: 0.01}", LIVE)
    message, place = check(live, more="  envelope: «left_10_hz_dash\n", rig=REAL)
    assert message.startswith(f"{place}: limits.envelope: the envelope 10 Hz left, Dash: signed_by is null")
    text = (shipped_folder("limits") / "envelopes" / "left_10_hz_dash.yaml").read_text(encoding="utf-8")
    signed = tmp_path / "signed.yaml"
    signed.write_text(
        text.replace("signed_by: null", "signed_by: A. Physician").replace("signed_on: null", "signed_on: 2026-02-03")
    )
    message, _ = check(live, more=f"  envelope: {signed}\n", rig=REAL)
    assert message == ("trains are held against the envelope 10 Hz left, Dash (signed by A. Physician on 2026-02-03)")


def test_a_mistake_in_the_envelope_is_told_at_the_envelope(check, tmp_path):
    text = (shipped_folder("limits") / "envelopes" / "left_10_hz_dash.yaml").read_text(encoding="utf-8")
    bad = tmp_path / "bad.yaml"
    bad.write_text(text.replace("max_pulses_per_session: {value: 3000", "max_pulses_per_session: {value: 0"))
    message, place = check(more=f"  envelope: «{bad}\n")
    assert message.startswith(f"{place}: limits.envelope: {bad}:")
    assert "max_pulses_per_session.value = 0: must be at least 1" in message


INDIVIDUAL = ("frequency_hz: 10", "frequency_hz: individual")


def test_an_individual_frequency_passes_where_one_that_could_be_found_does(check):
    assert check(INDIVIDUAL)[0] is None  # 40 pulses last too long at 7.5 Hz and at 13.5 Hz, and not at 10 Hz
    message, place = check(INDIVIDUAL, ("pulses_per_train: 40", "pulses_per_train: «51"), ("trains: 75", "trains: 50"))
    assert message.startswith(f"{place}: protocol.pulses_per_train: train duration = 6.8 s (51 pulses at 7.5 Hz")
    assert "40 pulses at IAF, George 2023 (unsigned)" in check(INDIVIDUAL, more=IAF)[0]


def test_an_individual_frequency_that_is_outside_is_refused_once_it_is_known(make_pipeline, make_device):
    train = {
        "type": "train",
        "trains": 10,
        "pulses_per_train": 40,
        "frequency_hz": "individual",
        "min_interval_s": 26.0,
    }
    asked = make_pipeline({"protocol": train, "limits.max_pulses": 400})
    rig = make_device({"limits.min_interval_s": 0.05})
    check_individual(asked, rig, 9.5)
    with pytest.raises(CalibrationError, match=r"individual, at rest 10\.50 Hz: train duration = 3\.8"):
        check_individual(asked, rig, 10.5)
    with pytest.raises(CalibrationError, match=r"at rest 10\.50 Hz: pulses 0\.0952381 s apart are closer than"):
        check_individual(asked, make_device(), 10.5)


def test_a_command_whose_spread_alone_is_more_than_the_phase_sd_may_be_is_refused(make_pipeline, make_device):
    rig = make_device({"line": {"kind": "command", "spread_s": 0.05}})
    check_individual(make_pipeline({"gates.max_phase_sd_deg": 53.0}), rig, 10.0)
    with pytest.raises(
        CalibrationError,
        match=r"^gates\.max_phase_sd_deg = 45: the spread of the command that fires the Test stimulator "
        r"\(line\.spread_s = 0\.05\) is ±52° at 10\.00 Hz by itself$",
    ):
        check_individual(make_pipeline(), rig, 10.0)
