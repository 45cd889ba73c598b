"""A MagVenture MagPro (R30 and X100 families), configured and watched over its serial port."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import ClassVar, Literal, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from closedloop.config.device import Stimulator as Profile
from closedloop.config.model import Model
from closedloop.errors import StimulatorError
from closedloop.stimulators import magpro_frames as frames
from closedloop.stimulators.intensity import whole_percent
from closedloop.stimulators.magpro_faults import faults_of
from closedloop.stimulators.magpro_link import MagProLink
from closedloop.stimulators.magpro_settings import MagProSettings
from closedloop.stimulators.magpro_setup import Setup
from closedloop.stimulators.port import Port
from closedloop.stimulators.status import Identity, Status

SWITCH_S = 2.0
"""How long the device may take to be enabled or disabled."""
POLL_S = 0.05


class MagPro:
    """A MagPro that fires at its trigger input; use it in a ``with`` block, and from one thread only.

    **It has no keep-alive.** Once it is enabled it stays enabled until somebody disables it: where the host dies, hangs
    or loses the cable, the device stays enabled and fires at any edge of its trigger input. Software on the host cannot
    mend that. An external interlock is needed, such as a switch in the trigger's line that falls open by itself.

    Its front panel stays live: a hand may turn the knob, disable it or change its mode at any time. Each state that is
    read is compared with what was set, and a difference is a fault.

    Parameters
    ----------
    profile
        Name and limits.
    settings
        Port, model and mode.
    clock, sleep
        Time in s and how to wait, for the device's own waits; the wire's time-outs are always real.

    Raises
    ------
    StimulatorError
        From any method where the device cannot be used as asked, or does not answer.
    """

    settings_model: ClassVar[type[Model]] = MagProSettings

    def __init__(
        self,
        profile: Profile,
        settings: MagProSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._profile, self._settings = profile, settings
        self._clock, self._sleep = clock, sleep
        self._open = ExitStack()
        self._setup: Setup | None = None
        self._identity: Identity | None = None
        self._percent = 0
        self._is_open = self._armed = self._configured = False
        self._pulses = 1

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            settings = self._settings
            port = stack.enter_context(Port(settings.port, baud=settings.baud, name=self._profile.name))
            port.drain()
            link = MagProLink(port, reply_s=settings.reply_s)
            self._identify(link)
            self._setup = Setup(link, settings, self._profile.limits, self._sleep)
            self._is_open = True
            stack.callback(self._leave)
            self._switch(on=False)
            self._setup.write_amplitude(0)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def identity(self) -> Identity:
        """Which device answered."""
        if self._identity is None:
            self._refuse("open it before it is asked what it is")
        return self._identity

    @property
    def status_every_s(self) -> float:
        """How often its state should be asked for, in s."""
        return self._settings.status_every_s

    @property
    def recovered(self) -> int:
        """How many exchanges came about only when tried again."""
        return 0 if self._setup is None else self._setup.link.recovered

    @property
    def refused(self) -> int:
        """How many exchanges never came about."""
        return 0 if self._setup is None else self._setup.link.refused

    @property
    def pulses_told(self) -> int:
        """How many pulses the device has told of, as far as was read, whoever started them."""
        return 0 if self._setup is None else self._setup.link.pulses_told

    def status(self) -> Status:
        """Ask the device for its state.

        It does not tell whether it has recharged: ready is enabled, by this driver, and without a fault. Nor does
        it tell the current direction, which is compared when it is armed.
        """
        told = self._speak().link.status()
        fault = "; ".join(self._faults(told))
        return Status(
            armed=told.enabled,
            ready=told.enabled and self._armed and not fault,
            fault=fault,
            percent_of_maximum=float(told.percent),
            coil_temperature_c=float(told.temperature_c),
            pulses=self.pulses_told,
        )

    def set_intensity(self, percent_of_maximum: float) -> None:
        """Set the intensity in whole percent of the maximum stimulator output, and read it back."""
        percent = whole_percent(percent_of_maximum, self._profile)
        self._disarmed_or_refuse("the intensity is changed")
        self._percent = percent
        self._speak().write_amplitude(self._percent)

    def configure(self) -> None:
        """Set mode, waveform and current direction, and the delays where that is wanted; read all of it back.

        One trigger then gives one pulse.
        """
        self._disarmed_or_refuse("the settings are changed")
        self._configured = False
        setup = self._speak()
        setup.write_settings()
        setup.write_delays()
        self._configured = True
        self.set_train(1, 1.0)

    def set_train(self, pulses: int, frequency_hz: float) -> None:
        """Set how many pulses one trigger starts, and their rate; 1 is a single pulse.

        A train is one sequence of the timing page that an external trigger starts; that the device then gives exactly
        these pulses is concluded from the names on that page and was not seen.
        """
        self._disarmed_or_refuse("the train is changed")
        self._configured_or_refuse()
        self._configured = False  # until what one trigger starts is known again
        self._speak().write_train(pulses, frequency_hz)
        self._pulses, self._configured = pulses, True

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Enable for the length of a ``with`` block, and disable at its end, whatever happens.

        Raises
        ------
        StimulatorError
            Where something is wrong with the device, where it is not enabled in time, and where it cannot be disabled.
        """
        self._configured_or_refuse()
        if self._armed:
            self._refuse("it is armed already")
        if fault := self.status().fault or "; ".join(self._speak().settings_differences()):
            self._refuse(f"it cannot be armed: {fault}")
        try:
            self._switch(on=True)
            self._armed = True
            if fault := self.status().fault:
                self._refuse(f"it cannot be armed: {fault}")
            yield
        finally:
            self._armed = False
            self._disable()

    def fire(self) -> Literal["yes", "unknown"]:
        """Fire one pulse over the serial line, where timing does not matter: it varies by several ms.

        Returns
        -------
            Whether the device told of the pulse. The command is sent once; where its echo is lost the pulse is unknown,
            and counts as delivered.
        """
        if not self._armed:
            self._refuse("arm it before it is fired")
        if self._pulses != 1:
            self._refuse(f"a train of {self._pulses} pulses starts by the trigger input only")
        return "yes" if self._speak().link.fire() else "unknown"

    def artifact(self, sfreq: float, eeg: NDArray[np.bool_]) -> NDArray[np.float64]:  # noqa: ARG002 - a protocol's
        """Return nothing, of shape (0, n_channels): a real device leaves its artifact in the EEG itself."""
        return np.zeros((0, eeg.size))

    def _identify(self, link: MagProLink) -> None:
        told = link.status()
        if told.model != frames.MODELS.index(self._settings.model):
            known = told.model < len(frames.MODELS)
            model = frames.MODELS[told.model] if known else f"an unknown model (code {told.model})"
            self._refuse(
                f"{self._settings.port} leads to a MagPro {model}, not to the {self._settings.model} that is set"
            )
        self._identity = Identity(f"MagVenture MagPro {self._settings.model}", serial_number=str(told.serial_number))

    def _faults(self, told: frames.DeviceStatus) -> list[str]:
        return faults_of(told, self._settings, percent=self._percent, armed=self._armed, configured=self._configured)

    def _switch(self, *, on: bool) -> None:
        """Enable once, so that a hand at the panel has the last word; disable again and again."""
        link, until_s = self._speak().link, self._clock() + SWITCH_S
        if on:
            link.tell(frames.enable(on=True))
        ask = frames.ask_status() if on else frames.enable(on=False) + frames.ask_status()
        while link.status(ask).enabled != on:
            if self._clock() >= until_s:
                self._refuse(f"it was not {'enabled' if on else 'disabled'} within {SWITCH_S:g} s")
            self._sleep(POLL_S)

    def _disable(self) -> None:
        try:
            self._switch(on=False)
        except StimulatorError as error:
            raise StimulatorError(f"{error}; it may still be enabled: press Disable at the device") from error

    def _leave(self) -> None:
        """Disable, turn the amplitude to 0 and forget the port."""
        setup, self._armed, self._configured, self._percent = self._speak(), False, False, 0
        try:
            self._disable()
        except StimulatorError:
            with suppress(StimulatorError):  # of the two, that it may be enabled is what has to be told
                setup.write_amplitude(0)
            raise
        else:
            setup.write_amplitude(0)
        finally:
            self._is_open = False

    def _configured_or_refuse(self) -> None:
        if not self._configured:
            self._refuse("configure it first: what one trigger starts is not known")

    def _disarmed_or_refuse(self, what: str) -> None:
        if self._armed:
            self._refuse(f"disarm before {what}")

    def _speak(self) -> Setup:
        if self._setup is None or not self._is_open:
            self._refuse("it is not open")
        return self._setup

    def _refuse(self, why: str) -> NoReturn:
        raise StimulatorError(f"{self._profile.name}: {why}")
