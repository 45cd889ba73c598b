"""The tables of stand-ins: which behaviour stands in for which device of ``devices/``."""

from collections.abc import Callable, Mapping

from closedloop.standins.boxes import Bbtk, CedrusXid, QuickFire, RawByteBox, Usb2Ttl8
from closedloop.standins.duomag import DuoMag
from closedloop.standins.interface import StandIn
from closedloop.standins.magpro import MagPro
from closedloop.standins.magstim import BiStimStandIn, Magstim200StandIn
from closedloop.standins.magstim_rapid2 import UNLOCK_CODE, Rapid2StandIn

ARDUINO_WIDTH_S, ARDUINO_BOOT_S = 0.005, 1.5
"""As its program and its bootloader have it; both are recalled."""

STANDINS: Mapping[str, Callable[[], StandIn]] = {
    "magstim-200-squared": Magstim200StandIn,
    "magstim-bistim-squared": BiStimStandIn,
    "magstim-rapid-squared": Rapid2StandIn,
    "magventure-r30": lambda: MagPro("R30"),
    "magventure-x100": lambda: MagPro("X100"),
    "duomag": DuoMag,
}
"""Stimulators, by the name of the device's file."""

BOXES: Mapping[str, Callable[[], StandIn]] = {
    "trigger-brain-products": RawByteBox,
    "trigger-arduino": lambda: RawByteBox(width_s=ARDUINO_WIDTH_S, boot_s=ARDUINO_BOOT_S),
    "trigger-bbtk": Bbtk,
    "trigger-cedrus": CedrusXid,
    "trigger-usb2ttl8": Usb2Ttl8,
    "trigger-quickfire": QuickFire,
}
"""Trigger boxes, likewise."""

SETTINGS: Mapping[str, Mapping[str, str]] = {"magstim-rapid-squared": {"unlock_code": UNLOCK_CODE}}
"""What a driver has to be told to open a stand-in, besides its port."""
