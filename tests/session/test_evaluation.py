"""Reference phases at the pulses: looked up when they reached the tissue, late is positive."""

import math

import numpy as np
import pytest

from closedloop.calibration.calibrate import calibrate
from closedloop.core.records import EVENT, EventKind
from closedloop.session.evaluation import Phases, as_json, joined, on_grid, phases_at, pooled, target_reference
from closedloop.session.source import open_source
from closedloop.signal.circular import PhaseStatistics
from closedloop.signal.reference_phase import reference_phase
from closedloop.sources.recording import Recording

SFREQ = 250.0
HZ = 10.0


@pytest.fixture(scope="module")
def reference():
    """Return the reference of a pure 10 Hz cosine of 30 s."""
    return reference_phase(np.cos(2 * np.pi * HZ * np.arange(30 * SFREQ) / SFREQ), SFREQ, HZ)


def draw_events(due_s, target=math.pi, *, kind=EventKind.DELIVERED, **fields):
    due_s = np.atleast_1d(np.asarray(due_s, dtype=float))
    events = np.zeros(due_s.size, EVENT)
    events["kind"], events["due_s"], events["target"], events["pulses"] = kind, due_s, target, 1
    # Where another time than the due time were looked up, the phase would be another.
    events["trigger_s"] = events["now_s"] = due_s - 0.013
    for name, value in fields.items():
        events[name] = value
    return events


def looked_up(events, reference, *, kind=EventKind.DELIVERED, start_s=0.0):
    return phases_at(events, reference, kind=kind, start_s=start_s)


@pytest.mark.parametrize(("late_s", "error_deg"), [(0.0, 0.0), (0.005, 18.0), (-0.005, -18.0), (0.0013, 4.68)])
def test_a_pulse_after_the_target_has_a_positive_error(reference, late_s, error_deg):
    # A cosine's trough is half a period after its peak: 10.05 s for 10 Hz; 1 ms are 3.6 degrees.
    phases = looked_up(draw_events(10.05 + late_s), reference)
    assert np.degrees(phases.error) == pytest.approx([error_deg], abs=0.5)


def test_phases_are_looked_up_on_the_clock_of_the_events(reference):
    phases = looked_up(draw_events(1010.05), reference, start_s=1000.0)
    assert np.degrees(phases.error) == pytest.approx([0.0], abs=0.5)


def test_every_member_of_the_family_is_looked_up(reference):
    phases = looked_up(draw_events([10.05, 12.075]), reference)
    assert set(phases.members) == {"peak±2 Hz", "peak±1 Hz", "8-13 Hz", "5-18 Hz"}
    for member in phases.members.values():
        np.testing.assert_allclose(np.abs(np.degrees(member)), [180.0, 90.0], atol=1.0)


def test_only_the_wanted_kind_is_looked_up(reference):
    events = np.concatenate([draw_events([10.0, 11.0, 12.0], kind=kind) for kind in (1, 2, 2, 3)])
    assert looked_up(events, reference).target.size == 3
    assert looked_up(events, reference, kind=EventKind.WITHHELD).target.size == 6


def test_of_a_train_only_the_first_pulse_counts(reference):
    events = draw_events([10.05, 10.25, 10.45], pulse=[0, 1, 2], pulses=3)
    assert looked_up(events, reference).target.size == 1


def test_conditions_are_told_apart(reference):
    phases = looked_up(draw_events([10.05, 11.0, 12.05], [math.pi, 0.0, math.pi], condition=[0, 1, 0]), reference)
    assert phases.of(0).target.tolist() == [math.pi, math.pi]
    assert phases.of(1).target.tolist() == [0.0]
    assert phases.of(1).members["8-13 Hz"].size == phases.of(1).block.size == 1
    assert phases.of(2).target.size == 0


def test_blocks_are_10_seconds(reference):
    assert looked_up(draw_events([1.0, 9.9, 10.1, 25.0]), reference).block.tolist() == [0, 0, 1, 2]


def test_a_trigger_that_left_late_is_judged_where_its_pulse_fell(reference):
    events = draw_events(10.05)
    events["now_s"] += 0.001
    late = looked_up(events, reference).error - looked_up(draw_events(10.05), reference).error
    assert np.degrees(late) == pytest.approx([3.6], abs=0.2)


@pytest.mark.parametrize("due_s", [-1.0, 0.5, 29.5, 31.0])
def test_where_the_reference_knows_nothing_the_phase_is_no_number(reference, due_s):
    phases = looked_up(draw_events(due_s), reference)
    assert np.isnan(phases.reference).all()
    assert phases.statistics().n == 0


@pytest.fixture(scope="module")
def gapped(make_pipeline, make_device):
    """Return a calibration and a simulation that lacks 2 s at 50 s."""
    pipeline = make_pipeline({"source.gaps": [{"start_s": 50.0, "duration_s": 2.0}]})
    source = open_source(pipeline)
    return calibrate(pipeline, make_device(), source.rest), source


def test_missing_samples_are_no_numbers_on_the_grid(gapped):
    calibration, source = gapped
    grid = on_grid(source.recording, calibration.design)
    assert grid.size == 80 * 125
    assert np.flatnonzero(np.isnan(grid)).tolist() == list(range(50 * 125, 52 * 125))


def test_the_grid_holds_the_target_signal(gapped):
    calibration, source = gapped
    names = source.recording.names
    f3, *around = (source.recording.samples[:, names.index(name)] for name in ("F3", "F7", "C3", "Fz"))
    grid = on_grid(source.recording, calibration.design)
    np.testing.assert_allclose(grid[np.isfinite(grid)], f3 - np.mean(around, axis=0), atol=1e-9)


def test_around_a_gap_the_reference_knows_nothing_and_behind_it_is_not_shifted(gapped):
    calibration, source = gapped
    reference = target_reference(calibration, source.recording)
    known = np.isfinite(reference.at(np.arange(0.0, 79.0, 0.1)))
    unknown_s = np.arange(0.0, 79.0, 0.1)[~known]
    assert unknown_s[unknown_s > 2.0].min() == pytest.approx(49.0, abs=0.11)
    assert unknown_s[unknown_s > 2.0].max() == pytest.approx(53.0, abs=0.11)
    # The simulated rhythm is what the reference shall find, before the gap and behind it.
    row = np.zeros(6)
    row[calibration.design.montage.places] = calibration.design.montage.weights[0]
    true = np.angle(source.true_component(row))
    for start_s, stop_s in ((5.0, 45.0), (55.0, 75.0)):
        inside = (source.recording.times_s > start_s) & (source.recording.times_s < stop_s)
        error = np.angle(np.exp(1j * (reference.at(source.recording.times_s[inside]) - true[inside])))
        assert abs(np.degrees(np.angle(np.mean(np.exp(1j * error))))) < 5.0


def test_the_reference_is_the_undisturbed_recordings(gapped):
    calibration, source = gapped
    regular = Recording(
        names=source.recording.names,
        roles=source.recording.roles,
        sfreq=125.0,
        samples=source.recording.samples[: 40 * 125],
        times_s=source.recording.times_s[: 40 * 125],
        name="first 40 s",
    )
    expected = reference_phase(on_grid(regular, calibration.design), 125.0, calibration.design.fit.peak_hz)
    at = np.arange(5.0, 35.0, 0.37)
    np.testing.assert_array_equal(target_reference(calibration, regular).at(at), expected.at(at))


def draw_phases(n, label):
    return Phases(
        np.zeros(n, np.int64),
        np.zeros(n),
        np.full(n, 0.1 * label),
        {"8-13 Hz": np.full(n, 0.1 * label)},
        np.full(n, label, np.int64),
    )


def test_joined_runs_keep_their_blocks():
    assert joined([draw_phases(2, 5), draw_phases(1, 5), draw_phases(1, 3)]).block.tolist() == [5, 5, 5, 3]


def test_pooled_runs_are_one_block_each():
    together = pooled([draw_phases(2, 5), draw_phases(0, 1), draw_phases(3, 5)])
    assert together.block.tolist() == [0, 0, 2, 2, 2]
    assert together.members["8-13 Hz"].size == 5


@pytest.mark.parametrize("put_together", [joined, pooled])
def test_no_runs_at_all_are_no_chances(put_together):
    assert put_together([]).statistics().n == 0


def test_statistics_have_lists_and_nulls_in_json():
    statistics = PhaseStatistics(3, 1.5, (-1.0, 2.0), math.inf, None, 0.0)
    assert as_json(statistics) == {
        "n": 3,
        "bias_deg": 1.5,
        "bias_ci95_deg": [-1.0, 2.0],
        "circular_sd_deg": None,
        "ci95_deg": None,
        "plv": 0.0,
    }
