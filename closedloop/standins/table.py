"""The table of stand-ins: which behaviour stands in for which device of ``devices/``."""

from collections.abc import Callable, Mapping

from closedloop.standins.duomag import DuoMag
from closedloop.standins.interface import StandIn
from closedloop.standins.magpro import MagPro
from closedloop.standins.magstim import BiStimStandIn, Magstim200StandIn
from closedloop.standins.magstim_rapid2 import UNLOCK_CODE, Rapid2StandIn

STANDINS: Mapping[str, Callable[[], StandIn]] = {
    "magstim-200-squared": Magstim200StandIn,
    "magstim-bistim-squared": BiStimStandIn,
    "magstim-rapid-squared": Rapid2StandIn,
    "magventure-r30": lambda: MagPro("R30"),
    "magventure-x100": lambda: MagPro("X100"),
    "duomag": DuoMag,
}
"""By the name of the device's file."""

SETTINGS: Mapping[str, Mapping[str, str]] = {"magstim-rapid-squared": {"unlock_code": UNLOCK_CODE}}
"""What a driver has to be told to open a stand-in, besides its port."""
