"""How fast triggers may come that a device can follow, as far as its profile alone tells: before it is opened."""

from closedloop.config.device import Stimulator as Profile
from closedloop.config.line import CommandLine
from closedloop.errors import StimulatorError
from closedloop.stimulators.by_command import FASTEST_HZ
from closedloop.stimulators.interface import find_driver


def fastest_hz(profile: Profile, percent: float) -> tuple[float, str]:
    """Return how fast triggers for single pulses may follow each other, in Hz, and why no faster: after "that".

    Parameters
    ----------
    profile
        Of the device, whose settings its driver has checked.
    percent
        Intensity, in percent of the maximum stimulator output.

    Raises
    ------
    StimulatorError
        Where no driver has the name that the profile gives, or it does not say.
    """
    driver = find_driver(profile.driver)
    settings = driver.settings_model.model_validate(profile.settings)
    try:
        device_hz, command_hz = driver.fastest_hz(settings, percent), driver.fastest_by_command_hz
    except AttributeError as error:
        why = f"it does not say how fast it may be triggered: {error}"
        raise StimulatorError(f"driver = {profile.driver}: {why}") from None
    by_itself = (device_hz, f"the {profile.name} follows at {percent:g} % of its maximum")
    if not isinstance(profile.line, CommandLine):
        return by_itself
    by_command = (command_hz, f"the {profile.name} takes by its own command (line.kind = command)")
    heard = (FASTEST_HZ, "leaves time to hear how the device is (line.kind = command)")
    return min(by_itself, by_command, heard)
