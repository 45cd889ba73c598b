"""Which intensities a device may be given."""

from closedloop.config.device import Stimulator as Profile
from closedloop.config.percent import whole_below
from closedloop.errors import StimulatorError


def whole_percent(percent_of_maximum: float, profile: Profile) -> int:
    """Return an intensity for a device that takes whole percent of its maximum.

    Raises
    ------
    StimulatorError
        Beyond the profile's limit, or between two whole numbers: nothing is rounded.
    """
    limit = profile.limits.max_percent_of_maximum
    said = f"{profile.name}: intensity = {percent_of_maximum:g} % of the maximum is not"
    if not 0.0 <= percent_of_maximum <= limit:
        raise StimulatorError(f"{said} within 0 to {limit:g}")
    whole = whole_below(percent_of_maximum)
    if whole != percent_of_maximum:
        raise StimulatorError(f"{said} a whole number")
    return whole
