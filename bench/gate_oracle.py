"""What must hold of every run, judged in plain Python from what the core was told and what it decided.

Nothing here is the gate's own code: time, arming, the device, the samples and the pulses are followed anew, input by
input, and each decision is held against that. Where rounding could decide, the gate is given the benefit of a
nanosecond. A rule that the core obeys more strictly than is said here is no violation.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from gate_driver import ALWAYS, NEEDED, PERIOD_S, SAMPLE_S, Log, Setting

from closedloop.core.records import Command, EventKind, InputKind
from closedloop.core.state import OPEN_LIMITS

TINY_S = 1e-8
STAMP_S = 0.5 * SAMPLE_S + TINY_S
"""The clock that the core fits lies so close to a sample's own stamp; further where its jitter was measured."""
RATE_S = 10.5
"""Two windows of the watch over the sampling rate, and a little more."""
OFF_RATE = 0.015
"""By so much every interval must differ before a wrong rate is certain: the gate refuses from 0.01 on."""
NO_WITNESS_S = 0.2
"""A trigger that has not shown so long after its time never will."""
MAX_LEASE = 2.0**53


@dataclass
class Seen:
    """A sample that the core took.

    Attributes
    ----------
    electrode_s
        Its stamp, at the electrode.
    uv
        Its value.
    missing
        How many nominal ones are missing before it.
    held
        Whether it lies in the hold of a pulse, by the clock that the core fits and what had been told by then.
    """

    electrode_s: float
    uv: float
    missing: int
    held: bool


@dataclass
class Oracle:
    """Follows one run; ``violations`` says what should not have been."""

    setting: Setting
    log: Log
    violations: list[str] = field(default_factory=list)
    now: float = -math.inf
    armed: bool = False
    armed_from_s: float = -math.inf
    armed_at: int = -1
    paused: bool = False
    stream_broken: bool = False
    ready: bool = False
    coil_c: float = math.nan
    status_s: float = -math.inf
    correction_s: float = 0.0
    newest_s: float = -math.inf
    failures: int = 0
    leased: int = 0
    unseen_s: float = math.nan
    high: bool = False
    seen: list[Seen] = field(default_factory=list)
    told_at: dict[int, tuple[int, float]] = field(default_factory=dict)
    reached_s: list[float] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    """Before each pulse, as it was when the gate let it pass; one that left late came no sooner."""
    put_off_s: list[float] = field(default_factory=list)
    """By how much each pulse put off those of its plan that follow it."""
    next_s: float = -math.inf
    used: int = -1
    running: tuple[int, int, float] | None = None
    index: int = -1

    def __post_init__(self) -> None:
        self.limits = {**OPEN_LIMITS, **ALWAYS, **self.setting.limits}
        self.leased = self.setting.leased
        self.values = self.log.values.tolist()
        self.stamp_s = max(STAMP_S, self.setting.jitter_s + TINY_S)

    def judge(self) -> list[str]:
        """Return all that is wrong with the run."""
        log = self.log
        events = {name: log.events[name].tolist() for name in log.events.dtype.names or ()}
        by_input: dict[int, list[int]] = {}
        for number, place in enumerate(log.event_at.tolist()):
            by_input.setdefault(place, []).append(number)
        columns = (log.told, log.fired, log.index, log.time_s, log.failures)
        told = zip(*(column.tolist() for column in columns), strict=True)
        for place, ((_, kind, code, value, stamp, now), fired, index, time_s, failures) in enumerate(told):
            self._follow(place, kind, code, value, stamp, now, index, time_s)
            if failures > self.failures:
                self.failures, self.armed = failures, False
            mine = [{name: column[n] for name, column in events.items()} for n in by_input.get(place, ())]
            delivered = sum(event["kind"] == EventKind.DELIVERED for event in mine)
            self._expect(delivered == fired, "a trigger and its record are not one", place)
            for event in mine:
                if event["kind"] == EventKind.DELIVERED:
                    self._judge_pulse(event, now, place)
                self._keep_place(event)
        self._judge_records(events)
        return self.violations

    def _expect(self, holds: bool, what: str, place: int) -> None:
        if not holds:
            self.violations.append(f"{what} (input {place})")

    def _see(self, now: float) -> bool:
        if self.now <= now < math.inf:
            self.now = now
            return True
        self.armed = False
        return False

    def _follow(
        self, place: int, kind: int, code: int, value: float, stamp: float, now: float, index: int, time_s: float
    ) -> None:
        """Take one input in."""
        if kind == InputKind.SAMPLE:
            self._see(now)
            if index >= 0:
                self._take(place, code, stamp, index, time_s)
        elif kind == InputKind.DEADLINE:
            self._see(now)
        elif kind == InputKind.COMMAND:
            self._obey(place, code, value, self._see(now))
        elif kind == InputKind.WRITTEN:
            if code != 0:
                self.armed = False
            else:
                self._learn_when_written(now)
        elif kind == InputKind.CLOCK:
            if math.isfinite(value):
                self.correction_s = value
            else:
                self.armed = False
        elif kind == InputKind.DEVICE:
            self.ready, self.coil_c, self.status_s = code == 1, value, now
        elif kind == InputKind.STREAM:
            self._see(now)
            self.stream_broken, self.armed = code != 0, False
        else:
            self.armed = False

    def _learn_when_written(self, written_s: float) -> None:
        """Let the last pulse reach the tissue when its trigger was written, if that is later than was believed."""
        later_s = written_s + self.setting.latency_s - self.reached_s[-1] if self.reached_s else 0.0
        if later_s > 0.0:
            self.reached_s[-1] += later_s
            self.put_off_s[-1] += later_s if self.running is not None else 0.0
        if self.setting.witness_s is not None and math.isnan(self.unseen_s):
            self.unseen_s = written_s

    def _obey(self, place: int, code: int, value: float, timely: bool) -> None:
        if code in (Command.STOP, Command.DISARM):
            self.armed = False
        elif not timely:
            return
        elif code == Command.ARM:
            if not self.armed:
                self.armed_at = place
            self.armed, self.armed_from_s = not self.stream_broken, value
        elif code in (Command.PAUSE, Command.RESUME):
            self.paused = code == Command.PAUSE
        elif code == Command.LEASE and 0.0 <= value <= MAX_LEASE:
            self.leased = max(self.leased, int(value))
        elif not (code == Command.CONDITION and 0 <= value < len(self.setting.targets)):
            self.armed = False

    def _take(self, place: int, row: int, stamp: float, index: int, time_s: float) -> None:
        """Take a sample in that the core took."""
        self.newest_s = stamp + self.correction_s
        missing = index - self.index - 1 if self.index >= 0 else 0
        self.index = index
        uv, high = self.values[row]
        fitted_s = time_s - self.setting.delay_s
        held = any(
            pulse_s + TINY_S <= fitted_s < pulse_s + self.setting.hold_s - TINY_S for pulse_s in self.reached_s[-20:]
        )
        self.seen.append(Seen(self.newest_s - self.setting.delay_s, uv, missing, held))
        self.told_at[index] = (place, self.newest_s)
        if self.setting.witness_s is None:
            return
        edge, self.high = high > 0.5 and not self.high, high > 0.5
        if math.isnan(self.unseen_s):
            return
        lag_s = time_s - self.unseen_s
        if edge:
            self.unseen_s = math.nan
            self.armed &= abs(lag_s - self.setting.witness_s) <= self.setting.tolerance_s
        elif lag_s > self.setting.witness_s + NO_WITNESS_S:
            self.unseen_s, self.armed = math.nan, False

    def _judge_pulse(self, event: dict[str, float], now: float, place: int) -> None:
        """Hold one delivered pulse against everything."""
        for what, holds in self._rules(event, now):
            self._expect(holds, what, place)
        reached_s = now + self.setting.latency_s
        self.gaps_s.append(reached_s - self.reached_s[-1] if self.reached_s else math.inf)
        self.reached_s.append(reached_s)
        self.put_off_s.append(0.0)
        for what, holds in self._dose_rules():
            self._expect(holds, what, place)

    def _rules(self, event: dict[str, float], now: float) -> Iterator[tuple[str, bool]]:
        limits, setting = self.limits, self.setting
        first = event["pulse"] == 0
        late_s = now - (event["due_s"] - setting.latency_s)
        yield "fired while disarmed", self.armed
        yield "fired while paused", not self.paused
        yield "fired before it was armed from", event["due_s"] >= self.armed_from_s
        yield "fired too early", late_s >= -1e-12
        yield "fired too late", late_s <= limits["max_lateness_s"] + 1e-12
        yield "fired on stale data", now - self.newest_s <= limits["max_data_age_s"] + self.stamp_s
        yield "fired on data from the future", self.newest_s - now <= limits["max_data_age_s"] + self.stamp_s
        yield "fired while the stimulator was not ready", self.ready
        yield "fired with a hot coil", self.coil_c <= limits["max_coil_c"]
        yield "fired without word from the stimulator", 0.0 <= now - self.status_s <= limits["max_status_age_s"]
        yield "fired too strongly", 0.0 <= event["percent"] <= limits["max_percent"]
        condition = int(event["condition"])
        yield "fired at another intensity", event["percent"] == setting.percents_of_maximum[condition]
        yield "fired at a wrong sampling rate", not self._off_rate()
        trial = int(event["trial"])
        yield "fired a withheld trial", not setting.withheld[trial]
        yield "a train too long in pulses", event["pulses"] <= limits["max_train_pulses"]
        decided_at, decided_s = self.told_at.get(int(event["sample"]), (-1, -math.inf))
        yield "an approval outlived a disarming", decided_at > self.armed_at
        if first:
            yield "a trial was used twice", trial > self.used
            yield "too soon after the last trial", event["due_s"] >= self.next_s - TINY_S
            yield "fired with too little certainty", 0.0 <= event["sd"] <= min(limits["max_phase_sd"], setting.sd_limit)
            yield "fired without a rhythm", limits["rhythm_snr_db"] <= event["snr_db"] < math.inf
            horizon_s = 2.0 * SAMPLE_S
            yield "foreseen of old data", now - decided_s <= limits["max_data_age_s"] + horizon_s + self.stamp_s
            yield from self._quality()
            gap_s = now + setting.latency_s - self.reached_s[-1] if self.reached_s else math.inf
            yield "too soon after the last train", event["pulses"] == 1 or gap_s >= limits["min_train_gap_s"] - TINY_S
        else:
            expected = (trial, int(event["pulse"]) - 1)
            yield "a pulse of a train without the one before", self.running is not None and self.running[:2] == expected
            interval_s = event["due_s"] - self.reached_s[-1] if self.reached_s else math.nan
            yield "a train at another interval", abs(interval_s - setting.pulse_interval_s) <= TINY_S

    def _quality(self) -> Iterator[tuple[str, bool]]:
        """Yield what the newest samples must be like."""
        setting = self.setting
        window = self.seen[-NEEDED:]
        yield "fired before the window was full", len(window) == NEEDED
        yield "fired after a gap", all(sample.missing == 0 for sample in window)
        values = [sample.uv for sample in window]
        yield "fired on what is no number", all(map(math.isfinite, values))
        yield "fired on a saturated amplifier", all(abs(value) <= setting.range_uv for value in values)
        extent_uv = max(values) - min(values) if values else math.nan
        yield "fired on an artifact", extent_uv <= min(setting.artifact_uv, setting.quiet_uv)
        longer = [sample.uv for sample in self.seen[-NEEDED - 4 :]]
        yield "fired on a flat channel", len(longer) < NEEDED + 4 or max(longer) - min(longer) > setting.flat_uv
        yield "fired in a hold", not any(sample.held for sample in window)

    def _off_rate(self) -> bool:
        """Return whether for two windows of the watch every single interval was too long, or every one too short."""
        recent = [s for s in self.seen[-1200:] if s.electrode_s > self.newest_s - self.setting.delay_s - RATE_S]
        if len(recent) < 2 or recent[-1].electrode_s - recent[0].electrode_s < RATE_S - 0.1:
            return False
        steps = np.diff([sample.electrode_s for sample in recent]) / SAMPLE_S - 1.0
        return bool(np.all(steps > OFF_RATE) or np.all(steps < -OFF_RATE))

    def _dose_rules(self) -> Iterator[tuple[str, bool]]:
        """Yield what must hold of all pulses so far, the newest included."""
        limits, setting, pulses_s = self.limits, self.setting, self.reached_s
        n = len(pulses_s)
        yield "more pulses than a session may have", n <= limits["max_pulses"]
        yield "more pulses than 24 h may have", setting.before_day + n <= limits["max_pulses_day"]
        yield "more pulses than a course may have", setting.before_course + n <= limits["max_pulses_course"]
        yield "more pulses than were leased", n <= self.leased
        gap_s = pulses_s[-1] - pulses_s[-2] if n > 1 else math.inf
        yield "pulses too close", gap_s >= limits["min_interval_s"] - TINY_S
        yield "fired while recharging", gap_s >= limits["recharge_s"] - TINY_S
        since_s = pulses_s[-1] - setting.before_last_s
        yield "too soon after the last session", since_s >= limits["min_session_gap_s"] - TINY_S
        for window_s, most in setting.caps:
            within = sum(pulses_s[-1] - pulse_s < window_s - TINY_S for pulse_s in pulses_s)
            yield f"more than {most} pulses within {window_s:g} s", within <= most
        yield "a train too long by the table", self._train_allowed()

    def _train_allowed(self) -> bool:
        setting = self.setting
        if not setting.frequencies_hz:
            return True
        pause_s = 1.0 / setting.frequencies_hz[0] if setting.pause_s is None else setting.pause_s
        train = [self.reached_s[-1]]
        for pulse_s in reversed(self.reached_s[:-1]):
            if train[0] - pulse_s > pause_s + TINY_S:
                break
            train.insert(0, pulse_s)
        if len(train) == 1:
            return True
        shortest_s = min(self.gaps_s[1 - len(train) :])
        rows = [n for n, hz in enumerate(setting.frequencies_hz) if hz * (shortest_s + TINY_S) >= 1.0]
        columns = [n for n, percent in enumerate(setting.percents) if percent >= setting.percent_of_threshold >= 0.0]
        if not rows or not columns:
            return False
        cell = rows[0], columns[0]
        most = math.inf if setting.most_pulses is None else setting.most_pulses[cell[0]][cell[1]]
        longest_s = setting.longest_s[cell[0]][cell[1]]
        put_off_s = sum(self.put_off_s[1 - len(train) :])  # what is put off as a whole lasts no longer for that
        return len(train) <= most and train[-1] - train[0] + shortest_s - put_off_s <= longest_s + 1e-6

    def _keep_place(self, event: dict[str, float]) -> None:
        """Follow the trial that an event used, if it used one."""
        trial, pulse, pulses = int(event["trial"]), int(event["pulse"]), int(event["pulses"])
        self.running = None
        if event["kind"] == EventKind.DELIVERED and pulse + 1 < pulses:
            self.running = (trial, pulse, event["due_s"])
            self.used = max(self.used, trial)
            return
        if event["kind"] == EventKind.REFUSED and pulse == 0:
            return
        last_s = event["due_s"]
        if event["kind"] == EventKind.WITHHELD:
            last_s += (pulses - 1) * self.setting.pulse_interval_s
        self.used = max(self.used, trial)
        self.next_s = last_s + self.setting.waits_s[trial]

    def _judge_records(self, events: dict[str, list[float]]) -> None:
        """Judge the records as a whole: numbered without a gap, and each chance once."""
        end = len(self.log.told)
        self._expect(events["number"] == list(range(len(events["number"]))), "records are not numbered in order", end)
        firsts = [due for due, pulse in zip(events["due_s"], events["pulse"], strict=True) if pulse == 0]
        closest_s = min(np.diff(firsts), default=math.inf)
        self._expect(closest_s >= 0.5 * PERIOD_S - TINY_S, "a chance was recorded twice", end)
