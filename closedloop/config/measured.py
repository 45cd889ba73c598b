"""Which delays of a rig nobody has measured: they count as 0, and no live session arms a real stimulator with them."""

from closedloop.config.device import Stimulator
from closedloop.config.load import Loaded, load_amplifier_of
from closedloop.config.pipeline import Pipeline
from closedloop.errors import ConfigError

NOBODY = "simulated"
"""The driver of what stimulates nobody."""


def check_measured(pipeline: Loaded[Pipeline], device: Loaded[Stimulator]) -> list[str]:
    """Return a line for each delay that is not measured and counts as 0.

    Raises
    ------
    ConfigError
        Where the session is live and the stimulator real: a pulse would come at a phase that nobody knows.
    """
    found = []
    amplifier = load_amplifier_of(pipeline)
    if amplifier is not None and amplifier.value.delay.delay_s is None and "delay_s" not in _given(pipeline):
        found.append(
            f"{amplifier.place('delay', 'delay_s')}: delay.delay_s = null: not measured: measure it by "
            "`closedloop latency PIPELINE --electrode NAME --write`"
        )
    latency = device.value.latency
    if latency.latency_s is None:
        found.append(f"{device.place('latency', 'latency_s')}: latency.latency_s = null: {latency.origin}")
    live = pipeline.value.source.type == "lsl"
    if found and live and device.value.driver != NOBODY:
        raise ConfigError(f"{found[0]}; until then a live session does not arm the {device.value.name}")
    return found


def _given(pipeline: Loaded[Pipeline]) -> set[str]:
    return set(pipeline.document.root.get("source", {}))
