"""What is wrong with a MagPro, in words: its panel stays live, so that a hand may have changed anything."""

from closedloop.stimulators import magpro_frames as frames
from closedloop.stimulators.magpro_settings import MagProSettings

NAMES = {"mode": frames.MODES, "current_direction": frames.CURRENT_DIRECTIONS, "waveform": frames.WAVEFORMS}
NO_COIL = 0
"""Coil type where there is none (recalled, not read from its source; each number that is not listed is a fault too)."""


def faults_of(
    told: frames.DeviceStatus, settings: MagProSettings, *, percent: int, armed: bool, configured: bool
) -> list[str]:
    """Say in words what is wrong with a device, compared with what it should be; its mode only once it was set."""
    found = []
    if told.model != frames.MODELS.index(settings.model):
        found.append("another device answers")
    if told.coil_type not in settings.coil_types:
        found.append("no coil" if told.coil_type == NO_COIL else f"the coil's type {told.coil_type} is not known")
    if not told.temperature_c <= settings.max_coil_temperature_c:
        found.append(f"the coil is hot: {told.temperature_c} °C (at most {settings.max_coil_temperature_c:g})")
    if told.percent != percent:
        found.append(f"the amplitude was changed by hand from {percent} to {told.percent} %")
    if told.enabled != armed:
        found.append("it was enabled at its panel" if told.enabled else "it was disabled at its panel, or by itself")
    if configured:
        found += [f"by hand, {said}" for said in _changes(told, settings)]
    return found


def difference(what: str, wanted: int, told: int) -> str:
    """Say in words that a code of mode, current direction or waveform is another than was wanted."""
    return f"the {what.replace('_', ' ')} is {_name(what, told)}, not {_name(what, wanted)}"


def _changes(told: frames.DeviceStatus, settings: MagProSettings) -> list[str]:
    wanted = {"mode": frames.MODES.index(settings.mode), "waveform": frames.WAVEFORMS.index(settings.waveform)}
    return [difference(what, code, getattr(told, what)) for what, code in wanted.items() if getattr(told, what) != code]


def _name(what: str, code: int) -> str:
    names = NAMES[what]
    return names[code] if code < len(names) else f"unknown ({code})"
