"""Loading pipelines and devices, and checking that they fit each other."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from closedloop.config.amplifier import with_amplifier
from closedloop.config.box import through_box
from closedloop.config.complaint import complaints
from closedloop.config.device import Amplifier, Device, Stimulator, TriggerBox
from closedloop.config.document import Document, read_document
from closedloop.config.estimators import Plugin
from closedloop.config.fault import Fault
from closedloop.config.fit import check_fit
from closedloop.config.installed import check_installed, load_installed
from closedloop.config.line import BoxLine, BytesLine
from closedloop.config.model import Model
from closedloop.config.pipeline import Pipeline
from closedloop.config.shelf import find_file
from closedloop.config.source import Lsl, Playback
from closedloop.errors import ConfigError

T = TypeVar("T", covariant=True)
M = TypeVar("M", bound=BaseModel)


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
            with _at(document, "signals", name, "estimator", "name"):
                check_installed("closedloop.estimators", signal.estimator.name, "method")
    amplifier = load_amplifier_of(loaded)
    if amplifier is None:
        return loaded
    try:
        return Loaded(with_amplifier(loaded.value, amplifier.value), document)
    except Fault as fault:
        raise ConfigError(f"{loaded.place(*fault.keys)}: {fault.named}") from None


def load_amplifier_of(pipeline: Loaded[Pipeline]) -> Loaded[Amplifier] | None:
    """Load the amplifier that a live pipeline names; None where it names none, or is not live.

    Raises
    ------
    ConfigError
        Where there is no such device, or it is no amplifier.
    """
    source = pipeline.value.source
    if not isinstance(source, Lsl) or source.device is None:
        return None
    with _at(pipeline.document, "source", "device"):
        path = find_file(source.device, "devices", pipeline.path.parent)
    document = read_document(path)
    device = _device(document)
    if not isinstance(device, Amplifier):
        raise ConfigError(f"{document.place(('kind',))}: kind = {device.kind}: must be amplifier")
    return Loaded(device, document)


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


def check_file(path: Path, further: Callable[[Loaded[Pipeline], Loaded[Stimulator]], str | None] | None = None) -> str:
    """Check a pipeline, with the device that it names, or a device; return what it is.

    Parameters
    ----------
    path
        The file.
    further
        Checks more of a pipeline and its device, and returns what is to be said of it.

    Raises
    ------
    ConfigError
        Where it cannot be used.
    """
    document = read_document(path)
    if not {"kind", "driver", "delay"}.isdisjoint(document.root):
        device = _device(document)
        article = "an" if isinstance(device, Amplifier) else "a"
        return f"{article} {device.kind.replace('_', ' ')}, {device.name}"
    pipeline = _pipeline(document)
    stimulator = load_device_of(pipeline)
    said = None if further is None else further(pipeline, stimulator)
    return f"a pipeline, {pipeline.value.name}" + ("" if said is None else f"; {said}")


def load_device_of(pipeline: Loaded[Pipeline]) -> Loaded[Stimulator]:
    """Load the stimulator that a pipeline names, and check that the two fit each other.

    Raises
    ------
    ConfigError
        Where there is none, or the pipeline asks for what its profile forbids.
    """
    with _at(pipeline.document, "stimulator", "device"):
        path = find_file(pipeline.value.stimulator.device, "devices", pipeline.path.parent)
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
        _check_settings(document, device)
        if isinstance(device.line, BoxLine):
            return through_box(document, device)
    return device


def _check_settings(document: Document, device: Stimulator) -> None:
    """Refuse a driver that is not there, and settings that it does not know."""
    with _at(document, "driver"):
        model: type[BaseModel] = load_installed("closedloop.stimulators", device.driver, "driver").settings_model
    given = document.root.get("settings", {})
    try:
        model.model_validate(given)
    except ValidationError as error:
        known = ", ".join(model.model_fields) or "none"
        mistakes = []
        for detail in error.errors(include_input=False):
            keys = ("settings", *(str(key) for key in detail["loc"]))
            place = document.place(document.known_part(keys))
            mistakes.append(f"{place}: {'.'.join(keys)}: {detail['msg']} (settings of this driver: {known})")
        raise ConfigError(*mistakes) from None


@contextmanager
def _at(document: Document, *keys: str) -> Iterator[None]:
    """Say of an error that begins with a value where that stands."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{document.place(keys)}: {'.'.join(keys)} = {error}") from None


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
        check_fit(pipeline.value, device.value)
    except Fault as fault:
        raise ConfigError(f"{pipeline.place(*fault.keys)}: {fault.named} ({device.path})") from None


def _validated(document: Document, model: type[M]) -> M:
    try:
        return model.model_validate(document.plain())
    except ValidationError as error:
        raise ConfigError(*complaints(document, error, model)) from None
