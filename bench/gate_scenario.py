"""Random runs for the safety gate: a setting, and a stretch of EEG into which everything that can go wrong is put.

Whoever chooses is handed in: `random.Random` for the ten thousand runs of `gate_runs.py`, and hypothesis's own for the
property tests, which then shrinks what fails.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

import numpy as np
from gate_driver import (
    AMPLITUDE_UV,
    FATAL_UV,
    HELD_UP_FOR,
    LATE,
    READER,
    RHYTHM_HZ,
    ROW,
    SAMPLE_S,
    WITNESS_LATE,
    WRITES,
    Setting,
)
from numpy.typing import NDArray

from closedloop.core.records import Command, InputKind

T = TypeVar("T")
DEVICE_EVERY = 10
"""Samples between what the stimulator says of itself."""
OPEN_SHARE = 0.5
"""Of runs in which hardly any limit holds a pulse back, so that many are fired."""
LONG_ENOUGH = 1150
"""Samples of a run whose rate is wrong: more than two windows of the watch over it."""
BROKEN = -2
MANY_PLACES = 4096
NO_NUMBERS = (math.nan, math.inf, -math.inf)


@dataclass
class Stretch:
    """A run while it is put together; every list has an entry for each sample.

    Attributes
    ----------
    uv, stamp_s, told_s
        Value, stamp and arrival of each sample.
    more
        1 where a newer one waits already.
    exact
        1 where it is told at just its time, however wrong.
    times
        How often it is sent; 0: it is missing.
    before
        What comes before each sample: kind, code, value, and how it is told.
    silent
        Where the stimulator says nothing.
    """

    uv: NDArray[np.float64]
    stamp_s: NDArray[np.float64]
    told_s: NDArray[np.float64]
    more: NDArray[np.float64]
    exact: NDArray[np.int64]
    times: NDArray[np.int64]
    silent: NDArray[np.bool_]
    before: list[list[tuple[int, int, float, float, int]]] = field(default_factory=list)

    @property
    def n(self) -> int:
        """How many samples it has."""
        return self.uv.size

    def put(self, place: int, kind: int, code: int = 0, value: float = 0.0) -> None:
        """Tell the core something, in its turn, before a sample."""
        if place < self.n:
            self.before[place].append((kind, code, value, 0.0, 0))

    def command(self, place: int, code: int, value: float = 0.0) -> None:
        """Give a command before a sample."""
        self.put(place, InputKind.COMMAND, code, value)


def draw_setting(rng: Random) -> Setting:
    """Draw what one run's core is given: mostly open, each limit now and then."""
    often = 0.1 if rng.random() < OPEN_SHARE else 1.0

    def now_and_then(share: float, values: Sequence[T], usual: T) -> T:
        return rng.choice(values) if rng.random() < share * often else usual

    train = rng.random() < 0.4
    limits: dict[str, float] = {
        "min_interval_s": now_and_then(0.3, (0.15, 0.25, math.nan), 0.05),
        "max_percent": now_and_then(0.2, (60.0, 40.0), 100.0),
        "recharge_s": now_and_then(0.2, (0.2, 0.35, math.inf), 0.0),
        "max_train_pulses": now_and_then(0.15, (2, 1), 10),
        "min_train_gap_s": now_and_then(0.2, (0.4, 1.0), 0.0),
        "max_pulses": now_and_then(0.15, (0, 2, 5), 10**6),
        "max_pulses_day": now_and_then(0.1, (100, 96), 10**6),
        "max_pulses_course": now_and_then(0.1, (500, 497), 10**6),
        "max_phase_sd": now_and_then(0.1, (0.25, 0.05), 0.5),
        "rhythm_snr_db": now_and_then(0.1, (3.0, 300.0), -300.0),
        "max_lateness_s": now_and_then(0.05, (0.0, 0.003), 0.001),
        "max_data_age_s": now_and_then(0.1, (0.03, 0.1), 0.05),
        "min_session_gap_s": now_and_then(0.1, (1.5, 3.0), 0.0),
    }
    return Setting(
        limits=limits,
        caps=now_and_then(0.25, (((0.55, 2),), ((0.3, 1), (2.0, 4)), ((1.0, 0),)), ()),
        **now_and_then(0.5, (_draw_table(rng),), {}),
        before_day=now_and_then(0.1, (95, 100), 90),
        before_course=now_and_then(0.1, (496, 500), 490),
        before_last_s=now_and_then(0.5, (-1.0, -0.2), -math.inf),
        leased=now_and_then(0.15, (0, 1, 3), 10**6),
        pulses=rng.choice((2, 3, 4)) if train else 1,
        pulse_interval_s=rng.choice((0.06, 0.08, 0.16)),
        targets=now_and_then(0.3, ((0.0, math.pi), (1.0, -2.0)), (math.pi,)),
        percents_of_maximum=now_and_then(0.2, ((50.0, 70.0), (70.0, 50.0)), (50.0, 50.0)),
        percent_of_threshold=now_and_then(0.15, (118.0, 130.0, math.nan), 100.0),
        waits_s=(now_and_then(0.25, (0.15, 0.45), 0.0),) * now_and_then(0.15, (1, 3), 400),
        withheld=(),
        hold_s=now_and_then(0.12, (0.1, 0.25), 0.0),
        quiet_uv=now_and_then(0.05, (10.0, 60.0), math.inf),
        delay_s=now_and_then(0.2, (0.01, 0.03), 0.0),
        jitter_s=now_and_then(0.1, (0.012,), 0.0),
        phase=rng.uniform(-3.0, 3.0),
        rhythm_hz=now_and_then(0.04, (0.0, 9.3), RHYTHM_HZ),
        sd=now_and_then(0.15, (0.3, 0.6, -0.1, math.inf), 0.1),
        swing=now_and_then(0.15, (0.3, 1.0), 0.0),
        wobble=now_and_then(0.3, (0.2, 0.6), 0.0),
        window=now_and_then(0.1, (15, 30), 1),
        sd_limit=now_and_then(0.15, (0.2, 0.05), math.inf),
        cold=rng.random() < 0.04,
        witness_s=rng.choice((0.005, 0.005, 0.02)) if rng.random() < 0.12 else None,
        places=rng.choice((4, 8)) if rng.random() < 0.06 else MANY_PLACES,
    )


def _draw_table(rng: Random) -> dict[str, object]:
    """Draw a table of trains, or an envelope."""
    if rng.random() < 0.6:
        return {
            "frequencies_hz": (1.0, 5.0, 10.0, 20.0),
            "percents": (100.0, 120.0),
            "longest_s": ((4.0, 3.0), (1.0, 0.9), (0.75, 0.45), (0.5, 0.2)),
        }
    pulses = rng.choice((3, 6))
    return {
        "frequencies_hz": (5.0, 12.0, 17.0),
        "percents": (120.0,),
        "longest_s": ((-1.0,), (pulses * 0.22,), (pulses * 0.1,)),
        "most_pulses": ((0,), (pulses,), (pulses,)),
        "pause_s": rng.choice((0.6, 1.2)),
    }


def draw_run(rng: Random) -> tuple[Setting, NDArray[np.void]]:
    """Draw a whole run: its setting, and the rows that are given to the core in order."""
    setting = draw_setting(rng)
    off_rate = rng.random() < 0.015
    n = LONG_ENOUGH if off_rate else rng.choice((150, 250, 400))
    withheld = rng.choice((0.0, 0.0, 0.2))
    noise = np.random.default_rng(rng.randrange(2**32))
    setting = _replaced(setting, withheld=tuple((noise.random(len(setting.waits_s)) < withheld).tolist()))
    stretch = _usual(setting, n, noise, slower=rng.choice((0.97, 1.03)) if off_rate else 1.0)
    if rng.random() < 0.97:
        stretch.command(0, Command.ARM)
    for _ in range(rng.choice((0, 1, 2, 2, 3, 5, 8))):
        rng.choice(EPISODES)(rng, stretch, rng.randrange(n))
    if setting.places < MANY_PLACES:
        _nobody_reads(rng, stretch, rng.randrange(n))
    if setting.witness_s is not None:
        _trigger(rng, stretch, rng.randrange(n))
    return setting, _rows(stretch)


def _replaced(setting: Setting, **changes: object) -> Setting:
    return Setting(**{**vars(setting), **changes})  # type: ignore[arg-type]


def _usual(setting: Setting, n: int, noise: np.random.Generator, *, slower: float) -> Stretch:
    """Return a stretch in which nothing goes wrong, unless its rate does."""
    at_s = np.arange(n) * SAMPLE_S * slower
    uv = AMPLITUDE_UV * np.cos(2.0 * np.pi * RHYTHM_HZ * at_s) + noise.normal(0.0, 0.5, n)
    return Stretch(
        uv=uv,
        stamp_s=at_s + setting.delay_s,
        told_s=at_s + setting.delay_s,
        more=np.zeros(n),
        exact=np.zeros(n, np.int64),
        times=np.ones(n, np.int64),
        silent=np.zeros(n, bool),
        before=[[] for _ in range(n)],
    )


def _rows(stretch: Stretch) -> NDArray[np.void]:
    """Return the rows of a run."""
    listed: list[tuple[float, ...]] = []
    now = 0.0
    for place in range(stretch.n):
        if place % DEVICE_EVERY == 0 and not stretch.silent[place]:
            listed.append((InputKind.DEVICE, 1, 25.0, math.nan, now, 0, 0.0, 0.0))
        for kind, code, value, wrong_s, exact in stretch.before[place]:
            listed.append((kind, code, value, math.nan, now + wrong_s, exact, 0.0, 0.0))
        told = float(stretch.told_s[place])
        for _ in range(stretch.times[place]):
            stamp, more, exact = stretch.stamp_s[place], stretch.more[place], stretch.exact[place]
            listed.append((InputKind.SAMPLE, 0, more, stamp, told, exact, 0.0, stretch.uv[place]))
        now = max(now, told) if math.isfinite(told) else now
    return np.array(listed, ROW)


Episode = Callable[[Random, Stretch, int], None]


def _rearm(rng: Random, stretch: Stretch, place: int) -> None:
    """Let a human arm again, mostly."""
    if rng.random() < 0.8:
        stretch.command(place + rng.choice((1, 10, 40)), Command.ARM)


def _bad_value(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.uv[place : place + rng.choice((1, 3, 12))] = rng.choice((*NO_NUMBERS, 1e4, 500.0))


def _flat(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.uv[place : place + rng.choice((30, 60))] = rng.choice((0.0, 7.0))


def _fatal(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.uv[place] = FATAL_UV
    _rearm(rng, stretch, place)


def _gap(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.times[place : place + rng.choice((1, 4, 15, 40, 120))] = 0


def _repeated(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.times[place : place + rng.choice((1, 3))] = 2


def _wrong_stamp(rng: Random, stretch: Stretch, place: int) -> None:
    wrong_s = rng.choice((0.002, -0.003, 0.02, -0.012, 0.3, -0.5, 2.0, *NO_NUMBERS))
    stretch.stamp_s[place : place + rng.choice((1, 2))] += wrong_s


def _jumping_clock(rng: Random, stretch: Stretch, place: int) -> None:
    wrong_s = rng.choice((-2.0, -0.3, -0.02, 0.004, 0.3, 2.0))
    stretch.stamp_s[place:] += wrong_s
    if rng.random() < 0.5:
        stretch.told_s[place:] += max(0.0, wrong_s)
    if rng.random() < 0.7:
        stretch.put(place + 30, InputKind.CLOCK, 0, -wrong_s if wrong_s < 0.0 else 0.0)


def _late_burst(rng: Random, stretch: Stretch, place: int) -> None:
    stop = min(stretch.n, place + rng.choice((2, 5, 15, 40)))
    stretch.told_s[place:stop] = stretch.told_s[stop - 1]
    stretch.more[place : stop - 1] = 1.0


def _old_data(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.told_s[place : place + rng.choice((20, 60))] += rng.choice((0.02, 0.06, 0.2))


def _wrong_now(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.told_s[place] += rng.choice((-0.1, -5.0, *NO_NUMBERS))
    stretch.exact[place] = 1
    _rearm(rng, stretch, place)


def _late_loop(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.put(place, LATE, 0, rng.choice((0.0005, 0.0009, 0.0015, 0.004, 0.05, 0.3)))
    stretch.put(place + rng.choice((10, 40)), LATE)


def _held_up(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.put(place, HELD_UP_FOR, 0, rng.choice((0.0002, 0.0005, 0.0009, 0.0025, 0.05)))
    stretch.put(place + rng.choice((40, 100)), HELD_UP_FOR)
    _rearm(rng, stretch, place + 20)


def _stray_deadline(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.before[place].append((InputKind.DEADLINE, 0, 0.0, rng.choice((0.0, 0.0, -0.2, *NO_NUMBERS)), 1))
    _rearm(rng, stretch, place)


def _stop(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.command(place, rng.choice((Command.STOP, Command.DISARM)))
    _rearm(rng, stretch, place)


def _pause(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.command(place, Command.PAUSE)
    stretch.command(place + rng.choice((5, 20, 80)), Command.RESUME)


def _arm_from(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.command(place, Command.ARM, rng.choice((0.0, place * SAMPLE_S + 0.3, 99.0, math.nan)))


def _odd_command(rng: Random, stretch: Stretch, place: int) -> None:
    code, value = rng.choice(
        (
            (Command.LOST, 0.0),
            (Command.UNWATCHED, 0.0),
            (Command.CONDITION, 7.0),
            (Command.CONDITION, math.nan),
            (Command.LEASE, -1.0),
            (Command.LEASE, math.nan),
            (0, 0.0),
            (99, 1.0),
        )
    )
    stretch.command(place, code, value)
    _rearm(rng, stretch, place)


def _wish(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.command(place, Command.CONDITION, rng.choice((0.0, 0.0, 1.0)))


def _lease(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.command(place, Command.LEASE, rng.choice((1.0, 2.0, 6.0)))


def _timeless_command(rng: Random, stretch: Stretch, place: int) -> None:
    code = rng.choice((Command.ARM, Command.STOP, Command.PAUSE, Command.DISARM))
    stretch.before[place].append((InputKind.COMMAND, code, 0.0, rng.choice((-0.3, math.nan, math.inf)), 1))
    _rearm(rng, stretch, place)


def _device(rng: Random, stretch: Stretch, place: int) -> None:
    code, coil_c = rng.choice(((0, 25.0), (2, 25.0), (1, 41.0), (1, math.nan), (1, math.inf)))
    stop = place + rng.choice((10, 40))
    for at in range(place, min(stop, stretch.n)):
        stretch.silent[at] = True
    for at in range(place, min(stop, stretch.n), DEVICE_EVERY):
        stretch.put(at, InputKind.DEVICE, code, coil_c)


def _silent_device(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.silent[place : place + rng.choice((30, 80, 200))] = True


def _device_from_elsewhen(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.silent[place : place + 60] = True
    stretch.before[place].append((InputKind.DEVICE, 1, 25.0, rng.choice((0.5, -0.5, 60.0, math.nan)), 1))


def _correction(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.put(place, InputKind.CLOCK, 0, rng.choice((0.001, -0.001, 0.02, 0.3, -0.3, *NO_NUMBERS)))
    stretch.put(place + rng.choice((5, 40)), InputKind.CLOCK)
    _rearm(rng, stretch, place)


def _broken_stream(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.put(place, InputKind.STREAM, rng.choice((BROKEN, 1)))
    if rng.random() < 0.3:
        stretch.command(place + 2, Command.ARM)
    if rng.random() < 0.8:
        stretch.put(place + 5, InputKind.STREAM)
    _rearm(rng, stretch, place + 5)


def _writes(rng: Random, stretch: Stretch, place: int) -> None:
    errno, rows = rng.choice(((11, 0.0), (-1, 0.0), (0, 3.0), (0, 30.0), (0, -1.0), (11, 20.0)))
    stretch.put(place, WRITES, errno, rows)
    stretch.put(place + rng.choice((10, 60)), WRITES)
    _rearm(rng, stretch, place + 20)


def _nobody_reads(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.put(place, READER, 1)
    stretch.put(place + rng.choice((30, 150)), READER)


def _trigger(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.put(place, WITNESS_LATE, rng.choice((0, 1)), rng.choice((0.01, 0.03, -0.01)))
    stretch.put(place + rng.choice((20, 60)), WITNESS_LATE)
    _rearm(rng, stretch, place + 20)


def _unknown(rng: Random, stretch: Stretch, place: int) -> None:
    stretch.put(place, 77)
    _rearm(rng, stretch, place)


EPISODES: tuple[Episode, ...] = (
    _bad_value,
    _flat,
    _fatal,
    _gap,
    _repeated,
    _wrong_stamp,
    _jumping_clock,
    _late_burst,
    _old_data,
    _wrong_now,
    _late_loop,
    _late_loop,
    _held_up,
    _held_up,
    _stray_deadline,
    _stop,
    _stop,
    _pause,
    _arm_from,
    _odd_command,
    _odd_command,
    _wish,
    _lease,
    _timeless_command,
    _device,
    _device,
    _silent_device,
    _device_from_elsewhen,
    _correction,
    _broken_stream,
    _writes,
    _writes,
    _nobody_reads,
    _trigger,
    _unknown,
)
"""Everything that can go wrong, each as likely as the other."""
