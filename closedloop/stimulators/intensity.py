"""Which intensities a device may be given."""

from closedloop.config.device import Stimulator as Profile
from closedloop.config.percent import whole_below
from closedloop.errors import StimulatorError


def check_percent(percent_of_maximum: float, profile: Profile) -> None:
    """Refuse an intensity beyond the profile's limit.

    Raises
    ------
    StimulatorError
        Beyond it, and where it is no number.
    """
    limit = profile.limits.max_percent_of_maximum
    if not 0.0 <= percent_of_maximum <= limit:
        raise StimulatorError(f"{_said(percent_of_maximum, profile)} within 0 to {limit:g}")


def whole_percent(percent_of_maximum: float, profile: Profile) -> int:
    """Return an intensity for a device that takes whole percent of its maximum.

    Raises
    ------
    StimulatorError
        Beyond the profile's limit, or between two whole numbers: nothing is rounded.
    """
    check_percent(percent_of_maximum, profile)
    whole = whole_below(percent_of_maximum)
    if whole != percent_of_maximum:
        raise StimulatorError(f"{_said(percent_of_maximum, profile)} a whole number")
    return whole


def _said(percent_of_maximum: float, profile: Profile) -> str:
    return f"{profile.name}: intensity = {percent_of_maximum:g} % of the maximum is not"
