"""What all files of limits share: described keys, readable lines, an origin."""

from pathlib import Path

import pytest

from closedloop.protocols.envelope_file import Envelope
from closedloop.protocols.intensity import MotorThreshold
from closedloop.protocols.refusal import shown
from closedloop.protocols.train_tables import TrainTable

LIMITS = Path(__file__).parents[2] / "limits"
PATHS = sorted(LIMITS.rglob("*.yaml"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_file_of_limits_says_that_it_is_no_medical_device_in_lines_that_can_be_read(path):
    text = path.read_text(encoding="utf-8")
    assert "Research software, not a medical device" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("model", [TrainTable, Envelope, MotorThreshold])
def test_every_key_of_a_file_of_limits_is_described(model):
    schema = model.model_json_schema()
    for name, part in {"root": schema, **schema.get("$defs", {})}.items():
        for key, value in part.get("properties", {}).items():
            meant = schema["$defs"][value["$ref"].rpartition("/")[2]] if "$ref" in value else value
            assert key == "kind" or value.get("description", meant.get("description")), f"{name}.{key}"


@pytest.mark.parametrize(
    ("value", "beside", "text"),
    [
        (4.2, None, "4.2"),
        (40 / 9, None, "4.444444444444445"),
        (40 / 9, 4.2, "4.44444"),
        (4.2000001, 4.2, "4.2000001"),
        (4.2000004, 4.2000002, "4.2000004"),
        (4.2, 4.2, "4.2"),
        (123456789.0, None, "123456789.0"),
    ],
)
def test_a_number_is_written_short_but_never_as_another_or_across_its_limit(value, beside, text):
    assert shown(value, beside=beside) == text
