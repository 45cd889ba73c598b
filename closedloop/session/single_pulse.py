"""One pulse to try a stimulator with: decided by the gate and counted in a dose record, like any other."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Literal

import numpy as np

from closedloop.config.device import Stimulator as Profile
from closedloop.core.exposure import CAP, make_exposure
from closedloop.core.pulse_artifact import make_artifact
from closedloop.core.reasons import EXPLANATIONS, Reason
from closedloop.core.records import Command, EventKind
from closedloop.core.replay import play, post_command, post_device
from closedloop.core.state import Core, Steps
from closedloop.dose.record import DoseRecord
from closedloop.errors import StimulatorError
from closedloop.session.metronome import metronome
from closedloop.stimulators.interface import Stimulator
from closedloop.stimulators.lines.wire import TriggerLine, drive, failure

SFREQ = 1000.0
WITHIN_S = 0.5
"""The gate is asked again and again for so long."""


def fire_once(
    profile: Profile,
    stimulator: Stimulator,
    dose: DoseRecord,
    line: TriggerLine | None,
    percent: float,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Literal["yes", "unknown"]:
    """Fire one pulse, by the trigger line or, without one, by command; return whether the device says that it did.

    Parameters
    ----------
    profile, stimulator
        Of the device, armed.
    dose
        Of whoever, or whatever, is in front of the coil.
    line
        Its trigger line, or None.
    percent
        The intensity that is set, in percent of the maximum stimulator output.
    clock
        Gives s.

    Raises
    ------
    StimulatorError
        Where the gate refuses, with its reasons; or the device does.
    """
    core, steps = _core(profile, percent)
    core = dose.share(core)
    asked_s = clock()
    status = stimulator.status()
    coil_c = -np.inf if profile.limits.max_coil_c is None else status.coil_temperature_c
    post_device(core, ready=status.ready, coil_c=np.nan if coil_c is None else coil_c, asked_s=asked_s)
    post_command(core, Command.LEASE, dose.lease(1))
    post_command(core, Command.ARM, -np.inf)
    _ask_gate(core, steps, clock(), profile.name)
    if line is None:
        return stimulator.fire()
    _pull(line)
    return "unknown"


def _core(profile: Profile, percent: float) -> tuple[Core, Steps]:
    """Lay out a core that fires once, under all of the device's limits."""
    limits = profile.limits
    core, steps = metronome(
        SFREQ,
        n_channels=1,
        n_pulses=1,
        interval_s=0.1,
        latency_s=0.0,
        max_data_age_s=0.1,
        max_lateness_s=0.001,
        min_interval_s=limits.min_interval_s + profile.spread_s,
        jitter_s=0.0,
    )
    core.conditions["percent"] = percent
    core.limits["max_percent"] = limits.max_percent_of_maximum
    core.limits["recharge_s"] = limits.recharge_s + profile.spread_s
    core.limits["max_status_age_s"] = limits.max_status_age_s
    if limits.max_coil_c is not None:
        core.limits["max_coil_c"] = limits.max_coil_c
    if limits.max_pulses_per_day is not None:
        core.limits["max_pulses_day"] = limits.max_pulses_per_day
    core.gate["leased"] = 0
    caps = np.array([(cap.window_s, cap.max_pulses) for cap in limits.rate_caps], CAP)
    open_ = core.exposure
    exposure = make_exposure(caps, open_.frequencies_hz, open_.percents, open_.longest_s)
    return core._replace(exposure=exposure), steps


def _ask_gate(core: Core, steps: Steps, now_s: float, name: str) -> None:
    """Return once the gate has counted a pulse; raise where it refuses."""
    samples = np.zeros((round(WITHIN_S * SFREQ), 1))
    stamps = now_s + np.arange(len(samples)) / SFREQ
    reasons: Counter[Reason] = Counter()
    for drained in play(core, steps, [(samples, stamps)], make_artifact(np.zeros((0, 1)))):
        if (drained.events["kind"] == EventKind.DELIVERED).any():
            return
        reasons.update(Reason(int(reason)) for reason in drained.events["reason"])
    ((reason, _),) = reasons.most_common(1) or [(Reason.NOT_ARMED, 0)]
    raise StimulatorError(f"{name}: the gate refused the pulse: {EXPLANATIONS[reason]}")


def _pull(line: TriggerLine) -> None:
    """Fire by the line, and take it back."""
    try:
        drive(line.fd, line.on_request, line.on)
        if line.off:
            time.sleep(line.off_after_s)
            drive(line.fd, line.off_request, line.off)
    except OSError as error:
        raise failure(line.path, "cannot be written", error) from None
