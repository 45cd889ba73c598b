"""Benchmarks as modules."""

import importlib
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def bench_module(monkeypatch):
    """Return a function that imports a benchmark by its name."""
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # the benchmarks set it; the test's end takes it back
    return importlib.import_module


@pytest.fixture
def row():
    """Return a function that makes a row of the benchmark of accuracy."""

    def made(**changes):
        """Return a row; keys with spaces and words such as yield are given as they are called."""
        given = {
            "recording": "a.edf",
            "truth": "f0+-2",
            "montage": "O1",
            "eyes": "closed",
            "estimator": "wiener",
            "tuning": "ours",
            "lead_s": 0.025,
            "yield": 1.0,
            "n": 1000,
            "circular_sd_deg": 40.0,
            "bias_deg": 1.0,
            "us_per_sample": 0.4,
            "coverage_95": 0.95,
        }
        return {**given, **changes}

    return made
