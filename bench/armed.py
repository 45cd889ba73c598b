"""A session that is there to be killed: the real loop, gate, dose record and driver process, pulses at a steady pace.

Started by ``kills.py`` with a stand-in's port and trigger input. It prints the driver's process id once it has fired,
and runs until it is killed.
"""

import argparse
import sys
import time

import loopback  # noqa: F401 - before NumPy and pylsl
import pylsl

from closedloop.config.line import BytesLine
from closedloop.config.load import load_device
from closedloop.config.source import Lsl, StreamQuery
from closedloop.core.live import FORESIGHT, HEARTBEAT, PORT_BUSY, SHARED
from closedloop.core.records import EventKind
from closedloop.dose.record import DoseRecord
from closedloop.session.arming import Arming
from closedloop.session.metronome import metronome
from closedloop.session.realtime import undisturbed
from closedloop.session.status import Watch
from closedloop.session.supervisor import Supervisor
from closedloop.sources.lsl import Stream, find_stream
from closedloop.stimulators.heartbeat import Heartbeat, Places
from closedloop.stimulators.kept import KeptStimulator
from closedloop.stimulators.line import open_line

SFREQ, N_CHANNELS = 250.0, 2
PERCENT = 30.0
EVERY_S = 0.05


def run(device: str, port: str, trigger: str, subject: str, session: str, source_id: str, interval_s: float) -> None:
    """Arm and fire for as long as nobody ends it."""

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    profile = load_device(device)
    profile = profile.model_copy(update={"settings": {**profile.settings, "port": port}})
    source = Lsl(type="lsl", stream=StreamQuery(source_id=source_id), wait_s=30.0)
    with (
        DoseRecord(subject, session) as dose,
        Heartbeat(SHARED) as heartbeat,
        KeptStimulator(profile, heartbeat, Places(HEARTBEAT, FORESIGHT, PORT_BUSY)) as stimulator,
        open_line(BytesLine(path=trigger)) as line,
        Stream(find_stream(source, lambda _: True), source) as stream,
    ):
        stimulator.configure()
        stimulator.set_intensity(PERCENT)
        correction_s = stream.correction_s()
        core, steps = metronome(
            SFREQ,
            n_channels=N_CHANNELS,
            n_pulses=10**6,
            interval_s=interval_s,
            latency_s=0.0,
            max_data_age_s=0.1,
            max_lateness_s=0.005,
            min_interval_s=0.1,
            jitter_s=0.05,
        )
        core.timing["correction_s"] = correction_s
        core.gate["leased"] = 0
        core.limits["max_status_age_s"] = 2.0
        shared = heartbeat.integers
        supervisor = Supervisor(
            dose.share(core), steps, stream, source, line, correction_s=correction_s, first_row=0, shared=shared
        )
        watch, told = Watch(0, correction_s=correction_s), False
        with undisturbed(), supervisor:
            arming = Arming(profile, stimulator, supervisor, dose, say)
            arming.ask(pylsl.local_clock())
            while True:
                drained, sights = supervisor.collect()
                watch.follow(sights, drained.events)
                supervisor.look_after(watch.newest, say=say)
                arming.look(watch.newest)
                if watch.counts[EventKind.DELIVERED] and not told:
                    told = True
                    print(stimulator.pid, flush=True)
                time.sleep(EVERY_S)


def main() -> None:
    """Read what to do from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("device", "port", "trigger", "subject", "session", "source_id"):
        parser.add_argument(name)
    parser.add_argument("interval_s", type=float)
    run(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
