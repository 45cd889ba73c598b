"""What the options of ``closedloop play`` ask for, checked and put together."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from closedloop.config.complaint import complaints
from closedloop.config.device import Device, Stimulator
from closedloop.config.document import read_document
from closedloop.config.shipped import shipped_folder
from closedloop.errors import ConfigError
from closedloop.sources.encoding import Encoding, check_fits
from closedloop.sources.faults import Faults, Kind, check_within, parse_drop, parse_fault
from closedloop.sources.library import open_recording
from closedloop.sources.player import Performance, Stream
from closedloop.sources.recording import Recording
from closedloop.sources.timetable import Timetable, recording_rows
from closedloop.sources.trigger_effects import TriggerEffects
from closedloop.sources.units import Format, Unit
from closedloop.stimulators.simulated import NoSettings, SimulatedStimulator

TYPES = {"eeg": "EEG", "emg": "EMG", "trigger": "TRIG", "misc": "MISC"}
"""A channel's type in a stream's metadata, by its role."""
POTENTIALS = {"eeg", "emg"}
PPM = 1e-6


@dataclass(frozen=True)
class Options:
    """The options of ``closedloop play``, as its help describes them."""

    recording: str
    start_s: float
    stop_s: float | None
    loop: bool
    duration_s: float | None
    at_once: bool
    name: str
    stream_type: str
    source_id: str | None
    number_format: Format
    unit: Unit
    speed: float
    chunk: int
    rate_error_ppm: float
    jitter_ms: float
    realtime: bool
    seed: int
    drops: tuple[str, ...]
    faults: tuple[str, ...]
    trigger: Path | None
    artifacts: bool
    device: str
    delay_s: float
    trigger_channel: str | None
    divider: str | None
    markers: bool


def make_performance(options: Options) -> Performance:
    """Read the recording and the device, and put together what is played.

    Raises
    ------
    ConfigError
        Where an option cannot be used; one line with option, value and limit.
    RecordingError
        Where the recording, a part of it or a channel of it is not there.
    """
    _check_numbers(options)
    _check_triggers(options)
    drops = [parse_drop(text) for text in options.drops]
    asked = (*drops, *(parse_fault(text) for text in options.faults))
    whole = open_recording(options.recording)
    recording = whole.between(options.start_s, whole.duration_s if options.stop_s is None else options.stop_s)
    effects = _effects(options, recording)
    stream = _stream(options, recording)
    if stream.encoding.is_whole and any(fault.kind == Kind.NAN for fault in asked):
        raise ConfigError(f"--fault nan: --format {options.number_format} knows no NaN, only float32 and double64 do")
    check_fits(stream.encoding, recording, effects.largest_uv)
    faults = Faults(asked, stream.rate_hz * (1.0 + PPM * options.rate_error_ppm))
    timetable = _timetable(options, recording, faults)
    if timetable.n_places is not None:
        check_within(asked, timetable.n_places, faults.rate_hz)
    return Performance(stream, recording.samples, timetable, effects, options.at_once, options.markers)


def _check_numbers(options: Options) -> None:
    for option, value, low, high in (
        ("--speed", options.speed, 0.01, 100.0),
        ("--chunk", options.chunk, 1, 100_000),
        ("--rate-error", options.rate_error_ppm, -100_000.0, 100_000.0),
        ("--jitter", options.jitter_ms, 0.0, 10_000.0),
        ("--seed", options.seed, 0, math.inf),
        ("--delay", options.delay_s, 0.0, 1.0),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{option} {value:g}: must lie between {low:g} and {high:g}")
    if options.realtime and options.speed > 1.0:
        raise ConfigError(f"--speed {options.speed:g} with --realtime: limit 1: what never waits would stop all else")
    if options.duration_s is not None and not 0.0 < options.duration_s < math.inf:
        raise ConfigError(f"--duration {options.duration_s:g}: must be above 0 s, and finite")


def _check_triggers(options: Options) -> None:
    if options.trigger is not None:
        return
    for option, wanted in (
        ("--artifacts", options.artifacts),
        ("--trigger-channel", options.trigger_channel is not None),
        ("--divider", options.divider is not None),
        ("--markers", options.markers),
    ):
        if wanted:
            raise ConfigError(f"{option}: needs triggers: name the pipe that they come through with --trigger PATH")


def _stream(options: Options, recording: Recording) -> Stream:
    labels, roles = recording.names, tuple(map(str, recording.roles))
    if options.trigger_channel is not None:
        if options.trigger_channel in labels:
            raise ConfigError(
                f"--trigger-channel {options.trigger_channel}: {recording.name} has a channel of that name"
            )
        labels, roles = (*labels, options.trigger_channel), (*roles, "trigger")
    source_id = f"closedloop-play-{recording.name}" if options.source_id is None else options.source_id
    return Stream(
        name=options.name,
        type=options.stream_type,
        source_id=source_id,
        rate_hz=recording.sfreq * options.speed,
        labels=labels,
        types=tuple(TYPES[role] for role in roles),
        encoding=Encoding(options.number_format, options.unit, np.array([role in POTENTIALS for role in roles])),
    )


def _timetable(options: Options, recording: Recording, faults: Faults) -> Timetable:
    rows = recording_rows(recording)
    limits = [] if options.loop else [rows.size]
    if options.duration_s is not None:
        limits.append(math.ceil(options.duration_s * faults.rate_hz - PPM))
    return Timetable(
        rows=rows,
        n_places=min(limits, default=None),
        chunk=options.chunk,
        faults=faults,
        jitter_s=options.jitter_ms / 1000.0,
        seed=options.seed,
    )


def _effects(options: Options, recording: Recording) -> TriggerEffects:
    rate_hz = recording.sfreq * options.speed
    artifact, latency_s = np.zeros((0, len(recording.names))), 0.0
    if options.artifacts:
        profile = load_stimulator(options.device)
        if profile.artifact is None:
            raise ConfigError(f"--artifacts: the device {options.device} has no artifact in its profile")
        is_eeg = np.array([role == "eeg" for role in recording.roles])
        artifact, latency_s = (
            SimulatedStimulator(profile, NoSettings()).artifact(rate_hz, is_eeg),
            profile.latency.known_s,
        )
    divider, divider_uv = (None, 0.0) if options.divider is None else _divider(options.divider, recording)
    return TriggerEffects(
        rate_hz=rate_hz,
        artifact=artifact,
        latency_s=latency_s,
        delay_s=options.delay_s,
        divider=divider,
        divider_uv=divider_uv,
        trigger_column=None if options.trigger_channel is None else len(recording.names),
    )


def _divider(text: str, recording: Recording) -> tuple[int, float]:
    """Return the column and the height in µV of ``CHANNEL=UV``."""
    name, _, height = text.rpartition("=")
    try:
        height_uv = float(height)
    except ValueError:
        height_uv = math.nan
    if not name or not math.isfinite(height_uv) or height_uv == 0.0:
        raise ConfigError(f"--divider {text}: must be CHANNEL=UV, the step's height in µV and not 0")
    role = recording.pick([name]).roles[0]
    if role not in POTENTIALS:
        raise ConfigError(f"--divider {text}: {name} is a channel of role {role}: must be an electrode (eeg or emg)")
    return recording.names.index(name), height_uv


def load_stimulator(name: str) -> Stimulator:
    """Load a stimulator's profile: a YAML file, or one that is shipped by its name.

    Raises
    ------
    ConfigError
        Where there is none, or it cannot be used.
    """
    shipped = {file.stem: file for file in sorted(shipped_folder("devices").glob("*.yaml"))}
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        if name not in shipped:
            raise ConfigError(f"--device {name}: no device of that name is shipped (shipped: {', '.join(shipped)})")
        path = shipped[name]
    document = read_document(path)
    try:
        device = Device.model_validate(document.plain()).root
    except ValidationError as error:
        raise ConfigError(*complaints(document, error, Device)) from None
    if not isinstance(device, Stimulator):
        raise ConfigError(f"{document.place(('kind',))}: kind = {device.kind}: must be stimulator")
    return device
