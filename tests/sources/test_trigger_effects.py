"""What triggers leave in a stand-in amplifier's samples, and how they come in."""

import os
import threading
import time

import numpy as np
import pytest

from closedloop.errors import ConfigError, OutputError
from closedloop.sources.trigger_effects import STEP_S, TriggerEffects
from closedloop.sources.trigger_input import Triggers, trigger_pipe

RATE_HZ = 1000.0
DELAY_S = 0.010
TIMES_S = np.arange(100) / RATE_HZ


def added(effects, *edges_s, n_columns=3):
    values = np.zeros((TIMES_S.size, n_columns))
    effects.add(values, TIMES_S, edges_s)
    return values


def effects(artifact=((), ()), **fields):
    return TriggerEffects(RATE_HZ, np.array(artifact, float).T, delay_s=DELAY_S, **fields)


@pytest.mark.parametrize("edge_s", [0.02, 0.0203, 0.0207])
def test_a_trigger_channel_is_high_for_5_ms_from_the_edge_by_the_stamps(edge_s):
    column = added(effects(trigger_column=2), edge_s)[:, 2]
    np.testing.assert_array_equal(column, (edge_s <= TIMES_S + 1e-9) & (TIMES_S + 1e-9 < edge_s + STEP_S))


def test_a_divided_trigger_is_a_step_delayed_like_the_electrodes():
    values = added(effects(divider=1, divider_uv=200.0), 0.0204)
    first = np.flatnonzero(values[:, 1])[0]
    assert TIMES_S[first] >= 0.0204 + DELAY_S > TIMES_S[first - 1]
    assert values[:, 1].sum() == pytest.approx(200.0 * STEP_S * RATE_HZ)
    assert not values[:, [0, 2]].any()


def test_an_artifact_begins_with_the_pulse_at_the_electrode():
    artifact = [[3.0, 2.0, 1.0], [0.0, 0.0, 0.0]]
    values = added(effects(artifact, latency_s=0.005), 0.020)
    expected = np.zeros(TIMES_S.size)
    expected[20 + 5 + 10 : 20 + 5 + 10 + 3] = artifact[0]
    np.testing.assert_array_equal(values[:, 0], expected)
    assert not values[:, 1:].any()


def test_artifacts_add_up_and_steps_do_not():
    values = added(effects([[1.0] * 10, [0.0] * 10], divider=1, divider_uv=50.0), 0.020, 0.022)
    assert values[:, 0].max() == 2.0
    assert values[:, 1].max() == 50.0


def test_nothing_is_left_longer_than_is_said():
    everything = effects([[1.0] * 7] * 2, latency_s=0.003, divider=1, divider_uv=1.0, trigger_column=2)
    last_s = TIMES_S[np.flatnonzero(added(everything, 0.02).any(axis=1))[-1]]
    assert last_s <= 0.02 + everything.length_s
    assert everything.largest_uv == 2.0


# How they come in


def test_each_byte_but_zero_is_an_edge_at_the_time_when_it_was_read(tmp_path):
    with trigger_pipe(tmp_path / "trigger", time.monotonic) as triggers:
        before_s = time.monotonic()
        (tmp_path / "trigger").write_bytes(b"\x01\x00\xff\x00")
        ended_s = triggers.wait_until(time.monotonic())
    assert len(triggers.edges_s) == 2
    assert before_s <= triggers.edges_s[0] <= ended_s


def test_an_edge_is_seen_while_one_waits_and_the_wait_ends_on_time(tmp_path):
    path = tmp_path / "trigger"
    written_s = []

    def fire():
        with path.open("wb", buffering=0) as pipe:
            written_s.append(time.monotonic())
            pipe.write(b"\x01")

    with trigger_pipe(path, time.monotonic) as triggers:
        timer = threading.Timer(0.05, fire)
        timer.start()
        deadline_s = time.monotonic() + 0.2
        ended_s = triggers.wait_until(deadline_s)
        timer.join()
    assert written_s[0] <= triggers.edges_s[0] < deadline_s - 0.05
    assert deadline_s <= ended_s < deadline_s + 0.05


def test_a_writer_that_comes_and_goes_ends_nothing(tmp_path):
    path = tmp_path / "trigger"
    with trigger_pipe(path, time.monotonic) as triggers:
        for n in range(3):
            path.write_bytes(b"\x01")
            triggers.wait_until(time.monotonic() + 0.001)
            assert len(triggers.edges_s) == n + 1


def test_the_pipe_is_gone_at_the_end_and_so_are_its_descriptors(tmp_path):
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with trigger_pipe(tmp_path / "trigger", time.monotonic):
        assert (tmp_path / "trigger").is_fifo()
    assert not (tmp_path / "trigger").exists()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_what_exists_is_no_place_for_a_pipe_and_stays(tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(ConfigError, match="mine: exists already"), trigger_pipe(tmp_path / "mine", time.monotonic):
        pass
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_pipe_in_a_folder_that_is_not_there_is_refused(tmp_path):
    with (
        pytest.raises(OutputError, match="cannot be made: No such file"),
        trigger_pipe(tmp_path / "no" / "trigger", time.monotonic),
    ):
        pass


def test_without_a_pipe_one_only_waits():
    triggers = Triggers(None, time.monotonic)
    deadline_s = time.monotonic() + 0.01
    assert triggers.wait_until(deadline_s) >= deadline_s
    assert triggers.edges_s == []
