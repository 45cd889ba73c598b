"""Values in the number formats and units of a stream."""

import numpy as np
import pytest

from closedloop.errors import ConfigError
from closedloop.sources.encoding import DTYPES, Encoding, check_fits
from closedloop.sources.recording import Recording
from closedloop.sources.units import Format, Unit

IS_POTENTIAL = np.array([True, False])


def recording(sd_uv=20.0, offset_uv=0.0):
    """Return a square wave of that SD and offset, and a channel that is no potential."""
    square = np.resize([-1.0, 1.0], 100)
    samples = np.column_stack([offset_uv + sd_uv * square, np.arange(100) % 2])
    return Recording(("F3", "Status"), ("eeg", "trigger"), 250.0, samples, np.arange(100) / 250.0, "a.edf")


@pytest.mark.parametrize("number_format", Format)
@pytest.mark.parametrize(("unit", "factor"), [("uV", 1.0), ("mV", 1e-3), ("V", 1e-6), ("nV", 1e3)])
def test_potentials_are_converted_and_other_channels_are_not(number_format, unit, factor):
    sent = Encoding(number_format, Unit(unit), IS_POTENTIAL).encode(np.array([[25.0, 7.0]]))
    assert sent.dtype == DTYPES[number_format]
    whole = number_format in {Format.INT16, Format.INT32}
    np.testing.assert_allclose(sent, [[round(25.0 * factor) if whole else 25.0 * factor, 7.0]], rtol=1e-7)


def test_whole_numbers_saturate_at_their_ends():
    sent = Encoding(Format.INT16, Unit.UV, IS_POTENTIAL).encode(np.array([[1e6, 0.0], [-1e6, 0.0]]))
    assert sent[:, 0].tolist() == [32767, -32768]


def test_metadata_call_the_units_of_potentials_only():
    assert Encoding(Format.FLOAT32, Unit.MV, IS_POTENTIAL).unit_names == ("millivolts", "none")


@pytest.mark.parametrize(
    ("number_format", "unit", "fields", "added_uv", "said"),
    [
        (Format.INT16, Unit.NV, {"sd_uv": 40.0}, 0.0, "F3 reaches 40000 nV, above what the format holds, 32767"),
        (Format.INT16, Unit.UV, {"offset_uv": -50e3}, 0.0, "F3 reaches 50020 uV, above what the format holds, 32767"),
        (Format.INT16, Unit.NV, {"sd_uv": 20.0}, 5000.0, "F3 reaches 5.02e+06 nV, above"),
        (Format.INT32, Unit.MV, {}, 0.0, "the SD of F3 is 0.02 mV, which whole numbers do not show (at least 1)"),
        (Format.INT32, Unit.V, {"offset_uv": 50e3}, 0.0, "the SD of F3 is 2e-05 V"),
    ],
)
def test_what_would_overflow_or_vanish_is_refused(one_line_error, number_format, unit, fields, added_uv, said):
    encoding = Encoding(number_format, unit, IS_POTENTIAL)
    message = one_line_error(ConfigError, check_fits, encoding, recording(**fields), added_uv)
    assert message.startswith(f"--format {number_format} --unit {unit}: ")
    assert said in message


def test_samples_that_are_no_numbers_do_not_fit_whole_numbers(one_line_error):
    spoilt = recording()
    spoilt.samples[3, 0] = np.nan
    encoding = Encoding(Format.INT32, Unit.NV, IS_POTENTIAL)
    assert "F3 has samples that are no numbers" in one_line_error(ConfigError, check_fits, encoding, spoilt, 0.0)


@pytest.mark.parametrize(
    ("number_format", "unit"),
    [(Format.FLOAT32, Unit.V), (Format.DOUBLE64, Unit.MV), (Format.INT32, Unit.NV), (Format.INT16, Unit.UV)],
)
def test_what_fits_is_let_through(number_format, unit):
    check_fits(Encoding(number_format, unit, IS_POTENTIAL), recording(), 0.0)
