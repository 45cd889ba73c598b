"""The gate of the benchmark of accuracy can close, and says of which row and why."""

import pytest


@pytest.fixture
def gate(bench_module):
    return bench_module("accuracy_gate")


def test_the_same_figures_pass(gate, row):
    rows = [row(), row(lead_s=0.0), row(**{"yield": 0.5})]
    assert gate.worse(rows, rows) == []


def test_better_figures_and_more_rows_pass(gate, row):
    assert gate.worse([row(circular_sd_deg=30.0), row(truth="8-13")], [row()]) == []


def test_the_limits_themselves_pass(gate, row):
    now = row(circular_sd_deg=gate.MORE_SCATTER * 40.0, bias_deg=1.0 + gate.MORE_BIAS_DEG)
    assert gate.worse([now], [row()]) == []


def test_more_scatter_is_told(gate, row):
    assert gate.worse([row(circular_sd_deg=41.0)], [row()]) == [
        "a.edf, f0+-2, O1, closed, wiener, ours, 0.025, 1.0: circular SD 41.00 deg, was 40.00 "
        "(at most 1.02 times as much)"
    ]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (1.0, 2.4, False),
        (1.0, 2.6, True),
        (1.0, -0.4, False),
        (1.0, -0.6, True),
        (1.0, -179.0, True),
        (179.5, -179.5, False),
        (-179.5, 179.5, False),
        (179.0, -179.0, True),
        (-179.0, 179.0, True),
        (179.0, -1.0, True),
    ],
)
def test_a_bias_that_moved_is_told_also_across_half_a_turn(gate, row, before, now, told):
    lines = gate.worse([row(bias_deg=now)], [row(bias_deg=before)])
    assert len(lines) == int(told)
    assert all("bias" in line for line in lines)


@pytest.mark.parametrize("figure", ["circular_sd_deg", "bias_deg"])
def test_a_figure_that_is_no_number_is_told(gate, row, figure):
    assert len(gate.worse([row(**{figure: float("nan")})], [row()])) == 1


def test_a_row_without_figures_is_told_as_one_that_is_gone(gate, row):
    (line,) = gate.worse([row(n=0, circular_sd_deg=None, bias_deg=None)], [row()])
    assert line.endswith(": is no longer measured")


KEYS = {"recording": "b.edf", "truth": "8-13", "montage": "C3-Hjorth", "eyes": "open", "lead_s": 0.0, "yield": 0.5}


@pytest.mark.parametrize(("key", "value"), KEYS.items())
def test_a_row_that_is_no_longer_measured_is_told_whatever_makes_it_another(gate, row, key, value):
    (line,) = gate.worse([row(**{key: value})], [row()])
    assert line.endswith(": is no longer measured")


def test_rivals_may_become_worse_or_go(gate, row):
    rival = row(estimator="echt", tuning="published")
    assert gate.worse([row()], [row(), rival]) == []


def test_every_row_that_is_worse_has_its_line(gate, row):
    now = [row(circular_sd_deg=50.0, bias_deg=9.0), row(lead_s=0.0, circular_sd_deg=50.0)]
    assert len(gate.worse(now, [row(), row(lead_s=0.0)])) == 3


@pytest.mark.parametrize(
    ("before", "now", "told"), [(0.95, 0.941, False), (0.95, 0.939, True), (0.95, 0.961, True), (0.93, 0.96, False)]
)
def test_an_interval_that_holds_less_or_more_than_it_says_is_told(gate, row, before, now, told):
    lines = gate.worse([row(coverage_95=now)], [row(coverage_95=before)])
    assert len(lines) == int(told)
    assert all("coverage" in line for line in lines)


def test_a_coverage_that_is_gone_is_told(gate, row):
    assert len(gate.worse([row(coverage_95=None)], [row()])) == 1


def test_a_baseline_keeps_ours_without_what_a_machine_s_speed_decides(gate, row):
    kept = gate.baseline([row(), row(tuning="published")])
    assert kept == [{k: v for k, v in row().items() if k != "us_per_sample"}]
