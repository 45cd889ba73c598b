"""One pulse to try a stimulator with: decided by the gate and counted in a dose record, like any other."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np

from closedloop.calibration.dose_limits import caps_of_device, limits_of_device
from closedloop.config.device import Stimulator as Profile
from closedloop.config.line import CommandLine
from closedloop.core.exposure import make_exposure
from closedloop.core.pulse_artifact import make_artifact
from closedloop.core.reasons import EXPLANATIONS, Reason
from closedloop.core.records import Command, EventKind
from closedloop.core.replay import Drained, play, post_command, post_device
from closedloop.core.state import Core, Steps
from closedloop.dose.record import DoseRecord
from closedloop.errors import StimulatorError
from closedloop.session.facts import now_utc
from closedloop.session.metronome import metronome
from closedloop.stimulators.interface import Stimulator
from closedloop.stimulators.line import open_line
from closedloop.stimulators.lines.wire import TriggerLine, drive, failure
from closedloop.stimulators.status import Status

SFREQ = 1000.0
WITHIN_S = 0.5
"""The gate is asked again and again for so long."""
READY_WITHIN_S = 6.0
"""So long is waited until an armed device is ready: a Magstim charges for 1 s, and recharges for up to 4 s."""
TOLD_WITHIN_S = 0.5
"""So soon after a pulse a device that counts its pulses has told of it."""
POLL_S = 0.05


@dataclass(frozen=True)
class _Loaded:
    """What a pulse is fired with: a core that counts in a dose record, and the line, where there is one."""

    core: Core
    line: TriggerLine | None


class SinglePulse:
    """One pulse, prepared in full before its device is armed.

    A Magstim that hears nothing for 1 s while it is armed disarms itself, and to load the compiled core alone takes
    longer. So all that takes its time is done when this is made, before the device is opened, and by `loaded`.

    Parameters
    ----------
    profile
        Of the device.
    percent
        The intensity that is set, in percent of the maximum stimulator output.
    clock, sleep
        Give s, and wait for some.
    """

    def __init__(
        self,
        profile: Profile,
        percent: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._profile, self._clock, self._sleep = profile, clock, sleep
        self._rehearse(percent)
        self._core, self._steps = _core(profile, percent)
        self._loaded: _Loaded | None = None

    @contextmanager
    def loaded(self, subject: str) -> Iterator[DoseRecord]:
        """Open dose record and trigger line for the length of a ``with`` block, while the device is disarmed.

        Parameters
        ----------
        subject
            Of whoever, or whatever, is in front of the coil.

        Raises
        ------
        DoseError
            Where the record cannot be kept, read or trusted.
        StimulatorError
            Where the line cannot be opened.
        """
        line = self._profile.line
        with ExitStack() as stack:
            dose = stack.enter_context(DoseRecord(subject, f"devices test {now_utc()} {time.time_ns()}"))
            by_command = line is None or isinstance(line, CommandLine)
            opened = None if by_command else stack.enter_context(open_line(line))
            core = dose.share(self._core)
            post_command(core, Command.LEASE, dose.lease(1))
            post_command(core, Command.ARM, -np.inf)
            self._loaded = _Loaded(core, opened)
            stack.callback(setattr, self, "_loaded", None)
            yield dose

    def fire(self, stimulator: Stimulator) -> Literal["yes", "unknown"]:
        """Fire it, by the trigger line or, without one, by command; return whether the device says that it fired.

        Parameters
        ----------
        stimulator
            Armed, within the ``with`` block of `loaded`.

        Raises
        ------
        StimulatorError
            Where the device does not get ready, the gate refuses, with its reasons; or the device does.
        """
        assert self._loaded is not None, "a pulse counts in a dose record"
        core, line = self._loaded.core, self._loaded.line
        status, asked_s = self._wait_until_ready(stimulator)
        coil_c = -np.inf if self._profile.limits.max_coil_c is None else status.coil_temperature_c
        coil_c = np.nan if coil_c is None else coil_c
        post_device(core, ready=status.ready, coil_c=coil_c, asked_s=asked_s)
        _ask_gate(core, self._steps, self._clock(), self._profile.name)
        if line is None:
            said = stimulator.fire()
        else:
            said = "unknown"
            _pull(line)
        return "yes" if said == "yes" else self._listen(stimulator, status.pulses)

    def _rehearse(self, percent: float) -> None:
        """Ask the gate of a core that reaches no device and no dose record, so that all of its code is loaded."""
        core, steps = _core(self._profile, percent)
        now_s = self._clock()
        post_command(core, Command.ARM, -np.inf)
        post_device(core, ready=False, coil_c=np.nan, asked_s=now_s)
        for _ in _play(core, steps, now_s):
            pass

    def _wait_until_ready(self, stimulator: Stimulator) -> tuple[Status, float]:
        """Return the status by which the device is ready, and when it was asked for, in s."""
        until_s = self._clock() + READY_WITHIN_S
        while True:
            asked_s = self._clock()
            status = stimulator.status()
            if status.ready:
                return status, asked_s
            if status.fault or not status.armed or asked_s >= until_s:
                why = status.fault or (f"it is armed, for {READY_WITHIN_S:g} s" if status.armed else "it is disarmed")
                raise StimulatorError(f"{self._profile.name}: no pulse was fired: it is not ready: {why}")
            self._sleep(POLL_S)

    def _listen(self, stimulator: Stimulator, before: int | None) -> Literal["yes", "unknown"]:
        """Return whether the device has told of a pulse since; one that counts none leaves it unknown."""
        until_s = self._clock() + TOLD_WITHIN_S
        while before is not None:
            try:
                told = stimulator.status().pulses
            except StimulatorError:  # the pulse has left, whatever is wrong now; the next status says that
                break
            if told is not None and told > before:
                return "yes"
            if self._clock() >= until_s:
                break
            self._sleep(POLL_S)
        return "unknown"


def _core(profile: Profile, percent: float) -> tuple[Core, Steps]:
    """Lay out a core that fires once, under all of the device's limits."""
    limits = limits_of_device(profile)
    core, steps = metronome(
        SFREQ,
        n_channels=1,
        n_pulses=1,
        interval_s=0.1,
        latency_s=0.0,
        max_data_age_s=0.1,
        max_lateness_s=0.001,
        min_interval_s=limits["min_interval_s"],
        jitter_s=0.0,
    )
    core.conditions["percent"] = percent
    for name, value in limits.items():
        core.limits[name] = value
    core.gate["leased"] = 0
    open_ = core.exposure
    exposure = make_exposure(caps_of_device(profile), open_.frequencies_hz, open_.percents, open_.longest_s)
    return core._replace(exposure=exposure), steps


def _ask_gate(core: Core, steps: Steps, now_s: float, name: str) -> None:
    """Return once the gate has counted a pulse; raise where it refuses."""
    reasons: Counter[Reason] = Counter()
    for drained in _play(core, steps, now_s):
        if (drained.events["kind"] == EventKind.DELIVERED).any():
            return
        reasons.update(Reason(int(reason)) for reason in drained.events["reason"])
    ((reason, _),) = reasons.most_common(1) or [(Reason.NOT_ARMED, 0)]
    raise StimulatorError(f"{name}: the gate refused the pulse: {EXPLANATIONS[reason]}")


def _play(core: Core, steps: Steps, now_s: float) -> Iterator[Drained]:
    """Let a core see so much EEG of zeros that it decides."""
    samples = np.zeros((round(WITHIN_S * SFREQ), 1))
    stamps = now_s + np.arange(len(samples)) / SFREQ
    return play(core, steps, [(samples, stamps)], make_artifact(np.zeros((0, 1))))


def _pull(line: TriggerLine) -> None:
    """Fire by the line, and take it back."""
    try:
        drive(line.fd, line.on_request, line.on)
        if line.off:
            time.sleep(line.off_after_s)
            drive(line.fd, line.off_request, line.off)
    except OSError as error:
        raise failure(line.path, "cannot be written", error) from None
