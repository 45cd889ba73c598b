"""The one tree of errors.

::

    ClosedloopError          one clear line: what, value, limit, place
    ├── ConfigError          a YAML file or an option that cannot be used
    ├── RecordingError       a recording that cannot be found, read or trusted
    ├── CalibrationError     a rest recording from which nothing can be designed
    ├── SessionError         a session folder that cannot be read or replayed
    ├── StreamError          a live stream that cannot be found, trusted or followed
    ├── LoopError            the compiled loop failed, or hangs
    ├── NativeError          a C function that the live loop needs and this system lacks
    ├── OutputError          a folder or a file that cannot be written
    ├── DoseError            a dose record that cannot be read, kept or trusted
    └── StimulatorError      a device that cannot be used as asked

The command line prints the message of any of them and exits with status 2. Anything else that
escapes is a defect of the program.
"""


class ClosedloopError(Exception):
    """A failure that its reader can act on; the message is one line, with what went wrong because of it at its end."""

    def __str__(self) -> str:
        said = super().__str__()
        return "; ".join([said, *(note for note in getattr(self, "__notes__", ()) if note not in said)])


class ConfigError(ClosedloopError):
    """A pipeline, a device profile or an option cannot be used as written.

    Parameters
    ----------
    mistake, others
        The first mistake, and those that were found beside it, a line each.

    Attributes
    ----------
    mistakes
        All of them; as text the error is the first, and how many more there are.
    """

    def __init__(self, mistake: str, *others: str) -> None:
        super().__init__(f"{mistake} (and {len(others)} more)" if others else mistake)
        self.mistakes = (mistake, *others)


class RecordingError(ClosedloopError):
    """A recording cannot be found, read or trusted."""


class CalibrationError(ClosedloopError):
    """A rest recording does not allow the design that was asked for."""


class SessionError(ClosedloopError):
    """A session folder cannot be read or replayed."""


class StreamError(ClosedloopError):
    """A live stream cannot be found, trusted or followed."""


class LoopError(ClosedloopError):
    """The compiled loop failed or hangs: a defect of the program, or of the system under it."""


class NativeError(ClosedloopError):
    """A C function that the live loop needs is missing on this system."""


class OutputError(ClosedloopError):
    """A folder or a file cannot be written."""


class DoseError(ClosedloopError):
    """A dose record cannot be read, kept or trusted: nothing is armed without one."""


class StimulatorError(ClosedloopError):
    """A stimulator or its trigger line cannot be used as asked."""
