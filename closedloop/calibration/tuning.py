"""The best that a method can be on a stretch of rest: its band, its own settings, and a complex gain.

A method as published meets a person whom its parameters were not made for. To be fair to it, they are chosen
anew on the stretch that a learning method learns from, by the same target, and its prediction at each lead is
turned and scaled by what it is off there in the mean.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from threadpoolctl import threadpool_limits

from closedloop.config.estimators import Estimator
from closedloop.errors import CalibrationError
from closedloop.estimators.interface import Designed, Rest, find_estimator, predict
from closedloop.estimators.output import learn_output
from closedloop.signal.circular import circular_sd

HALF_WIDTHS_HZ = (1.0, 1.5, 2.0, 2.5, 3.0)
"""Of the bands around the peak that are tried."""
FIXED_BANDS_HZ = ((8.0, 13.0),)
"""Bands that are tried beside them: the one that most methods were published with."""
SPACES: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "wiener": {},
    "echt": {"window_s": (0.25, 0.5, 1.0), "order": (1, 2)},
    "c-echt": {"cycles": (2, 3, 4, 6), "order": (1, 2)},
    "phastimate": {
        "preset": ("zrenner2018", "optimized", "device"),
        "ar_order_s": (0.02, 0.03, 0.06),
        "edge_s": (0.03, 0.064, 0.1),
    },
    "etp": {"window_s": (0.5, 0.75, 1.0)},
    "sspe": {"fit_s": (5.0, 10.0, 30.0), "background_hz": ((2.0, 22.0), (2.0, 6.0, 22.0))},
    "hilbert_fir": {"order": (1, 2), "window_s": (0.5, 1.0), "ar_order": (10, 20)},
    "resonator": {"damping": (0.1, 0.2, 0.3, 0.5), "prefilter_order": (1, 2)},
    "naive": {"order": (1, 2, 4), "window_s": (0.25, 0.5, 1.0)},
}
"""Settings of our methods that are tried, in every combination, the published ones among them; of another's, the bands
alone. `wiener` has chosen what it needs by cross-validation. What else `phastimate` has comes with its presets; `sspe`
is fitted to 30 s at most, since the time that EM takes grows with them."""
BAND_FREE = ("wiener", "sspe", "resonator")
"""Methods that a band says nothing to, or nothing but where to look for the rhythm."""
LEAD = 2
"""The grid's lead that is judged: 20 ms, what a rig has."""
JUDGED_RATE_HZ = 25.0
_ADAPTER: TypeAdapter[Any] = TypeAdapter(Estimator)


@dataclass(frozen=True)
class Tuned:
    """A method with what was chosen for it.

    Attributes
    ----------
    settings
        As a pipeline would set them; a mapping for a plugin.
    band_hz
        Lower and upper edge in Hz.
    designed
        The method designed so, its gain set.
    circular_sd
        Of its phase error on the stretch, in rad.
    """

    settings: Any
    band_hz: tuple[float, float]
    designed: Designed
    circular_sd: float


def tune(
    method: str,
    rest: Rest,
    *,
    options: Mapping[str, Any] | None = None,
    bands_hz: Sequence[tuple[float, float]] | None = None,
) -> Tuned:
    """Choose band, settings and complex gain of a method on a stretch of rest alone.

    Parameters
    ----------
    method
        Its name: one of ours, or one that an installed package announces.
    rest
        The stretch.
    options
        Settings that are the same for all candidates.
    bands_hz
        The bands that are tried, in Hz; None: several widths around the peak, and 8 to 13 Hz.

    Raises
    ------
    CalibrationError
        Where no candidate can be designed.
    ConfigError
        Where there is no such method.
    """
    find_estimator(method)
    found: list[Tuned] = []
    refusal = "no band fits below half the sampling rate"
    # Which thread sums what decides the last bits of a design.
    with threadpool_limits(limits=1, user_api="blas"):
        for band_hz in _bands(method, rest) if bands_hz is None else bands_hz:
            for settings in _settings(method, dict(options or {})):
                try:
                    found.append(_judge(method, settings, replace(rest, band_hz=band_hz)))
                except CalibrationError as error:
                    refusal = str(error)
    if not found:
        raise CalibrationError(f"{method} cannot be tuned on this stretch: {refusal}")
    best = min(found, key=lambda tuned: tuned.circular_sd)
    # The gain turns all phases of a lead by the same angle, so that it decides nothing between candidates.
    if best.designed.output_at is not None:
        learn_output(best.designed.step, best.designed.state, best.designed.output_at, rest, tuned=True)
    return best


def _bands(method: str, rest: Rest) -> list[tuple[float, float]]:
    if method in BAND_FREE:
        return [rest.band_hz]
    bands = [*((rest.peak_hz - half_hz, rest.peak_hz + half_hz) for half_hz in HALF_WIDTHS_HZ), *FIXED_BANDS_HZ]
    return [band for band in bands if 0.0 < band[0] and band[1] < rest.sfreq / 2]


def _settings(method: str, options: dict[str, Any]) -> Iterator[Any]:
    """Yield validated settings of a method of ours, bare options of another's; what cannot be is left out."""
    if method not in SPACES:
        yield options
        return
    space = SPACES[method]
    for values in itertools.product(*space.values()):
        try:
            yield _ADAPTER.validate_python({"type": method, **dict(zip(space, values, strict=True)), **options})
        except ValueError:
            continue


def _judge(method: str, settings: Any, rest: Rest) -> Tuned:
    """Design a candidate and see how far its phase scatters about the target's."""
    designed = find_estimator(method)(rest, settings)
    z, _ = predict(designed, rest.inputs, first=LEAD, stop=LEAD + 1, every=max(1, int(rest.sfreq // JUDGED_RATE_HZ)))
    truth = rest.targets()[:, LEAD]
    # A zero has no phase.
    known = np.isfinite(z[:, LEAD]) & (z[:, LEAD] != 0.0) & np.isfinite(truth)
    if not known.any():
        raise CalibrationError(f"{method} predicts nothing on this stretch")
    phasors = np.exp(1j * np.angle(truth[known] * z[known, LEAD].conj()))
    return Tuned(settings, rest.band_hz, designed, float(circular_sd(abs(complex(phasors.mean())))))
