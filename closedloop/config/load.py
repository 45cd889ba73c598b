"""Loading pipelines and devices, and checking that they fit each other."""

import io
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from closedloop.config.box import through_box
from closedloop.config.complaint import complaint
from closedloop.config.device import Amplifier, Device, Stimulator, TriggerBox
from closedloop.config.document import Document, read_document
from closedloop.config.estimators import Plugin
from closedloop.config.fault import Fault
from closedloop.config.line import BoxLine, BytesLine
from closedloop.config.model import Model
from closedloop.config.pipeline import Pipeline, SinglePulse, check_train_interval
from closedloop.config.shelf import find_file
from closedloop.config.source import Lsl, Playback, TriggerChannel
from closedloop.errors import ConfigError

T = TypeVar("T", covariant=True)
M = TypeVar("M", bound=BaseModel)

LONGEST_LEAD_S = 0.1
"""The estimators' grid of leads ends here."""
LEAD_STEP_S = 0.01
"""Spacing of that grid: a crossing lies between two of its leads."""


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """What a file says, and where it says it.

    Attributes
    ----------
    value
        The pipeline or the device.
    document
        The file.
    """

    value: T
    document: Document

    @property
    def path(self) -> Path:
        """The file."""
        return self.document.path

    def place(self, *keys: str | int) -> str:
        """Return ``path:line:column`` of a value; of what stands nearest to it where it is a default."""
        return self.document.place(keys)


def load_pipeline(path: str | Path) -> Loaded[Pipeline]:
    """Load a pipeline from a file, or one that is shipped by its name.

    Raises
    ------
    ConfigError
        Where it cannot be read or used; one line with place, key, value and limit.
    """
    return _pipeline(read_document(find_file(path, "pipelines", None)))


def _pipeline(document: Document) -> Loaded[Pipeline]:
    loaded = Loaded(_validated(document, Pipeline), document)
    for name, signal in loaded.value.signals.items():
        if isinstance(signal.estimator, Plugin):
            keys = ("signals", name, "estimator", "name")
            _check_installed(document, keys, signal.estimator.name, "closedloop.estimators", "method")
    return _with_amplifier(loaded)


def _with_amplifier(pipeline: Loaded[Pipeline]) -> Loaded[Pipeline]:
    """Return the pipeline with the delay of the amplifier that its live source names."""
    source = pipeline.value.source
    if not isinstance(source, Lsl) or source.device is None:
        return pipeline
    keys = ("source", "device")
    if "delay_s" in source.model_fields_set:
        raise ConfigError(
            f"{pipeline.place('source', 'delay_s')}: source.delay_s = {source.delay_s:g}: give it or source.device, "
            "whose delay is taken, not both"
        )
    try:
        document = read_document(find_file(source.device, "devices", pipeline.path.parent))
    except ConfigError as error:
        raise ConfigError(f"{pipeline.place(*keys)}: {'.'.join(keys)} = {error}") from None
    device = _device(document)
    if not isinstance(device, Amplifier):
        raise ConfigError(f"{document.place(('kind',))}: kind = {device.kind}: must be amplifier")
    known: dict[str, Any] = {"delay_s": device.delay.delay_s}
    if device.trigger is not None and source.trigger_channel is None:
        known["trigger_channel"] = TriggerChannel(
            name=device.trigger.channel, latency_s=device.trigger.latency_s, threshold=device.trigger.threshold
        )
    source = source.model_copy(update=known)
    return Loaded(pipeline.value.model_copy(update={"source": source}), pipeline.document)


def amplifier_path(pipeline: Loaded[Pipeline]) -> Path:
    """Return the file of the amplifier that a live pipeline names.

    Raises
    ------
    ConfigError
        Where it names none.
    """
    source = pipeline.value.source
    if not isinstance(source, Lsl) or source.device is None:
        raise ConfigError(f"{pipeline.place('source')}: source names no amplifier: give source.device")
    return find_file(source.device, "devices", pipeline.path.parent)


def load_device(path: str | Path) -> Stimulator | Amplifier | TriggerBox:
    """Load a device's profile from a file, or one that is shipped by its name.

    Raises
    ------
    ConfigError
        Where it cannot be read or used; one line with place, key, value and limit.
    """
    return _device(read_document(find_file(path, "devices", None)))


def check_file(path: Path) -> str:
    """Check a pipeline, with the device that it names, or a device; return what it is.

    Raises
    ------
    ConfigError
        Where it cannot be used.
    """
    document = read_document(path)
    if not {"kind", "driver", "delay"}.isdisjoint(document.root):
        device = _device(document)
        return f"a {device.kind.replace('_', ' ')}, {device.name}"
    pipeline = _pipeline(document)
    load_device_of(pipeline)
    return f"a pipeline, {pipeline.value.name}"


def load_device_of(pipeline: Loaded[Pipeline]) -> Loaded[Stimulator]:
    """Load the stimulator that a pipeline names, and check that the two fit each other.

    Raises
    ------
    ConfigError
        Where there is none, or the pipeline asks for what its profile forbids.
    """
    keys = ("stimulator", "device")
    try:
        path = find_file(pipeline.value.stimulator.device, "devices", pipeline.path.parent)
    except ConfigError as error:
        raise ConfigError(f"{pipeline.place(*keys)}: {'.'.join(keys)} = {error}") from None
    document = read_document(path)
    device = _device(document)
    if not isinstance(device, Stimulator):
        raise ConfigError(f"{document.place(('kind',))}: kind = {device.kind}: must be stimulator")
    loaded = Loaded(device, document)
    _check_against_device(pipeline, loaded)
    return loaded


def _device(document: Document) -> Stimulator | Amplifier | TriggerBox:
    device = _validated(document, Device).root
    if isinstance(device, Stimulator):
        _check_installed(document, ("driver",), device.driver, "closedloop.stimulators", "driver")
        _check_settings(document, device)
        if isinstance(device.line, BoxLine):
            return through_box(document, device)
    return device


def _check_settings(document: Document, device: Stimulator) -> None:
    """Refuse settings that the driver does not know; a driver whose own needs are not installed is told of on use."""
    (point,) = (p for p in entry_points(group="closedloop.stimulators") if p.name == device.driver)
    try:
        model: type[BaseModel] = point.load().settings_model
    except ImportError as error:
        raise ConfigError(
            f"{document.place(('driver',))}: driver = {device.driver}: what it needs is not installed: {error}"
        ) from None
    given = document.root.get("settings", {})
    try:
        model.model_validate(given)
    except ValidationError as error:
        detail = error.errors(include_input=False)[0]
        keys = ("settings", *(str(key) for key in detail["loc"]))
        known = ", ".join(model.model_fields) or "none"
        raise ConfigError(
            f"{document.place(document.known_part(keys))}: {'.'.join(keys)}: {detail['msg']} "
            f"(settings of this driver: {known})"
        ) from None


def _check_installed(document: Document, keys: tuple[str, ...], name: str, group: str, what: str) -> None:
    """Refuse a name that no installed package announces under an entry point's group."""
    installed = sorted(point.name for point in entry_points(group=group))
    if name not in installed:
        raise ConfigError(
            f"{document.place(keys)}: {'.'.join(keys)} = {name}: there is no such {what} "
            f"(installed: {', '.join(installed)})"
        )


def with_recording(pipeline: Loaded[Pipeline], recording: str) -> Loaded[Pipeline]:
    """Return the pipeline with its source replaced by a recording's playback, from its beginning to its end.

    Raises
    ------
    ConfigError
        Where the name is empty.
    """
    if not recording:
        raise ConfigError('--recording = "": must name a file or a recording (see: closedloop recordings list)')
    source = pipeline.value.source
    playback = Playback(type="playback", recording=recording, delay_s=source.delay_s, artifacts=source.artifacts)
    return Loaded(pipeline.value.model_copy(update={"source": playback}), pipeline.document)


def with_trigger(device: Stimulator, path: str) -> Stimulator:
    """Return the device with its triggers written to another file: its line's own bytes, where it writes any."""
    line = device.line.model_copy(update={"path": path}) if isinstance(device.line, BytesLine) else BytesLine(path=path)
    return device.model_copy(update={"line": line})


def resolved_yaml(value: Model) -> str:
    """Return a pipeline or a device as YAML with every default written out."""
    text = io.StringIO()
    yaml = YAML()
    yaml.width = 120
    yaml.dump(value.model_dump(mode="json"), text)
    return text.getvalue()


def _check_against_device(pipeline: Loaded[Pipeline], device: Loaded[Stimulator]) -> None:
    try:
        _check_limits(pipeline.value, device.value)
        _check_lead(pipeline.value, device.value)
    except Fault as fault:
        name = ".".join(map(str, fault.keys))
        raise ConfigError(f"{pipeline.place(*fault.keys)}: {name}{fault} ({device.path})") from None


def _check_limits(pipeline: Pipeline, device: Stimulator) -> None:
    own, allowed, protocol = pipeline.limits, device.limits, pipeline.protocol
    if own.max_pulses > allowed.max_pulses_per_session:
        raise Fault(
            ("limits", "max_pulses"),
            f" = {own.max_pulses}: is above the device's limits.max_pulses_per_session = "
            f"{allowed.max_pulses_per_session}",
        )
    whose = f"the device's limits.min_interval_s = {allowed.min_interval_s:g}"
    if own.min_interval_s is not None and own.min_interval_s < allowed.min_interval_s:
        raise Fault(("limits", "min_interval_s"), f" = {own.min_interval_s:g}: is below {whose}")
    if protocol.min_interval_s < allowed.min_interval_s:
        raise Fault(("protocol", "min_interval_s"), f" = {protocol.min_interval_s:g}: is below {whose}")
    if not isinstance(protocol, SinglePulse) and protocol.frequency_hz != "individual":
        try:
            check_train_interval(protocol.frequency_hz, allowed.min_interval_s, "the device's limits.min_interval_s")
        except Fault as fault:
            raise Fault(fault.keys, f" = {protocol.frequency_hz:g}: {fault}") from None
    percent = pipeline.stimulator.intensity.percent_of_maximum
    if percent is not None and percent > allowed.max_percent_of_maximum:
        raise Fault(
            ("stimulator", "intensity", "percent_of_maximum"),
            f" = {percent:g}: is above the device's limits.max_percent_of_maximum = {allowed.max_percent_of_maximum:g}",
        )


def _check_lead(pipeline: Pipeline, device: Stimulator) -> None:
    lead_s = pipeline.source.delay_s + device.latency.latency_s + pipeline.target.plan_ahead_s + LEAD_STEP_S
    if lead_s > LONGEST_LEAD_S:
        raise Fault(
            ("source", "delay_s"),
            f" = {pipeline.source.delay_s:g}: with the device's latency_s = {device.latency.latency_s:g}, "
            f"target.plan_ahead_s = {pipeline.target.plan_ahead_s:g} and {LEAD_STEP_S:g} s for one step of the grid it "
            f"takes a prediction of {lead_s:g} s (at most {LONGEST_LEAD_S:g})",
        )


def _validated(document: Document, model: type[M]) -> M:
    try:
        return model.model_validate(document.plain())
    except ValidationError as error:
        raise ConfigError(complaint(document, error, model)) from None
