"""A Deymed DuoMAG, set and watched over its virtual serial port."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import ClassVar, Literal

from closedloop.config.model import Model
from closedloop.errors import StimulatorError
from closedloop.stimulators import duomag_frames as frames
from closedloop.stimulators.departure import AT_ANY_TIME
from closedloop.stimulators.duomag_settings import DuoMagSettings
from closedloop.stimulators.duomag_stream import DuoMagStream
from closedloop.stimulators.intensity import whole_percent
from closedloop.stimulators.port import Port
from closedloop.stimulators.serial_driver import SerialDriver
from closedloop.stimulators.status import Identity, Status

CHARGE_S = 2.0
"""How long it may take to recharge once it is armed."""
POLL_S = 0.05
FRESH_S = 0.1
"""What it told longer ago is not what it was when it was fired."""


class DuoMag(SerialDriver[DuoMagSettings, DuoMagStream]):
    """A DuoMAG that fires at its trigger input; use it in a ``with`` block, and from one thread only.

    **No command is known that arms or disarms it, and it has no keep-alive.** This driver holds the intensity at 0
    except while it is armed, and sets it then; that a DuoMAG gives no pulse at 0 is assumed. Where the host dies while
    it is armed, the intensity stays and the device fires at any edge of its trigger input: an external interlock is
    needed, such as a switch in the trigger's line that falls open by itself.

    Its stream has no check, so that a state counts only once two frames in a row tell it. Its layout, the known
    commands and what is assumed of them are in `closedloop.stimulators.duomag_frames`.
    """

    settings_model: ClassVar[type[Model]] = DuoMagSettings
    stop_bits = 2
    _percent = 0
    _configured = False
    _why_not_ready = "it has not been asked how it is"
    _told_s = -math.inf

    @property
    def identity(self) -> Identity:
        """Which device answers: one whose stream is a DuoMAG's, which tells neither model nor number."""
        self._speak()
        return Identity("Deymed DuoMAG")

    @property
    def status_every_s(self) -> float:
        """How often its state should be asked for, in s."""
        return self._settings.status_every_s

    def status(self) -> Status:
        """Read the device's state; it is armed where its intensity is above 0, and tells no temperature in °C."""
        self._why_not_ready = "it does not say how it is"
        told = self._speak().newest()
        self._told_s = self._clock()
        fault = "; ".join(self._faults(told))
        ready = self._armed and told.charged and not fault
        self._why_not_ready = "" if ready else fault or "it recharges"
        return Status(
            armed=told.percent > 0,
            ready=ready,
            fault=fault,
            percent_of_maximum=float(told.percent),
        )

    def set_intensity(self, percent_of_maximum: float) -> None:
        """Choose the intensity in whole percent of the maximum; the device gets it when it is armed, and not before."""
        percent = whole_percent(percent_of_maximum, self._profile)
        self._only_disarmed("the intensity is changed")
        self._percent = percent

    def configure(self) -> None:
        """Set the delays of recharging and of the trigger output where that is wanted, and read them back."""
        self._only_disarmed("the settings are changed")
        self._configured = False
        self._set_delay(frames.RECHARGE, "recharge", self._settings.recharge_delay_ms)
        self._set_delay(frames.OUTPUT, "output", self._settings.output_delay_ms)
        self._configured = True

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Set the intensity for the length of a ``with`` block, and 0 at its end, whatever happens.

        Raises
        ------
        StimulatorError
            Where something is wrong with the device, where it does not recharge in time, and where it cannot be
            turned to 0.
        """
        self._only_disarmed("it is armed again")
        if not self._configured:
            self._refuse("configure it first")
        if self._percent == 0:
            self._refuse("intensity = 0 %: set one above 0 before it is armed")
        if fault := self.status().fault:
            self._refuse(f"it cannot be armed: {fault}")
        try:
            self._write_intensity(self._percent)
            self._armed = True
            self._charge()
            yield
        finally:
            self._armed = False
            self._quench()

    def fire(self, leaving: AbstractContextManager[None] = AT_ANY_TIME) -> Literal["yes", "unknown"]:
        """Fire over the serial line, where timing does not matter: it varies by several ms.

        Returns
        -------
            Whether the stream shows that the device is no longer charged, which a pulse leaves (assumed): where it has
            not told of late that it was, that shows nothing. The command is sent once; what is unknown counts as
            delivered.
        """
        if not self._armed:
            self._refuse("arm it before it is fired")
        known = self._look_again()
        if self._why_not_ready:  # else what shows the pulse would show already
            self._refuse(f"it is not ready to fire: {self._why_not_ready}")
        self._why_not_ready = "it recharges"  # until it says otherwise
        shown = self._speak().once(frames.fire(), lambda told: not told.charged, leaving)
        return "yes" if shown and known else "unknown"

    def _connect(self, port: Port) -> DuoMagStream:
        return DuoMagStream(port, reply_s=self._settings.reply_s)

    def _identify(self) -> None:
        self._speak().newest()

    def _take_over(self) -> None:
        self._quench()

    def _leave(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Turn it to 0."""
        self._armed, self._configured, self._percent = False, False, 0
        self._quench()

    def _faults(self, told: frames.DuoState) -> list[str]:
        found = list(told.faults)
        if not found and told.coil_type not in [1 + frames.COILS.index(coil) for coil in self._settings.coils]:
            found.append(f"the coil's type {told.coil_type} is not among {', '.join(self._settings.coils)}")
        wanted = self._percent if self._armed else 0
        if told.percent != wanted:
            found.append(f"the amplitude was changed by hand from {wanted} to {told.percent} %")
        return found

    def _look_again(self) -> bool:
        """Take what it has told since it was asked; return whether it has of late. To ask anew would take 40 ms."""
        told = self._speak().latest()
        if told is None:
            return self._clock() - self._told_s <= FRESH_S
        self._why_not_ready = self._why_not_ready or "; ".join(self._faults(told))
        if not told.charged:
            self._why_not_ready = self._why_not_ready or "it recharges"
        return True

    def _charge(self) -> None:
        until_s = self._clock() + CHARGE_S
        while not (status := self.status()).ready:
            if status.fault:
                self._refuse(f"it cannot be armed: {status.fault}")
            if self._clock() >= until_s:
                self._refuse(f"it did not recharge within {CHARGE_S:g} s")
            self._sleep(POLL_S)

    def _write_intensity(self, percent: int) -> None:
        sent = frames.set_intensity(percent)
        self._speak().command(sent, lambda told: told.percent == percent, f"intensity = {percent} %")

    def _set_delay(self, which: int, name: str, delay_ms: float | None) -> None:
        if delay_ms is None:
            return
        code = frames.delay_code(delay_ms)
        if code is None:
            self._refuse(
                f"settings.{name}_delay_ms = {delay_ms:g} is not 0 to 127 steps of 0.05, 0.1, 0.2, 0.5, 1, 2, 5 or 10"
            )
        sent = frames.set_delay(which, *code)
        self._speak().command(sent, lambda told: getattr(told, name) == code, f"{name}_delay_ms = {delay_ms:g}")

    def _quench(self) -> None:
        try:
            self._write_intensity(0)
        except StimulatorError as error:
            raise StimulatorError(f"{error}; it may still fire at a trigger: turn it off at the device") from error
