"""Settings of the methods that predict phase, with the parameter sets that were published."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from closedloop.config.fault import Fault
from closedloop.config.model import Model

Positive = Annotated[float, Field(gt=0.0)]
Window = Annotated[float, Field(ge=0.1, le=5.0)]


class Preset(Model):
    """A method with several published parameter sets: the chosen one gives what is not given."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]]

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            name = given.get("preset", cls.model_fields["preset"].default)
            return {**cls.PRESETS.get(name, {}), **given} if isinstance(name, str) else given
        return given


class Wiener(Model):
    """The linear predictor of least squared error, learnt on rest."""

    type: Literal["wiener"]
    window_s: Annotated[float, Field(ge=0.1, le=2.0)] = 0.32
    """How much of the past it uses, in s."""
    helpers: Literal["none", "all"] | Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = "none"
    """Channels whose own past helps, where cross-validation finds that it does: none, all EEG, or their names."""
    helper_window_s: Annotated[float, Field(ge=0.05, le=1.0)] = 0.112
    """How much of the helpers' past is used, in s."""


class Echt(Model):
    """The endpoint-corrected Hilbert transform."""

    type: Literal["echt"]
    window_s: Annotated[float, Field(ge=0.1, le=2.0)] = 1.0
    """Length of the window, in s."""
    order: Annotated[int, Field(ge=1, le=8)] = 2
    """Of the Butterworth band-pass."""


class CalibratedEcht(Model):
    """The endpoint-corrected Hilbert transform whose gain at the peak is made one, over whole cycles."""

    type: Literal["c-echt"]
    cycles: Annotated[int, Field(ge=1, le=20)] = 2
    """Length of the window, in cycles of the peak."""
    order: Annotated[int, Field(ge=1, le=8)] = 1
    """Of the Butterworth band-pass."""


class Phastimate(Preset):
    """Band-pass without phase, autoregressive prediction past the edge, Hilbert transform."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "zrenner2018": {
            "window_s": 0.5,
            "filter": "window",
            "filter_order_s": 0.128,
            "edge_s": 0.064,
            "ar_order_s": 0.03,
            "hilbert_s": 0.128,
        },
        "optimized": {
            "window_s": 0.719,
            "filter": "window",
            "filter_order_s": 0.192,
            "edge_s": 0.064,
            "ar_order_s": 0.03,
            "hilbert_s": 0.128,
        },
        "device": {
            "window_s": 1.0,
            "filter": "least_squares",
            "filter_order_s": 0.14,
            "edge_s": 0.07,
            "ar_order_s": 0.03,
            "hilbert_s": 0.128,
        },
    }

    type: Literal["phastimate"]
    preset: Literal["zrenner2018", "optimized", "device"] = "optimized"
    """Published set that gives what is not given here."""
    window_s: Window = 0.719
    """Length of the window, in s."""
    filter: Literal["window", "least_squares"] = "window"
    """How the band-pass is designed: by a Hamming window, or least squares with flanks of 3 Hz."""
    filter_order_s: Positive = 0.192
    """Order of the band-pass, in s."""
    edge_s: Positive = 0.064
    """What is dropped at each end of the filtered window, in s."""
    ar_order_s: Positive = 0.03
    """Order of the autoregressive model, in s."""
    hilbert_s: Positive = 0.128
    """Length of what the Hilbert transform sees, in s."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        for name, length_s in (
            ("3 * filter_order_s", 3.0 * self.filter_order_s),
            ("2 * edge_s + ar_order_s", 2.0 * self.edge_s + self.ar_order_s),
            ("edge_s + hilbert_s / 2", self.edge_s + self.hilbert_s / 2.0),
        ):
            if not length_s < self.window_s:
                raise Fault((), f"{name} = {length_s:g} must be less than window_s = {self.window_s:g}")
        return self


class Etp(Model):
    """Educated temporal prediction: the last peak plus the person's own period."""

    type: Literal["etp"]
    window_s: Window = 0.5
    """Length of the window, in s."""


class Sspe(Preset):
    """State-space phase estimation: noisy oscillators, fitted by EM on rest, followed by a Kalman filter."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mu": {"fit_s": 5.0, "background_hz": (2.0, 22.0)},
        "lfp": {"fit_s": 10.0, "background_hz": (1.0, 60.0)},
    }

    type: Literal["sspe"]
    preset: Literal["mu", "lfp"] = "mu"
    """Published set that gives what is not given here: for the mu rhythm of EEG, or for local field potentials."""
    fit_s: Annotated[float, Field(ge=2.0, le=120.0)] = 5.0
    """How much of rest, from its beginning, the model is fitted to, in s."""
    background_hz: Annotated[tuple[Positive, ...], Field(strict=False)] = (2.0, 22.0)
    """Where the oscillators that are not the rhythm start, in Hz; the rhythm's starts at the peak of rest."""


class HilbertFir(Model):
    """A causal band-pass, autoregressive prediction by Burg, a short Hilbert transformer."""

    type: Literal["hilbert_fir"]
    order: Annotated[int, Field(ge=1, le=8)] = 2
    """Of the Butterworth band-pass."""
    ar_order: Annotated[int, Field(ge=2, le=60)] = 20
    """Of the autoregressive model, at 500 Hz."""
    window_s: Window = 1.0
    """What the model is fitted to, in s."""
    refresh_s: Annotated[float, Field(ge=0.01, le=1.0)] = 0.05
    """How often it is fitted anew, in s."""
    compensate: bool = False
    """Turn all back by the band-pass's own phase at the peak, which the published method leaves in."""


class Resonator(Model):
    """A damped oscillator that the signal drives."""

    type: Literal["resonator"]
    damping: Annotated[float, Field(gt=0.0, lt=2.0)] = 0.3
    """Of the oscillator, as a share of its angular frequency."""
    prefilter_order: Annotated[int, Field(ge=0, le=4)] = 2
    """Of the causal Butterworth band-pass in front, 5 to 20 Hz; 0: none."""
    adapt: bool = False
    """Follow the frequency, as published: on noisy rhythms that loses them."""


class Naive(Model):
    """What a first script does: a causal band-pass, and the Hilbert transform of the newest window."""

    type: Literal["naive"]
    order: Annotated[int, Field(ge=1, le=8)] = 4
    """Of the Butterworth band-pass."""
    window_s: Window = 1.0
    """Length of the window, in s."""


class Plugin(Model):
    """An estimator of an installed package."""

    type: Literal["plugin"]
    name: Annotated[str, Field(min_length=1)]
    """The name under which the package announces it."""
    options: dict[str, Any] = Field(default={})
    """What the package's own documentation lists."""


Estimator = Annotated[
    Wiener | Echt | CalibratedEcht | Phastimate | Etp | Sspe | HilbertFir | Resonator | Naive | Plugin,
    Field(discriminator="type"),
]
