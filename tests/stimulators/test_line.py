"""A trigger line: the bytes that were told, nothing that waits, and low when it is left."""

import fcntl
import os

import pytest

from closedloop.config.line import BytesLine, CommandLine
from closedloop.errors import StimulatorError
from closedloop.stimulators.line import open_line


@pytest.fixture
def pipe(tmp_path):
    """Return a named pipe and a descriptor that reads it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reading
    os.close(reading)


def test_what_is_written_is_what_was_told(pipe):
    path, reading = pipe
    with open_line(BytesLine(path=str(path), on="a1FF", off="0b", off_after_s=0.002)) as line:
        assert (line.on, line.off, line.off_after_s, line.path) == (b"\xa1\xff", b"\x0b", 0.002, str(path))
        os.write(line.fd, line.on)
        assert os.read(reading, 16) == b"\x0b\xa1\xff"


def test_a_line_that_is_left_is_taken_back(pipe):
    path, reading = pipe
    with open_line(BytesLine(path=str(path), off="0b")):
        pass
    assert os.read(reading, 16) == b"\x0b\x0b"


def test_a_line_is_taken_back_after_an_error_too(pipe):
    path, reading = pipe
    with pytest.raises(RuntimeError, match="on the way"), open_line(BytesLine(path=str(path), off="0b")):
        raise RuntimeError("on the way")
    assert os.read(reading, 16) == b"\x0b\x0b"


def test_a_line_that_falls_back_by_itself_is_left_as_it_is(pipe):
    path, reading = pipe
    with open_line(BytesLine(path=str(path), off=None)) as line:
        assert line.off == b""
    assert os.read(reading, 16) == b""


def test_a_line_is_closed_when_it_is_left(pipe):
    path, _ = pipe
    with open_line(BytesLine(path=str(path))) as line:
        pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(line.fd)


def test_a_write_never_waits(pipe):
    path, _ = pipe
    with open_line(BytesLine(path=str(path), off=None)) as line:
        size = fcntl.fcntl(line.fd, fcntl.F_GETPIPE_SZ)
        assert os.write(line.fd, bytes(2 * size)) == size
        with pytest.raises(BlockingIOError):
            os.write(line.fd, line.on)


def test_a_reader_that_has_gone_does_not_disturb_the_end(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open_line(BytesLine(path=str(path))):
        os.close(reading)


def test_without_a_line_bytes_go_nowhere():
    with open_line(None) as line:
        assert line.path == os.devnull
        assert os.write(line.fd, line.on) == 1


def test_a_file_that_is_not_there_is_one_clear_line_and_is_not_made(tmp_path, one_line_error):
    path = tmp_path / "ttyUSB0"

    def use():
        with open_line(BytesLine(path=str(path))):
            pass

    line = one_line_error(StimulatorError, use)
    assert line == f"line.path = {path} cannot be opened: No such file or directory"
    assert not path.exists()


def test_a_folder_is_no_line(tmp_path, one_line_error):
    def use():
        with open_line(BytesLine(path=str(tmp_path))):
            pass

    assert one_line_error(StimulatorError, use) == f"line.path = {tmp_path} cannot be opened: Is a directory"


def test_a_pipe_that_nobody_reads_is_one_clear_line(tmp_path, one_line_error):
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def use():
        with open_line(BytesLine(path=str(path))):
            pass

    assert one_line_error(StimulatorError, use) == (
        f"line.path = {path} cannot be opened: nobody reads this pipe: start what listens to it first"
    )


def test_a_command_is_no_line_that_could_be_opened(one_line_error):
    def use():
        with open_line(CommandLine(kind="command", spread_s=0.01)):
            pass

    said = one_line_error(StimulatorError, use)
    assert said == "line.kind = command: only a session whose stimulator is armed fires by it"
