"""What is written to a MagPro and read back: settings, delays, amplitude and the train that a trigger starts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from closedloop.config.limits import DeviceLimits
from closedloop.errors import StimulatorError
from closedloop.stimulators import magpro_frames as frames
from closedloop.stimulators.magpro_faults import difference
from closedloop.stimulators.magpro_link import MagProLink
from closedloop.stimulators.magpro_settings import MagProSettings

WRITES, READS = 2, 2
"""How often what is never acknowledged is written, and how often it is read back after each writing."""
MOST_PULSES = 2000
HIGHEST_HZ = {"R30": 30, "R30+Option": 30, "R30+Option+Mono": 30}
OTHERS_HIGHEST_HZ = 100
SINGLE_HZ = 1.0
"""The rate that the timing page holds while one trigger gives one pulse."""


@dataclass(frozen=True)
class Setup:
    """Writes to one device.

    Attributes
    ----------
    link
        To the device.
    settings
        What it should be.
    limits
        What it may never be asked for.
    sleep
        How to wait.
    """

    link: MagProLink
    settings: MagProSettings
    limits: DeviceLimits
    sleep: Callable[[float], None]

    def write_amplitude(self, percent: int) -> None:
        """Set amplitude A; where it reads back as another, somebody turns the knob."""
        self.link.ask(frames.set_amplitude(percent), frames.AMPLITUDE, f"intensity = {percent} %")
        told = self.link.status().percent
        if told != percent:
            self._refuse(f"intensity = {percent} % reads back as {told} %: was the knob turned?")

    def write_settings(self) -> None:
        """Set mode, waveform and current direction."""
        frame = frames.set_settings(frames.MODELS.index(self.settings.model), **self._codes())
        self._write_until_read(frame, self.settings_differences)

    def settings_differences(self, *names: str) -> list[str]:
        """Read the settings; say in words what is not as it should be, of all that is set or of what is named."""
        body = self.link.ask(frames.ask_settings(), frames.SETTINGS, "settings")
        told = vars(frames.DeviceSettings.parse(body))
        wanted = {what: code for what, code in self._codes().items() if what in (names or told)}
        return [difference(what, code, told[what]) for what, code in wanted.items() if told[what] != code]

    def _codes(self) -> dict[str, int]:
        settings = self.settings
        return {
            "mode": frames.MODES.index(settings.mode),
            "current_direction": frames.CURRENT_DIRECTIONS.index(settings.current_direction),
            "waveform": frames.WAVEFORMS.index(settings.waveform),
        }

    def write_delays(self) -> None:
        """Set the trigger input's delay to 0 and recharging to what is wanted; leave the trigger output's delay."""
        charge_ms = self.settings.charge_delay_ms
        if charge_ms is None:
            return

        def ask() -> frames.DeviceDelays:
            return frames.DeviceDelays.parse(self.link.ask(frames.ask_delays(), frames.DELAYS, "delays"))

        def differences() -> list[str]:
            told, wanted = ask(), frames.DeviceDelays(0.0, before.output_ms, charge_ms)
            return [] if told == wanted else [f"{told} instead of {wanted}"]

        before = ask()
        self._write_until_read(frames.set_delays(0.0, before.output_ms, charge_ms), differences)

    def write_train(self, pulses: int, frequency_hz: float) -> None:
        """Set what one trigger starts, and turn to its page; both are read back where trains are used, else neither."""
        self._check_train(pulses, frequency_hz)
        page = self.page_of(pulses)
        self.link.page = None  # what it told before is old
        if not self.settings.trains:
            self.link.tell(frames.set_page(page))
            return
        control = frames.EXTERNAL_TRIGGER if pulses == 1 else frames.EXTERNAL_START
        # The rate of single pulses is the triggers' own; the device gets one that it can hold.
        rate_hz = SINGLE_HZ if pulses == 1 else frequency_hz
        wanted = frames.DeviceTrain(control, rate_hz, pulses, 1)

        def differences() -> list[str]:
            told = frames.DeviceTrain.parse(self.link.ask(frames.ask_train(), frames.TRAIN, "train"))
            on_page = frames.page_of(self.link.ask(frames.ask_page(), frames.PAGE, "page"))
            found = [] if told == wanted else [f"{told} instead of {wanted}"]
            return found + ([] if on_page == page else [f"page {on_page} instead of {page}"])

        self._write_until_read(frames.set_page(page) + frames.set_train(control, rate_hz, pulses), differences)

    @staticmethod
    def page_of(pulses: int) -> int:
        """Return the page at which one trigger starts so many pulses."""
        return frames.MAIN_PAGE if pulses == 1 else frames.TIMING_PAGE

    def _check_train(self, pulses: int, frequency_hz: float) -> None:
        most = min(MOST_PULSES, self.limits.max_pulses_per_session)
        if not 1 <= pulses <= most:
            self._refuse(f"a train of {pulses} pulses is not within 1 to {most}")
        highest_hz = HIGHEST_HZ.get(self.settings.model, OTHERS_HIGHEST_HZ)
        lowest_hz = 0.0 if pulses == 1 else 0.1
        if not lowest_hz <= frequency_hz <= highest_hz:
            self._refuse(
                f"frequency = {frequency_hz:g} Hz is not within {lowest_hz:g} to {highest_hz} of the "
                f"{self.settings.model}"
            )
        if pulses == 1:
            return
        if not self.settings.trains:
            self._refuse(f"a train of {pulses} pulses: settings.trains is false, so one trigger gives one pulse")
        if pulses > 1000 and pulses % 100:
            self._refuse(f"a train of {pulses} pulses: above 1000 the device takes whole hundreds only")
        if frequency_hz not in (round(frequency_hz), round(10 * frequency_hz) / 10 if frequency_hz < 1.0 else 0.0):
            self._refuse(f"frequency = {frequency_hz:g} Hz: the device takes steps of 0.1 Hz up to 1 Hz, of 1 Hz above")
        if not 1.0 / frequency_hz >= self.limits.min_interval_s:
            self._refuse(
                f"frequency = {frequency_hz:g} Hz: pulses {1.0 / frequency_hz:g} s apart are closer than the device's "
                f"limits.min_interval_s = {self.limits.min_interval_s:g}"
            )

    def _write_until_read(self, frame: bytes, differences: Callable[[], list[str]]) -> None:
        left: list[str] = []
        for _ in range(WRITES):
            self.link.tell(frame)
            for _ in range(READS):
                self.sleep(self.settings.settle_s)
                left = differences()
                if not left:
                    return
        self._refuse(f"what was set does not read back: {'; '.join(left)}")

    def _refuse(self, why: str) -> NoReturn:
        raise StimulatorError(f"{self.link.name}: {why}")
