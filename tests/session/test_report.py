"""The picture: drawn whatever a session came to, without a warning."""

from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from closedloop.core.records import EventKind
from closedloop.session.outcome import Outcome
from closedloop.session.report import known_phases, write_report
from closedloop.session.summary import summarise

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def drawn(session, tmp_path):
    """Return a function that draws the session with some of its pulses and other conditions; it gives the image."""

    def draw(*, n_pulses=None, conditions=None, name=None, surrogates=True, refused=True, **changes):
        events = session.outcome.events
        pulses = np.flatnonzero(events["kind"] == EventKind.DELIVERED)[:n_pulses]
        others = np.flatnonzero(events["kind"] != EventKind.DELIVERED) if refused else np.zeros(0, np.int64)
        events = events[np.sort(np.concatenate([pulses, others]))]
        pipeline = session.pipeline
        if conditions is not None:
            usual = pipeline.target.conditions[0]
            listed = tuple(usual.model_copy(update={"name": condition}) for condition in conditions)
            pipeline = pipeline.model_copy(update={"target": pipeline.target.model_copy(update={"conditions": listed})})
            events["condition"] = np.arange(events.size) % len(conditions)
        if name is not None:
            pipeline = pipeline.model_copy(update={"name": name})
        outcome = replace(
            session.outcome,
            pipeline=pipeline,
            events=events,
            surrogates=session.outcome.surrogates if surrogates else [],
            **changes,
        )
        path = tmp_path / "report.png"
        write_report(path, outcome, summarise(outcome))
        assert path.read_bytes()[:8] == PNG
        return matplotlib.image.imread(path)

    return draw


def test_a_session_has_a_picture(session):
    image = matplotlib.image.imread(session.path / "report.png")
    assert min(image.shape[:2]) > 800
    assert image.std() > 0.05  # not a blank sheet


@pytest.mark.parametrize("n_pulses", [0, 1, 2, 3])
def test_a_few_pulses_or_none_are_drawn(drawn, n_pulses):
    assert drawn(n_pulses=n_pulses).std() > 0.02


def test_no_chances_at_all_are_drawn(drawn):
    assert drawn(n_pulses=0, refused=False, surrogates=False).std() > 0.02


def test_without_surrogates_it_is_drawn(drawn):
    assert drawn(surrogates=False).std() > 0.02


@pytest.mark.parametrize("n_conditions", [1, 2, 7])
def test_any_number_of_conditions_is_drawn_in_full(drawn, n_conditions):
    image = drawn(conditions=[f"condition {place}" for place in range(n_conditions)])
    # 4.2 inches each, 11 at least, 110 dots an inch.
    assert image.shape[1] == pytest.approx(110 * max(11.0, 4.2 * n_conditions), abs=1.0)


@pytest.mark.parametrize("name", ["a$b^^$c", r"$\nonsense$", "%", "a_b{", r"\alpha", "<b>[red]x[/]", "谷底"])
def test_a_name_is_drawn_as_it_is_written(drawn, name):
    assert drawn(conditions=[name], name=name).std() > 0.02


def test_an_interruption_is_drawn(drawn):
    assert not np.array_equal(drawn(status="interrupted"), drawn())


@pytest.fixture
def hidden(monkeypatch):
    """Let no pulse have a phase that is known, as where all of them show in the EEG."""

    def phases(self, kind):
        found = as_they_are(self, kind)
        return replace(found, reference=np.full(found.reference.size, np.nan)) if kind == EventKind.DELIVERED else found

    as_they_are = Outcome.phases
    monkeypatch.setattr(Outcome, "phases", phases)


def test_where_the_pulses_hide_their_own_phase_the_withheld_trials_are_shown(session, hidden):
    known = session.outcome.phases(EventKind.WITHHELD)
    assert known.target.size > 0
    shown, label = known_phases(replace(session.outcome, disturbed=1))
    assert label == "withheld trials"
    assert np.array_equal(shown.reference, known.reference)


def test_what_is_not_known_for_another_reason_is_not_put_down_to_the_pulses(session, hidden):
    assert known_phases(session.outcome)[1] == "pulses"


@pytest.mark.parametrize("refused", [True, False], ids=["withheld", "none withheld"])
def test_withheld_trials_in_place_of_pulses_are_drawn(drawn, hidden, refused):
    assert drawn(refused=refused, disturbed=5).std() > 0.02


def test_otherwise_the_pulses_are_shown(session):
    shown, label = known_phases(session.outcome)
    assert label == "pulses"
    assert shown.target.size == session.outcome.phases(EventKind.DELIVERED).target.size


def test_the_picture_shows_the_pulses(drawn):
    assert not np.array_equal(drawn(n_pulses=5), drawn(n_pulses=20))
