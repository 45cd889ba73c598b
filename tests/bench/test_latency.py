"""The benchmark of latency: its rows, and what it makes of them."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "latency.py"
KEYS = {
    "loop",
    "load",
    "scheduler",
    "n_channels",
    "sfreq",
    "n",
    "p50_ms",
    "p99_ms",
    "p999_ms",
    "lateness_p99_us",
    "lateness_p999_us",
}
LOOPS = ("closedloop", "pylsl", "pylsl-own-process", "mne-lsl")


@pytest.fixture(scope="module")
def quick_rows(tmp_path_factory):
    """Return the rows of a short run, by loop."""
    path = tmp_path_factory.mktemp("latency") / "rows.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick", "--json", str(path)], capture_output=True, text=True, timeout=110.0
    )
    assert done.returncode == 0, done.stderr
    return {row["loop"]: row for row in json.loads(path.read_text())["rows"]}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_quick_run_has_a_row_of_each_loop(loop, quick_rows):
    if loop == "mne-lsl" and find_spec("mne_lsl") is None:
        pytest.skip("mne-lsl is not installed: pip install closedloop[bench]")
    row = quick_rows[loop]
    assert set(row) == KEYS
    assert (row["load"], row["scheduler"], row["n_channels"], row["sfreq"]) == ("idle", "ordinary", 64, 1000.0)
    assert row["n"] > 100
    assert 0.0 < row["p50_ms"] <= row["p99_ms"] <= row["p999_ms"]


@pytest.mark.parametrize("loop", LOOPS)
def test_only_the_loop_that_has_deadlines_is_late_for_them(loop, quick_rows):
    if loop not in quick_rows:
        pytest.skip("mne-lsl is not installed: pip install closedloop[bench]")
    late = (quick_rows[loop]["lateness_p99_us"], quick_rows[loop]["lateness_p999_us"])
    if loop == "closedloop":
        assert 0.0 <= late[0] <= late[1]
    else:
        assert late == (None, None)


@pytest.fixture
def latency(bench_module):
    return bench_module("latency")


def test_a_row_is_the_median_of_the_runs_percentiles(latency):
    cell = latency.Cell("pylsl", "idle", "fifo")
    runs = [latency.Measured(np.full(10, ms / 1e3), np.zeros(0), "fifo", "awake") for ms in (1.0, 9.0, 2.0)]

    class Sent:
        n_channels, sfreq = 64, 1000.0

    row = latency.row(cell, Sent, runs, [])
    assert set(row) == KEYS
    assert (row["n"], row["scheduler"]) == (30, "fifo")
    assert row["p99_ms"] == pytest.approx(2.0)


def test_a_scheduler_that_was_not_granted_is_not_claimed(latency):
    cell = latency.Cell("closedloop", "idle", "fifo")
    measured = latency.Measured(np.full(10, 1e-3), np.full(10, 1e-6), "ordinary", "awake")

    class Sent:
        n_channels, sfreq = 64, 1000.0

    assert latency.row(cell, Sent, [measured], [measured])["scheduler"] == "ordinary"
    assert set(latency.lateness([measured], {})) == {"ordinary"}


def test_targets_compare_like_with_like(latency):
    def row(loop, load, scheduler, p99_ms):
        return {"loop": loop, "load": load, "scheduler": scheduler, "p99_ms": p99_ms}

    rows = [
        row("closedloop", "idle", "ordinary", 0.41),
        row("closedloop", "busy-thread", "ordinary", 0.2),
        row("closedloop", "busy-cores", "fifo", 0.6),
        row("closedloop", "busy-cores", "ordinary", 5.0),
        row("pylsl", "busy-thread", "ordinary", 30.0),
    ]
    judged = latency.targets(rows, {"fifo": {"p99_us": 30.0}, "floor, fifo": {"p99_us": 3.0}})
    assert [target["met"] for target in judged] == [False, True, True, True, False, True]
    assert judged[3]["found"] == pytest.approx(150.0)


def test_what_grows_with_rate_and_channels_is_fitted_as_such(bench_module):
    live_scaling = bench_module("live_scaling")
    rows = [
        {"n_channels": n, "sfreq": rate, "core_percent": 1e-4 * rate * (20.0 + 0.2 * n), "keeps_up": True}
        for n in (8, 64, 256)
        for rate in (250.0, 5000.0)
    ]
    lost = {"n_channels": 512, "sfreq": 5000.0, "core_percent": 1.0, "keeps_up": False}
    found = live_scaling.fit([*rows, lost])
    assert found["us_per_sample"] == pytest.approx(20.0)
    assert found["us_per_sample_and_channel"] == pytest.approx(0.2)
    assert found["r2"] == pytest.approx(1.0)


def test_the_largest_stream_is_one_that_is_kept_up_with_by_half_a_core(bench_module):
    live_scaling = bench_module("live_scaling")
    rows = [
        {"n_channels": n, "sfreq": 1000.0, "core_percent": percent, "keeps_up": kept}
        for n, percent, kept in ((8, 5.0, True), (64, 49.0, True), (128, 51.0, True), (256, 40.0, False))
    ]
    assert live_scaling.largest(rows)["n_channels"] == 64
    assert live_scaling.largest(rows[2:]) is None
