"""The same run without a rhythm: what the pipeline would reach on the recording's background alone.

A surrogate is one channel of noise with the background spectrum that calibration fitted, the peak
removed and all phases random. It is calibrated and run like the recording, at the same wanted rate,
but with the rhythm gate open, and that on the phase's SD where a wanted rate chooses: they exist to refuse
just this.
"""

from collections.abc import Sequence

import numpy as np

from closedloop.calibration.calibrate import Calibration, calibrate
from closedloop.calibration.design import Design
from closedloop.config.device import Stimulator
from closedloop.config.pipeline import Pipeline, Single, Train
from closedloop.config.source import Playback
from closedloop.core.playback import dry_run
from closedloop.core.records import EventKind
from closedloop.session.evaluation import Phases, joined, phases_at, target_reference
from closedloop.signal.surrogates import background_noise
from closedloop.sources.recording import Recording

CHANNEL = "surrogate"
OPEN_DB = -1000.0
"""A limit of the rhythm gate that any power passes."""
OPEN_SD_DEG = 90.0
"""A limit of the phase's SD that leaves the choice to the wanted rate."""


def surrogate_recording(design: Design, *, duration_s: float, seed: int) -> Recording:
    """Draw one surrogate of the target signal."""
    fit, sfreq = design.fit, design.sfreq
    n_samples = round(duration_s * sfreq)
    noise = background_noise(
        fit.frequencies_hz,
        fit.background_psd,
        n_samples=n_samples,
        sfreq=sfreq,
        rng=np.random.default_rng([seed, n_samples]),
    )
    return Recording(
        names=(CHANNEL,),
        roles=("eeg",),
        sfreq=sfreq,
        samples=noise[:, None],
        times_s=np.arange(n_samples) / sfreq,
        name=f"surrogate {seed}",
        sha256=None,
        notes=(),
    )


def surrogate_pipeline(pipeline: Pipeline, *, rhythm_snr_db: float | str = OPEN_DB) -> Pipeline:
    """Return the pipeline with its target signal read from the surrogate's one channel."""
    target = pipeline.signals[pipeline.target.signal]
    signal = target.model_copy(update={"spatial": Single(type="single", channel=CHANNEL)})
    # Without a wanted rate nothing but the limit of the SD chooses, and the surrogate must be chosen as strictly.
    open_sd_deg = pipeline.gates.max_phase_sd_deg if pipeline.gates.wanted_rate is None else OPEN_SD_DEG
    gates = pipeline.gates.model_copy(
        update={"rhythm_snr_db": rhythm_snr_db, "max_phase_sd_deg": open_sd_deg, "quiet": ()}
    )
    source = Playback(type="playback", recording=CHANNEL, delay_s=pipeline.source.delay_s)
    return pipeline.model_copy(
        update={"source": source, "channels": {}, "signals": {pipeline.target.signal: signal}, "gates": gates}
    )


def run_surrogate(
    pipeline: Pipeline,
    device: Stimulator,
    calibration: Calibration,
    *,
    duration_s: float,
    seed: int,
    offsets_s: Sequence[float] = (0.0,),
) -> Phases:
    """Calibrate one surrogate, run it, and return the phases at its pulses.

    Parameters
    ----------
    pipeline, device
        What the recording is run with.
    calibration
        Of the recording: the background is taken from it.
    duration_s
        Of the recording, calibration included, in s.
    seed
        Of the noise.
    offsets_s
        Starts of the runs, in s after calibration; their pulses are put together.
    """
    recording = surrogate_recording(calibration.design, duration_s=duration_s, seed=seed)
    flat = _at_same_frequency(surrogate_pipeline(pipeline), calibration.design.fit.peak_hz)
    rest_s = pipeline.calibration.duration_s
    own = calibrate(flat, device, recording.between(0.0, rest_s))
    reference = target_reference(own, recording)
    parts = []
    for offset_s in offsets_s:
        core, steps = own.core(flat, device, n_channels=1)
        run = recording.between(rest_s + offset_s, duration_s)
        events = dry_run(core, steps, run, delay_s=pipeline.source.delay_s)
        parts.append(phases_at(events, reference, kind=EventKind.DELIVERED, start_s=0.0))
    return joined(parts)


def _at_same_frequency(pipeline: Pipeline, peak_hz: float) -> Pipeline:
    """Return the pipeline with its trains as they are in the recording: a surrogate has no rhythm of its own."""
    if not isinstance(pipeline.protocol, Train) or pipeline.protocol.frequency_hz != "individual":
        return pipeline
    protocol = pipeline.protocol.model_copy(update={"frequency_hz": peak_hz})
    return pipeline.model_copy(update={"protocol": protocol})
