"""Whether a pipeline keeps to its device: it may tighten the device's limits, never loosen them."""

from closedloop.config.device import Stimulator
from closedloop.config.fault import Fault
from closedloop.config.pipeline import Pipeline, SinglePulse, check_train_interval

LONGEST_LEAD_S = 0.1
"""The estimators' grid of leads ends here."""
LEAD_STEP_S = 0.01
"""Spacing of that grid: a crossing lies between two of its leads."""
NOT_ABOVE = ("max_percent_of_maximum", "max_pulses_per_train", "max_pulses_per_day")
NOT_BELOW = ("min_interval_s", "min_train_gap_s")
"""Limits that a pipeline and a device both have, under the same name."""


def check_fit(pipeline: Pipeline, device: Stimulator) -> None:
    """Refuse a pipeline that asks its device for more than it may give.

    Raises
    ------
    Fault
        With the value and the device's limit; its message goes on after the value's name.
    """
    _check_limits(pipeline, device)
    _check_caps(pipeline, device)
    _check_protocol(pipeline, device)
    _check_lead(pipeline, device)


def _check_limits(pipeline: Pipeline, device: Stimulator) -> None:
    own, theirs = pipeline.limits, device.limits
    _check_tighter("max_pulses", own.max_pulses, "max_pulses_per_session", theirs.max_pulses_per_session)
    for name in NOT_ABOVE:
        _check_tighter(name, getattr(own, name), name, getattr(theirs, name))
    for name in NOT_BELOW:
        _check_tighter(name, getattr(own, name), name, getattr(theirs, name), least=True)


def _check_tighter(
    name: str, own: float | None, device_name: str, theirs: float | None, *, least: bool = False
) -> None:
    """Refuse a limit that is looser than the device's: the gate would hold another one than the pipeline says."""
    if own is None or theirs is None or (own >= theirs if least else own <= theirs):
        return
    side = "below" if least else "above"
    raise Fault(("limits", name), f" = {_number(own)}: is {side} the device's limits.{device_name} = {_number(theirs)}")


def _check_caps(pipeline: Pipeline, device: Stimulator) -> None:
    """Refuse a window that allows more pulses than the device does in one that is no shorter."""
    for place, own in enumerate(pipeline.limits.rate_caps):
        for theirs in device.limits.rate_caps:
            if own.window_s <= theirs.window_s and own.max_pulses > theirs.max_pulses:
                raise Fault(
                    ("limits", "rate_caps", place, "max_pulses"),
                    f" = {own.max_pulses}: is above the device's limits.rate_caps: {theirs.max_pulses} within "
                    f"{theirs.window_s:g} s",
                )


def _check_protocol(pipeline: Pipeline, device: Stimulator) -> None:
    allowed, protocol = device.limits, pipeline.protocol
    shortest_s, whose = shortest_interval_s(pipeline, device)
    if protocol.min_interval_s < shortest_s:
        raise Fault(
            ("protocol", "min_interval_s"), f" = {protocol.min_interval_s:g}: is below {whose} = {shortest_s:g}"
        )
    if not isinstance(protocol, SinglePulse) and protocol.frequency_hz != "individual":
        try:
            check_train_interval(protocol.frequency_hz, shortest_s, whose)
        except Fault as fault:
            raise Fault(fault.keys, f" = {protocol.frequency_hz:g}: {fault}") from None
    percent = pipeline.stimulator.intensity.percent_of_maximum
    if percent is not None and percent > allowed.max_percent_of_maximum:
        raise Fault(
            ("stimulator", "intensity", "percent_of_maximum"),
            f" = {percent:g}: is above the device's limits.max_percent_of_maximum = {allowed.max_percent_of_maximum:g}",
        )


def shortest_interval_s(pipeline: Pipeline, device: Stimulator) -> tuple[float, str]:
    """Return the shortest time between two triggers that both allow, in s, and whose it is.

    Pulses may come closer to each other than their triggers, by the spread of the device's own command.
    """
    shortest_s, whose = device.limits.min_interval_s, "the device's limits.min_interval_s"
    if pipeline.limits.min_interval_s is not None and pipeline.limits.min_interval_s > shortest_s:
        shortest_s, whose = pipeline.limits.min_interval_s, "limits.min_interval_s"
    if device.spread_s > 0.0:
        whose += " + the device's line.spread_s"
    return shortest_s + device.spread_s, whose


def _check_lead(pipeline: Pipeline, device: Stimulator) -> None:
    lead_s = pipeline.source.delay_s + device.latency.known_s + pipeline.target.plan_ahead_s + LEAD_STEP_S
    if lead_s > LONGEST_LEAD_S:
        raise Fault(
            ("source", "delay_s"),
            f" = {pipeline.source.delay_s:g}: with the device's latency_s = {device.latency.known_s:g}, "
            f"target.plan_ahead_s = {pipeline.target.plan_ahead_s:g} and {LEAD_STEP_S:g} s for one step of the grid it "
            f"takes a prediction of {lead_s:g} s (at most {LONGEST_LEAD_S:g})",
        )


def _number(value: float) -> str:
    """Return a number as short as it can be without becoming another one."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
