"""The compiled wire of a trigger: the real system call does what is asked, and what it says is what comes back."""

import array
import errno
import fcntl
import os
import struct
import sys
import termios

import numba
import numpy as np
import pytest

pytestmark = [
    pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="the live loop runs compiled only"),
    pytest.mark.skipif(sys.platform != "linux", reason="the live loop runs on Linux only"),
]


@pytest.fixture(scope="module")
def drive():
    """Return the compiled function, with a way in for Python: file descriptor, request, bytes."""
    from closedloop.core.wire import drive as compiled

    @numba.njit
    def enter(fd, request, address, n):
        return compiled(fd, request, address, n)

    return lambda fd, request, data: enter(fd, request, data.ctypes.data, data.nbytes)


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    yield reading, writing
    for fd in (reading, writing):
        os.close(fd)


@pytest.fixture
def terminal():
    ends = os.openpty()
    yield ends[1]
    for fd in ends:
        os.close(fd)


def held(data):
    return np.frombuffer(bytes(data), np.uint8).copy()


def test_what_the_kernel_puts_behind_the_address_arrives(drive, pipe):
    reading, writing = pipe
    os.write(writing, b"12345")
    answer = np.zeros(1, np.int32)
    assert drive(reading, termios.FIONREAD, answer) == 0
    assert answer[0] == 5


def test_what_lies_behind_the_address_reaches_the_kernel(drive, terminal):
    assert drive(terminal, termios.TIOCSWINSZ, held(struct.pack("HHHH", 25, 80, 7, 9))) == 0
    answer = array.array("H", [0] * 4)
    fcntl.ioctl(terminal, termios.TIOCGWINSZ, answer)
    assert list(answer) == [25, 80, 7, 9]


def test_a_file_that_has_no_control_lines_is_an_errno(drive, pipe):
    assert drive(pipe[0], termios.TIOCMBIS, held(struct.pack("i", termios.TIOCM_RTS))) == errno.ENOTTY


def test_a_file_that_is_closed_is_an_errno(drive):
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    assert drive(writing, termios.TIOCMBIS, held(bytes(4))) == errno.EBADF
    assert drive(writing, 0, held(b"\x01")) == errno.EBADF


def test_bytes_are_written_as_they_are(drive, pipe):
    reading, writing = pipe
    assert drive(writing, 0, held(b"\x00\xff\x0a")) == 0
    assert os.read(reading, 16) == b"\x00\xff\x0a"


def test_a_pipe_that_is_full_is_an_errno_and_one_that_has_room_for_a_part_is_told_apart(drive, pipe):
    from closedloop.core.wire import PART

    reading, writing = pipe
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, bytes(size))
    assert drive(writing, 0, held(b"\x01")) == errno.EAGAIN
    os.read(reading, size)
    assert drive(writing, 0, held(bytes(size + 1))) == PART


def test_a_pipe_that_nobody_reads_is_an_errno(drive):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert drive(writing, 0, held(b"\x01")) == errno.EPIPE
    finally:
        os.close(writing)
