"""A design and a pipeline become the core's state arrays."""

import numpy as np
from numpy.typing import NDArray

from closedloop.calibration.design import Design
from closedloop.calibration.dose_limits import conditions, dose, leased
from closedloop.config.device import Stimulator
from closedloop.config.pipeline import Pipeline, Train
from closedloop.config.source import Lsl
from closedloop.core.blank import blank_core, with_fields
from closedloop.core.state import N_BLOCKS, TRIAL, Core, Extremes, Steps, make_extremes, make_signals, pad_steps, silent
from closedloop.core.witness import MAX_DRIFT_S
from closedloop.protocols.trials import draw_trials
from closedloop.signal.conditioning import design_conditioning
from closedloop.signal.rhythm import design_rhythm

RATE_GAIN = 0.05
"""Share by which a running limit falls with each trial: it settles within some twenty trials."""
HORIZON_SAMPLES = 2.0
"""Nearer than this a plan is committed: one more sample could still come too late to move it."""


def assemble(
    pipeline: Pipeline, device: Stimulator, design: Design, *, n_channels: int, sd_limit: float
) -> tuple[Core, Steps]:
    """Lay out the core's state.

    Parameters
    ----------
    pipeline, device
        What to do, and with what.
    design
        What calibration found.
    n_channels
        Channels of each sample that the core will be given.
    sd_limit
        Phase SD in rad above which a chance is not among the best; infinite where all are wanted.

    Returns
    -------
        Freshly designed state, which a run changes, and the compiled step of each signal's estimator.
    """
    montage = design.montage
    conditioning = pipeline.conditioning
    designs = [design.signals.get(name) for name in pipeline.signals]
    steps = [silent if d is None else d.designed.step for d in designs]
    states = [np.zeros(1) if d is None else d.designed.state for d in designs]
    limits, exposure = dose(pipeline, device, train_hz(pipeline, design))
    core = blank_core(n_channels, design.sfreq)
    core = core._replace(
        timing=with_fields(
            core.timing,
            delay_s=pipeline.source.delay_s,
            latency_s=device.latency.known_s,
            longest_s=_memory_s(pipeline, design),
            jitter_s=design.jitter_s,
        ),
        conditioning=design_conditioning(
            len(montage.names),
            design.sfreq,
            high_pass_hz=conditioning.high_pass_hz,
            notch_hz=conditioning.notches_hz,
        ),
        signals=make_signals(montage.places, [montage.inputs(k) for k in range(len(states))], states),
        quality=_quality(core, pipeline, design),
        extremes=_extremes(pipeline, design),
        rhythm=design_rhythm(design.sfreq, design.fit.peak_hz),
        policy=_policy(core, pipeline, design, sd_limit),
        conditions=conditions(pipeline, device),
        trials=_trials(pipeline),
        limits=_limits(core, pipeline, device, design, limits),
        exposure=exposure,
        gate=with_fields(core.gate, leased=leased(pipeline, device)),
        witness=_witness(core, pipeline, design),
    )
    return core, pad_steps(steps)


def train_hz(pipeline: Pipeline, design: Design) -> float:
    """Return the frequency of trains, in Hz: what the pipeline says, or the peak of rest; single pulses have none."""
    if not isinstance(pipeline.protocol, Train):
        return 0.0
    frequency_hz = pipeline.protocol.frequency_hz
    return design.fit.peak_hz if frequency_hz == "individual" else frequency_hz


def _memory_s(pipeline: Pipeline, design: Design) -> float:
    """Return after how long a gap nothing that the core remembers is from before it."""
    windows = [signal.designed.window_s for signal in design.signals.values()]
    return max([*windows, pipeline.gates.quality_window_s * N_BLOCKS / (N_BLOCKS - 1)]) + 1.0


def _quality(core: Core, pipeline: Pipeline, design: Design) -> NDArray[np.void]:
    gates = pipeline.gates
    return with_fields(
        core.quality,
        flat_uv=gates.flat_uv,
        range_uv=np.inf if gates.range_uv is None else gates.range_uv,
        block=int(np.ceil(gates.quality_window_s * design.sfreq / (N_BLOCKS - 1))),
        needed=int(np.ceil(gates.quality_window_s * design.sfreq)),
        hold_s=gates.hold_after_pulse_s,
    )


def _extremes(pipeline: Pipeline, design: Design) -> Extremes:
    """Limit every EEG channel, and each signal that must be quiet."""
    channels = [pipeline.gates.artifact_uv if role == "eeg" else np.inf for role in design.montage.roles]
    quiet = {limit.signal: limit.peak_to_peak_uv for limit in pipeline.gates.quiet}
    signals = [quiet.get(name, np.inf) for name in pipeline.signals]
    return make_extremes(np.array(channels + signals), np.array([1] * len(channels) + [0] * len(signals), np.int64))


def _policy(core: Core, pipeline: Pipeline, design: Design, sd_limit: float) -> NDArray[np.void]:
    target = pipeline.target
    horizon_s = target.commit_horizon_s
    rate = pipeline.gates.wanted_rate
    pulses, pulse_interval_s = 1, 0.0
    if isinstance(pipeline.protocol, Train):
        pulses = pipeline.protocol.pulses_per_train
        pulse_interval_s = 1.0 / train_hz(pipeline, design)
    return with_fields(
        core.policy,
        signal=list(pipeline.signals).index(target.signal),
        pulses=pulses,
        pulse_interval_s=pulse_interval_s,
        period_s=1.0 / design.fit.peak_hz,
        plan_ahead_s=target.plan_ahead_s,
        horizon_s=HORIZON_SAMPLES / design.sfreq if horizon_s == "auto" else horizon_s,
        sd_limit=sd_limit,
        wanted_hz=0.0 if rate is None else rate.per_minute / 60.0,
        rate_gain=RATE_GAIN if rate is not None and rate.mode == "running" else 0.0,
    )


def _trials(pipeline: Pipeline) -> NDArray[np.void]:
    protocol, target = pipeline.protocol, pipeline.target
    drawn = draw_trials(
        protocol.trains if isinstance(protocol, Train) else protocol.pulses,
        len(target.conditions),
        shuffle=target.order.shuffle,
        withhold=target.withhold,
        min_interval_s=protocol.min_interval_s,
        jitter_s=protocol.jitter_s,
        seed=target.order.seed,
    )
    trials: NDArray[np.void] = np.zeros(drawn.condition.size, TRIAL)
    for name in ("condition", "withheld", "random_target", "wait_s"):
        trials[name] = getattr(drawn, name)
    return trials


def _witness(core: Core, pipeline: Pipeline, design: Design) -> NDArray[np.void]:
    """Watch the trigger channel, where the stream has one and the pipeline says how late it shows a trigger."""
    source = pipeline.source
    if not isinstance(source, Lsl) or source.trigger_channel is None:
        return core.witness
    return with_fields(
        core.witness,
        channel=design.montage.trigger,
        threshold=source.trigger_channel.threshold,
        expected_s=source.trigger_channel.latency_s,
        tolerance_s=MAX_DRIFT_S + 1.0 / design.sfreq,
    )


def _limits(
    core: Core, pipeline: Pipeline, device: Stimulator, design: Design, dose_limits: dict[str, float]
) -> NDArray[np.void]:
    # What the pulse's own spread leaves of the limit is the estimator's.
    spread, limit = device.phase_spread(design.fit.peak_hz), np.radians(pipeline.gates.max_phase_sd_deg)
    return with_fields(
        core.limits,
        **dose_limits,
        max_lateness_s=pipeline.limits.max_lateness_s,
        max_data_age_s=pipeline.limits.max_data_age_s,
        rhythm_snr_db=design.rhythm_snr_db,
        max_phase_sd=np.sqrt(max(0.0, limit**2 - spread**2)),
    )
