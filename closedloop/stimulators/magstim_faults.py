"""What is wrong with a Magstim, in words."""

import math
from dataclasses import dataclass, field

from closedloop.stimulators.magstim_frames import Instrument, Rapid, State

HOT_C = 40.0
"""Above it the device disarms and cannot be armed."""
DISARMED = "disarmed by itself"


@dataclass
class Told:
    """What a device told last, beside what it was told.

    Attributes
    ----------
    state
        Its parameters.
    instrument
        Its newest status, which each kind of answer holds.
    coil_temperature_c, temperature_at_s
        Of the hotter coil, and when it told so; None where it has not yet.
    error
        Its code.
    set_percent
        The intensity that the driver has set; None where it has set none.
    set_train
        The pulses and tenths of a Hz that the driver has set; None where the device knows no trains.
    """

    state: State = field(default_factory=lambda: State(Instrument(0), 0))
    instrument: Instrument = field(default_factory=lambda: Instrument(0))
    coil_temperature_c: float | None = None
    temperature_at_s: float = -math.inf
    error: str = ""
    set_percent: int | None = None
    set_train: tuple[int, int] | None = None

    @property
    def on(self) -> bool:
        """Whether it is armed, charging or not."""
        return bool(self.instrument & (Instrument.ARMED | Instrument.READY))

    @property
    def ready(self) -> bool:
        """Whether it would fire, as far as it says."""
        return Instrument.READY in self.instrument and Rapid.WAIT not in self.state.rapid


def fault_in_words(told: Told, *, armed: bool) -> str:
    """Return what is wrong with a device that should be armed or not; empty where nothing is."""
    faults = []
    if Instrument.ERROR in told.instrument:
        faults.append(f"{'fatal ' if Instrument.FATAL in told.instrument else ''}error {told.error}".rstrip())
    if Instrument.COIL not in told.instrument:
        faults.append("coil missing")
    if Instrument.REPLACE_COIL in told.instrument:
        faults.append("replace the coil")
    if told.coil_temperature_c is not None and not told.coil_temperature_c <= HOT_C:
        faults.append(f"coil hot: {told.coil_temperature_c:g} °C is above {HOT_C:g}")
    if Instrument.REMOTE not in told.instrument:
        faults.append("remote control lost")
    if armed and not told.on:
        faults.append(DISARMED)
    if told.on and not armed:
        faults.append("armed, and not by the driver")
    return "; ".join(faults + _changes(told))


def _changes(told: Told) -> list[str]:
    """Return what differs from what was set."""
    changes = []
    state = told.state
    if told.set_percent is not None and state.power != told.set_percent:
        changes.append(f"intensity is {state.power} %, not the {told.set_percent} % that was set")
    if state.power_b:
        changes.append(f"a second pulse of {state.power_b} % is set")
    if Rapid.ENHANCED in state.rapid:
        changes.append("enhanced power is on")
    if told.set_train is not None:
        pulses, decihertz = told.set_train
        if (Rapid.TRAIN in state.rapid) != (pulses > 1):
            changes.append(f"a trigger starts {'one pulse' if pulses > 1 else 'a train'}, not what was set")
        elif pulses > 1 and (state.pulses, state.decihertz) != told.set_train:
            found = f"{state.pulses} pulses at {state.decihertz / 10:g} Hz"
            changes.append(f"the train is {found}, not the {pulses} at {decihertz / 10:g} Hz that were set")
    return changes
