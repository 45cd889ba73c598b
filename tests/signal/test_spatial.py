"""Spatial filters: weights by channel name."""

import numpy as np
import pytest

from closedloop.errors import ConfigError
from closedloop.signal.spatial import average_reference, bipolar, hjorth, single, weight_row

NAMES = ("Fp1", "F7", "F3", "Fz", "C3")


def test_a_laplacian_is_blind_to_what_all_channels_share():
    row = weight_row(hjorth("F3", ["Fp1", "F7", "C3", "Fz"]), NAMES)
    assert row.tolist() == [-0.25, -0.25, 1.0, -0.25, -0.25]
    assert row @ np.full(5, 7.0) == 0.0


def test_an_average_reference_takes_the_mean_out():
    row = weight_row(average_reference("F3", NAMES), NAMES)
    np.testing.assert_allclose(row, [-0.2, -0.2, 0.8, -0.2, -0.2])


def test_an_average_reference_over_others_leaves_the_channel_whole():
    assert average_reference("F3", ["Fz", "C3"]) == {"F3": 1.0, "Fz": -0.5, "C3": -0.5}


def test_a_bipolar_filter_is_a_difference():
    assert weight_row(bipolar("F3", "C3"), NAMES).tolist() == [0.0, 0.0, 1.0, 0.0, -1.0]


def test_a_single_channel_is_as_it_was_recorded():
    assert weight_row(single("Fz"), NAMES).tolist() == [0.0, 0.0, 0.0, 1.0, 0.0]


def test_the_order_of_the_montage_does_not_matter():
    sample = dict(zip(NAMES, [1.0, 2.0, 3.0, 4.0, 5.0], strict=True))
    weights = hjorth("F3", ["Fp1", "Fz"])
    for names in (NAMES, NAMES[::-1]):
        assert weight_row(weights, names) @ [sample[name] for name in names] == pytest.approx(0.5)


def test_a_channel_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ConfigError, match=r"^channel O1 is not in the montage \(Fp1, F7, F3, Fz, C3\)$"):
        weight_row(single("O1"), NAMES)
