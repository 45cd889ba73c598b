"""Every field of a pipeline, a device and a design lands in the core's state."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from pydantic import BaseModel

from closedloop.calibration.assemble import HORIZON_SAMPLES, RATE_GAIN, assemble
from closedloop.calibration.design import design
from closedloop.config.pipeline import Conditioning, Gates, Limits, SinglePulse, Target, Train
from closedloop.core.pulse_artifact import make_artifact
from closedloop.core.replay import play
from closedloop.core.state import MAX_SIGNALS, N_BLOCKS, silent
from closedloop.core.storage import to_arrays
from closedloop.estimators.complex_fir import complex_fir
from closedloop.estimators.interface import run
from closedloop.protocols.trials import draw_trials
from closedloop.signal.conditioning import condition_all, design_conditioning
from closedloop.signal.spatial import mix_all

SFREQ = 125.0
OTHER = {"signals.other": {"spatial": {"type": "single", "channel": "C3"}, "estimator": {"type": "echt"}}}
HAND = {"signals.hand": {"spatial": {"type": "single", "channel": "EMG"}}}


@pytest.fixture(scope="module")
def wired(rest, make_recording):
    """Return the rest with an EMG channel in front."""
    hand = np.random.default_rng(2).normal(0.0, 5.0, (len(rest.samples), 1))
    return make_recording(np.hstack([hand, rest.samples]), ("EMG", *rest.names), roles=("emg", *rest.roles))


@pytest.fixture(scope="module")
def lay_out(make_pipeline, make_device, wired):
    """Return a function that designs and assembles the pipeline with some values replaced."""
    designs = {}

    def build(changes=(), *, device=(), sd_limit=np.inf):
        pipeline = make_pipeline(changes)
        # A design takes half a second, and hangs on this part of a pipeline alone.
        decides = {"channels", "source", "conditioning", "signals", "target", "gates"}
        key = pipeline.model_dump_json(include=decides)
        if key not in designs:
            designs[key] = design(pipeline, wired)
        found = designs[key]
        core, steps = assemble(pipeline, make_device(device), found, n_channels=5, sd_limit=sd_limit)
        return core, steps, found

    return build


INTERVALS = {
    "the device's": (None, 0.5, 0.5),
    "the pipeline's, stricter": (0.8, 0.5, 0.8),
    "the device's, stricter": (0.3, 0.5, 0.5),
}


@pytest.mark.parametrize(("own", "devices", "expected"), INTERVALS.values(), ids=INTERVALS.keys())
def test_the_longer_interval_wins(lay_out, own, devices, expected):
    core, *_ = lay_out({"limits.min_interval_s": own}, device={"limits.min_interval_s": devices})
    assert core.limits["min_interval_s"][0] == expected


@pytest.mark.parametrize(("own", "devices"), [(300, 400), (400, 300)])
def test_the_lower_number_of_pulses_wins(lay_out, own, devices):
    core, *_ = lay_out({"limits.max_pulses": own}, device={"limits.max_pulses_per_session": devices})
    assert core.limits["max_pulses"][0] == 300


def test_a_fresh_core_is_disarmed_and_has_done_nothing(lay_out):
    core, *_ = lay_out()
    assert core.gate["armed"][0] == core.gate["device_ready"][0] == core.gate["pulses"][0] == 0
    assert core.policy["trial"][0] == 0
    assert core.timing["index"][0] == -1
    assert not np.isfinite(core.signals.x).any()


FIELDS = {
    "source.delay_s": (0.02, lambda core: core.timing["delay_s"][0], 0.02),
    "limits.max_lateness_s": (0.003, lambda core: core.limits["max_lateness_s"][0], 0.003),
    "limits.max_data_age_s": (0.3, lambda core: core.limits["max_data_age_s"][0], 0.3),
    "gates.rhythm_snr_db": (6.5, lambda core: core.limits["rhythm_snr_db"][0], 6.5),
    "gates.max_phase_sd_deg": (60.0, lambda core: core.limits["max_phase_sd"][0], np.pi / 3),
    "gates.artifact_uv": (120.0, lambda core: core.extremes.ceiling[:-1].tolist(), [120.0] * 4),
    "gates.flat_uv": (0.3, lambda core: core.quality["flat_uv"][0], 0.3),
    "gates.range_uv": (2000.0, lambda core: core.quality["range_uv"][0], 2000.0),
    # 0.7 s of 125 Hz are 87.5 samples; the running block is not counted, so seven hold them.
    "gates.quality_window_s": (
        0.7,
        lambda core: (core.quality["needed"][0], core.quality["block"][0]),
        (88, int(np.ceil(87.5 / (N_BLOCKS - 1)))),
    ),
    "gates.hold_after_pulse_s": (2.5, lambda core: core.quality["hold_s"][0], 2.5),
    "target.plan_ahead_s": (0.03, lambda core: core.policy["plan_ahead_s"][0], 0.03),
    "target.commit_horizon_s": (0.04, lambda core: core.policy["horizon_s"][0], 0.04),
}


@pytest.mark.parametrize(("key", "value", "read", "expected"), [(k, *v) for k, v in FIELDS.items()], ids=FIELDS.keys())
def test_a_field_lands_where_the_core_reads_it(lay_out, key, value, read, expected):
    assert read(lay_out()[0]) != expected
    assert read(lay_out({key: value})[0]) == pytest.approx(expected)


def test_of_the_phase_sds_limit_the_spread_of_the_devices_command_leaves_the_estimator_less(lay_out, make_device):
    """10 ms anywhere, at 10 Hz: 36 degrees wide, whose SD is 10.4 degrees; of 45 degrees it leaves 43.8."""
    line = {"line": {"kind": "command", "spread_s": 0.01}}
    exact, spread = make_device(), make_device(line)
    assert exact.phase_spread(10.0) == 0.0
    assert np.degrees(spread.phase_spread(10.0)) == pytest.approx(36.0 / np.sqrt(12.0))
    core, *_ = lay_out(device=line)
    design_hz = 1.0 / core.policy["period_s"][0]
    left = np.hypot(core.limits["max_phase_sd"][0], spread.phase_spread(design_hz))
    assert left == pytest.approx(lay_out()[0].limits["max_phase_sd"][0])


# One change for each key of these sections, from which the core must come out different.
CHANGES = {
    "gates.rhythm_snr_db": 3.0,
    "gates.max_phase_sd_deg": 20.0,
    "gates.wanted_rate": {"per_minute": 7.0},
    "gates.artifact_uv": 99.0,
    "gates.flat_uv": 0.2,
    "gates.range_uv": 1e5,
    "gates.quality_window_s": 1.0,
    "gates.hold_after_pulse_s": 0.5,
    "gates.quiet": [{"signal": "hand", "peak_to_peak_uv": 60.0}],
    "target.signal": "other",
    "target.conditions": [{"name": "peak", "phase_deg": 0.0}],
    "target.order": {"seed": 9},
    "target.withhold": 0.4,
    "target.plan_ahead_s": 0.01,
    "target.commit_horizon_s": 0.03,
    "conditioning.high_pass_hz": 1.0,
    "conditioning.notch_hz": [50.0, 60.0],
    "limits.max_pulses": 321,
    "limits.min_interval_s": 0.9,
    "limits.max_lateness_s": 0.002,
    "limits.max_data_age_s": 0.2,
    "limits.max_percent_of_maximum": 70.0,
    "limits.max_pulses_per_train": 30,
    "limits.min_train_gap_s": 8.0,
    "limits.max_pulses_per_day": 1000,
    "limits.max_pulses_per_course": 30_000,
    "limits.rate_caps": [{"window_s": 60.0, "max_pulses": 100}],
    "limits.train_table": "train_duration_chen_1997",
    "limits.envelope": "left_10_hz_oreardon_2007",
    "protocol.pulses": 150,
    "protocol.min_interval_s": 1.5,
    "protocol.jitter_s": 0.5,
    "protocol.trains": 150,
    "protocol.pulses_per_train": 3,
    "protocol.frequency_hz": 4.0,
}
SECTIONS: dict[str, list[type[BaseModel]]] = {
    "gates": [Gates],
    "target": [Target],
    "conditioning": [Conditioning],
    "limits": [Limits],
    "protocol": [SinglePulse, Train],
}
TRAIN = {"type": "train", "trains": 100, "pulses_per_train": 2, "frequency_hz": 5.0, "min_interval_s": 1.0}


def test_no_key_is_left_out_of_the_changes_that_are_tried():
    keys = {
        f"{section}.{key}"
        for section, models in SECTIONS.items()
        for model in models
        for key in model.model_fields
        if key != "type"
    }
    assert set(CHANGES) == keys


def same(first, other):
    return all(first[name].tobytes() == other[name].tobytes() for name in first)


def test_two_designs_of_one_pipeline_lay_out_the_same_core(make_pipeline, make_device, wired):
    pipeline = make_pipeline({**HAND, **OTHER})
    first, other = (
        to_arrays(assemble(pipeline, make_device(), design(pipeline, wired), n_channels=5, sd_limit=np.inf)[0])
        for _ in range(2)
    )
    assert same(first, other)


@pytest.mark.parametrize(("key", "value"), CHANGES.items(), ids=CHANGES.keys())
def test_no_field_is_without_effect_on_the_core(lay_out, key, value):
    base = {**HAND, **OTHER}
    if key in {"protocol.trains", "protocol.pulses_per_train", "protocol.frequency_hz"}:
        base["protocol"] = TRAIN
    first, again, changed = (to_arrays(lay_out(changes)[0]) for changes in (base, base, {**base, key: value}))
    assert same(first, again)
    assert not same(first, changed)


def test_the_automatic_horizon_is_two_samples(lay_out):
    assert lay_out()[0].policy["horizon_s"][0] == HORIZON_SAMPLES / SFREQ == 0.016


def test_conditions_are_in_radians_and_a_random_one_has_none(lay_out):
    conditions = [
        {"name": "trough", "phase_deg": 180.0},
        {"name": "rising", "phase_deg": 270.0},
        {"name": "rising too", "phase_deg": -90.0},
        {"name": "any", "phase_deg": "random"},
    ]
    core, *_ = lay_out({"target.conditions": conditions})
    np.testing.assert_allclose(core.conditions["target"], [np.pi, -np.pi / 2, -np.pi / 2, np.nan], atol=1e-12)


def test_trials_are_those_that_the_seed_draws(lay_out):
    conditions = [{"name": "trough", "phase_deg": 180.0}, {"name": "any", "phase_deg": "random"}]
    core, *_ = lay_out({"target.conditions": conditions, "target.order.seed": 5, "protocol.jitter_s": 0.5})
    drawn = draw_trials(200, 2, shuffle="balanced", withhold=0.1, min_interval_s=1.0, jitter_s=0.5, seed=5)
    for name in ("condition", "withheld", "random_target", "wait_s"):
        np.testing.assert_array_equal(core.trials[name], getattr(drawn, name))


def test_a_single_pulse_is_a_plan_of_one(lay_out):
    assert lay_out()[0].policy["pulses"][0] == 1


def test_a_train_has_its_pulses_and_their_interval(lay_out):
    core, *_ = lay_out({"protocol": {**TRAIN, "pulses_per_train": 5}})
    assert core.policy["pulses"][0] == 5
    assert core.policy["pulse_interval_s"][0] == pytest.approx(1 / 5.0)
    assert np.count_nonzero(core.trials["withheld"] == 0) == 100


def test_an_individual_train_has_the_rhythms_own_period(lay_out):
    core, _, found = lay_out({"protocol": {**TRAIN, "frequency_hz": "individual"}})
    assert core.policy["pulse_interval_s"][0] == core.policy["period_s"][0] == 1 / found.fit.peak_hz


@pytest.mark.parametrize(("mode", "gain"), [("fixed", 0.0), ("running", RATE_GAIN)])
def test_only_a_running_limit_moves(lay_out, mode, gain):
    core, *_ = lay_out({"gates.wanted_rate": {"per_minute": 12.0, "mode": mode}}, sd_limit=0.25)
    assert core.policy["rate_gain"][0] == gain
    assert core.policy["wanted_hz"][0] == 0.2
    assert core.policy["sd_limit"][0] == 0.25


def test_without_a_wanted_rate_the_limit_stays_and_stops_nothing(lay_out):
    core, *_ = lay_out()
    assert core.policy["rate_gain"][0] == core.policy["wanted_hz"][0] == 0.0
    assert core.policy["sd_limit"][0] == np.inf


def test_the_devices_latency_and_the_sampling_period_are_the_cores(lay_out):
    core, *_ = lay_out(device={"latency.latency_s": 0.03})
    assert core.timing["latency_s"][0] == 0.03
    assert core.timing["period_s"][0] == 1 / SFREQ


def test_eeg_channels_and_quiet_signals_are_limited_and_nothing_else(lay_out):
    core, *_ = lay_out({**HAND, "gates.quiet": [{"signal": "hand", "peak_to_peak_uv": 40.0}]})
    # Rows: the channels in the recording's order, EMG first, then the signals alpha and hand.
    assert core.extremes.ceiling.tolist() == [np.inf, 150.0, 150.0, 150.0, 150.0, np.inf, 40.0]
    assert core.extremes.watched.tolist() == [1, 1, 1, 1, 1, 0, 0]


def test_the_target_is_found_among_the_signals(lay_out):
    # YAML keeps the order of its keys: hand comes first here.
    alpha = {"spatial": {"type": "single", "channel": "F3"}, "estimator": {"type": "wiener"}}
    core, steps, found = lay_out(
        {"signals": {"hand": {"spatial": {"type": "single", "channel": "EMG"}}, "alpha": alpha}}
    )
    assert core.policy["signal"][0] == 1
    assert steps == (silent, complex_fir, *[silent] * (MAX_SIGNALS - 2))
    np.testing.assert_array_equal(core.signals.states[1], found.signals["alpha"].designed.state)
    assert core.signals.states[1] is not found.signals["alpha"].designed.state


def test_spatial_weights_and_places_are_the_montages(lay_out):
    core, _, found = lay_out(HAND)
    assert core.signals.used.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(core.signals.weights, found.montage.weights)


def test_conditioning_is_that_of_every_channel_that_is_read(lay_out):
    core, *_ = lay_out({"conditioning": {"high_pass_hz": None, "notch_hz": [50.0, 60.0]}})
    expected = design_conditioning(4, SFREQ, high_pass_hz=None, notch_hz=(50.0, 60.0))
    np.testing.assert_array_equal(core.conditioning.sections, expected.sections)
    assert core.conditioning.memory.shape == (2, 2, 4)


@pytest.mark.parametrize(("window_s", "quality_s"), [(1.5, 0.5), (0.3, 3.0)])
def test_a_gap_is_forgotten_after_the_longest_window(lay_out, window_s, quality_s):
    core, *_ = lay_out({"signals.alpha.estimator.window_s": window_s, "gates.quality_window_s": quality_s})
    longest_s = max(window_s, quality_s * N_BLOCKS / (N_BLOCKS - 1))
    assert core.timing["longest_s"][0] == pytest.approx(longest_s + 1.0, abs=0.02)


def test_the_rings_have_a_column_for_every_channel_that_is_recorded(lay_out):
    pipeline_reads = {"signals.alpha.spatial": {"type": "single", "channel": "F3"}}
    assert lay_out(pipeline_reads)[0].values.shape[1] == 5


SINGLE = {"type": "single", "channel": "F3"}
HELPED = {
    "by all EEG": {"signals.alpha.estimator": {"type": "wiener", "helpers": "all"}},
    "by two that are named": {
        "signals.alpha": {"spatial": SINGLE, "estimator": {"type": "wiener", "helpers": ["C3", "Fz"]}}
    },
    "by one that is left out": {"signals.alpha.estimator": {"type": "wiener", "helpers": ["EMG"]}},
    "and another signal by others": {
        "signals.alpha.estimator": {"type": "wiener", "helpers": "all"},
        "signals.other": {
            "spatial": {"type": "single", "channel": "C3"},
            "estimator": {"type": "wiener", "helpers": ["F3"]},
        },
    },
}


def predicted(found, signal, samples):
    """Return what a signal's estimator says of a recording's samples, and its state after the last of them."""
    raw = np.ascontiguousarray(samples[:, found.montage.places])
    conditioned = np.empty_like(raw)
    condition_all(design_conditioning(raw.shape[1], SFREQ, high_pass_hz=0.5, notch_hz=(50.0,)), raw, conditioned)
    weights = found.montage.inputs(signal)
    inputs = np.empty((len(raw), len(weights)))
    mix_all(weights, conditioned, inputs)
    designed = found.signals[found.signal_names[signal]].designed
    state = designed.state.copy()
    return *run(designed.step, state, inputs), state


@pytest.mark.parametrize("changes", HELPED.values(), ids=HELPED.keys())
def test_the_core_predicts_from_all_inputs_as_the_estimator_does_outside(lay_out, wired, changes):
    core, steps, found = lay_out(changes)
    samples = wired.samples[:2000].copy()
    samples[700, 1] = np.nan
    expected = [predicted(found, signal, samples) for signal in range(len(found.signal_names))]
    ends = [50, 51, 400, 699, 701, 740, 1000, 2000]
    chunks = [(samples[a:b], wired.times_s[a:b] + 0.01) for a, b in pairwise([0, *ends])]
    for _ in play(core, steps, chunks, make_artifact(np.zeros((0, 5)))):
        newest = core.timing["index"][0]
        leads = slice(2, 5)  # from 20 ms on, delay and latency, for 20 ms of planning
        for signal, (z, sd, _) in enumerate(expected):
            np.testing.assert_array_equal(core.signals.z[signal, leads], z[newest, leads])
            np.testing.assert_array_equal(core.signals.sd[signal, leads], sd[newest, leads])
    assert newest == len(samples) - 1
    for signal, (_, _, state) in enumerate(expected):
        np.testing.assert_array_equal(core.signals.states[signal], state)


def test_helpers_that_are_asked_for_and_help_are_among_the_inputs(lay_out):
    core, _, found = lay_out(HELPED["by all EEG"])
    assert found.signals["alpha"].designed.facts["helpers"] == 4
    assert core.signals.first_input.tolist() == [0, 5]
    np.testing.assert_array_equal(core.signals.weights, found.montage.inputs(0))
    assert (
        found.signals["alpha"].designed.facts["explained"]
        > (found.signals["alpha"].designed.facts["explained_without_helpers"])
    )


def test_a_helper_that_does_not_help_is_read_and_not_used(lay_out):
    core, _, found = lay_out(HELPED["by one that is left out"])
    assert found.signals["alpha"].designed.facts["helpers"] == 0
    assert core.signals.first_input.tolist() == [0, 2]


LIVE = {"source": {"type": "lsl", "stream": {"type": "EEG"}, "delay_s": 0.02}}


def test_the_jitter_that_rest_has_shown_reaches_the_core(make_pipeline, make_device, wired):
    rest = replace(wired, jitter_s=0.0123)
    pipeline = make_pipeline(LIVE)
    core, _ = assemble(pipeline, make_device(), design(pipeline, rest), n_channels=5, sd_limit=np.inf)
    assert core.timing["jitter_s"][0] == 0.0123
    assert core.timing["delay_s"][0] == 0.02


def test_a_recordings_own_clock_has_no_jitter(lay_out):
    assert lay_out()[0].timing["jitter_s"][0] == 0.0


def test_a_trigger_channel_is_watched_where_it_stands_and_as_the_pipeline_says(lay_out):
    trigger = {"name": "EMG", "latency_s": 0.003, "threshold": 2.5}
    witness = lay_out({"source": {**LIVE["source"], "trigger_channel": trigger}})[0].witness[0]
    assert (witness["channel"], witness["threshold"], witness["expected_s"]) == (0, 2.5, 0.003)
    # 2 ms, and one period because it is seen in whole samples.
    assert witness["tolerance_s"] == pytest.approx(0.002 + 1.0 / SFREQ)
    assert np.isnan(witness["written_s"])


@pytest.mark.parametrize("changes", [{}, LIVE])
def test_without_a_trigger_channel_nothing_is_watched(lay_out, changes):
    assert lay_out(changes)[0].witness["channel"][0] == -1


def test_a_fresh_core_waits_for_its_time_to_be_told_by_whoever_arms_it(lay_out):
    core, *_ = lay_out({"calibration.arm_after_s": 15.0})
    assert (core.gate["armed"][0], core.gate["armed_from_s"][0]) == (0, 0.0)
