"""Who takes part in a comparison: ours, every method as published, and each of those tuned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from closedloop.calibration.tuning import tune
from closedloop.config.estimators import Estimator
from closedloop.estimators.interface import Designed, Rest, find_estimator

BandRule = Callable[[float], tuple[float, float]]
"""From the peak's frequency in Hz to a band."""
_ADAPTER: TypeAdapter[Any] = TypeAdapter(Estimator)


def fixed(low_hz: float, high_hz: float) -> BandRule:
    """Return the rule that everybody has the same band."""
    return lambda _: (low_hz, high_hz)


def around(half_width_hz: float) -> BandRule:
    """Return the rule that a band reaches so far to either side of the peak."""
    return lambda peak_hz: (peak_hz - half_width_hz, peak_hz + half_width_hz)


def share(part: float) -> BandRule:
    """Return the rule that a band reaches to either side of the peak by a share of its frequency."""
    return lambda peak_hz: ((1.0 - part) * peak_hz, (1.0 + part) * peak_hz)


@dataclass(frozen=True)
class Contender:
    """One method in one state of tuning.

    Attributes
    ----------
    estimator
        Its name in tables.
    tuning
        published, tuned or ours.
    make
        Designs it on rest.
    """

    estimator: str
    tuning: str
    make: Callable[[Rest], Designed]


PUBLISHED: Mapping[str, tuple[Mapping[str, Any], BandRule]] = {
    "echt": ({"type": "echt"}, share(0.25)),
    "c-echt": ({"type": "c-echt"}, share(0.25)),
    "phastimate zrenner2018": ({"type": "phastimate", "preset": "zrenner2018"}, fixed(8.0, 13.0)),
    "phastimate optimized": ({"type": "phastimate", "preset": "optimized"}, around(1.0)),
    "phastimate device": ({"type": "phastimate", "preset": "device"}, fixed(9.0, 13.0)),
    "etp": ({"type": "etp"}, fixed(8.0, 13.0)),
    "sspe": ({"type": "sspe"}, around(2.0)),
    "hilbert_fir": ({"type": "hilbert_fir"}, fixed(8.0, 13.0)),
    "resonator": ({"type": "resonator"}, around(2.0)),
    "naive": ({"type": "naive"}, fixed(8.0, 13.0)),
}
"""Parameters as published, with the bands that belong to them (see each method's module)."""
TUNED = ("echt", "c-echt", "phastimate", "etp", "sspe", "hilbert_fir", "resonator", "naive")
MANY_CHANNELS = "wiener, many channels"
OURS: Mapping[str, Mapping[str, Any]] = {
    "wiener": {"type": "wiener"},
    MANY_CHANNELS: {"type": "wiener", "helpers": "all"},
}


def contenders(names: tuple[str, ...] | None = None) -> list[Contender]:
    """Return those whose method is named, or all.

    Parameters
    ----------
    names
        Names of methods, also of another package's; None: all of ours.
    """
    every = [*_ours(), *_published(), *_tuned()]
    if names is None:
        return every
    chosen = [one for one in every if one.estimator.split()[0].rstrip(",") in names]
    known = {one.estimator.split()[0].rstrip(",") for one in every}
    others = [name for name in names if name not in known]
    return [*chosen, *(Contender(name, "published", _plain(name)) for name in others), *map(_tuning, others)]


def _ours() -> list[Contender]:
    return [Contender(name, "ours", _designed(settings, None)) for name, settings in OURS.items()]


def _published() -> list[Contender]:
    return [Contender(name, "published", _designed(*how)) for name, how in PUBLISHED.items()]


def _tuned() -> list[Contender]:
    return [_tuning(name) for name in TUNED]


def _tuning(name: str) -> Contender:
    return Contender(name, "tuned", lambda rest: tune(name, rest).designed)


def _designed(settings: Mapping[str, Any], band: BandRule | None) -> Callable[[Rest], Designed]:
    estimator = _ADAPTER.validate_python(settings)

    def make(rest: Rest) -> Designed:
        own = rest if band is None else replace(rest, band_hz=band(rest.peak_hz))
        return find_estimator(estimator.type)(own, estimator)

    return make


def _plain(name: str) -> Callable[[Rest], Designed]:
    return lambda rest: find_estimator(name)(rest, {})
