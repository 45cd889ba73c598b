"""The streams of shipped amplifiers are found by what their programs announce."""

import pylsl
import pytest

from closedloop.config.load import load_device
from closedloop.config.source import Lsl
from closedloop.outlet import Outlet
from closedloop.sources.lsl import look_for, stream_facts

ANNOUNCED = {
    "actichamp-plus": ("actiCHamp-17010123", "17010123", "Brain Products", "microvolts"),
    "gnautilus": ("NA-2014.07.67", "NA-2014.07.67", "g.Tec", "uV"),
    "saga": ("chosen in a script", "tmsi-1005210028", "TMSi", "µVolt"),
}
"""Name, source_id, maker and unit, as their programs' sources have them."""


@pytest.mark.parametrize("amplifier", ANNOUNCED)
def test_its_stream_is_found_and_its_channels_are_in_microvolts(amplifier):
    name, source_id, maker, unit = ANNOUNCED[amplifier]
    info = pylsl.StreamInfo(name, "EEG", 1, 500.0, pylsl.cf_float32, source_id)
    info.desc().append_child("acquisition").append_child_value("manufacturer", maker)
    channel = info.desc().append_child("channels").append_child("channel")
    for key, value in (("label", "F3"), ("type", "EEG"), ("unit", unit)):
        channel.append_child_value(key, value)
    outlet = Outlet(info)
    query = load_device(amplifier).stream
    assert source_id in [found.source_id() for found in look_for(query)]
    facts = stream_facts(outlet.get_info(), Lsl(type="lsl", stream=query))
    assert (facts.channels, facts.roles, facts.scale.tolist()) == (("F3",), ("eeg",), [1.0])
