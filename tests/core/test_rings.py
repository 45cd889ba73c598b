"""Rings between threads: in order, nothing twice, nothing overwritten, nothing allocated."""

import threading

import numba
import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from closedloop.core.atomics import load_acquire, store_release
from closedloop.core.pulse_artifact import make_artifact
from closedloop.core.records import INPUT, LOST, READ, WRITTEN, Command, claim, drain, make_ring, publish, room
from closedloop.core.replay import _play, post_command
from closedloop.jit import compiled

pytestmark = pytest.mark.filterwarnings("ignore::numba.core.errors.NumbaExperimentalFeatureWarning")
threaded = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="plain Python accesses are for one thread only")


@compiled()
def push(ring, first, n):
    """Write ``n`` records where there is room and return how many found some."""
    found = 0
    for i in range(first, first + n):
        place = claim(ring)
        if place < 0:
            continue
        record = ring.records[place]
        record["number"] = i
        record["value"] = 0.5 * i
        publish(ring)
        found += 1
    return found


@compiled()
def write_all(ring, n):
    for i in range(n):
        while room(ring) < 1:
            pass
        record = ring.records[claim(ring)]
        record["number"] = i
        record["value"] = 0.5 * i
        publish(ring)


@compiled()
def read_all(ring, n):
    """Return the first record that is not as it was written, or -1."""
    for i in range(n):
        while load_acquire(ring.indices, WRITTEN) <= i:
            pass
        record = ring.records[i % ring.records.size]
        if record["number"] != i or record["value"] != 0.5 * i:
            return i
        store_release(ring.indices, READ, i + 1)
    return -1


@compiled()
def wait_for(flags, wanted):
    turns = 0
    while load_acquire(flags, 0) != wanted:
        turns += 1
    return turns


def test_a_full_ring_loses_the_new_and_counts_it():
    ring = make_ring(INPUT, 8)
    assert push(ring, 0, 20) == 8
    assert ring.indices.tolist() == [8, 0, 12]
    np.testing.assert_array_equal(drain(ring)["number"], np.arange(8))


def test_what_was_read_makes_room_again():
    ring = make_ring(INPUT, 8)
    push(ring, 0, 5)
    drain(ring)
    assert push(ring, 5, 8) == 8
    np.testing.assert_array_equal(drain(ring)["number"], np.arange(5, 13))
    assert ring.indices[LOST] == 0
    assert len(drain(ring)) == 0


@threaded
def test_two_threads_hand_over_every_record_in_order():
    ring = make_ring(INPUT, 256)
    push(make_ring(INPUT, 1), 0, 1)
    n = 20_000
    writer = threading.Thread(target=write_all, args=(ring, n))
    writer.start()
    wrong = read_all(ring, n)
    writer.join()
    assert wrong == -1
    assert ring.indices.tolist() == [n, n, 0]


@threaded
def test_a_waiting_loop_sees_another_threads_write():
    flags = np.zeros(1, np.int64)
    waiting = threading.Thread(target=wait_for, args=(flags, 3), daemon=True)
    waiting.start()
    store_release(flags, 0, 3)
    waiting.join(timeout=30.0)
    assert not waiting.is_alive()


def test_a_full_ring_of_commands_is_an_error(make_core):
    core = make_core()
    for _ in range(64):
        post_command(core, Command.PAUSE)
    with pytest.raises(OverflowError, match="64 unread"):
        post_command(core, Command.PAUSE)


@threaded
def test_nothing_is_allocated_per_sample(make_core, steps, sine):
    none = make_artifact(np.zeros((0, 1)))
    samples = sine(100.0)
    stamps = np.arange(10_000) / 100.0

    def allocations(n):
        core = make_core()
        cut, times = samples[:n].copy(), stamps[:n].copy()
        before = rtsys.get_allocation_stats()
        assert _play(core, steps, cut, times, 0, 0, none) == n
        after = rtsys.get_allocation_stats()
        return after.alloc - before.alloc, after.mi_alloc - before.mi_alloc

    _nrt_python.memsys_enable_stats()
    try:
        assert allocations(10_000) == allocations(1_000)
    finally:
        _nrt_python.memsys_disable_stats()
