"""The picture of an evaluation shows those whom it should, whatever took part."""

import itertools
import struct

import numpy as np
import pytest
from matplotlib.figure import Figure

from closedloop.accuracy import figure
from closedloop.accuracy.case import SYNTHETIC
from closedloop.accuracy.evaluation import N_BINS
from closedloop.accuracy.figure import DISCLAIMER, REAL, best_of, write_figure

SDS = {
    ("wiener", "ours"): 40.0,
    ("wiener, many channels", "ours"): 35.0,
    ("echt", "published"): 60.0,
    ("naive", "published"): 70.0,
    ("echt", "tuned"): 45.0,
    ("naive", "tuned"): 55.0,
}


def rows_of(sds, *, truths=(REAL, SYNTHETIC), leads_s=(0.0, 0.025), yields=(1.0, 0.1), noise=80.0, recordings="ab"):
    return [
        {
            "recording": recording,
            "truth": truth,
            "montage": "O1",
            "estimator": estimator,
            "tuning": tuning,
            "lead_s": lead_s,
            "yield": share,
            "circular_sd_deg": None if sd is None else sd * share + 100.0 * lead_s,
            "bias_deg": 1.0,
            "surrogate_sd_deg": noise,
            "us_per_sample": 1.0,
            "coverage_95": None,
        }
        for recording, truth, ((estimator, tuning), sd), lead_s, share in itertools.product(
            recordings, truths, sds.items(), leads_s, yields
        )
    ]


def content_of(sds, *, surrogate=True, names=("a.edf", "b.edf"), **options):
    counts = np.bincount(np.random.default_rng(0).binomial(N_BINS - 1, 0.5, 999), minlength=N_BINS).tolist()
    return {
        "plan": {"montages": {"O1": {"O1": 1.0}}, "rest_s": 60.0, "lead_s": 0.025},
        "recordings": [{"name": name} for name in names],
        "rows": rows_of(sds, **options),
        "histograms": [
            {
                "montage": "O1",
                "truth": truth,
                "estimator": estimator,
                "tuning": tuning,
                "counts": counts,
                "surrogate_counts": counts if surrogate else [0] * N_BINS,
            }
            for truth in (REAL, SYNTHETIC)
            for estimator, tuning in sds
        ],
    }


def draw_into(path, content):
    """Write the picture and return the figure with the words that stand in it."""
    made = []

    class Kept(Figure):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure, "Figure", Kept)
        write_figure(path, content)
    texts = made[-1].findobj(lambda artist: hasattr(artist, "get_text") and artist.get_text())
    return made[-1], "\n".join(text.get_text() for text in texts)


@pytest.fixture
def drawn(tmp_path):
    """Return a function that draws what it is given."""
    return lambda content: draw_into(tmp_path / "evaluation.part", content)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """Return the picture of all methods, which takes seconds to draw: its path, figure and words, not to be changed."""
    path = tmp_path_factory.mktemp("usual") / "evaluation.part"
    return path, *draw_into(path, content_of(SDS))


def test_the_best_of_each_kind_is_the_one_with_the_smallest_median():
    rows = rows_of(SDS, leads_s=(0.025,), yields=(1.0,))
    assert best_of(rows, SYNTHETIC) == [("wiener, many channels", "ours"), ("echt", "tuned"), ("echt", "published")]


def test_a_method_that_was_never_measured_is_never_the_best():
    rows = rows_of({**SDS, ("wiener, many channels", "ours"): None}, leads_s=(0.025,), yields=(1.0,))
    assert best_of(rows, REAL)[0] == ("wiener", "ours")


def test_the_picture_is_a_png_that_is_wide_enough_to_read(usual):
    path, _, _ = usual
    header = path.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", header[16:24])
    assert width >= 1600
    assert height >= 900


def test_circles_show_the_best_of_ours_and_the_best_rival_with_a_scale(usual):
    _, made, said = usual
    circles = [axes for axes in made.axes if axes.name == "polar"]
    assert len(circles) == 4
    assert [axes.get_title().split("\n")[0] for axes in circles[:2]] == ["wiener, many channels (ours)", "echt (tuned)"]
    for axes in circles:
        assert [label.get_text() for label in axes.get_yticklabels()]
        assert all(label.get_text().endswith(" %") for label in axes.get_yticklabels())
    assert "SD 38°, bias +1°; no rhythm: SD 80°" in said  # 35 and 2.5 for 25 ms ahead


def test_both_circles_of_a_pair_have_one_scale(usual):
    _, made, _ = usual
    first, second = [axes for axes in made.axes if axes.name == "polar"][:2]
    assert first.get_ylim() == second.get_ylim()


def test_curves_reach_over_all_yields_and_leads_with_the_surrogates_dashed(usual):
    _, made, said = usual
    yields, leads = [axes for axes in made.axes if axes.name != "polar"][:2]
    for axes, at in ((yields, [1.0, 0.1]), (leads, [0.0, 25.0])):
        assert all(np.array_equal(line.get_xdata(), at) for line in axes.get_lines())
        dashed = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
        assert len(dashed) == 3
        assert all((line.get_ydata() == 80.0).all() for line in dashed)
    assert "The surest 10 %: 6° instead of 38° (all)" in said  # 35 * 0.1 + 2.5
    assert "25 ms ahead: 38° instead of 35° (0 ms)" in said


def test_it_says_what_it_is_of_and_what_it_is_not(usual):
    _, _, said = usual
    for part in (DISCLAIMER, "25 ms ahead?", "2 recordings", "the first 60 s", "true phase known", "O1 — "):
        assert part in said


def test_one_recording_is_named_without_its_folder(drawn):
    _, said = drawn(content_of(SDS, names=("folder/mine.edf",), recordings="a"))
    assert "\nmine.edf; methods learn" in said


def test_what_is_off_the_scale_is_said(drawn):
    _, said = drawn(content_of(SDS, noise=170.0))
    assert "without a rhythm: chance" in said


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("sds", "options"),
    [
        ({("wiener", "ours"): 40.0}, {}),
        ({("echt", "published"): 60.0}, {}),
        ({("echt", "published"): 60.0, ("echt", "tuned"): 50.0}, {}),
        (SDS, {"surrogate": False, "noise": None}),
        (SDS, {"leads_s": (0.025,)}),
        (SDS, {"yields": (1.0,)}),
        (SDS, {"truths": (REAL,)}),
        ({**SDS, ("wiener", "ours"): None}, {}),
        ({("dollar$ [x] Ω 脳", "tuned"): 40.0}, {}),
    ],
    ids=[
        "ours",
        "a rival",
        "rivals",
        "no surrogate",
        "one lead",
        "one yield",
        "one truth",
        "unknown",
        "a strange name",
    ],
)
def test_whatever_took_part_is_drawn(drawn, sds, options):
    made, _ = drawn(content_of(sds, **options))
    assert made.axes
