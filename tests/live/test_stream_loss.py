"""Streams that end: outlets that close, programs that die, and what comes back."""

import pytest

from closedloop.core.reasons import Reason
from closedloop.core.records import InputKind
from closedloop.errors import StreamError

AT_ONCE_S = 0.25
"""From the end of a sender to the word of it: what the kernel and liblsl take on a busy machine."""


def broken_s(rig):
    """Return when the core was told that the stream broke off, in s."""
    told = rig.inputs_of(InputKind.STREAM)
    return told["now"]


def test_an_outlet_that_closes_disarms_at_once(rig):
    rig.play(0.4)
    closed_s = rig.due_s(rig.sent - 1)
    rig.amplifier.close()
    rig.wait_for(lambda: rig.need)
    rig.wait(0.3)
    rig.end()
    (told_s,) = broken_s(rig)
    assert told_s - closed_s <= AT_ONCE_S
    assert rig.core.gate["disarmed_by"][0] == Reason.STREAM_BROKEN
    assert rig.core.gate["armed"][0] == 0
    assert not rig.delivered(told_s).size
    # One record a period goes on while there is nothing to see.
    assert rig.reasons(told_s) <= {Reason.STREAM_BROKEN, Reason.STALE}
    assert len(rig.events_between(told_s + 0.1)) >= 2
    assert "broke off: start it again; when it is back, press a to arm" in rig.need


def test_a_killed_sender_that_comes_back_fires_once_somebody_has_armed_again(make_rig, start_sender, pipe):
    sender = start_sender()
    rig = make_rig(external=True)
    rig.wait_for(lambda: rig.delivered().size >= 3)
    sender.kill()
    rig.wait_for(lambda: rig.need)
    (told_s,) = broken_s(rig)
    before = len(rig.delivered())
    assert pipe.take() == b"\x01" * before
    assert rig.core.gate["disarmed_by"][0] == Reason.STREAM_BROKEN

    start_sender()
    rig.wait_for(lambda: len(rig.said) == 4)
    assert "is back; the gate stays disarmed until somebody arms it" in rig.said[-1]
    assert rig.need == "the stream is back: press a to arm"
    rig.wait(0.7)
    assert len(rig.delivered()) == before
    assert Reason.STREAM_BROKEN in rig.reasons(told_s)
    assert rig.state == "disarmed: stream_broken"

    armed_s = rig.arm()
    rig.wait_for(lambda: rig.delivered().size >= before + 3)
    rig.end()
    assert rig.delivered(told_s)["now_s"].min() >= armed_s
    assert pipe.take() == b"\x01" * (len(rig.delivered()) - before)


def test_the_first_that_is_heard_of_a_dead_sender_is_an_error_within_its_wait(make_rig, start_sender):
    sender = start_sender()
    rig = make_rig(external=True, source={"wait_s": 0.2})
    rig.wait_for(lambda: rig.delivered().size >= 1)
    sender.kill()
    with pytest.raises(StreamError, match=r"broke off and did not come back within 0\.2 s \(source\.wait_s\)"):
        rig.wait_for(lambda: False)
    rig.end()
    assert rig.core.gate["armed"][0] == 0


OTHERS = {
    "other channels": {"labels": ("O2",)},
    "another unit": {"unit": "volts"},
    "another rate": {"sfreq": 500.0},
    "one channel more": {"labels": ("O1", "O2")},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_a_stream_that_comes_back_as_another_ends_the_session(rig, make_amplifier, other):
    rig.play(0.3)
    rig.amplifier.close()
    rig.wait_for(lambda: rig.need)
    make_amplifier(**other)
    with pytest.raises(StreamError, match="came back with other channels, units or another rate than"):
        rig.wait_for(lambda: False)
    rig.end()
    assert rig.core.gate["armed"][0] == 0
    (told_s,) = broken_s(rig)
    assert not rig.delivered(told_s).size
