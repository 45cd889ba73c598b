"""A comparison on anybody's recordings: what is refused beforehand, what is kept, and how it ends."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.accuracy import evaluation, output
from closedloop.accuracy.case import SYNTHETIC, TRUTHS
from closedloop.accuracy.compare import FIGURES, KEY
from closedloop.accuracy.contenders import MANY_CHANNELS, Contender
from closedloop.accuracy.evaluation import N_BINS, Plan, check, evaluate, montage, refusal_text, seed_of
from closedloop.accuracy.output import run_evaluation
from closedloop.config.estimators import Naive
from closedloop.errors import CalibrationError, ConfigError, OutputError, RecordingError
from closedloop.estimators.interface import find_estimator

NAMES = st.lists(st.text("ABCFPOTz12 ", min_size=1).map(str.strip).filter(bool), min_size=2, max_size=6, unique=True)


def nobody_listens(doing, share):
    pass


def quick(name="naive"):
    """Return a contender that is as quick as any, under a name."""

    def make(rest):
        return find_estimator("naive")(rest, Naive(type="naive"))

    return Contender(name, "published", make)


def refuse(rest):
    raise CalibrationError("no")


@pytest.fixture
def known(monkeypatch, make_recording):
    """Return recordings by name, to fill; those are found, and one quick method takes part."""
    found = {"a.edf": make_recording(), "b.edf": make_recording()}

    def open_recording(name):
        if name not in found:
            raise RecordingError(f"{name}: there is no such file")
        return replace(found[name], name=name)

    monkeypatch.setattr(evaluation, "open_recording", open_recording)
    monkeypatch.setattr(evaluation, "SYNTHETIC_JUDGED_S", 30.0)
    take_part(monkeypatch, quick())
    return found


def take_part(monkeypatch, *contenders):
    monkeypatch.setattr(evaluation, "contenders", lambda _: list(contenders))


def plan(*recordings, montages=("O1",), estimators=("naive",), lead_s=0.025, leads_s=(0.0, 0.025), notches_hz=(50.0,)):
    weights = {text: montage(text) for text in montages}
    return Plan(recordings or ("a.edf",), weights, estimators, 20.0, lead_s, leads_s, notches_hz)


def evaluated(*arguments, **options):
    found = check(plan(*arguments, **options), nobody_listens)
    evaluate(found, nobody_listens)
    return found


def run(path, *arguments, progress=nobody_listens, **options):
    return run_evaluation(plan(*arguments, **options), path, facts={"created": "now"}, progress=progress)


def stored(path):
    return json.loads((path / "evaluation.json").read_text(encoding="utf-8"))


# Montages and plans


@given(NAMES)
def test_a_laplacian_is_its_centre_less_the_mean_of_the_others(names):
    center, *others = names
    weights = montage(f"{center}={','.join(others)}")
    assert list(weights) == names
    assert weights[center] == 1.0
    assert sum(weights.values()) == pytest.approx(0.0, abs=1e-12)


def test_a_name_alone_is_that_channel_though_a_bipolar_ones_may_hold_a_dash():
    assert montage("P3-P4") == {"P3-P4": 1.0}


def test_blanks_around_names_are_no_part_of_them():
    assert montage(" F3 = Fp1, F7") == montage("F3=Fp1,F7")


@pytest.mark.parametrize("text", ["", " ", "F3=", "F3=Fp1,,F7", "=F3", "F3=Fp1,"])
def test_a_montage_that_lacks_a_name_is_refused(text, one_line_error):
    assert "a name is missing; write O1, or F3=" in one_line_error(ConfigError, montage, text)


@pytest.mark.parametrize("text", ["F3=F3,Fz", "F3=Fz,Cz,Fz"])
def test_a_montage_that_names_a_channel_twice_is_refused(text, one_line_error):
    assert "stands there 2 times (limit: 1)" in one_line_error(ConfigError, montage, text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"montages": ()}, "no montage was named: --montage O1"),
        ({"estimators": ("naive", "nonsense")}, "estimator = nonsense: there is no such method (installed: "),
        ({"leads_s": (0.0, 0.2)}, "lead = 200 ms does not lie between 0 and 100 ms"),
        ({"notches_hz": (50.0, 18.0)}, "notch = 18 Hz lies within what is judged, which ends at 18 Hz"),
        ({"notches_hz": (float("nan"),)}, "notch = nan Hz"),
        ({"leads_s": (-0.01,)}, "lead = -10 ms does not lie between 0 and 100 ms"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(changes, said, one_line_error):
    assert said in one_line_error(ConfigError, lambda: plan(**changes))


def test_a_recording_that_is_named_twice_is_refused(one_line_error):
    assert one_line_error(ConfigError, plan, "a.edf", "b.edf", "a.edf") == "a.edf is named 2 times (limit: 1)"


def test_recordings_and_montages_have_seeds_of_their_own_though_their_names_begin_alike():
    places = [(f"Subject{n:02}_1.edf", name) for n in range(40) for name in ("F3-Hjorth", "C3-Hjorth", "O1")]
    seeds = [seed_of(*place) for place in places]
    assert len(set(seeds)) == len(places)
    assert seeds == [seed_of(*place) for place in places]
    assert all(0 <= seed < 2**32 for seed in seeds)


# What is checked before it begins


def test_each_recording_and_montage_gets_its_verdict(known):
    found = check(plan("a.edf", "b.edf", montages=("O1", "F3=Fz,Pz")), nobody_listens)
    assert [(one["recording"], one["montage"]) for one in found.verdicts] == [
        ("a.edf", "O1"),
        ("a.edf", "F3=Fz,Pz"),
        ("b.edf", "O1"),
        ("b.edf", "F3=Fz,Pz"),
    ]
    assert found.verdicts[0]["verdict"].startswith("clear rhythm (")


def test_a_recording_without_a_rhythm_is_told_and_not_refused(known, make_recording):
    known["a.edf"] = make_recording(alpha_uv=0.0)
    found = evaluated()
    assert found.verdicts[0]["verdict"].startswith(("weak rhythm", "no usable rhythm"))
    assert found.rows


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda r: r.between(0.0, 39.0), CalibrationError, "b.edf: 39.0 s are too short: methods learn from 20 s"),
        (lambda r: r.pick(["F3", "Fz"]), RecordingError, "b.edf: there is no channel O1 ("),
        (lambda r: replace(r, samples=0.0 * r.samples), CalibrationError, "b.edf: channel O1 is constant"),
        (
            lambda r: replace(r, samples=np.nan * r.samples),
            CalibrationError,
            "b.edf: channel O1 is constant or holds what is no number",
        ),
        (lambda r: replace(r, times_s=r.times_s + (r.times_s > 30.0)), CalibrationError, "b.edf: samples are missing"),
    ],
    ids=["too short", "a missing channel", "dead", "no numbers", "a gap"],
)
def test_a_recording_that_cannot_be_used_is_named_before_any_is_evaluated(known, one_line_error, spoil, error, said):
    known["b.edf"] = spoil(known["b.edf"])
    assert one_line_error(error, check, plan("a.edf", "b.edf"), nobody_listens).startswith(said)


# What is kept


def test_rows_have_the_names_of_the_benchmarks_in_their_order(known):
    found = evaluated("a.edf", "b.edf")
    assert {tuple(row) for row in found.rows} == {(*KEY, *FIGURES)}
    assert {row["recording"] for row in found.rows} == {"a.edf", "b.edf"}
    assert {row["truth"] for row in found.rows} == {SYNTHETIC, *TRUTHS.values()}
    assert {row["lead_s"] for row in found.rows} == {0.0, 0.025}


def test_histograms_count_every_error_of_the_tables_lead(known):
    found = evaluated("a.edf", "b.edf")
    assert set(found.histograms) == {("O1", truth, "naive", "published") for truth in (SYNTHETIC, *TRUTHS.values())}
    for (_, truth, *_), counts in found.histograms.items():
        rows = [row for row in found.rows if (row["truth"], row["lead_s"], row["yield"]) == (truth, 0.025, 1.0)]
        assert counts.shape == (2, N_BINS)
        assert counts[0].sum() == sum(row["n"] for row in rows)
        assert counts[1].sum() > 0


def test_the_same_evaluation_comes_out_twice(known):
    first, again = (
        [{name: value for name, value in row.items() if name != "us_per_sample"} for row in evaluated().rows]
        for _ in range(2)
    )
    assert first == again


def test_another_folder_draws_the_same_synthetic_eeg(known):
    known["there/a.edf"] = known["a.edf"]
    here, there = ([row["plv"] for row in evaluated(name).rows] for name in ("a.edf", "there/a.edf"))
    assert here == there


def test_what_one_method_refuses_is_told_and_the_others_go_on(known, monkeypatch):
    take_part(monkeypatch, Contender("stubborn", "tuned", refuse), quick())
    found = evaluated()
    assert {row["estimator"] for row in found.rows} == {"naive"}
    assert [refusal_text(one) for one in found.refused] == ["a.edf, O1, stubborn, tuned, with its rhythm: no"] * 2


def test_where_everything_is_refused_the_first_reason_is_told(known, monkeypatch, one_line_error):
    take_part(monkeypatch, Contender("stubborn", "tuned", refuse))
    found = check(plan(), nobody_listens)
    said = one_line_error(CalibrationError, evaluate, found, nobody_listens)
    assert said == "nothing could be measured; the first reason: a.edf, O1, stubborn, tuned, with its rhythm: no"


def test_a_recording_of_one_channel_has_no_others_to_help(known, monkeypatch):
    known["b.edf"] = known["b.edf"].pick(["O1"])
    take_part(monkeypatch, quick(MANY_CHANNELS), quick())
    found = evaluated("a.edf", "b.edf")
    took_part = {(row["recording"], row["estimator"]) for row in found.rows}
    assert took_part == {("a.edf", MANY_CHANNELS), ("a.edf", "naive"), ("b.edf", "naive")}


def test_progress_only_grows_and_ends_with_the_drawing(known, tmp_path):
    told = []
    run(tmp_path / "out", "a.edf", "b.edf", progress=lambda doing, share: told.append((doing, share)))
    shares = [share for doing, share in told if not doing.startswith("reading")]
    assert shares == sorted(shares)
    assert told[-1] == ("drawing", 1.0)


# How it ends


def test_a_whole_evaluation_says_so_and_has_its_picture(known, tmp_path):
    content = run(tmp_path / "below" / "out")
    assert stored(tmp_path / "below" / "out") == json.loads(json.dumps(content))
    assert (content["status"], content["created"]) == ("complete", "now")
    assert {path.name for path in (tmp_path / "below" / "out").iterdir()} == {"evaluation.json", "evaluation.png"}


def test_a_folder_that_exists_is_left_alone(known, tmp_path, one_line_error):
    said = one_line_error(OutputError, run, tmp_path)
    assert said == f"folder {tmp_path} exists already; nothing was written: choose another with --out"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(known, tmp_path, one_line_error):
    (tmp_path / "file").write_text("")
    said = one_line_error(OutputError, run, tmp_path / "file" / "out")
    assert said == f"folder {tmp_path}/file/out cannot be made: Not a directory"


def test_where_nothing_could_be_measured_no_folder_is_left(known, monkeypatch, tmp_path):
    take_part(monkeypatch, Contender("stubborn", "tuned", refuse))
    with pytest.raises(CalibrationError):
        run(tmp_path / "below" / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stage", ["b.edf, O1: naive, published", "drawing"])
def test_an_interruption_leaves_what_was_measured_and_says_that_it_is_not_all(known, tmp_path, stage):
    def interrupt(doing, share):
        if doing == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", "a.edf", "b.edf", progress=interrupt)
    content = stored(tmp_path / "out")
    assert content["status"] == "interrupted"
    assert {row["recording"] for row in content["rows"]} == ({"a.edf"} if stage != "drawing" else {"a.edf", "b.edf"})
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"evaluation.json"}


def test_while_it_runs_it_says_so(known, tmp_path):
    statuses = set()

    def look(doing, share):
        if (tmp_path / "out").exists():
            statuses.add(stored(tmp_path / "out")["status"])

    run(tmp_path / "out", progress=look)
    assert statuses == {"running"}


def test_a_defect_leaves_an_evaluation_that_is_marked_as_failed(known, monkeypatch, tmp_path):
    def break_down(path, content):
        path.write_text("half a picture")
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(output, "write_figure", break_down)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "out")
    content = stored(tmp_path / "out")
    assert (content["status"], content["error"]) == ("failed", "ZeroDivisionError: unforeseen")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"evaluation.json"}


def test_a_recording_that_has_gone_meanwhile_is_refused_and_the_others_stay(known, tmp_path):
    def lose(doing, share):
        if doing.startswith("a.edf, O1: naive"):
            known.pop("b.edf", None)

    content = run(tmp_path / "out", "a.edf", "b.edf", progress=lose)
    assert {row["recording"] for row in content["rows"]} == {"a.edf"}
    assert [line["why"] for line in content["refused"]] == ["b.edf: there is no such file"]


def test_what_was_measured_is_kept_as_it_comes(known, tmp_path):
    seen = []

    def look(doing, share):
        if doing.startswith("b.edf, O1: naive"):
            seen.append({row["recording"] for row in stored(tmp_path / "out")["rows"]})

    run(tmp_path / "out", "a.edf", "b.edf", progress=look)
    assert seen == [{"a.edf"}]


def test_a_full_disk_is_one_line(known, monkeypatch, tmp_path, one_line_error):
    def fill(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output, "write_figure", fill)
    said = one_line_error(OutputError, run, tmp_path / "out")
    assert said == f"{tmp_path}/out/evaluation.png cannot be written: No space left on device"
    content = stored(tmp_path / "out")
    assert content["status"] == "failed"
    assert said in content["error"]
    assert content["rows"]
