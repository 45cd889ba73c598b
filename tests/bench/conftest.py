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
