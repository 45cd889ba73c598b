"""A core's designed state survives being stored."""

import numpy as np
import pytest

from closedloop.core.replay import fingerprint
from closedloop.core.state import pad_steps
from closedloop.core.storage import find_steps, from_arrays, step_names, to_arrays
from closedloop.errors import SessionError
from closedloop.estimators.complex_fir import complex_fir


def test_a_stored_core_decides_the_same(make_core, run, sine, tmp_path):
    core = make_core(window=20, quality={"hold_s": 0.2})
    np.savez(tmp_path / "state.npz", **to_arrays(core))
    with np.load(tmp_path / "state.npz") as stored:
        again = from_arrays(stored)
    assert fingerprint(run(core, sine(5.0)).events) == fingerprint(run(again, sine(5.0)).events)


def test_every_designed_array_comes_back_as_it_was(make_core):
    core = make_core(
        timing={"drift": 1e-4, "jitter_s": 0.003, "correction_s": -12.5, "rate_from_s": 1.0, "rate_samples": 7},
        witness={"channel": 3, "threshold": 0.5, "expected_s": 0.02, "tolerance_s": 0.003, "high": 1},
        gate={"armed_from_s": 75.0},
    )
    arrays = to_arrays(core)
    assert {"timing", "witness", "gate"} <= set(arrays)
    again = to_arrays(from_arrays(arrays))
    assert list(again) == list(arrays)
    for name, array in arrays.items():
        assert again[name].dtype == array.dtype, name
        assert again[name].tobytes() == array.tobytes(), name


def test_storing_copies(make_core):
    core = make_core()
    arrays = to_arrays(core)
    core.gate["armed"] = 0
    assert arrays["gate"]["armed"][0] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("gate"), "gate is missing"),
        (lambda arrays: arrays.pop("witness"), "witness is missing"),
        (
            lambda arrays: arrays.update(timing=arrays["timing"][["index", "time_s", "period_s"]]),
            "timing is .* not as this version reads",
        ),
        (lambda arrays: arrays.update(gate=np.zeros(3)), "gate is float64, 1-dimensional"),
        (lambda arrays: arrays.update(conditions=np.zeros((1, 1))), "conditions is float64, 2-dimensional"),
    ],
)
def test_a_state_that_does_not_fit_is_one_clear_line(make_core, change, message):
    arrays = to_arrays(make_core())
    change(arrays)
    with pytest.raises(SessionError, match=message) as caught:
        from_arrays(arrays)
    assert "\n" not in str(caught.value)


def test_steps_are_found_again_by_name():
    steps = pad_steps([complex_fir])
    assert find_steps(step_names(steps)) == steps


@pytest.mark.parametrize("name", ["no.such.module:step", "closedloop.estimators.complex_fir:no_such_step"])
def test_a_step_that_is_not_installed_is_one_clear_line(name):
    with pytest.raises(SessionError, match="is not installed"):
        find_steps([name])
