"""Each driver against its stand-in over a real pseudo-terminal, on sound and on bad wires: whether every pulse counts.

    python bench/drivers.py --json drivers.json

Identify, configure, arm, so many pulses, disarm: every second pulse by the stand-in's trigger input, the others by the
serial command that fires. The wire splits, merges, drops and turns bytes of both directions. A pulse is recorded before
it is asked for, as a session does it. What may never be: a pulse that the stand-in fired and that is not in the record,
and two for one request; where either is, the exit status is 1. What is refused, the driver says in one line, and the
device is armed or opened anew. The stand-ins' time runs with the real one, and ahead where a driver waits for a device.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from cohort import in_parallel, machine, show, write

from closedloop.config.device import Stimulator as Profile
from closedloop.config.load import load_device
from closedloop.errors import StimulatorError
from closedloop.standins.interface import StandIn
from closedloop.standins.table import SETTINGS as NEEDED
from closedloop.standins.table import STANDINS
from closedloop.standins.terminal import NO_FAULTS, Terminal, WireFaults
from closedloop.stimulators.interface import Stimulator, find_driver
from closedloop.stimulators.status import Status

P = ParamSpec("P")
T = TypeVar("T")

SHARE = 0.003
WIRES = {
    "sound": NO_FAULTS,
    "split reads": WireFaults(split=True),
    "merged reads": WireFaults(merge=True),
    "dropped bytes": WireFaults(dropped=SHARE, deaf=SHARE),
    "turned bits": WireFaults(corrupted=SHARE, mishears=SHARE),
    "all together": WireFaults(
        split=True, merge=True, dropped=SHARE, corrupted=SHARE, deaf=SHARE, mishears=SHARE, garbage=bytes(16)
    ),
}
SPEED = {"duomag": 10.0}
"""How much faster than real time a stand-in lives: a DuoMAG tells its state every 20 ms, and twice alike counts."""
PERCENT = 40.0
SETTINGS = {"reply_s": 0.15, "recharge_delay_ms": 300.0}
"""Where a driver has such a setting: its wait for what was lost, and a recharging that a slow wire can show."""
MOST_RESTS = 60
"""A device that recharges is asked so often whether it is ready, each time after as long as its driver says."""
MOST_OPENINGS = 100
MUST_BE_0 = ("unrecorded", "doubled")
Said = Literal["yes", "unknown", "no"]


class Clock:
    """Real time, faster where that is wanted, in which waiting for a device passes at once."""

    def __init__(self, speed: float) -> None:
        self._speed, self._slept_s = speed, 0.0

    def __call__(self) -> float:
        """Return the time in s."""
        return self._speed * time.monotonic() + self._slept_s

    def sleep(self, duration_s: float) -> None:
        """Let it pass."""
        self._slept_s += duration_s


class LapseError(Exception):
    """The device is armed no more."""


class Run:
    """So many pulses of one device, with everything that it takes to get them.

    Parameters
    ----------
    terminal, standin, clock
        The device, its wire and its time.
    pulses
        How many are asked for.
    """

    def __init__(self, terminal: Terminal, standin: StandIn, clock: Clock, pulses: int) -> None:
        self._terminal, self._standin, self._clock, self._pulses = terminal, standin, clock, pulses
        self.operations = self.recovered = self.refused = self.openings = self.armings = 0
        self.said: dict[Said, int] = {"yes": 0, "unknown": 0, "no": 0}
        self._accounted = self.unrecorded = self.doubled = 0

    @property
    def asked(self) -> int:
        """How many pulses were asked for so far."""
        return sum(self.said.values())

    def session(self, driver: Any) -> None:
        """Open the device and ask for pulses until there are enough, or something has to be opened anew."""
        self.openings += 1
        try:
            self._do(driver.__enter__)
            try:
                self._do(driver.configure)
                self._do(driver.set_intensity, PERCENT)
                self._do(driver.set_train, 1, 1.0)
                while self.asked < self._pulses:
                    self._armed(driver)
            finally:
                self._do(driver.__exit__, None, None, None)
        except StimulatorError:
            pass  # counted; a session would say it and wait for a human
        finally:
            self.recovered += driver.recovered

    def row(self) -> dict[str, int]:
        """Return what it came to."""
        fired = len(self._standin.pulses_s)
        return {
            "operations": self.operations,
            "recovered": self.recovered,
            "refused": self.refused,
            "re-armed": self.armings - 1,
            "asked": self.asked,
            "fired": fired,
            "delivered: yes": self.said["yes"],
            "unknown": self.said["unknown"],
            "denied": self.said["no"],
            "unrecorded": self.unrecorded + fired - self._accounted,
            "doubled": self.doubled,
        }

    def _do(self, operation: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self.operations += 1
        try:
            return operation(*args, **kwargs)
        except StimulatorError:
            self.refused += 1
            raise

    def _armed(self, driver: Stimulator) -> None:
        armed = driver.armed()
        self._do(armed.__enter__)
        self.armings += 1
        try:
            while self.asked < self._pulses:
                self._pulse(driver)
        except LapseError:
            pass
        finally:
            self._do(armed.__exit__, None, None, None)

    def _pulse(self, driver: Stimulator) -> None:
        self._wait_until_ready(driver)
        before, told = len(self._standin.pulses_s), _told(driver)
        by_command = self.asked % 2 == 0
        said = self._fire(driver) if by_command else self._trigger()
        status = None
        try:
            status = self._do(driver.status)  # behind which nothing of this request is on the wire any more
        finally:
            if not by_command and (_told(driver) > told or (status is not None and _spent(status))):
                said = "yes"
            self._account(said, len(self._standin.pulses_s) - before)

    def _fire(self, driver: Stimulator) -> Said:
        try:
            return self._do(driver.fire)
        except StimulatorError:  # the device says that it did not
            return "no"

    def _trigger(self) -> Said:
        self._terminal.trigger()
        return "unknown"

    def _wait_until_ready(self, driver: Stimulator) -> None:
        for _ in range(MOST_RESTS):
            status = self._do(driver.status)
            if status.ready:
                return
            if status.fault or not status.armed:
                break
            self._clock.sleep(driver.status_every_s)
        raise LapseError

    def _account(self, said: Said, fired: int) -> None:
        self.said[said] += 1
        self._accounted += fired
        self.unrecorded += max(0, fired - (said != "no"))
        self.doubled += max(0, fired - 1)


def _told(driver: Stimulator) -> int:
    """Return how many pulses the device has told of by itself, where it does."""
    told: int = getattr(driver, "pulses_told", 0)
    return told


def _spent(status: Status) -> bool:
    """Return whether a device that was ready shows that it has fired."""
    return status.armed and not status.ready and not status.fault


def exercise(device: str, wire: str, pulses: int, make: Callable[[], StandIn] | None = None) -> dict[str, Any]:
    """Return the counts of one driver on one wire.

    Parameters
    ----------
    device, wire
        Of the table of stand-ins, and of `WIRES`.
    pulses
        How many to ask for.
    make
        Makes another stand-in than the table's.
    """
    profile = load_device(device)
    assert isinstance(profile, Profile)
    standin = (STANDINS[device] if make is None else make)()
    clock = Clock(SPEED.get(device, 1.0))
    find: Any = find_driver(profile.driver)
    with Terminal(standin, clock=clock, faults=WIRES[wire]) as terminal:
        known = find.settings_model.model_fields
        own = {key: value for key, value in SETTINGS.items() if key in known}
        given = {**profile.settings, **NEEDED.get(device, {}), **own, "port": terminal.path}
        settings = find.settings_model.model_validate(given)
        run = Run(terminal, standin, clock, pulses)
        while run.asked < pulses:
            if run.openings >= MOST_OPENINGS:
                raise SystemExit(f"{device}, {wire}: {run.asked} of {pulses} pulses in {run.openings} sessions")
            run.session(find(profile, settings, clock=clock, sleep=clock.sleep))
        return {"device": device, "wire": wire, **run.row(), "bytes damaged": terminal.dropped + terminal.corrupted}


def main() -> None:
    """Run all of it, print the table, and fail where a pulse is missing or double."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pulses", type=int, default=1000, help="of each driver on each wire")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    jobs = [(device, wire, options.pulses) for device in STANDINS for wire in WIRES]
    rows = list(in_parallel(exercise, jobs, doing="drivers and wires"))
    show(f"Drivers against their stand-ins ({machine()})", rows)
    write(options.json, rows=rows, pulses=options.pulses)
    wrong = [row for row in rows if any(row[key] for key in MUST_BE_0)]
    pulses = sum(row["fired"] for row in rows)
    print(f"{pulses} pulses fired, {len(wrong)} of {len(rows)} rows with one that is missing from the record or double")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
