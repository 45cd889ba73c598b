"""How fast triggers may come that a device can follow, as far as its profile alone tells: before it is opened."""

from closedloop.config.device import Stimulator as Profile
from closedloop.config.line import CommandLine
from closedloop.stimulators.by_command import FASTEST_HZ
from closedloop.stimulators.interface import find_driver


def fastest_hz(profile: Profile, percent: float) -> tuple[float, str]:
    """Return how fast triggers for single pulses may follow each other, in Hz, and what allows no more.

    Parameters
    ----------
    profile
        Of the device, whose settings its driver has checked.
    percent
        Intensity, in percent of the maximum stimulator output.

    Raises
    ------
    StimulatorError
        Where no driver has the name that the profile gives.
    """
    driver = find_driver(profile.driver)
    settings = driver.settings_model.model_validate(profile.settings)
    by_itself = (driver.fastest_hz(settings, percent), f"the {profile.name} at {percent:g} % of its maximum")
    if not isinstance(profile.line, CommandLine):
        return by_itself
    by_command = (driver.fastest_by_command_hz, f"the {profile.name} by its own command (line.kind = command)")
    heard = (FASTEST_HZ, "what leaves time to hear how the device is (line.kind = command)")
    return min(by_itself, by_command, heard)
