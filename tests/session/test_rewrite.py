"""Measured values in a lab's YAML file."""

import pytest

from closedloop.config.load import check_file
from closedloop.errors import ConfigError
from closedloop.session.rewrite import rewrite

TEXT = """\
# The amplifier of room 3.
kind: amplifier
name: "Amp 3"        # serial 123
delay:
  delay_s: 0.02      # from the manual
  origin: manual
range_uv: 5000
"""


@pytest.fixture
def amplifier(tmp_path):
    path = tmp_path / "amp.yaml"
    path.write_text(TEXT)
    return path


def test_what_is_not_replaced_stays_with_its_comments(amplifier):
    rewrite(amplifier, {"delay": {"delay_s": 0.0103, "origin": "measured"}})
    text = amplifier.read_text()
    assert text.startswith('# The amplifier of room 3.\nkind: amplifier\nname: "Amp 3"        # serial 123\n')
    assert "delay_s: 0.0103" in text
    assert text.endswith("range_uv: 5000\n")
    assert "Amp 3" in check_file(amplifier)


def test_a_new_entry_is_added(amplifier):
    trigger = {"channel": "TRIG", "latency_s": 0.002, "threshold": 0.5, "origin": "measured"}
    rewrite(amplifier, {"trigger": trigger})
    assert "latency_s: 0.002" in amplifier.read_text()
    check_file(amplifier)


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path, one_line_error):
    assert "no.yaml" in one_line_error(ConfigError, rewrite, tmp_path / "no.yaml", {"delay": 1})
