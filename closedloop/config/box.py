"""A stimulator that is fired through a trigger box: the box's line becomes its own, with the box's latency."""

from pydantic import ValidationError

from closedloop.config.complaint import complaints
from closedloop.config.device import Device, Latency, Stimulator, TriggerBox
from closedloop.config.document import Document, read_document
from closedloop.config.line import BoxLine, Line
from closedloop.config.model import Model
from closedloop.config.shelf import find_file
from closedloop.errors import ConfigError

LONGEST_LATENCY_S = 0.08
"""The longest that a profile may state, which a sum of two has to keep to as well."""


class _Lined(Model):
    line: Line


def through_box(document: Document, device: Stimulator) -> Stimulator:
    """Return a stimulator with the line and the latency of the trigger box that its own line names.

    Parameters
    ----------
    document
        The stimulator's file.
    device
        The stimulator; its line may give some of the box's keys anew.

    Raises
    ------
    ConfigError
        Where there is no such box, a key cannot be, the two latencies are too long, or the stimulator may be triggered
        more often than the box; with the place in the stimulator's file.
    """
    stated = device.line
    assert isinstance(stated, BoxLine)
    box = _box(document, stated.box)
    _check_interval(document, device, box)
    own = {key: document.value(("line", key)) for key in stated.model_extra or {}}
    try:
        line = _Lined.model_validate({"line": {**box.line.model_dump(), **own}}).line
    except ValidationError as error:
        raise ConfigError(*complaints(document, error, _Lined)) from None
    return device.model_copy(update={"line": line, "latency": _sum(document, device, box)})


def _box(document: Document, name: str) -> TriggerBox:
    place = f"{document.place(('line', 'box'))}: line.box"
    try:
        described = read_document(find_file(name, "devices", document.path.parent))
    except ConfigError as error:
        raise ConfigError(f"{place} = {error}") from None
    try:
        box = Device.model_validate(described.plain()).root
    except ValidationError as error:
        raise ConfigError(*complaints(described, error, Device)) from None
    if not isinstance(box, TriggerBox):
        raise ConfigError(f"{place} = {name}: is a {box.kind} (kind must be trigger_box): {described.path}")
    return box


def _sum(document: Document, device: Stimulator, box: TriggerBox) -> Latency:
    own, more = device.latency, box.latency
    origin = f"{own.origin}; with that of {box.name}: {more.origin}"
    if own.latency_s is None or more.latency_s is None:
        return Latency(latency_s=None, origin=origin)
    latency_s = own.latency_s + more.latency_s
    if not latency_s <= LONGEST_LATENCY_S:
        raise ConfigError(
            f"{document.place(('latency', 'latency_s'))}: latency.latency_s = {own.latency_s:g}: with the "
            f"{more.latency_s:g} of {box.name} it is {latency_s:g} (at most {LONGEST_LATENCY_S:g})"
        )
    return Latency(latency_s=latency_s, origin=origin)


def _check_interval(document: Document, device: Stimulator, box: TriggerBox) -> None:
    own_s = device.limits.min_interval_s
    if box.limits is not None and not own_s >= box.limits.min_interval_s:
        raise ConfigError(
            f"{document.place(('limits', 'min_interval_s'))}: limits.min_interval_s = {own_s:g}: is below the "
            f"limits.min_interval_s = {box.limits.min_interval_s:g} of its trigger box, {box.name}"
        )
