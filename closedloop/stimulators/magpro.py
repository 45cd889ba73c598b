"""A MagVenture MagPro (R30 and X100 families), configured and watched over its serial port."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType
from typing import ClassVar, Literal

from closedloop.config.model import Model
from closedloop.errors import StimulatorError
from closedloop.stimulators import magpro_frames as frames
from closedloop.stimulators.departure import AT_ANY_TIME
from closedloop.stimulators.intensity import whole_percent
from closedloop.stimulators.magpro_faults import faults_of
from closedloop.stimulators.magpro_link import MagProLink
from closedloop.stimulators.magpro_settings import MagProSettings
from closedloop.stimulators.magpro_setup import SINGLE_HZ, Setup
from closedloop.stimulators.port import Port
from closedloop.stimulators.serial_driver import SerialDriver
from closedloop.stimulators.status import Identity, Status

SWITCH_S = 2.0
"""How long the device may take to be enabled or disabled."""
POLL_S = 0.05
SETTINGS_EVERY_S = 5.0
"""How often `status` also reads the settings: they alone tell the current's direction."""


class MagPro(SerialDriver[MagProSettings, MagProLink]):
    """A MagPro that fires at its trigger input; use it in a ``with`` block, and from one thread only.

    **It has no keep-alive.** Once it is enabled it stays enabled until somebody disables it: where the host dies, hangs
    or loses the cable, the device stays enabled and fires at any edge of its trigger input. Software on the host cannot
    mend that. An external interlock is needed, such as a switch in the trigger's line that falls open by itself.

    Its front panel stays live: a hand may turn the knob, disable it or change its mode at any time. Each state that is
    read is compared with what was set, and a difference is a fault.
    """

    settings_model: ClassVar[type[Model]] = MagProSettings
    _setup: Setup | None = None
    _identity: Identity | None = None
    _percent, _pulses = 0, 1
    _configured = False
    _settings_at_s = -math.inf
    _reversed = ""

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
    def pulses_told(self) -> int:
        """How many pulses the device has told of, as far as was read, whoever started them."""
        return 0 if self._wire is None else self._wire.pulses_told

    def status(self) -> Status:
        """Ask the device for its state, and every few seconds for its settings.

        It does not tell whether it has recharged: ready is enabled, by this driver, and without a fault.
        """
        told = self._speak().status()
        if self._configured and self._clock() - self._settings_at_s >= SETTINGS_EVERY_S:
            self._reversed = "; ".join(self._set_up().settings_differences("current_direction"))
            self._settings_at_s = self._clock()
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
        self._only_disarmed("the intensity is changed")
        self._percent = percent
        self._set_up().write_amplitude(self._percent)

    def configure(self) -> None:
        """Set mode, waveform and current direction, and the delays where that is wanted; read all of it back.

        One trigger then gives one pulse.
        """
        self._only_disarmed("the settings are changed")
        self._configured = False
        setup = self._set_up()
        setup.write_settings()
        setup.write_delays()
        self._reversed, self._settings_at_s, self._configured = "", self._clock(), True
        self.set_train(1, SINGLE_HZ)

    def set_train(self, pulses: int, frequency_hz: float) -> None:
        """Set how many pulses one trigger starts, and their rate; 1 is a single pulse.

        A train is one sequence of the timing page that an external trigger starts; that the device then gives exactly
        these pulses is concluded from the names on that page and was not seen.
        """
        self._only_disarmed("the train is changed")
        self._configured_or_refuse()
        self._configured = False  # until what one trigger starts is known again
        self._set_up().write_train(pulses, frequency_hz)
        self._pulses, self._configured = pulses, True

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Enable for the length of a ``with`` block, and disable at its end, whatever happens.

        Raises
        ------
        StimulatorError
            Where something is wrong with the device, where it is not enabled in time, and where it cannot be disabled.
        """
        self._only_disarmed("it is armed again")
        self._configured_or_refuse()
        self._settings_at_s = -math.inf
        if fault := self.status().fault:
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

    def fire(self, leaving: AbstractContextManager[None] = AT_ANY_TIME) -> Literal["yes", "unknown"]:
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
        return "yes" if self._speak().fire(leaving) else "unknown"

    def _connect(self, port: Port) -> MagProLink:
        port.drain()
        return MagProLink(port, reply_s=self._settings.reply_s)

    def _identify(self) -> None:
        told = self._speak().status()
        if told.model != frames.MODELS.index(self._settings.model):
            known = told.model < len(frames.MODELS)
            model = frames.MODELS[told.model] if known else f"an unknown model (code {told.model})"
            self._refuse(
                f"{self._settings.port} leads to a MagPro {model}, not to the {self._settings.model} that is set"
            )
        self._identity = Identity(f"MagVenture MagPro {self._settings.model}", serial_number=str(told.serial_number))

    def _take_over(self) -> None:
        self._setup = Setup(self._speak(), self._settings, self._profile.limits, self._sleep)
        self._switch(on=False)
        self._setup.write_amplitude(0)

    def _leave(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Disable and turn the amplitude to 0."""
        setup, self._armed, self._configured, self._percent = self._set_up(), False, False, 0
        try:
            self._disable()
        except StimulatorError:
            with suppress(StimulatorError):  # of the two, that it may be enabled is what has to be told
                setup.write_amplitude(0)
            raise
        setup.write_amplitude(0)

    def _faults(self, told: frames.DeviceStatus) -> list[str]:
        found = faults_of(told, self._settings, percent=self._percent, armed=self._armed, configured=self._configured)
        if self._configured and self._reversed:
            found.append(f"by hand, {self._reversed}")
        page, wanted = self._speak().page, self._set_up().page_of(self._pulses)
        if self._configured and page not in (None, wanted):
            found.append(
                f"by hand, its screen is at page {page}, not {wanted}: a trigger may start something else there"
            )
        return found

    def _switch(self, *, on: bool) -> None:
        """Enable once, so that a hand at the panel has the last word; disable again and again."""
        link, until_s = self._speak(), self._clock() + SWITCH_S
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

    def _configured_or_refuse(self) -> None:
        if not self._configured:
            self._refuse("configure it first: what one trigger starts is not known")

    def _set_up(self) -> Setup:
        self._speak()
        assert self._setup is not None  # made when it was opened
        return self._setup
