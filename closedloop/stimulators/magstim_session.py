"""A Magstim under remote control: from opening its port to giving it back, disarmed."""

from types import TracebackType
from typing import Annotated, ClassVar, TypeVar

from pydantic import Field

from closedloop.config.model import Model
from closedloop.errors import StimulatorError
from closedloop.stimulators import magstim_frames as frames
from closedloop.stimulators.magstim_faults import Told
from closedloop.stimulators.magstim_frames import Instrument, Request, State, Verdict
from closedloop.stimulators.magstim_link import Link
from closedloop.stimulators.port import Port
from closedloop.stimulators.serial_driver import SerialDriver, SerialSettings
from closedloop.stimulators.status import Identity

T = TypeVar("T")


class MagstimSettings(SerialSettings):
    """How to reach a Magstim stimulator."""

    baud: Annotated[int, Field(ge=300)] = 9600
    """Its speed in bit/s."""


S = TypeVar("S", bound=MagstimSettings)


class MagstimSession(SerialDriver[S, Link]):
    """A device that is identified and under remote control within a ``with`` block."""

    model: ClassVar[str]
    settings_model: ClassVar[type[Model]] = MagstimSettings
    _firmware_said = ""
    _told = Told()  # until it is opened, which gives each driver its own

    @property
    def identity(self) -> Identity:
        """Which device answers; its firmware is known once the driver is open."""
        return Identity(self.model, firmware=self._firmware_said)

    def _connect(self, port: Port) -> Link:
        self._told = Told()
        return Link(port)

    def _identify(self) -> None:
        version = self._speak().ask(frames.TELL_VERSION).value
        if version is None:
            self._refuse(f"the device at {self._settings.port} does not tell a Magstim's version")
        self._check_model(version)
        self._firmware_said = version

    def _take_over(self) -> None:
        self._command(frames.DISARM, "disarmed")
        self._take_remote()
        self._prepare()

    def _leave(
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

    def _check_model(self, version: str) -> None:
        """Raise where another model answers than the driver is for."""
        raise NotImplementedError

    def _knows(self, request: Request[T]) -> bool:
        """Return whether the device knows a command; a model is told by those that it knows."""
        return self._speak().ask(request, probe=True).verdict is Verdict.ACCEPTED

    def _another(self, version: str) -> StimulatorError:
        return StimulatorError(
            f"{self._name}: the device at {self._settings.port} (firmware {version}) is no {self.model}"
        )

    def _ask_state(self) -> Request[State]:
        """Return what the device is asked its state by."""
        return frames.TELL_PARAMETERS

    def _take_remote(self) -> None:
        self._confirm_remote(self._command(frames.ENABLE_REMOTE, "controlled remotely"))

    def _confirm_remote(self, instrument: Instrument) -> None:
        if Instrument.REMOTE not in instrument:
            self._refuse("it does not give remote control, though it says that it does")

    def _prepare(self) -> None:
        """Bring the device to the state on which the driver stands."""
        self._tell()

    def _command(self, request: Request[T], what: str) -> T:
        """Return what a device answers to a request that may be sent twice."""
        reply = self._speak().ask(request)
        if reply.value is None:
            self._refuse(f"it cannot be {what}: {reply.verdict.value}")
        return reply.value

    def _tell(self) -> State:
        """Return the device's state, and remember it."""
        self._told.state = self._command(self._ask_state(), "asked for its state")
        self._told.instrument = self._told.state.instrument
        return self._told.state
