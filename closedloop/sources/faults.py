"""Faults that a stream can have on purpose: what is sent in place of a faultless stream's samples.

All of it is a pure function of a sample's place in the stream; neither a clock nor an outlet is needed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from closedloop.errors import ConfigError


class Kind(StrEnum):
    """Kinds of faults."""

    DROP = "drop"
    DUPLICATE = "duplicate"
    BACKDATE = "backdate"
    SWAP = "swap"
    JUMP = "jump"
    STALL = "stall"
    SILENCE = "silence"
    END = "end"
    DIE = "die"
    NAN = "nan"


IN_SAMPLES = {Kind.DROP, Kind.DUPLICATE, Kind.NAN}
"""Kinds whose amount is a number of samples: 1 unless it is given."""
IN_SECONDS = {Kind.BACKDATE, Kind.JUMP, Kind.STALL, Kind.SILENCE}
"""Kinds whose amount is in s."""
LAST = {Kind.END, Kind.DIE}
"""Kinds after which nothing comes."""
PLACE_TOLERANCE = 1e-6
"""In samples: a start that is a sample's own time does not lose that sample to rounding."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes
    ----------
    kind
        What happens.
    start_s
        When, in s after the stream's first sample.
    amount
        For how many samples or how many s, by its kind; 0.0 where the kind has none.
    """

    kind: Kind
    start_s: float
    amount: float = 0.0

    def place(self, rate_hz: float) -> int:
        """Return the place of the first sample that it meets, in a stream of a rate in Hz."""
        return math.ceil(self.start_s * rate_hz - PLACE_TOLERANCE)

    def meets(self, place: int, rate_hz: float) -> bool:
        """Return whether a sample's place is among those that it meets; for kinds with an amount in samples."""
        return 0 <= place - self.place(rate_hz) < self.amount

    def covers(self, elapsed_s: float) -> bool:
        """Return whether it lasts at a time in s after the first sample; for stalls and silences."""
        tolerance_s = 1e-9  # what lasts up to a sample does not take that sample by rounding
        return self.start_s - tolerance_s <= elapsed_s < self.start_s + self.amount - tolerance_s


@dataclass(frozen=True)
class Sent:
    """One sample as it is sent.

    Attributes
    ----------
    place
        Which of the faultless stream's samples it is.
    shift_s
        How far its stamp lies after that one's, in s.
    is_nan
        Whether its values are lost.
    """

    place: int
    shift_s: float = 0.0
    is_nan: bool = False


@dataclass(frozen=True)
class Faults:
    """All faults of one stream.

    Attributes
    ----------
    faults
        They may overlap; each acts on what the others left.
    rate_hz
        The stream's true rate.
    """

    faults: tuple[Fault, ...]
    rate_hz: float

    def sent_at(self, place: int) -> list[Sent]:
        """Return what is sent when the sample of a place is due: itself, nothing, or more than one."""
        if not self.faults:
            return [Sent(place)]
        swapped = {fault.place(self.rate_hz) for fault in self.faults if fault.kind == Kind.SWAP}
        order = [] if place in swapped else [place]
        if place - 1 in swapped:
            order.append(place - 1)
        return [sent for one in order for sent in self._copies(one)]

    def due_s(self, elapsed_s: float) -> float:
        """Return when what is due after some s is sent: then, or when the stall ends that holds it back."""
        for fault in sorted(self._of(Kind.STALL), key=lambda stall: stall.start_s):
            if fault.covers(elapsed_s):
                elapsed_s = fault.start_s + fault.amount
        return elapsed_s

    @property
    def last(self) -> Fault | None:
        """The fault that ends the stream, or None."""
        return min((fault for fault in self.faults if fault.kind in LAST), key=lambda end: end.start_s, default=None)

    def _copies(self, place: int) -> list[Sent]:
        elapsed_s = place / self.rate_hz
        if any(fault.meets(place, self.rate_hz) for fault in self._of(Kind.DROP)):
            return []
        if any(fault.covers(elapsed_s) for fault in self._of(Kind.SILENCE)):
            return []
        jumps = sum(fault.amount for fault in self._of(Kind.JUMP) if place >= fault.place(self.rate_hz))
        early = sum(fault.amount for fault in self._of(Kind.BACKDATE) if place == fault.place(self.rate_hz))
        is_nan = any(fault.meets(place, self.rate_hz) for fault in self._of(Kind.NAN))
        again = sum(fault.meets(place, self.rate_hz) for fault in self._of(Kind.DUPLICATE))
        return [Sent(place, jumps - early, is_nan)] * (1 + again)

    def _of(self, kind: Kind) -> list[Fault]:
        return [fault for fault in self.faults if fault.kind == kind]


def parse_fault(text: str) -> Fault:
    """Read a fault: ``KIND@START`` or ``KIND@START:AMOUNT``, as in ``jump@12.5:-0.2``.

    Raises
    ------
    ConfigError
        Where it is no fault; one line with text, part and limit.
    """
    name, at, rest = text.partition("@")
    if name not in {*Kind} or not at:
        raise ConfigError(f"--fault {text}: must be KIND@START[:AMOUNT], of a kind of {', '.join(Kind)}")
    start, colon, amount = rest.partition(":")
    return _fault(Kind(name), start, amount if colon else None, f"--fault {text}")


def parse_drop(text: str) -> Fault:
    """Read samples that never come: ``START:N``, as in ``12.5:40``.

    Raises
    ------
    ConfigError
        Where it is none; one line with text, part and limit.
    """
    start, colon, amount = text.partition(":")
    if not colon:
        raise ConfigError(f"--drop {text}: must be START:N, a time in s and a number of samples")
    return _fault(Kind.DROP, start, amount, f"--drop {text}")


def check_within(faults: Sequence[Fault], n_samples: int, rate_hz: float) -> None:
    """Check that each fault meets the stream.

    Raises
    ------
    ConfigError
        Where one begins when the stream has ended, or a swap has no second sample.
    """
    for fault in faults:
        needed = 2 if fault.kind == Kind.SWAP else 1
        if fault.place(rate_hz) + needed > n_samples:
            raise ConfigError(
                f"{fault.kind} at {fault.start_s:g} s: the stream has ended then (it lasts {n_samples / rate_hz:g} s)"
            )


def _fault(kind: Kind, start: str, amount: str | None, where: str) -> Fault:
    start_s = _number(start, f"{where}: START = {start}")
    if not start_s >= 0.0:
        raise ConfigError(f"{where}: START = {start}: must be at least 0 s")
    if amount is None:
        if kind in IN_SECONDS:
            raise ConfigError(f"{where}: {kind} needs an amount in s: {kind}@{start}:AMOUNT")
        return Fault(kind, start_s, 1.0 if kind in IN_SAMPLES else 0.0)
    what = f"{where}: AMOUNT = {amount}"
    if kind not in IN_SAMPLES | IN_SECONDS:
        raise ConfigError(f"{what}: {kind} has no amount")
    value = _number(amount, what)
    if kind in IN_SAMPLES and not (value >= 1.0 and value.is_integer()):
        raise ConfigError(f"{what}: must be a whole number of samples, at least 1")
    if kind == Kind.JUMP and value == 0.0:
        raise ConfigError(f"{what}: must not be 0 s")
    if kind in IN_SECONDS - {Kind.JUMP} and not value > 0.0:
        raise ConfigError(f"{what}: must be above 0 s")
    return Fault(kind, start_s, value)


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{what}: must be a number") from None
    if not math.isfinite(value):
        raise ConfigError(f"{what}: must be finite")
    return value
