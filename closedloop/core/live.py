"""The runner with hardware: one compiled loop from the stream to the trigger line, without the GIL.

Each turn obeys what was posted, meets the deadline that is due, takes the trigger back when its time has
come, and waits for the next sample until a margin before the next deadline; the margin is spun. The core
decides on a trigger just before its moment, for that moment, so that only the write is left for it. What the
core is told, each ``now`` and the result of each write included, is an input that is recorded before the
core sees it: a replay reaches the same decisions.

Nothing here allocates, locks, or calls anything that waits except the wait itself. Python starts the
loop, reads its rings and posts commands; it never stands between a sample and a trigger.
"""

from typing import NamedTuple

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from closedloop.core.atomics import load_acquire, store_release
from closedloop.core.clock import trigger_time
from closedloop.core.command import on_command, on_device, on_stream
from closedloop.core.deadline import next_deadline, on_deadline, on_written
from closedloop.core.gate import disarm
from closedloop.core.native import lsl_local_clock, lsl_pull_sample, lsl_samples_available, sleep
from closedloop.core.plan import wanted_leads
from closedloop.core.reasons import Reason
from closedloop.core.records import HELD_UP, Command, InputKind, Ring, claim, make_ring, publish, room
from closedloop.core.replay import guarded_sample, has_room, log_input, obey, record_input
from closedloop.core.state import CORE, MAX_SIGNALS, NO_PLAN, STEPS, Core, Steps
from closedloop.core.wire import LINE, fire, take_back
from closedloop.estimators.interface import LEAD_STEP_S
from closedloop.jit import compiled, inner
from closedloop.signal.rhythm import snr_db

MARGIN_S = 200e-6
"""The loop wakes so long before a deadline and spins to it: longer than a sleep's own error."""
LAST_LOOK_S = 15e-6
"""The gate looks so long before a trigger's moment, for that moment: what the look takes, with cold caches up to some
10 us, must not make the trigger late."""
LONGEST_WAIT_S = 0.02
"""Commands are read at least so often while no sample comes."""
RETRY_S = 0.001
LONGEST_WIDTH_S = 0.05
"""Of a trigger, as profiles allow it."""
SIGHT_CAPACITY = 32768

UNWATCHED_S = 2.0
"""Where nobody has emptied the rings for so long, nobody could stop the loop either: it disarms."""

STOP, INLET, TURNS, FAILED, WATCHED, DUE, BUSY = range(7)
"""Places in the loop's ``shared`` integers: disarm and end (Python writes), the inlet to pull from (Python writes;
the loop takes it out, to 0, where it breaks off), turns so far and 1 for a failure (the loop writes), how often the
rings were emptied (Python writes), when the next trigger is due, in ns (the loop writes), whether the port is in use
through which a trigger would fire (its driver's process writes)."""
PLACES = 8
"""Each of them has a cache line of its own: one writer never slows the other."""

SIGHT = np.dtype(
    [
        ("index", "i8"),  # of the sample
        ("time_s", "f8"),  # its stamp on the fitted clock
        ("told_s", "f8"),  # when the core was told
        ("done_s", "f8"),  # when it had decided
        ("snr_db", "f8"),  # sliding
        ("next_s", "f8"),  # earliest due time of the next trial
        ("armed", "i8"),
        ("disarmed_by", "i8"),
        ("pulses", "i8"),
        ("paused", "i8"),
        ("lead_s", "f8"),  # what is predicted is for so long after the sample: the soonest that a pulse can come
        ("x", "f8", (MAX_SIGNALS,)),  # signals, µV
        ("z", "c16", (MAX_SIGNALS,)),  # predicted, µV; NaN where a newer sample waited already
        ("sd", "f8", (MAX_SIGNALS,)),  # of its phase, rad
    ],
    align=True,
)
"""What can be seen of the core after a sample: for displays and outlets, no input and no decision."""


class Inbox(NamedTuple):
    """Where samples arrive.

    Attributes
    ----------
    values
        Array of shape (n_channels,): the newest sample as it was sent.
    scale
        Array of shape (n_channels,): what turns it into µV.
    error
        Array of shape (1,): the library's error code.
    timespec
        Array of shape (3,): length of a sleep in s and ns, and its own address.
    addresses
        Array of shape (2,): of ``values`` and ``error``.
    watched
        Array of shape (1,): how often the rings had been emptied when that was last seen to go on.
    watched_s
        Array of shape (1,): when that was.
    rows
        Array of shape (1,): samples given to the core so far.
    """

    values: NDArray[np.float64]
    scale: NDArray[np.float64]
    error: NDArray[np.int32]
    timespec: NDArray[np.int64]
    addresses: NDArray[np.int64]
    watched: NDArray[np.int64]
    watched_s: NDArray[np.float64]
    rows: NDArray[np.int64]


def make_inbox(scale: NDArray[np.float64]) -> Inbox:
    """Return an inbox for samples of ``scale.size`` channels."""
    values, error, timespec = np.zeros(scale.size), np.zeros(1, np.int32), np.zeros(3, np.int64)
    timespec[2] = timespec.ctypes.data
    return Inbox(
        values=values,
        scale=np.ascontiguousarray(scale, dtype=float),
        error=error,
        timespec=timespec,
        addresses=np.array([values.ctypes.data, error.ctypes.data], np.int64),
        watched=np.zeros(1, np.int64),
        watched_s=np.full(1, -np.inf),
        rows=np.zeros(1, np.int64),
    )


SHARED = (BUSY + 1) * PLACES
"""How many whole numbers the loop and Python share."""
HEARTBEAT = TURNS * PLACES
"""Which of them goes on for as long as the loop turns."""
FORESIGHT = DUE * PLACES
"""Which of them tells when the next trigger is due, as far as a plan looks ahead; where there is none, never."""
LEFT = FORESIGHT + 1
"""Which of them tells when the last trigger left, in ns; 0 before the first. One writer, one cache line."""
PORT_BUSY = BUSY * PLACES
"""Which of them is not 0 while no trigger could be fired by command."""
_NEVER_S = 9e9
"""The largest time in s whose ns are a whole number of 64 bits, about."""


def make_shared() -> NDArray[np.int64]:
    """Return the integers that the loop and Python share, all zero."""
    return np.zeros(SHARED, np.int64)


@inner
def _write_trigger(core: Core, shared: NDArray[np.int64], line: NDArray[np.void], trigger_s: float) -> None:
    """Fire, and record how that went: a line that is not ready refuses, and the loop goes on disarmed.

    So it does where the loop was held up after the gate's word, and the trigger would be later than the gate lets it.
    """
    before = lsl_local_clock()
    if not before - trigger_s <= core.limits[0]["max_lateness_s"]:
        _record_write(core, HELD_UP, before, before)
        return
    code = fire(line)
    after = lsl_local_clock()
    store_release(shared, LEFT, int(1e9 * after))
    wire = line[0]
    if wire["n_off"] > 0:
        wire["off_at_s"] = after + wire["off_after_s"]
    _record_write(core, code, before, after)


@inner
def _record_write(core: Core, code: int, before: float, after: float) -> None:
    if log_input(core, InputKind.WRITTEN, code, 0.0, after, before) >= 0:
        publish(core.inputs)
    on_written(core, code, before)


@inner
def _take_back(core: Core, line: NDArray[np.void], now: float) -> None:
    """Take the trigger back. Where that fails the next one would have no edge: it disarms, and is tried again."""
    wire = line[0]
    code = take_back(line)
    if code == 0:
        wire["off_at_s"] = np.inf
        wire["off_failed"] = 0
        return
    wire["off_at_s"] = now + RETRY_S
    if wire["off_failed"] == 0:
        wire["off_failed"] = code
        if log_input(core, InputKind.WRITTEN, wire["off_failed"], 1.0, np.nan, now) >= 0:
            publish(core.inputs)
        on_written(core, wire["off_failed"], now)


@inner
def _look_at_port(core: Core, shared: NDArray[np.int64], now: float) -> None:
    """Take the device for not ready while the port is in use by which it fires: until it is heard of again."""
    gate = core.gate[0]
    if load_acquire(shared, PORT_BUSY) != 0 and gate["device_ready"] == 1:
        if log_input(core, InputKind.DEVICE, 0, gate["coil_c"], now, now) >= 0:
            publish(core.inputs)
        on_device(core, 0, gate["coil_c"], now, now)


@inner
def _meet(core: Core, shared: NDArray[np.int64], line: NDArray[np.void], moment: float) -> None:
    """Let the core decide for a moment that has come, or comes at once, and write the trigger at it.

    Also where nothing is written the moment is waited for: what the core is told next must not be from before it.
    """
    _look_at_port(core, shared, moment)
    record_input(core, InputKind.DEADLINE, 0, 0.0, moment)
    trigger_s = trigger_time(core)  # a delay before the word and one after it are one: together they have one limit
    fires = on_deadline(core, moment)
    while lsl_local_clock() < moment:
        pass
    if fires:
        _write_trigger(core, shared, line, trigger_s)


@inner
def _receive(core: Core, steps: Steps, shared: NDArray[np.int64], inbox: Inbox, sights: Ring, wait_s: float) -> None:
    """Wait for a sample and give it to the core."""
    inlet = load_acquire(shared, INLET * PLACES)
    if inlet == 0:
        sleep(inbox.timespec, wait_s)
        return
    stamp = lsl_pull_sample(inlet, inbox.addresses[0], inbox.values.size, wait_s, inbox.addresses[1])
    now = lsl_local_clock()
    if inbox.error[0] != 0:
        _lose_stream(core, shared, inbox.error[0], now)
        return
    if stamp == 0.0:
        return
    more = 1.0 if lsl_samples_available(inlet) > 0 else 0.0
    place = log_input(core, InputKind.SAMPLE, inbox.rows[0], more, stamp, now)
    inbox.rows[0] += 1
    values = core.values[place]
    for channel in range(values.size):
        values[channel] = inbox.values[channel] * inbox.scale[channel]
    publish(core.inputs)
    guarded_sample(core, steps, values, stamp, now, more)
    _show(core, sights, more, now)


@inner
def _lose_stream(core: Core, shared: NDArray[np.int64], code: int, now: float) -> None:
    store_release(shared, INLET * PLACES, 0)
    record_input(core, InputKind.STREAM, code, 0.0, now)
    on_stream(core, code, now)


@inner
def _disarm_for(core: Core, command: Command, reason: Reason, now: float) -> None:
    """Tell the core, once, what disarms it; the room that is kept in the rings holds that as well."""
    if core.gate[0]["armed"] != 0 and core.gate[0]["disarmed_by"] != reason:
        record_input(core, InputKind.COMMAND, command, 0.0, now)
        on_command(core, command, 0.0, now)


@inner
def _look_for_watcher(core: Core, shared: NDArray[np.int64], inbox: Inbox, now: float) -> None:
    """Disarm where nobody has emptied the rings for a while."""
    watched = load_acquire(shared, WATCHED * PLACES)
    if watched != inbox.watched[0] or inbox.watched_s[0] == -np.inf:
        inbox.watched[0] = watched
        inbox.watched_s[0] = now
    elif not now - inbox.watched_s[0] <= UNWATCHED_S:
        _disarm_for(core, Command.UNWATCHED, Reason.UNWATCHED, now)


@inner
def _show(core: Core, sights: Ring, more: float, now: float) -> None:
    """Leave what can be seen of the core; where nobody reads it, it is not missed."""
    if room(sights) < 1:
        return
    lead, stop = wanted_leads(core, now)
    predicted = more == 0.0 and lead < stop
    sight = sights.records[claim(sights)]
    sight["index"] = core.timing[0]["index"]
    sight["time_s"] = core.timing[0]["time_s"]
    sight["told_s"] = now
    sight["snr_db"] = snr_db(core.rhythm)
    sight["next_s"] = core.policy[0]["next_s"]
    sight["armed"] = core.gate[0]["armed"]
    sight["disarmed_by"] = core.gate[0]["disarmed_by"]
    sight["pulses"] = core.gate[0]["pulses"]
    sight["paused"] = core.policy[0]["paused"]
    sight["lead_s"] = lead * LEAD_STEP_S if predicted else np.nan
    for s in range(MAX_SIGNALS):
        used = s < core.signals.first_input.size - 1
        sight["x"][s] = core.signals.x[core.signals.first_input[s]] if used else np.nan
        sight["z"][s] = core.signals.z[s, lead] if predicted else complex(np.nan, np.nan)
        sight["sd"][s] = core.signals.sd[s, lead] if predicted else np.nan
    sight["done_s"] = lsl_local_clock()
    publish(sights)


@inner
def _turn(
    core: Core, steps: Steps, shared: NDArray[np.int64], inbox: Inbox, line: NDArray[np.void], sights: Ring
) -> None:
    """Do the one thing that is due, or wait for what comes next."""
    now = lsl_local_clock()
    obey(core, now)
    _look_for_watcher(core, shared, inbox, now)
    if now >= line[0]["off_at_s"]:
        _take_back(core, line, now)
    if not has_room(core):
        # What is not taken now waits in the library: nothing is lost, and the record goes on when it is read again.
        _disarm_for(core, Command.LOST, Reason.INPUT_LOST, now)
        sleep(inbox.timespec, RETRY_S)
        return
    due = next_deadline(core)
    trigger_s = _NEVER_S if core.plan[0]["status"] == NO_PLAN else trigger_time(core)
    store_release(shared, FORESIGHT, int(1e9 * min(trigger_s, _NEVER_S)))
    if now >= due - LAST_LOOK_S:
        _meet(core, shared, line, max(now, due))
        return
    wait_s = min(due, line[0]["off_at_s"]) - now - MARGIN_S
    if wait_s > 0.0:
        _receive(core, steps, shared, inbox, sights, min(wait_s, LONGEST_WAIT_S))


LOOP = types.void(
    CORE,
    STEPS,
    types.int64[::1],
    numba.typeof(make_inbox(np.zeros(1))),
    types.Array(numba.from_dtype(LINE), 1, "C"),
    numba.typeof(make_ring(SIGHT, 1)),
)


@compiled(LOOP)
def run_loop(
    core: Core, steps: Steps, shared: NDArray[np.int64], inbox: Inbox, line: NDArray[np.void], sights: Ring
) -> None:
    """Run until Python asks for the end, and disarm; anything unexpected disarms, takes the line back, and ends it.

    Parameters
    ----------
    core, steps
        The state and the compiled step of each signal's estimator.
    shared
        Integers of `make_shared`.
    inbox
        Where samples arrive.
    line
        One record of type ``LINE``: where triggers leave.
    sights
        Ring of records of type ``SIGHT``.
    """
    turns = 0
    while load_acquire(shared, STOP * PLACES) == 0:
        try:
            _turn(core, steps, shared, inbox, line, sights)
        except Exception:  # noqa: BLE001 - whatever it was, nothing may fire after it
            disarm(core, Reason.LOOP_FAILED)
            store_release(shared, FAILED * PLACES, 1)
            break
        turns += 1
        store_release(shared, TURNS * PLACES, turns)
    now = lsl_local_clock()
    if line[0]["off_at_s"] < np.inf:
        # Nothing can fire any more; a trigger that has just left keeps its width, or its box might miss it.
        sleep(inbox.timespec, min(max(line[0]["off_at_s"] - now, 0.0), LONGEST_WIDTH_S))
        now = lsl_local_clock()
        _take_back(core, line, now)
    obey(core, now)
    record_input(core, InputKind.COMMAND, Command.DISARM, 0.0, now)
    on_command(core, Command.DISARM, 0.0, now)
