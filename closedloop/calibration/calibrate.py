"""Calibration: a stretch of rest in, a core ready to run out."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from closedloop.calibration.assemble import assemble
from closedloop.calibration.design import Design, design
from closedloop.calibration.whole_plan import check_individual
from closedloop.config.device import Stimulator
from closedloop.config.pipeline import Pipeline, Train
from closedloop.core.playback import dry_run
from closedloop.core.policy import SD_FLOOR
from closedloop.core.reasons import EXPLANATIONS, Reason
from closedloop.core.records import EventKind
from closedloop.core.state import Core, Steps
from closedloop.sources.recording import Recording

RATE_ROUNDING = 0.999
"""Ten chances in a minute and a sample are still ten a minute."""
N_BISECTIONS = 8
"""The limit is found to about 1 % of its value."""


@dataclass(frozen=True)
class Calibration:
    """What a stretch of rest has given.

    Attributes
    ----------
    design
        Filters, estimators and the rhythm gate.
    sd_limit
        Phase SD in rad above which a chance is not among the best; infinite without a wanted rate.
    rest_per_minute
        Chances a minute that passed every gate at that limit, at rest.
    predicted_sd
        Root mean square of the estimator's own phase SD at those chances, and of the device's spread, in rad; NaN
        without any.
    hindrance
        What refused most chances at rest, but for the protocol's own interval and the estimator's warming up; NONE
        where nothing did.
    """

    design: Design
    sd_limit: float
    rest_per_minute: float
    predicted_sd: float
    hindrance: Reason

    def core(self, pipeline: Pipeline, device: Stimulator, *, n_channels: int) -> tuple[Core, Steps]:
        """Lay out a fresh core and its steps."""
        return assemble(pipeline, device, self.design, n_channels=n_channels, sd_limit=self.sd_limit)

    def facts(self) -> dict[str, Any]:
        """Return what people and reports want to know."""
        return {
            **self.design.facts(),
            "sd_limit_deg": None if math.isinf(self.sd_limit) else math.degrees(self.sd_limit),
            "rest_per_minute": self.rest_per_minute,
            "predicted_sd_deg": None if math.isnan(self.predicted_sd) else math.degrees(self.predicted_sd),
        }

    def promise(self, pipeline: Pipeline) -> str:
        """Return how often and how exactly it would fire if all went on as at rest, in one line."""
        found = f"{self.rest_per_minute:.1f} chances a minute pass every gate at rest"
        if not math.isnan(self.predicted_sd):
            found += f", their phase predicted to ±{math.degrees(self.predicted_sd):.0f}°"
        rate = pipeline.gates.wanted_rate
        short = rate is not None and self.rest_per_minute < RATE_ROUNDING * rate.per_minute
        if rate is not None and short:
            found += f"; fewer than wanted (gates.wanted_rate: {rate.per_minute:g}), so that each of them counts"
        if (short or self.rest_per_minute == 0.0) and self.hindrance != Reason.NONE:
            found += f"; most often {EXPLANATIONS[self.hindrance]}"
        return found


def calibrate(pipeline: Pipeline, device: Stimulator, rest: Recording) -> Calibration:
    """Design everything on a stretch of rest and fix the limit that belongs to the wanted rate.

    Raises
    ------
    CalibrationError
        Where nothing can be designed from the stretch.
    ConfigError
        Where the pipeline names what does not exist.

    Notes
    -----
    The limit comes from running the very core over the rest: the lowest phase SD at which all gates
    and intervals together leave at least the wanted rate. Where even no limit reaches it, there is none.
    """
    # How many threads share a sum decides its last bits, and one design must come out of one rest; here, where
    # the matrices are small, more than one thread is slower as well.
    with threadpool_limits(limits=1, user_api="blas"):
        designed = design(pipeline, rest)

    check_individual(pipeline, device, designed.fit.peak_hz)
    # By its samples, not by its stamps: their last bits must not decide which trials are drawn. Of a stream that is
    # slower than it says, the stamps tell how many trials fit.
    rest_s = len(rest.samples) / rest.sfreq
    endless = _without_end(pipeline, max(rest_s, RATE_ROUNDING * rest.duration_s))

    def decided(limit: float) -> NDArray[np.void]:
        core, steps = assemble(endless, device, designed, n_channels=len(rest.names), sd_limit=limit)
        return dry_run(core, steps, rest, delay_s=pipeline.source.delay_s)

    events = decided(math.inf)
    limit, chances = math.inf, _used(events)
    rate = pipeline.gates.wanted_rate
    if rate is not None:
        wanted = RATE_ROUNDING * rate.per_minute * rest_s / 60.0
        low, high = SD_FLOOR, math.radians(pipeline.gates.max_phase_sd_deg)
        if chances.size >= wanted:
            for _ in range(N_BISECTIONS):
                middle = math.sqrt(low * high)
                found = _used(decided(middle))
                if found.size >= wanted:
                    limit, high, chances = middle, middle, found
                else:
                    low = middle
    predicted = math.sqrt(float(np.mean(chances["sd"] ** 2))) if chances.size else math.nan
    predicted = math.hypot(predicted, device.phase_spread(designed.fit.peak_hz))
    return Calibration(designed, limit, 60.0 * chances.size / rest_s, predicted, _hindrance(events))


def _used(events: NDArray[np.void]) -> NDArray[np.void]:
    """Return the chances that passed every gate: first pulses."""
    used: NDArray[np.void] = events[(events["kind"] != EventKind.REFUSED) & (events["pulse"] == 0)]
    return used


def _hindrance(events: NDArray[np.void]) -> Reason:
    refused = events["reason"][events["kind"] == EventKind.REFUSED]
    refused = refused[~np.isin(refused, (Reason.INTERVAL, Reason.WARM_UP))]
    return Reason(int(np.bincount(refused).argmax())) if refused.size else Reason.NONE


def _without_end(pipeline: Pipeline, duration_s: float) -> Pipeline:
    """Return the pipeline with more trials than fit into the rest, so that its protocol cannot end there."""
    protocol = pipeline.protocol
    trials = 1 + math.ceil(duration_s / protocol.min_interval_s)
    pulses = trials
    if isinstance(protocol, Train):
        pulses *= protocol.pulses_per_train
    amount = {"trains" if isinstance(protocol, Train) else "pulses": trials}
    return pipeline.model_copy(
        update={
            "protocol": protocol.model_copy(update=amount),
            "limits": pipeline.limits.model_copy(update={"max_pulses": pulses}),
        }
    )
