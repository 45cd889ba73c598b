"""The shipped profiles of devices at a serial port: their settings are those of their drivers."""

from pathlib import Path

import pytest

from closedloop.config.device import Stimulator
from closedloop.config.document import read_document
from closedloop.stimulators.duomag_settings import DuoMagSettings
from closedloop.stimulators.magpro_settings import MagProSettings

DEVICES = Path(__file__).parents[2] / "devices"
SETTINGS = {"magventure-r30": MagProSettings, "magventure-x100": MagProSettings, "duomag": DuoMagSettings}


@pytest.mark.parametrize(("name", "settings"), SETTINGS.items())
def test_a_shipped_profile_is_a_draft_with_settings_that_its_driver_takes(name, settings):
    profile = Stimulator.model_validate(read_document(DEVICES / f"{name}.yaml").plain())
    settings.model_validate(profile.settings)
    assert profile.latency.latency_s is None
    assert profile.latency.origin.startswith("not measured")
    assert profile.line is not None
