"""What a live session has to know of its rig before it arms a real stimulator: its delays, and what fires it."""

from closedloop.config.device import Stimulator
from closedloop.config.fault import Fault
from closedloop.config.load import Loaded, load_amplifier_of
from closedloop.config.pipeline import Pipeline
from closedloop.errors import ConfigError


def check_readiness(pipeline: Loaded[Pipeline], device: Loaded[Stimulator]) -> list[str]:
    """Return a line for each delay that is not measured and counts as 0.

    Raises
    ------
    ConfigError
        Where the session is live and the stimulator real: a pulse would come at a phase that nobody knows, or never.
    """
    found = []
    amplifier = load_amplifier_of(pipeline)
    if amplifier is not None and amplifier.value.delay.delay_s is None and "delay_s" not in _given(pipeline):
        found.append(
            f"{amplifier.place('delay', 'delay_s')}: delay.delay_s = null: not measured: measure it by "
            "`closedloop latency PIPELINE --electrode NAME --write`"
        )
    lacking = lacks(device.value)
    if pipeline.value.source.type == "lsl" and device.value.is_real and (found or lacking):
        first = [*found, *(_said(device, fault) for fault in lacking)][0]
        raise ConfigError(f"{first}; until then a live session does not arm the {device.value.name}")
    return found + [_said(device, fault) for fault in lacking if fault.keys[0] == "latency"]


def lacks(device: Stimulator) -> list[Fault]:
    """Return what a stimulator's profile has to say before a session arms it, and does not."""
    faults = []
    if device.latency.latency_s is None:
        faults.append(Fault(("latency", "latency_s"), f" = null: {device.latency.origin}"))
    if device.line is None:
        faults.append(
            Fault(("line",), " = null: nothing fires it: name its trigger line (or kind: command, for its own command)")
        )
    return faults


def _said(device: Loaded[Stimulator], fault: Fault) -> str:
    return f"{device.place(*fault.keys)}: {fault.named}"


def _given(pipeline: Loaded[Pipeline]) -> set[str]:
    return set(pipeline.document.root.get("source", {}))
