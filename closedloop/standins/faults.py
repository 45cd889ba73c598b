"""Faults on request: each a name, with a number where there is one, of the wire or of the device itself."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from closedloop.errors import ConfigError
from closedloop.standins.terminal import NO_FAULTS, WireFaults

NULS = 16.0
"""So many NUL bytes are what a port may say when it is opened."""

WIRE: dict[str, Callable[[WireFaults, float], WireFaults]] = {
    "split": lambda faults, _n: replace(faults, split=True),
    "merge": lambda faults, _n: replace(faults, merge=True),
    "dropped": lambda faults, share: replace(faults, dropped=share),
    "corrupted": lambda faults, share: replace(faults, corrupted=share),
    "deaf": lambda faults, share: replace(faults, deaf=share),
    "mishears": lambda faults, share: replace(faults, mishears=share),
    "garbage": lambda faults, n: replace(faults, garbage=bytes(int(n))),
    "vanishes-after": lambda faults, n: replace(faults, vanishes_after=int(n)),
}
"""What each fault of the wire makes of a wire without it."""
USUAL = {
    "split": 0.0,
    "merge": 0.0,
    "dropped": 0.01,
    "corrupted": 0.01,
    "deaf": 0.01,
    "mishears": 0.01,
    "garbage": NULS,
    "vanishes-after": 64.0,
}
"""The number of each where none is given."""


@dataclass(frozen=True)
class Faults:
    """What is wrong with a stand-in from its start.

    Attributes
    ----------
    wire
        With its wire.
    actions
        What has happened to the device: names of its actions, with their numbers.
    """

    wire: WireFaults
    actions: tuple[tuple[str, tuple[float, ...]], ...]


def parse_faults(texts: Sequence[str], actions: Iterable[str]) -> Faults:
    """Return the faults that are asked for.

    Parameters
    ----------
    texts
        Each ``NAME`` or ``NAME=NUMBER``.
    actions
        Names of what can happen to the device itself.

    Raises
    ------
    ConfigError
        Where there is no such fault, or its number is none.
    """
    own, wire, happened = list(actions), NO_FAULTS, []
    for text in texts:
        name, _, given = text.partition("=")
        if name not in WIRE and name not in own:
            raise ConfigError(f"--fault = {text}: there is no such fault (there: {', '.join((*WIRE, *own))})")
        number = _number(text, given)
        if name in WIRE:
            wire = _checked(text, WIRE[name](wire, USUAL[name] if number is None else number))
        else:
            happened.append((name, () if number is None else (number,)))
    return Faults(wire, tuple(happened))


def _number(text: str, given: str) -> float | None:
    if "=" not in text:
        return None
    try:
        return float(given)
    except ValueError:
        raise ConfigError(f"--fault = {text}: {given or 'nothing'} is no number") from None


def _checked(text: str, faults: WireFaults) -> WireFaults:
    shares = (faults.dropped, faults.corrupted, faults.deaf, faults.mishears)
    wrong = faults.vanishes_after is not None and faults.vanishes_after < 0
    if wrong or not all(0.0 <= share <= 1.0 for share in shares):
        raise ConfigError(f"--fault = {text}: a share is within 0 and 1, a number of bytes at least 0")
    return faults
