"""A Magstim under remote control: from opening its port to giving it back, disarmed."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Annotated, ClassVar, Self, TypeVar

from pydantic import Field

from closedloop.config.device import Stimulator
from closedloop.config.model import Model
from closedloop.errors import StimulatorError
from closedloop.stimulators import magstim_frames as frames
from closedloop.stimulators.magstim_faults import Told
from closedloop.stimulators.magstim_frames import Instrument, Request, State, Verdict
from closedloop.stimulators.magstim_link import REPLY_TIMEOUT_S, Link
from closedloop.stimulators.port import Port
from closedloop.stimulators.status import Identity

T = TypeVar("T")


class MagstimSettings(Model):
    """How to reach a Magstim stimulator."""

    port: Annotated[str, Field(min_length=1)]
    """The serial port, such as /dev/ttyUSB0."""
    baud: Annotated[int, Field(gt=0)] = 9600
    """Its speed in bit/s."""


class MagstimSession:
    """A device that is identified and under remote control within a ``with`` block.

    Parameters
    ----------
    profile
        Its name and its limits.
    settings
        How to reach it.
    clock, sleep
        What time it is, and how to let it pass, in s.
    reply_timeout_s
        How long a whole answer may take.
    """

    model: ClassVar[str]
    settings_model: ClassVar[type[MagstimSettings]] = MagstimSettings

    def __init__(
        self,
        profile: Stimulator,
        settings: MagstimSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
    ) -> None:
        self._profile, self._name, self._reach = profile, profile.name, settings
        self._clock, self._sleep, self._reply_timeout_s = clock, sleep, reply_timeout_s
        self._link: Link | None = None
        self._stack: ExitStack | None = None
        self._identity = Identity(self.model)
        self._told = Told()

    def __enter__(self) -> Self:
        if self._stack is not None:
            raise StimulatorError(f"{self._name}: the driver is open already")
        self._told = Told()
        with ExitStack() as stack:
            port = stack.enter_context(Port(self._reach.port, baud=self._reach.baud, name=self._name))
            self._link = Link(port, reply_timeout_s=self._reply_timeout_s)
            stack.callback(self._link.end)
            self._identity = Identity(self.model, firmware=self._identify())
            stack.push(self._release)
            self._command(frames.DISARM, "disarmed")
            self._take_remote()
            self._prepare()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.__exit__(kind, error, trace)

    @property
    def identity(self) -> Identity:
        """Which device answers; its firmware is known once the driver is open."""
        return self._identity

    @property
    def recovered(self) -> int:
        """Exchanges that were damaged and came right when they were repeated."""
        return 0 if self._link is None else self._link.recovered

    @property
    def refused(self) -> int:
        """Exchanges that the device refused or that stayed damaged."""
        return 0 if self._link is None else self._link.refused

    def _identify(self) -> str:
        """Return the firmware of a device that is what the driver is for."""
        version = self._connection().ask(frames.TELL_VERSION).value
        if version is None:
            raise StimulatorError(f"{self._name}: the device at {self._reach.port} does not tell a Magstim's version")
        self._check_model(version)
        return version

    def _check_model(self, version: str) -> None:
        """Raise where another model answers than the driver is for."""
        raise NotImplementedError

    def _knows(self, request: Request[T]) -> bool:
        """Return whether the device knows a command; a model is told by those that it knows."""
        return self._connection().ask(request, probe=True).verdict is Verdict.ACCEPTED

    def _another(self, version: str) -> StimulatorError:
        return StimulatorError(
            f"{self._name}: the device at {self._reach.port} (firmware {version}) is no {self.model}"
        )

    def _ask_state(self) -> Request[State]:
        """Return what the device is asked its state by."""
        return frames.TELL_PARAMETERS

    def _take_remote(self) -> None:
        self._confirm_remote(self._command(frames.ENABLE_REMOTE, "controlled remotely"))

    def _confirm_remote(self, instrument: Instrument) -> None:
        if Instrument.REMOTE not in instrument:
            raise StimulatorError(f"{self._name}: it does not give remote control, though it says that it does")

    def _prepare(self) -> None:
        """Bring the device to the state on which the driver stands."""
        self._tell()

    def _release(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Disarm and give remote control back, the second whatever the first came to."""
        failures = []
        for request, what in ((frames.DISARM, "disarmed"), (frames.DISABLE_REMOTE, "given back")):
            try:
                self._command(request, what)
            except StimulatorError as failure:
                failures.append(str(failure))
        if failures and error is None:
            raise StimulatorError("; ".join(failures))
        if failures and error is not None:
            error.add_note("; ".join(failures))

    def _connection(self) -> Link:
        if self._link is None or not self._link.open:
            raise StimulatorError(f"{self._name}: the driver is not open: use it in a with block")
        return self._link

    def _command(self, request: Request[T], what: str) -> T:
        """Return what a device answers to a request that may be sent twice."""
        reply = self._connection().ask(request)
        if reply.value is None:
            raise StimulatorError(f"{self._name}: it cannot be {what}: {reply.verdict.value}")
        return reply.value

    def _tell(self) -> State:
        """Return the device's state, and remember it."""
        self._told.state = self._command(self._ask_state(), "asked for its state")
        self._told.instrument = self._told.state.instrument
        return self._told.state
