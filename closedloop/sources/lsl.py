"""A live stream of the Lab Streaming Layer: found, checked, opened, and its rest collected.

Nothing recovers silently: an inlet whose stream has gone says so at once, and whoever supervises it opens
another one. Time stamps stay as they were sent. liblsl could smooth them, but it counts samples to do so,
and would smear a gap over minutes; the core's own clock sees gaps as such.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pylsl
from numpy.typing import NDArray
from pylsl.lib import lib as liblsl
from pylsl.util import LostError, handle_error

from closedloop.config.source import Lsl, StreamQuery
from closedloop.errors import StreamError
from closedloop.sources.playback import clean_label
from closedloop.sources.recording import Recording, Role
from closedloop.sources.stamps import fit_stamps

Waiting = Callable[[str], bool]
"""Told what is waited for; returns whether to go on waiting."""

MICROVOLTS = {
    **dict.fromkeys(("microvolts", "microvolt", "uv", "µv", "μv", "uvolt", "µvolt", "μvolt"), 1.0),
    **dict.fromkeys(("millivolts", "millivolt", "mv"), 1e3),
    **dict.fromkeys(("volts", "volt", "v"), 1e6),
    **dict.fromkeys(("nanovolts", "nanovolt", "nv"), 1e-3),
}
"""What one of a unit is in µV, by its name in lower case."""
FORMATS = {
    pylsl.cf_float32: "float32",
    pylsl.cf_double64: "double64",
    pylsl.cf_int64: "int64",
    pylsl.cf_int32: "int32",
    pylsl.cf_int16: "int16",
    pylsl.cf_int8: "int8",
}
ROLES: dict[str, Role] = {"eeg": "eeg", "emg": "emg", "trig": "trigger", "trigger": "trigger", "stim": "trigger"}
RATE_LIMIT = 0.01
"""A rate that differs more from the nominal one is another rate than the one that was announced."""
REPEATED_LIMIT = 0.01
"""More samples with the stamp of the one before are no accident: the stream stamps whole chunks."""
PLAUSIBLE_UV = (0.05, 500.0)
"""How far EEG moves from one tenth of a second to the next: between a disconnected input and a saturated one."""
BUFFER_S = 360
"""So much the inlet keeps while calibration computes."""
RESOLVE_S = 0.8
"""One look around for streams takes so long.

liblsl asks by multicast at once, its known peers (all there is where a network lets no multicast through) after
0.5 s, and everybody again after 1.25 s. A look that ends with one of these misses answers, and one in four of
them takes 5 s longer: the attempt that was about to begin is cancelled too early to notice.
"""
SURVEY_EVERY_S = 5.0
"""So often it is looked which other streams there are, while the one that is wanted is not."""
OPEN_S = 10.0
PULL_S = 0.2


@dataclass(frozen=True)
class StreamFacts:
    """What a stream says of itself.

    Attributes
    ----------
    name, type, source_id, uid, host
        As announced; ``uid`` is new whenever its program starts anew.
    sfreq
        Nominal sampling rate in Hz.
    format
        float32, double64, int32, int16, ...
    channels, roles, units
        Of its channels; a unit is as announced, empty where it is not.
    scale
        Array of shape (n_channels,): what turns values into µV; 1 where a channel is no potential.
    """

    name: str
    type: str
    source_id: str
    uid: str
    host: str
    sfreq: float
    format: str
    channels: tuple[str, ...]
    roles: tuple[Role, ...]
    units: tuple[str, ...]
    scale: NDArray[np.float64]

    def equals(self, other: "StreamFacts") -> bool:
        """Return whether another stream's samples mean the same."""
        return (self.channels, self.roles, self.sfreq) == (other.channels, other.roles, other.sfreq) and bool(
            np.array_equal(self.scale, other.scale)
        )

    def as_json(self) -> dict[str, Any]:
        """Return it for records."""
        return {**vars(self), "scale": self.scale.tolist()}


def describe(info: pylsl.StreamInfo) -> str:
    """Return a stream in a few words."""
    rate = info.nominal_srate()
    kind = "irregular" if rate == pylsl.IRREGULAR_RATE else f"{rate:g} Hz"
    return f"{info.name()} (type {info.type() or 'none'}, {info.channel_count()} channels, {kind}, {info.source_id()})"


def predicate(query: StreamQuery) -> str:
    """Return the XPath predicate that a query stands for."""
    parts = [
        f"{key}={_quoted(value)}"
        for key, value in (("name", query.name), ("type", query.type), ("source_id", query.source_id))
        if value is not None
    ]
    if query.predicate is not None:
        parts.append(f"({query.predicate})")
    return " and ".join(parts)


def _quoted(text: str) -> str:
    """Quote for XPath 1.0, which knows no escape: a text with both signs is put together."""
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    return "concat(" + ', "\'", '.join(f"'{part}'" for part in text.split("'")) + ")"


def find_stream(source: Lsl, waiting: Waiting) -> pylsl.StreamInfo:
    """Find the one stream that a source means; wait for one that is not there yet.

    Parameters
    ----------
    source
        Which stream, and for how long to wait.
    waiting
        Is told about once a second what is waited for and, after a while, which streams are there; where it returns
        False the search ends.

    Raises
    ------
    StreamError
        Where none, or more than one, is found.
    """
    wanted = predicate(source.stream)
    deadline = pylsl.local_clock() + source.wait_s
    there, survey_s = "", pylsl.local_clock()
    while True:
        found = look_for(source.stream)
        if len(found) > 1:
            raise StreamError(
                f"source.stream: {len(found)} streams match {wanted} (limit: 1): "
                f"{'; '.join(sorted(describe(info) for info in found))}: name one by source_id"
            )
        if found:
            return found[0]
        if not (waiting(f"waiting for a stream with {wanted}{there}") and pylsl.local_clock() < deadline):
            break
        # Only where the one that is wanted can still be looked for twice.
        if survey_s <= pylsl.local_clock() < deadline - 3.0 * RESOLVE_S:
            there, survey_s = f"; there: {_what_is_there()}", pylsl.local_clock() + SURVEY_EVERY_S
    hint = "" if source.stream.predicate is None else " (is it XPath 1.0?)"
    raise StreamError(
        f"source.stream: no stream with {wanted}{hint} within {source.wait_s:g} s (source.wait_s); "
        f"there: {_what_is_there()}"
    )


def _what_is_there() -> str:
    """Look around once and name all streams."""
    there = sorted(describe(info) for info in pylsl.resolve_streams(wait_time=RESOLVE_S))
    return "; ".join(there) or "none at all"


def look_for(query: StreamQuery) -> list[pylsl.StreamInfo]:
    """Look around once and return the streams that a query means."""
    # At least two, so that the second of two that match is not overlooked: this takes the whole time-out.
    found: list[pylsl.StreamInfo] = pylsl.resolve_bypred(predicate(query), minimum=2, timeout=RESOLVE_S)
    return list({info.uid(): info for info in found}.values())


def clock_correction(inlet: pylsl.StreamInlet, timeout_s: float = OPEN_S) -> float:
    """Return what turns a stream's time stamps into this machine's time, in s: 0 where there is one clock for both.

    liblsl takes half of a probe's round trip for its way there. Where the two ways take unequally long, and on one
    machine they do by some 60 µs, its estimate is off by up to that half: one that is no larger says nothing.

    Raises
    ------
    RuntimeError
        Where the other machine does not answer within ``timeout_s``.
    """
    estimate = liblsl.lsl_time_correction_ex
    estimate.restype = ctypes.c_double
    remote_s, round_trip_s, code = ctypes.c_double(), ctypes.c_double(), ctypes.c_int()
    correction_s = estimate(
        inlet.obj,
        ctypes.byref(remote_s),
        ctypes.byref(round_trip_s),
        ctypes.c_double(timeout_s),
        ctypes.byref(code),
    )
    handle_error(code)
    return 0.0 if abs(correction_s) <= 0.5 * round_trip_s.value else float(correction_s)


TASKS = Path("/proc/self/task")


def _threads() -> set[int]:
    """Return the identifiers of this process's threads, those that libraries started included."""
    return {int(task.name) for task in TASKS.iterdir()} if TASKS.is_dir() else set()


class Stream:
    """An open inlet, which hands over each sample as it comes and never recovers by itself.

    Use it in a ``with`` block.

    Parameters
    ----------
    info
        Of the stream.
    source
        What the pipeline says of it.

    Attributes
    ----------
    facts
        What the stream says of itself.
    threads
        Identifiers of liblsl's threads that receive it.

    Raises
    ------
    StreamError
        Where it cannot be opened, or is no EEG that can be used.
    """

    def __init__(self, info: pylsl.StreamInfo, source: Lsl) -> None:
        check_kind(info)
        before = _threads()
        try:
            self._inlet = pylsl.StreamInlet(info, max_buflen=BUFFER_S, max_chunklen=1, recover=False)
            self._inlet.open_stream(timeout=OPEN_S)
            described = self._inlet.info(OPEN_S)
        except RuntimeError as error:
            raise StreamError(f"{describe(info)} cannot be opened: {error}") from None
        self.facts = stream_facts(described, source)
        self.threads = sorted(_threads() - before)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the stream go; no compiled code may hold its handle any more."""
        self._inlet.close_stream()

    @property
    def handle(self) -> int:
        """The inlet's address, for compiled code; it is one as long as the stream is open."""
        return int(getattr(self._inlet.obj, "value", self._inlet.obj))

    def correction_s(self, timeout_s: float = OPEN_S) -> float:
        """Return what turns the stream's time stamps into this machine's time, in s.

        Raises
        ------
        StreamError
            Where the other machine does not answer.
        """
        try:
            return clock_correction(self._inlet, timeout_s)
        except RuntimeError as error:
            raise StreamError(f"{self.facts.name}: its clock did not answer within {timeout_s:g} s: {error}") from None

    def collect(self, duration_s: float, progress: Callable[[float], bool]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Collect the stream's next samples.

        Parameters
        ----------
        duration_s
            How much, in s of nominal samples.
        progress
            Is told which share is there; where it returns False, collecting ends.

        Returns
        -------
            Samples of shape (n_samples, n_channels) in µV and their stamps of shape (n_samples,), as sent.

        Raises
        ------
        StreamError
            Where the stream breaks off, or nothing comes.
        """
        wanted = round(duration_s * self.facts.sfreq)
        blocks: list[NDArray[np.float64]] = []
        stamps: list[float] = []
        heard = pylsl.local_clock()
        while len(stamps) < wanted and progress(len(stamps) / wanted):
            try:
                values, times = self._inlet.pull_chunk(timeout=PULL_S, max_samples=min(1024, wanted - len(stamps)))
            except LostError:
                raise StreamError(
                    f"{self.facts.name} broke off after {len(stamps) / self.facts.sfreq:.1f} s of {duration_s:g} s of "
                    "calibration; start it and this again"
                ) from None
            if times:
                blocks.append(np.asarray(values, dtype=float))
                stamps.extend(times)
                heard = pylsl.local_clock()
            elif pylsl.local_clock() - heard > OPEN_S:
                raise StreamError(f"{self.facts.name} sends nothing: no sample for {OPEN_S:g} s")
        samples = np.concatenate([*blocks, np.zeros((0, self.facts.scale.size))]) * self.facts.scale
        return samples, np.array(stamps)


def check_kind(info: pylsl.StreamInfo) -> None:
    """Refuse a stream that is no sampled signal.

    Raises
    ------
    StreamError
        Where it holds text, or has no sampling rate.
    """
    where = describe(info)
    if info.channel_format() == pylsl.cf_string:
        raise StreamError(f"source.stream: {where} holds text, not EEG: name the EEG stream")
    if not info.nominal_srate() > 0.0:
        raise StreamError(
            f"source.stream: {where} has no sampling rate (it says {info.nominal_srate():g} Hz): "
            "its samples come when they please, which is no EEG"
        )


def stream_facts(info: pylsl.StreamInfo, source: Lsl) -> StreamFacts:
    """Read what a stream says of itself, and refuse channels that nobody can know.

    Raises
    ------
    StreamError
        Where channels have no labels, two have one label, or a unit is missing or unknown.
    """
    where = describe(info)
    names = _names(info, source, where)
    for name in names:
        if names.count(name) > 1:
            raise StreamError(f"source.stream: {where}: {names.count(name)} channels are named {name} (limit: 1)")
    kinds = [str(kind or info.type()).lower() for kind in (info.get_channel_types() or [None] * len(names))]
    roles = tuple(ROLES.get(kind, "misc") for kind in kinds)
    units = tuple(str(unit or "") for unit in (info.get_channel_units() or [None] * len(names)))
    if source.trigger_channel is not None:  # some programs say of all their channels that they are EEG
        seen = clean_label(source.trigger_channel.name)
        roles = tuple(
            "trigger" if name == seen and unit.strip().lower() not in MICROVOLTS else role
            for name, unit, role in zip(names, units, roles, strict=True)
        )
    scale = [
        _scale(name, unit, source.unit, where) if role in {"eeg", "emg"} else _scale_of_others(role, unit)
        for name, role, unit in zip(names, roles, units, strict=True)
    ]
    return StreamFacts(
        name=info.name(),
        type=info.type(),
        source_id=info.source_id(),
        uid=info.uid(),
        host=info.hostname(),
        sfreq=float(info.nominal_srate()),
        format=FORMATS.get(info.channel_format(), "unknown"),
        channels=names,
        roles=roles,
        units=units,
        scale=np.array(scale),
    )


def _names(info: pylsl.StreamInfo, source: Lsl, where: str) -> tuple[str, ...]:
    """Return the channels' names: those that are given, or else those that are announced."""
    n = info.channel_count()
    if source.channels is not None:
        if len(source.channels) != n:
            raise StreamError(f"source.channels: {len(source.channels)} names; {where} has {n} channels")
        return tuple(clean_label(name) for name in source.channels)
    labels = info.get_channel_labels() or []
    if len(labels) != n or not all(labels):
        named = sum(bool(label) for label in labels)
        raise StreamError(
            f"source.stream: {where} names {named} of its {n} channels (desc/channels/channel/label): channels are "
            "found by name: give theirs as source.channels, in the stream's order"
        )
    return tuple(clean_label(label) for label in labels)


def _scale_of_others(role: Role, unit: str) -> float:
    """Scale what says that it is a potential, for a pipeline may read it; a trigger's threshold is in its own unit."""
    return 1.0 if role == "trigger" else MICROVOLTS.get(unit.strip().lower(), 1.0)


def _scale(channel: str, unit: str, given: str | None, where: str) -> float:
    known = unit.strip().lower()
    if known in MICROVOLTS:
        if given is not None and MICROVOLTS[known] != MICROVOLTS[given.lower()]:
            raise StreamError(f"source.unit = {given}: {where} says that channel {channel} is in {unit}")
        return MICROVOLTS[known]
    if known:
        raise StreamError(f"source.stream: {where}: channel {channel} is in {unit}, which is no unit of EEG")
    if given is None:
        raise StreamError(f"source.stream: {where} does not say the unit of channel {channel}: give it as source.unit")
    return MICROVOLTS[given.lower()]


def rest_recording(
    facts: StreamFacts, samples: NDArray[np.float64], stamps: NDArray[np.float64], *, delay_s: float
) -> tuple[Recording, float]:
    """Return what was collected as a recording, and the rate at which it came, in Hz.

    Parameters
    ----------
    facts
        Of the stream.
    samples, stamps
        Of shapes (n_samples, n_channels), in µV, and (n_samples,), in s on this machine's clock.
    delay_s
        Electrode to time stamp, in s.

    Raises
    ------
    StreamError
        Where there are none, they came at another rate than the stream says, or many share one time stamp.
    """
    if stamps.size < 2:
        raise StreamError(f"{facts.name}: {stamps.size} samples came (at least 2 are needed)")
    repeated = np.count_nonzero(np.diff(stamps) == 0.0) / stamps.size
    if repeated > REPEATED_LIMIT:
        raise StreamError(
            f"{facts.name}: {100 * repeated:.0f} % of its samples have the time stamp of the sample before them "
            f"(limit: {100 * REPEATED_LIMIT:g} %): its program must give each sample its own, for what has the "
            "same stamp counts as the same sample"
        )
    clock = fit_stamps(stamps, facts.sfreq)
    if not abs(clock.rate_hz / facts.sfreq - 1.0) <= RATE_LIMIT:
        raise StreamError(
            f"{facts.name}: its samples come at {clock.rate_hz:.2f} Hz, but it says {facts.sfreq:g} Hz "
            f"(limit: {100 * RATE_LIMIT:g} % apart)"
        )
    recording = Recording(
        names=facts.channels,
        roles=facts.roles,
        sfreq=facts.sfreq,
        samples=np.ascontiguousarray(samples),
        times_s=clock.times_s - delay_s,
        name=facts.name,
        notes=(f"a live stream of {facts.host}, {facts.format}",),
        jitter_s=clock.jitter_s,
    )
    return recording, clock.rate_hz


def check_scale(rest: Recording, *, unit_of: str) -> None:
    """Refuse what is no EEG, and EEG that is a million times too small or too large: its unit is not what it says.

    Raises
    ------
    StreamError
        Where the middle one of its channels is no number, does not move, or moves by what no EEG does.
    """
    eeg = [place for place, role in enumerate(rest.roles) if role == "eeg"]
    if not eeg:
        return
    # Differences between neighbouring tenths of a second: offsets and drifts of a raw amplifier do not count.
    length = max(1, round(rest.sfreq / 10.0))
    means = rest.samples[: len(rest.samples) // length * length, eeg].reshape(-1, length, len(eeg)).mean(axis=1)
    moves_uv = np.abs(np.diff(means, axis=0))
    known = np.isfinite(moves_uv).any(axis=0)
    if not known.any():
        raise StreamError(f"{rest.name}: its EEG is no number throughout: is the amplifier measuring?")
    typical_uv = float(np.median(np.nanmedian(moves_uv[:, known], axis=0)))
    if typical_uv == 0.0:
        raise StreamError(
            f"{rest.name}: half of its EEG channels or more do not move at all: is the amplifier measuring, and are "
            "its electrodes connected?"
        )
    if not PLAUSIBLE_UV[0] <= typical_uv <= PLAUSIBLE_UV[1]:
        raise StreamError(
            f"{rest.name}: its EEG moves by {typical_uv:.3g} µV within a tenth of a second, which no EEG does "
            f"(limits: {PLAUSIBLE_UV[0]:g} to {PLAUSIBLE_UV[1]:g}): is it in {unit_of}, as it says?"
        )
