"""Was a delivered pulse really given?"""

import json

import numpy as np

from closedloop.core.records import EVENT, EventKind
from closedloop.session.confirmation import as_lines, confirm, count

D, W, R = EventKind.DELIVERED, EventKind.WITHHELD, EventKind.REFUSED


def decided(*kinds):
    events = np.zeros(len(kinds), EVENT)
    events["number"], events["kind"] = np.arange(len(kinds)), kinds
    return events


def answers(events, *, codes=None, artifacts=None, lags_s=None, fired_after_s=None, told=None):
    n = int((events["kind"] == D).sum())
    codes = np.zeros(n if lags_s is None else len(lags_s), np.int64) if codes is None else np.array(codes)
    shown = np.zeros(n, bool) if artifacts is None else np.array(artifacts)
    lags = None if lags_s is None else np.array(lags_s)
    return [
        (c.number, c.confirmed.value, c.by)
        for c in confirm(
            events, codes=codes, artifacts=shown, lags_s=lags, fired_after_s=fired_after_s or {}, told=told
        )
    ]


def test_without_any_witness_nobody_knows():
    assert answers(decided(D, W, R, D)) == [(0, "unknown", ""), (3, "unknown", "")]


def test_an_artifact_says_yes_and_its_absence_nothing():
    assert answers(decided(D, D), artifacts=[True, False]) == [(0, "yes", "artifact"), (1, "unknown", "")]


def test_a_trigger_channel_says_yes_or_no():
    assert answers(decided(D, R, D), lags_s=[0.01, np.nan]) == [
        (0, "yes", "trigger channel"),
        (2, "no", "trigger channel"),
    ]


def test_an_artifact_is_more_than_a_trigger_that_was_not_seen():
    assert answers(decided(D), artifacts=[True], lags_s=[np.nan]) == [(0, "yes", "artifact")]


def test_a_device_that_told_of_just_as_many_confirms_each():
    assert answers(decided(D, D), told=2) == [(0, "yes", "device"), (1, "yes", "device")]


def test_a_device_that_told_of_others_confirms_none():
    assert answers(decided(D, D), told=1) == [(0, "unknown", ""), (1, "unknown", "")]
    assert answers(decided(D, D), told=3) == [(0, "unknown", ""), (1, "unknown", "")]


def test_a_trigger_whose_write_never_returned_is_unknown():
    assert answers(decided(D, D), lags_s=[0.01]) == [(0, "yes", "trigger channel"), (1, "unknown", "")]


def test_a_trigger_that_could_not_be_written_fired_nothing_and_one_in_part_may_have():
    assert answers(decided(D, D), codes=[11, -1], told=2) == [(0, "no", "trigger line"), (1, "yes", "device")]
    assert answers(decided(D, D), codes=[11, -1], lags_s=[np.nan, np.nan]) == [
        (0, "no", "trigger line"),
        (1, "unknown", ""),
    ]


def test_a_trigger_that_was_held_up_fired_nothing():
    assert answers(decided(D), codes=[-2], lags_s=[np.nan]) == [(0, "no", "trigger line")]


def test_a_program_that_drives_the_line_says_what_it_fired():
    assert answers(decided(D, D, D), fired_after_s={0: 0.0, 1: None}) == [
        (0, "yes", "trigger line"),
        (1, "no", "trigger line"),
        (2, "unknown", ""),
    ]


def test_a_program_numbers_only_the_triggers_that_reached_it():
    assert answers(decided(D, D, D), codes=[0, 11, 0], fired_after_s={0: 0.001, 1: None}) == [
        (0, "yes", "trigger line"),
        (1, "no", "trigger line"),
        (2, "no", "trigger line"),
    ]
    assert answers(decided(D, D), codes=[11, 0], fired_after_s={0: 0.001}) == [
        (0, "no", "trigger line"),
        (1, "yes", "trigger line"),
    ]


def test_they_are_counted_and_written_by_line():
    found = confirm(
        decided(D, D),
        codes=np.zeros(2, np.int64),
        artifacts=np.array([True, False]),
        lags_s=None,
        fired_after_s={0: 0.002},
        told=None,
    )
    assert count(found) == {"yes": 1, "no": 0, "unknown": 1}
    assert [json.loads(line) for line in as_lines(found).splitlines()] == [
        {"number": 0, "confirmed": "yes", "by": "artifact", "fired_after_s": 0.002},
        {"number": 1, "confirmed": "unknown", "by": "", "fired_after_s": None},
    ]
