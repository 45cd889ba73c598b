"""An amplifier in a process of its own, which a test may kill: ``python sender.py SOURCE_ID SFREQ LABEL...``.

It sends a sine of 20 µV, 10 Hz, each sample at its own time stamp, until it is killed.
"""

import math
import sys
import time

import pylsl

from closedloop.outlet import Outlet


def send(source_id: str, sfreq: float, labels: list[str]) -> None:
    info = pylsl.StreamInfo(source_id, "EEG", len(labels), sfreq, pylsl.cf_float32, source_id)
    channels = info.desc().append_child("channels")
    for label in labels:
        channel = channels.append_child("channel")
        for key, value in (("label", label), ("unit", "microvolts"), ("type", "EEG")):
            channel.append_child_value(key, value)
    outlet = Outlet(info)
    start_s, sent = pylsl.local_clock(), 0
    while True:
        at_s = sent / sfreq
        time.sleep(max(0.0, start_s + at_s - pylsl.local_clock()))
        outlet.push_sample([20.0 * math.cos(2.0 * math.pi * 10.0 * at_s)] * len(labels), start_s + at_s)
        sent += 1


if __name__ == "__main__":
    send(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
