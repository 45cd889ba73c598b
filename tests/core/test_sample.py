"""A sample that a newer one already waits behind: seen by filters and estimators, but nothing is decided on it."""

import numpy as np
import pytest

from closedloop.core.reasons import Reason
from closedloop.core.records import EventKind
from closedloop.core.state import COMMITTED, NO_PLAN, PENDING
from closedloop.signal.conditioning import design_conditioning


def filtered_core(make_core):
    """Return a core whose channel is high-passed, so that a sample that was left out shows in its filter."""
    return make_core()._replace(conditioning=design_conditioning(1, 100.0, high_pass_hz=0.5, notch_hz=()))


def test_nothing_is_predicted_on_a_sample_that_a_newer_one_waits_behind(armed_script):
    z, sd = armed_script.core.signals.z, armed_script.core.signals.sd
    z[:], sd[:] = 7.0, 8.0
    armed_script.sample(more=1.0)
    assert (z == 7.0).all()
    assert (sd == 8.0).all()
    armed_script.sample()
    assert (z != 7.0).any()


def test_no_plan_is_made_or_committed_on_samples_that_newer_ones_wait_behind(armed_script):
    for _ in range(100):  # ten crossings
        armed_script.sample(more=1.0)
    assert armed_script.core.plan["status"][0] == NO_PLAN
    assert set(armed_script.events["reason"]) == {Reason.NOT_FORESEEN}  # unseen, and on record


@pytest.mark.parametrize("status", [PENDING, COMMITTED])
def test_a_plan_does_not_move_on_a_sample_that_a_newer_one_waits_behind(make_core, script, status):
    told = script(make_core(policy={"horizon_s": 0.005, "plan_ahead_s": 0.05}))
    plan = told.core.plan
    while plan["status"][0] != status:
        told.sample()
    before = plan.copy()
    told.core.signals.states[0][1] -= 0.1  # the next prediction would see the crossing 1.6 ms later
    told.sample(more=1.0)
    assert plan.tobytes() == before.tobytes()


def test_samples_that_waited_leave_the_state_that_they_leave_one_at_a_time(make_core, script):
    waited, single = script(filtered_core(make_core)), script(filtered_core(make_core))
    for n in range(60):
        waited.sample(more=float(n % 8 != 7), now=(n // 8 * 8 + 7) * 0.01)
        single.sample()
    for name in ("conditioning", "extremes", "rhythm"):
        for ours, theirs in zip(getattr(waited.core, name), getattr(single.core, name), strict=True):
            assert ours.tobytes() == theirs.tobytes(), name
    assert waited.core.signals.states[0].tobytes() == single.core.signals.states[0].tobytes()
    assert waited.core.signals.x.tobytes() == single.core.signals.x.tobytes()
    assert waited.core.timing["time_s"][0] == single.core.timing["time_s"][0]


def test_of_samples_that_come_in_pairs_the_second_decides(make_core, script):
    told = script(make_core())
    plan = told.core.plan[0]
    for n in range(100):
        told.sample(more=float(n % 2 == 0), now=(n // 2 * 2 + 1) * 0.01)
        while plan["status"] != NO_PLAN and plan["due_s"] - 0.02 < told.now + 0.02 * (n % 2):
            told.deadline(max(told.now, plan["due_s"] - 0.02))
    assert np.count_nonzero(told.events["kind"] == EventKind.DELIVERED) >= 9
    fired = told.events[told.events["kind"] == EventKind.DELIVERED]
    np.testing.assert_array_equal(fired["sample"] % 2, 1)


def test_a_burst_of_old_samples_fires_nothing(make_core, script):
    told = script(make_core(limits={"max_lateness_s": 10.0}))
    trigger_s = told.until_due()
    now = told.now + 0.5
    for _ in range(20):  # the newest of them is still 0.3 s old
        told.sample(now=now, more=1.0)
        assert EventKind.DELIVERED not in told.deadline(now)["kind"]
    assert now > trigger_s
    assert EventKind.DELIVERED not in told.events["kind"]


def test_a_burst_that_catches_up_fires_again(make_core, script):
    told = script(make_core())
    now = 0.5
    while told.n_samples < 50:
        told.sample(now=now, more=1.0)
    told.sample(now=now)
    assert told.fire()["kind"].tolist() == [EventKind.DELIVERED]
