"""The trigger line as a pipe and as a terminal: every byte, and every way in which a write can fail."""

import errno
import fcntl
import os
import struct
import sys
import termios
import time
import tty

import numpy as np
import pylsl
import pytest

from closedloop.config.line import BytesLine, LslMarkerLine
from closedloop.core.reasons import Reason
from closedloop.core.records import Command, InputKind
from closedloop.stimulators.line import TriggerLine, open_line
from closedloop.stimulators.lines.pipe_pair import ReplyKind
from closedloop.stimulators.lines.process import driven


def failures(rig):
    """Return the results of writes that failed."""
    codes = rig.inputs_of(InputKind.WRITTEN)["code"]
    return codes[codes != 0].tolist()


def expect_disarmed_by_the_first_write(rig, code):
    """Let a loop go on after its first trigger could not be written, and check what it made of that."""
    rig.play(0.6)
    turns_s = rig.sights["told_s"][-1]
    rig.end()
    assert failures(rig) == [code]
    # It counts as delivered: whether the device acted nobody knows.
    assert len(rig.delivered()) == rig.core.gate["pulses"][0] == 1
    written = rig.inputs_of(InputKind.WRITTEN)
    assert written["timestamp"][0] - written["now"][0] < 0.02
    assert rig.causes() == {Reason.WRITE_FAILED}
    assert rig.core.gate["armed"][0] == 0
    assert len(rig.events) >= 4
    assert turns_s >= rig.due_s(rig.sent - 10)


def test_a_pipe_whose_reader_has_gone_disarms(rig, pipe):
    pipe.close()
    expect_disarmed_by_the_first_write(rig, errno.EPIPE)


def test_a_pipe_that_is_full_disarms_and_holds_nothing_up(rig, pipe):
    writer = os.open(pipe.path, os.O_WRONLY | os.O_NONBLOCK)
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    assert os.write(writer, bytes(size)) == size
    os.close(writer)
    expect_disarmed_by_the_first_write(rig, errno.EAGAIN)


def test_a_terminal_whose_other_end_has_closed_disarms(make_rig):
    device, line = os.openpty()
    rig = make_rig(line={"path": os.ttyname(line)})
    os.close(line)
    os.close(device)
    expect_disarmed_by_the_first_write(rig, errno.EIO)


def test_a_line_that_works_again_fires_when_somebody_has_armed(rig, pipe):
    writer = os.open(pipe.path, os.O_WRONLY | os.O_NONBLOCK)
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, bytes(size))
    os.close(writer)
    rig.play(0.3)
    assert pipe.take() == bytes(size)
    rig.post(Command.ARM)
    rig.play(0.3)
    rig.end()
    assert failures(rig) == [errno.EAGAIN]
    # One delivered event was for the byte that found no room.
    assert pipe.take() == b"\x01" * (len(rig.delivered()) - 1)
    assert len(rig.delivered()) >= 3


def test_a_serial_port_gets_each_pulses_bytes(make_rig):
    device, line = os.openpty()
    tty.setraw(line)
    rig = make_rig(line={"path": os.ttyname(line), "on": "02ff", "off": "0000", "off_after_s": 0.01})
    rig.play(0.6)
    rig.wait(0.05)
    rig.end()
    content = os.read(device, 4096)
    os.close(line)
    os.close(device)
    assert len(rig.delivered()) >= 4
    assert content == b"\x00\x00" + b"\x02\xff\x00\x00" * len(rig.delivered())


def test_the_line_is_taken_back_after_its_time(make_rig, start_sender, pipe):
    start_sender()
    rig = make_rig(external=True, line={"off": "00", "off_after_s": 0.03})
    until_s = pylsl.local_clock() + 0.8
    came = []
    while pylsl.local_clock() < until_s:
        came.extend((byte, pylsl.local_clock()) for byte in pipe.take())
        rig.attend()
        time.sleep(0.001)
    rig.end()
    assert came.pop(0)[0] == 0  # as it was opened
    content = bytes(byte for byte, _ in came)
    n = len(content) // 2
    assert n >= 5
    assert content[: 2 * n] == b"\x01\x00" * n
    times_s = np.array([at_s for _, at_s in came[: 2 * n]]).reshape(n, 2)
    # Watched each ms, on a machine that does other things as well.
    high_s = np.diff(times_s, axis=1)
    assert 0.025 <= np.median(high_s) <= 0.05


def test_a_line_that_is_high_at_the_end_is_taken_back(make_rig, pipe):
    rig = make_rig(line={"off": "00", "off_after_s": 0.05})
    while not rig.delivered().size:
        rig.send()
        rig.attend()
    content = pipe.take()
    rig.end()
    assert content + pipe.take() == b"\x00\x01\x00"


def test_a_line_is_low_when_it_is_opened_and_when_it_is_left(pipe):
    with open_line(BytesLine(path=str(pipe.path))):
        assert pipe.take() == b"\x00"
    assert pipe.take() == b"\x00"


def test_each_delivered_pulse_is_one_byte_and_none_comes_after_disarming(rig, pipe):
    rig.play(0.5)
    rig.post(Command.DISARM)
    rig.play(0.05)
    content = pipe.take()
    rig.play(0.4)
    rig.end()
    disarmed_s = rig.commands(Command.DISARM)[0]
    assert content == b"\x01" * len(rig.delivered())
    assert len(content) >= 3
    assert pipe.take() == b""
    assert not rig.delivered(disarmed_s).size
    written = rig.inputs_of(InputKind.WRITTEN)
    assert len(written) == len(rig.delivered())
    assert (written["code"] == 0).all()
    # The trigger leaves as long before the pulse as the device takes, and no sooner.
    assert (written["now"] >= rig.delivered()["trigger_s"]).all()


# A channel that shows the triggers


@pytest.fixture
def witnessed(make_rig, make_amplifier, make_core, pipe):
    """Return a function that starts a loop whose second channel is high for one sample per trigger, some time later."""

    def start(*, missed=(), after_s=0.0, trials=()):
        core = make_core(
            n_channels=2,
            witness={"channel": 1, "threshold": 0.5, "expected_s": 0.002, "tolerance_s": 0.03},
            trials=dict(trials),
        )
        rig = make_rig(core, amplifier=make_amplifier(labels=("O1", "trigger"), kinds=("EEG", "TRIG")))
        shown_s = []

        def play(duration_s):
            seen = 0
            for _ in range(round(duration_s * rig.sfreq)):
                rig.wait_until(rig.due_s(rig.sent))
                for _ in pipe.take():
                    if seen not in missed:
                        shown_s.append(pylsl.local_clock() + after_s)
                    seen += 1
                high = bool(shown_s) and shown_s[0] <= pylsl.local_clock()
                if high:
                    shown_s.pop(0)
                rig.send(values=[rig.sample(rig.sent)[0], float(high)])

        rig.play = play
        return rig

    return start


def test_triggers_that_are_seen_when_they_should_be_change_nothing(witnessed):
    rig = witnessed()
    rig.play(1.0)
    rig.end()
    assert len(rig.delivered()) >= 8
    assert not rig.reasons() & {Reason.TRIGGER_LATE, Reason.TRIGGER_UNSEEN}


def test_a_trigger_that_is_seen_too_late_disarms(witnessed):
    rig = witnessed(after_s=0.06)
    rig.play(0.6)
    rig.end()
    assert len(rig.delivered()) == 1
    assert Reason.TRIGGER_LATE in rig.reasons()
    assert rig.core.gate["disarmed_by"][0] == Reason.TRIGGER_LATE


def test_a_trigger_that_is_never_seen_disarms(witnessed):
    rig = witnessed(missed=range(1000), trials={"wait_s": 0.5})
    rig.play(0.8)
    rig.end()
    assert len(rig.delivered()) == 1
    # It is waited for 0.2 s; until the next one is wanted, that is said first.
    assert rig.causes() == {Reason.INTERVAL, Reason.TRIGGER_UNSEEN}
    assert rig.core.gate["disarmed_by"][0] == Reason.TRIGGER_UNSEEN


def test_triggers_that_follow_each_other_before_one_is_given_up_are_missed_all_the_same(witnessed):
    rig = witnessed(missed=range(1000))
    rig.play(0.8)
    rig.end()
    assert rig.core.gate["disarmed_by"][0] == Reason.TRIGGER_UNSEEN
    assert len(rig.delivered()) <= 4


def test_one_trigger_that_is_missed_among_others_disarms(witnessed):
    rig = witnessed(missed=[2])
    rig.play(0.9)
    rig.end()
    assert rig.core.gate["armed"][0] == 0
    assert len(rig.delivered()) <= 6


# Lines that a call of the file's driver moves, and lines that a program drives


@pytest.fixture
def terminal():
    """Return a pseudo-terminal, whose window's size is what stands in for a line that a call moves."""
    ends = os.openpty()
    yield ends[1]
    for fd in ends:
        os.close(fd)


def rows_of(terminal):
    return struct.unpack("HHHH", fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8)))[0]


def by_call(fd, request, *, off=b"", off_after_s=0.02):
    on = struct.pack("HHHH", 1, 1, 0, 0)
    return TriggerLine(fd, on, off, off_after_s, "a test's", on_request=request, off_request=request)


def test_a_line_that_a_call_moves_goes_up_at_each_pulse_and_falls_after_its_time(make_rig, terminal):
    line = by_call(terminal, termios.TIOCSWINSZ, off=struct.pack("HHHH", 0, 1, 0, 0))
    rig = make_rig(line=line)
    seen = []
    for _ in range(150):
        rig.send()
        seen.append(rows_of(terminal))
    rig.end()
    ups = np.count_nonzero(np.diff(seen) == 1)
    assert ups >= 4
    assert abs(len(rig.delivered()) - ups) <= 1  # the last one may not have been looked at
    assert rows_of(terminal) == 0
    assert failures(rig) == []


def test_a_call_that_the_file_does_not_know_disarms(make_rig, pipe):
    with open_line(BytesLine(path=str(pipe.path), off=None)) as line:
        rig = make_rig(line=by_call(line.fd, termios.TIOCMBIS))
        expect_disarmed_by_the_first_write(rig, errno.ENOTTY)


def test_each_pulse_is_one_reply_of_the_program_that_drives_the_line(make_rig):
    with open_line(LslMarkerLine(kind="lsl_marker", stream=f"live-test-{os.getpid()}")) as line:
        rig = make_rig(line=line)
        rig.play(0.6)
        rig.wait(0.05)
        rig.end()
        replies = line.take_replies()
    delivered = rig.delivered()
    assert len(delivered) >= 4
    assert [reply.number for reply in replies] == list(range(len(delivered)))
    fired = [reply for reply in replies if reply.kind == ReplyKind.FIRED]
    written_s = rig.inputs_of(InputKind.WRITTEN)["now"]
    # Told on the loop's own clock; on a busy machine some may have come too late, and were not fired.
    assert fired
    assert all(0.0 < reply.fired_s - written_s[reply.number] < 0.1 for reply in fired)


def test_a_program_that_dies_disarms(make_rig):
    command = [sys.executable, "-P", "-c", DIES]
    with driven(command, "a test's") as line:
        rig = make_rig(line=line)
        expect_disarmed_by_the_first_write(rig, errno.EPIPE)


DIES = """\
import os, sys
from closedloop.stimulators.lines.pipe_pair import Reply, ReplyKind
os.write(int(sys.argv[2]), Reply(ReplyKind.READY, -1, 0.0).packed())
"""
