"""What a live pipeline takes from the profile of the amplifier that it names."""

from typing import Any

from closedloop.config.device import Amplifier
from closedloop.config.fault import Fault
from closedloop.config.pipeline import Pipeline
from closedloop.config.source import Lsl, TriggerChannel

SATURATED = 0.999
"""Of an amplifier's range: a saturated input sits at its very end, which no true value reaches."""


def with_amplifier(pipeline: Pipeline, amplifier: Amplifier) -> Pipeline:
    """Return a pipeline with what its source does not say itself: delay, stream, channels, unit, trigger and range.

    Parameters
    ----------
    pipeline
        With a live source.
    amplifier
        Its delay counts as 0 where it is not measured.

    Raises
    ------
    Fault
        Where both say a delay.
    """
    source = pipeline.source
    assert isinstance(source, Lsl)
    given, known = source.model_fields_set, _known(amplifier)
    if "delay_s" in given and amplifier.delay.delay_s is not None:
        raise Fault(
            ("source", "delay_s"), f" = {source.delay_s:g}: give it or source.device, whose delay is taken, not both"
        )
    taken = source.model_copy(update={key: value for key, value in known.items() if key not in given})
    gates = pipeline.gates
    if gates.range_uv is None and amplifier.range_uv is not None:
        gates = gates.model_copy(update={"range_uv": SATURATED * amplifier.range_uv})
    return pipeline.model_copy(update={"source": taken, "gates": gates})


def _known(amplifier: Amplifier) -> dict[str, Any]:
    delay_s, trigger = amplifier.delay.delay_s, amplifier.trigger
    known = {
        "delay_s": 0.0 if delay_s is None else delay_s,
        "stream": amplifier.stream,
        "channels": amplifier.channels,
        "unit": amplifier.unit,
        "trigger_channel": None
        if trigger is None
        else TriggerChannel(name=trigger.channel, latency_s=trigger.latency_s, threshold=trigger.threshold),
    }
    return {key: value for key, value in known.items() if value is not None}
