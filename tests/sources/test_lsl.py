"""A live stream: found, checked, opened, collected; and each way in which it can be the wrong one."""

import itertools
import os
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pylsl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.config.source import Lsl, StreamQuery, TriggerChannel
from closedloop.errors import StreamError
from closedloop.outlet import Outlet
from closedloop.sources import lsl
from closedloop.sources.lsl import (
    MICROVOLTS,
    Stream,
    check_kind,
    check_scale,
    find_stream,
    predicate,
    rest_recording,
    stream_facts,
)
from closedloop.sources.recording import Recording

SFREQ = 250.0
SERIAL = itertools.count()
FORMATS = {
    "float32": pylsl.cf_float32,
    "double64": pylsl.cf_double64,
    "int32": pylsl.cf_int32,
    "int16": pylsl.cf_int16,
}


def unique(what):
    """Return a name that no other test's stream has, and none of another run's beside this one."""
    return f"{what}-{os.getpid()}-{next(SERIAL)}"


def announced(
    labels=("F3", "O1"),
    *,
    units="microvolts",
    types="EEG",
    name="amp",
    kind="EEG",
    sfreq=SFREQ,
    form=pylsl.cf_float32,
    source_id="serial 7",
    n_channels=None,
):
    """Return what a stream announces; None for labels, units or types: it does not say them."""
    n = (2 if labels is None else len(labels)) if n_channels is None else n_channels
    info = pylsl.StreamInfo(name, kind, n, sfreq, form, source_id)
    channels = info.desc().append_child("channels")
    for place in range(n if labels is None else len(labels)):
        channel = channels.append_child("channel")
        for key, values in (("label", labels), ("unit", units), ("type", types)):
            value = values if values is None or isinstance(values, str) else values[place]
            if value is not None:
                channel.append_child_value(key, value)
    return info


def source(unit=None, *, wait_s=5.0, **stream):
    return Lsl(type="lsl", stream=StreamQuery(**(stream or {"type": "EEG"})), unit=unit, wait_s=wait_s)


# ---- the query


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"name": "amp"}, "name='amp'"),
        ({"name": "amp", "type": "EEG", "source_id": "7"}, "name='amp' and type='EEG' and source_id='7'"),
        ({"predicate": "channel_count>8 or count(desc)=0"}, "(channel_count>8 or count(desc)=0)"),
        ({"type": "EEG", "predicate": "a or b"}, "type='EEG' and (a or b)"),
        ({"name": "Anna's"}, 'name="Anna\'s"'),
        ({"name": 'the "new"'}, "name='the \"new\"'"),
        ({"name": 'Anna\'s "new"'}, "name=concat('Anna', \"'\", 's \"new\"')"),
    ],
)
def test_a_query_becomes_a_predicate_whatever_its_quotation_marks(query, expected):
    assert predicate(StreamQuery(**query)) == expected


def parsed(text):
    """Read an XPath 1.0 string, or a concatenation of such, back."""
    if text.startswith("concat("):
        text = text[len("concat(") : -1]
    found, rest = "", text
    while rest:
        mark = rest[0]
        assert mark in "'\""
        value, _, rest = rest[1:].partition(mark)
        found += value
        rest = rest.removeprefix(", ")
    return found


@given(name=st.text(alphabet="ab '\",()", min_size=1, max_size=12))
def test_any_name_survives_its_quotation(name):
    assert parsed(predicate(StreamQuery(name=name)).removeprefix("name=")) == name


# ---- what a stream says of itself


def test_a_streams_facts_are_what_it_announces():
    info = announced(("F3", "EMG", "TRIG"), units=("microvolts", "mV", None), types=("EEG", "EMG", "TRIG"))
    facts = stream_facts(info, source())
    assert (facts.name, facts.type, facts.source_id, facts.sfreq, facts.format) == (
        "amp",
        "EEG",
        "serial 7",
        SFREQ,
        "float32",
    )
    assert facts.channels == ("F3", "EMG", "TRIG")
    assert facts.roles == ("eeg", "emg", "trigger")
    assert facts.units == ("microvolts", "mV", "")
    assert facts.scale.tolist() == [1.0, 1e3, 1.0]


@pytest.mark.parametrize(
    ("unit", "scale"),
    [
        ("microvolts", 1.0),
        ("uV", 1.0),
        ("µV", 1.0),
        ("µVolt", 1.0),
        ("μV", 1.0),
        ("Millivolts", 1e3),
        (" mV ", 1e3),
        ("volts", 1e6),
        ("V", 1e6),
        ("nanovolts", 1e-3),
    ],
)
def test_a_unit_becomes_the_factor_to_microvolts(unit, scale):
    assert stream_facts(announced(units=unit), source()).scale.tolist() == [scale, scale]


@pytest.mark.parametrize(("given_unit", "scale"), [("uV", 1.0), ("mV", 1e3), ("V", 1e6), ("nV", 1e-3)])
def test_a_unit_that_the_stream_does_not_say_is_the_pipelines(given_unit, scale):
    assert stream_facts(announced(units=None), source(given_unit)).scale.tolist() == [scale, scale]


def test_a_unit_that_the_pipeline_repeats_is_no_contradiction():
    assert stream_facts(announced(units="µV"), source("uV")).scale.tolist() == [1.0, 1.0]


def test_channels_without_a_type_are_what_the_stream_is():
    assert stream_facts(announced(types=None), source()).roles == ("eeg", "eeg")


@pytest.mark.parametrize(("unit", "scale"), [("volts", 1e6), (None, 1.0), ("degrees", 1.0)])
def test_another_channel_that_says_that_it_is_a_potential_is_scaled_as_one(unit, scale):
    info = announced(("F3", "AUX"), units=("uV", unit), types=("EEG", "AUX"))
    facts = stream_facts(info, source())
    assert (facts.roles, facts.scale.tolist()) == (("eeg", "misc"), [1.0, scale])


def test_channels_may_be_named_where_a_stream_names_none_or_others():
    for labels in (None, ("Ch0", "Ch1")):
        given = source("uV").model_copy(update={"channels": ("F3", "EEG O1-Ref")})
        assert stream_facts(announced(labels, units=None), given).channels == ("F3", "O1")


def test_names_for_another_number_of_channels_are_refused(one_line_error):
    given = source().model_copy(update={"channels": ("F3",)})
    line = one_line_error(StreamError, lambda: stream_facts(announced(), given))
    assert line == "source.channels: 1 names; amp (type EEG, 2 channels, 250 Hz, serial 7) has 2 channels"


def test_a_trigger_channel_that_a_stream_takes_for_eeg_is_one_where_its_unit_is_none_of_eeg():
    info = announced(("F3", "triggerStream"), units=("uV", "code"))
    seen = TriggerChannel(name="triggerStream", latency_s=0.0)
    assert stream_facts(info, source().model_copy(update={"trigger_channel": seen})).roles == ("eeg", "trigger")
    with pytest.raises(StreamError, match="is in code, which is no unit of EEG"):
        stream_facts(info, source())


def test_a_trigger_channel_stays_in_its_own_unit():
    info = announced(("F3", "TRIG"), units=("uV", "volts"), types=("EEG", "TRIG"))
    assert stream_facts(info, source()).scale.tolist() == [1.0, 1.0]


BY_NAME = "channels are found by name: give theirs as source.channels, in the stream's order"
WHERE = "source.stream: amp (type EEG, 2 channels, 250 Hz, serial 7)"
WRONG = {
    "no labels": (
        {"labels": None},
        None,
        f"{WHERE} names 0 of its 2 channels (desc/channels/channel/label): {BY_NAME}",
    ),
    "fewer labels than channels": (
        {"labels": ("F3",), "n_channels": 2},
        None,
        f"{WHERE} names 1 of its 2 channels (desc/channels/channel/label): {BY_NAME}",
    ),
    "an empty label": (
        {"labels": ("F3", "")},
        None,
        f"{WHERE} names 1 of its 2 channels (desc/channels/channel/label): {BY_NAME}",
    ),
    "one label twice": (
        {"labels": ("F3", "F3")},
        None,
        f"{WHERE}: 2 channels are named F3 (limit: 1)",
    ),
    "no unit": (
        {"units": None},
        None,
        f"{WHERE} does not say the unit of channel F3: give it as source.unit",
    ),
    "no unit of one channel": (
        {"units": ("uV", None)},
        None,
        f"{WHERE} does not say the unit of channel O1: give it as source.unit",
    ),
    "an unknown unit": (
        {"units": "counts"},
        "uV",
        f"{WHERE}: channel F3 is in counts, which is no unit of EEG",
    ),
    "a unit that contradicts the pipeline's": (
        {"units": "mV"},
        "uV",
        f"source.unit = uV: {WHERE.removeprefix('source.stream: ')} says that channel F3 is in mV",
    ),
}


@pytest.mark.parametrize(("fields", "unit", "said"), WRONG.values(), ids=WRONG.keys())
def test_channels_that_nobody_can_know_are_one_clear_line(fields, unit, said, one_line_error):
    assert one_line_error(StreamError, stream_facts, announced(**fields), source(unit)) == said


def test_a_stream_of_text_is_no_eeg(one_line_error):
    info = announced(form=pylsl.cf_string, sfreq=pylsl.IRREGULAR_RATE, kind="Markers", labels=("codes",))
    assert one_line_error(StreamError, check_kind, info) == (
        "source.stream: amp (type Markers, 1 channels, irregular, serial 7) holds text, not EEG: name the EEG stream"
    )


def test_a_stream_without_a_rate_is_no_eeg(one_line_error):
    line = one_line_error(StreamError, check_kind, announced(sfreq=pylsl.IRREGULAR_RATE))
    assert "has no sampling rate (it says 0 Hz)" in line


def test_streams_are_equal_where_their_samples_mean_the_same():
    facts = stream_facts(announced(), source())
    assert facts.equals(stream_facts(announced(name="another", source_id="8", form=pylsl.cf_double64), source()))
    for other in (
        announced(units="mV"),
        announced(("O1", "F3")),
        announced(sfreq=500.0),
        announced(types=("EEG", "EMG")),
    ):
        assert not facts.equals(stream_facts(other, source()))


# ---- its rest


def eeg(seconds=20.0, scale=1.0):
    """Return EEG-like samples of two channels, on an amplifier's offset of 20 mV."""
    n = round(seconds * SFREQ)
    rng = np.random.default_rng(1)
    times_s = np.arange(n) / SFREQ
    alpha = 15.0 * np.sin(2.0 * np.pi * 10.3 * times_s)
    noise = 8.0 * np.cumsum(rng.normal(0.0, 0.3, (n, 2)), axis=0)
    return scale * (20_000.0 + alpha[:, None] + noise)


def rest_of(samples, *, sfreq=SFREQ, true_rate_hz=SFREQ, stamps=None, delay_s=0.0):
    facts = stream_facts(announced(sfreq=sfreq), source())
    times = 100.0 + np.arange(len(samples)) / true_rate_hz if stamps is None else stamps
    return rest_recording(facts, samples, times, delay_s=delay_s)


def test_rest_is_a_recording_with_its_rate_its_jitter_and_times_at_the_electrode():
    rest, rate_hz = rest_of(eeg(), true_rate_hz=SFREQ * 1.002, delay_s=0.03)
    assert rate_hz == pytest.approx(SFREQ * 1.002, rel=1e-6)
    assert (rest.names, rest.roles, rest.sfreq, rest.name) == (("F3", "O1"), ("eeg", "eeg"), SFREQ, "amp")
    assert rest.jitter_s == 0.5 / SFREQ
    assert rest.times_s[0] == pytest.approx(100.0 - 0.03, abs=1e-3)


@pytest.mark.parametrize("true_rate_hz", [SFREQ * 1.011, SFREQ * 0.989, 500.0, 125.0])
def test_rest_at_another_rate_is_refused_with_both_rates(true_rate_hz, one_line_error):
    line = one_line_error(StreamError, lambda: rest_of(eeg(), true_rate_hz=true_rate_hz))
    assert line == f"amp: its samples come at {true_rate_hz:.2f} Hz, but it says 250 Hz (limit: 1 % apart)"


@pytest.mark.parametrize("n", [0, 1])
def test_rest_without_samples_is_one_clear_line(n, one_line_error):
    line = one_line_error(StreamError, lambda: rest_of(eeg()[:n]))
    assert line == f"amp: {n} samples came (at least 2 are needed)"


def test_a_stream_that_stamps_whole_chunks_is_refused(one_line_error):
    samples = eeg()
    stamps = 100.0 + np.arange(len(samples)) // 8 * 8 / SFREQ
    line = one_line_error(StreamError, lambda: rest_of(samples, stamps=stamps))
    assert line.startswith("amp: 88 % of its samples have the time stamp of the sample before them (limit: 1 %)")


def test_stamps_that_are_no_numbers_are_refused(one_line_error):
    samples = eeg()
    assert "nan Hz" in one_line_error(StreamError, lambda: rest_of(samples, stamps=np.full(len(samples), np.nan)))


def test_eeg_in_microvolts_passes_whatever_its_offset():
    check_scale(rest_of(eeg())[0], unit_of="microvolts")


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
def test_eeg_whose_unit_is_not_what_it_says_is_refused(scale, one_line_error):
    rest = rest_of(eeg(scale=scale))[0]
    line = one_line_error(StreamError, lambda: check_scale(rest, unit_of="microvolts"))
    assert line.endswith("(limits: 0.05 to 500): is it in microvolts, as it says?")


def test_a_rest_without_eeg_channels_has_no_scale_to_check():
    samples = np.zeros((1000, 1))
    check_scale(Recording(("AUX",), ("misc",), SFREQ, samples, np.arange(1000) / SFREQ, "amp"), unit_of="")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "its EEG is no number throughout: is the amplifier measuring?"),
        (
            7.0,
            "half of its EEG channels or more do not move at all: is the amplifier measuring, and are its electrodes "
            "connected?",
        ),
    ],
)
def test_an_amplifier_that_does_not_measure_is_told_as_that(one_line_error, value, said):
    names = ("O1", "O2", "P3", "P4")
    rest = Recording(names, ("eeg",) * 4, SFREQ, np.full((1000, 4), value), np.arange(1000) / SFREQ, "amp")
    assert one_line_error(StreamError, lambda: check_scale(rest, unit_of="microvolts")) == f"amp: {said}"


def test_a_channel_that_measures_nothing_does_not_hide_the_others():
    rest = rest_of(eeg())[0]
    samples = rest.samples.copy()
    samples[:, 0] = np.nan
    check_scale(replace(rest, samples=samples), unit_of="microvolts")


# ---- on the network: this machine's own


class Sender:
    """An outlet that pushes whenever somebody asks for progress."""

    def __init__(self, info, form="float32"):
        self.outlet = Outlet(info)
        self.form, self.sent = form, 0

    def push(self, n=25):
        """Push ``n`` samples that tell their row, and -2 times their row, as whole µV."""
        for _ in range(n):
            # Never at 0.0, which the library takes for now.
            self.outlet.push_sample([self.sent, -2 * self.sent], 1.0 + self.sent / SFREQ)
            self.sent += 1

    def close(self):
        self.outlet = None


@contextmanager
def sending(**fields):
    """Send a stream of a name of its own for the length of a ``with`` block."""
    sender = Sender(announced(**{"name": unique("amp"), "kind": unique("type"), "source_id": unique("id"), **fields}))
    try:
        yield sender
    finally:
        sender.close()


def patient(_):
    return True


FOUND_BY = {
    "name": lambda info: {"name": info.name()},
    "type": lambda info: {"type": info.type()},
    "source_id": lambda info: {"source_id": info.source_id()},
    "predicate": lambda info: {"predicate": f"starts-with(name,'{info.name()[:-1]}') and channel_count=2"},
}


@pytest.mark.parametrize("query", FOUND_BY.values(), ids=FOUND_BY.keys())
def test_a_stream_is_found_by_each_of_its_marks(query):
    with sending() as sender:
        info = sender.outlet.get_info()
        assert find_stream(source(**query(info)), patient).source_id() == info.source_id()


def test_a_name_with_both_quotation_marks_is_found():
    name = unique('Anna\'s "new" amp')
    with sending(name=name):
        assert find_stream(source(name=name), patient).name() == name


def test_a_stream_that_starts_later_is_waited_for():
    kind = unique("type")
    told, sender = [], []

    def waiting(what):
        told.append(what)
        if not sender:
            sender.append(Sender(announced(kind=kind)))
        return True

    try:
        assert find_stream(source(type=kind), waiting).type() == kind
    finally:
        for one in sender:
            one.close()
    assert {line.partition("; there: ")[0] for line in told} == {f"waiting for a stream with type='{kind}'"}


def test_a_stream_that_comes_right_before_the_end_is_found():
    kind = unique("type")
    sender = []

    def waiting(_):
        if not sender:
            sender.append(Sender(announced(kind=kind)))
        return True

    try:
        assert find_stream(source(type=kind, wait_s=1.0), waiting).type() == kind
    finally:
        for one in sender:
            one.close()


def test_who_waits_is_told_which_streams_are_there(one_line_error):
    told = []

    def waiting(what):
        told.append(what)
        return len(told) < 2

    with sending() as sender:
        there = sender.outlet.get_info()
        one_line_error(StreamError, find_stream, source(name=unique("amp"), wait_s=60.0), waiting)
    first, second = told
    assert "there: " not in first
    assert f"{there.name()} (type {there.type()}, 2 channels, 250 Hz, {there.source_id()})" in second


def test_whoever_waits_may_stop_waiting(one_line_error):
    began_s = time.monotonic()
    one_line_error(StreamError, find_stream, source(name=unique("amp"), wait_s=60.0), lambda _: False)
    assert time.monotonic() - began_s < 3.0


def test_two_streams_that_match_are_both_named(one_line_error):
    name = unique("amp")
    with sending(name=name) as one, sending(name=name) as other:
        line = one_line_error(StreamError, find_stream, source(name=name), patient)
        ids = [sender.outlet.get_info().source_id() for sender in (one, other)]
    assert line.startswith(f"source.stream: 2 streams match name='{name}' (limit: 1): ")
    assert all(identity in line for identity in ids)
    assert line.endswith(": name one by source_id")


def test_where_none_matches_it_says_what_was_looked_for_and_what_is_there(one_line_error):
    with sending() as sender:
        there = sender.outlet.get_info()
        line = one_line_error(StreamError, find_stream, source(name="nobody's amp", wait_s=0.1), patient)
    assert line.startswith('source.stream: no stream with name="nobody\'s amp" within 0.1 s (source.wait_s); there: ')
    assert f"{there.name()} (type {there.type()}, 2 channels, 250 Hz, {there.source_id()})" in line


def test_a_marker_stream_in_place_of_eeg_is_refused_before_it_is_opened(one_line_error):
    with sending(form=pylsl.cf_string, labels=("codes",), sfreq=pylsl.IRREGULAR_RATE) as sender:
        info = find_stream(source(name=sender.outlet.get_info().name()), patient)
        line = one_line_error(StreamError, Stream, info, source())
    assert line.endswith("holds text, not EEG: name the EEG stream")


def test_a_stream_of_numbers_without_a_rate_is_refused_before_it_is_opened(one_line_error):
    with sending(sfreq=pylsl.IRREGULAR_RATE) as sender:
        info = find_stream(source(name=sender.outlet.get_info().name()), patient)
        line = one_line_error(StreamError, Stream, info, source())
    assert "has no sampling rate (it says 0 Hz)" in line


@contextmanager
def opened(sender, unit=None):
    what = source(unit, name=sender.outlet.get_info().name())
    with Stream(find_stream(what, patient), what) as stream:
        yield stream


def collect(stream, sender, seconds, on_progress=patient):
    def progress(share):
        sender.push()
        return on_progress(share)

    return stream.collect(seconds, progress)


@pytest.mark.parametrize("form", FORMATS)
def test_values_of_each_format_arrive_in_microvolts_with_the_stamps_that_were_sent(form):
    with sending(form=FORMATS[form], units="mV") as sender, opened(sender) as stream:
        assert stream.facts.format == form
        samples, stamps = collect(stream, sender, 0.4)
    rows = np.arange(100)
    np.testing.assert_array_equal(samples, 1e3 * np.column_stack([rows, -2 * rows]))
    np.testing.assert_allclose(stamps, 1.0 + rows / SFREQ, rtol=0.0, atol=1e-12)


def test_what_was_collected_ends_where_whoever_waits_says_so():
    with sending() as sender, opened(sender) as stream:
        samples, stamps = collect(stream, sender, 4.0, lambda share: share < 0.1)
    assert 0.1 * 1000 <= len(samples) == stamps.size < 1000


def test_nothing_collected_has_the_streams_channels():
    with sending() as sender, opened(sender) as stream:
        samples, stamps = collect(stream, sender, 1.0, lambda _: False)
    assert (samples.shape, stamps.shape) == ((0, 2), (0,))


def test_a_sender_that_closes_while_rest_is_collected_is_one_clear_line(one_line_error):
    with sending() as sender, opened(sender) as stream:
        name = stream.facts.name

        def ending(share):
            if share > 0.1:
                sender.close()
            else:
                sender.push()
            return True

        line = one_line_error(StreamError, stream.collect, 4.0, ending)
    assert line.startswith(f"{name} broke off after 0.")
    assert line.endswith(" s of 4 s of calibration; start it and this again")


def test_an_open_stream_has_a_handle_and_threads_of_its_own():
    with sending() as sender, opened(sender) as stream:
        assert stream.handle != 0
        running = {int(task.name) for task in Path("/proc/self/task").iterdir()}
        assert set(stream.threads) & running


def test_on_one_machine_a_streams_clock_is_this_machines():
    with sending() as sender, opened(sender) as stream:
        sender.push()
        assert stream.correction_s() == 0.0


@pytest.mark.parametrize(
    ("estimate_us", "round_trip_us", "correction_us"),
    [(-32.0, 120.0, 0.0), (60.0, 120.0, 0.0), (61.0, 120.0, 61.0), (-61.0, 120.0, -61.0), (9e9, 500.0, 9e9)],
)
def test_a_clock_that_cannot_be_told_from_this_machines_is_the_same(
    monkeypatch, estimate_us, round_trip_us, correction_us
):
    def answer(_inlet, _remote_s, round_trip_s, _timeout_s, _code):
        round_trip_s._obj.value = 1e-6 * round_trip_us
        return 1e-6 * estimate_us

    monkeypatch.setattr(lsl, "liblsl", SimpleNamespace(lsl_time_correction_ex=answer))
    assert lsl.clock_correction(SimpleNamespace(obj=None)) == 1e-6 * correction_us


def test_every_known_unit_is_in_lower_case():
    assert all(name == name.lower() for name in MICROVOLTS)
