"""What drivers of devices at a serial port share: how one is opened, told from another, taken over and left."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Annotated, ClassVar, Generic, Protocol, Self, TypeVar

from pydantic import Field

from closedloop.config.device import Stimulator as Profile
from closedloop.config.model import Model
from closedloop.stimulators.driver import BaseDriver
from closedloop.stimulators.port import Port


class SerialSettings(Model):
    """How to reach a device at a serial port."""

    port: Annotated[str, Field(min_length=1)]
    """The serial port, such as /dev/ttyUSB0."""
    baud: Annotated[int, Field(ge=300)]
    """Its speed in bit/s."""


class Wire(Protocol):
    """A device's language over an open port, and how well it went.

    Attributes
    ----------
    recovered, refused
        Exchanges that came about only when tried again, and those that never did.
    """

    recovered: int
    refused: int


S = TypeVar("S", bound=SerialSettings)
W = TypeVar("W", bound=Wire)


class SerialDriver(BaseDriver, ABC, Generic[S, W]):
    """A driver of a device at a serial port; use it in a ``with`` block, and from one thread only.

    Parameters
    ----------
    profile
        Name and limits.
    settings
        How to reach the device, and what it should be.
    clock, sleep
        Time in s and how to wait, for the device's own waits; the wire's time-outs are always real.
    """

    stop_bits: ClassVar[int] = 1

    def __init__(
        self,
        profile: Profile,
        settings: S,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(profile)
        self._settings, self._clock, self._sleep = settings, clock, sleep
        self._wire: W | None = None
        self._is_open = False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._is_open:
            self._refuse("it is open already")
        settings = self._settings
        with ExitStack() as stack:
            port = stack.enter_context(
                Port(settings.port, baud=settings.baud, stop_bits=self.stop_bits, name=self._name)
            )
            self._wire, self._is_open = self._connect(port), True
            stack.callback(setattr, self, "_is_open", False)
            self._identify()  # before anything is said to a device that may be another one
            stack.push(self._leave)
            self._take_over()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, ExitStack()
        stack.__exit__(kind, error, trace)

    @property
    def recovered(self) -> int:
        """How many exchanges came about only when tried again."""
        return 0 if self._wire is None else self._wire.recovered

    @property
    def refused(self) -> int:
        """How many exchanges never came about, or were refused by the device."""
        return 0 if self._wire is None else self._wire.refused

    @abstractmethod
    def _connect(self, port: Port) -> W:
        """Return the device's language over its port, which is open."""

    @abstractmethod
    def _identify(self) -> None:
        """Raise where another device answers than the driver is for."""

    @abstractmethod
    def _take_over(self) -> None:
        """Disarm the device, whatever somebody left it as, and bring it to the state on which the driver stands."""

    @abstractmethod
    def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the device disarmed, after whatever happened."""

    def _speak(self) -> W:
        if self._wire is None or not self._is_open:
            self._refuse("it is not open: use it in a with block")
        return self._wire

    def _only_disarmed(self, what: str) -> None:
        self._speak()
        super()._only_disarmed(what)
