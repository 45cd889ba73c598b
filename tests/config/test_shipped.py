"""The files that come with closedloop, what is written back, and the schemas."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import closedloop.config.shipped
from closedloop.config.document import read_document
from closedloop.config.load import check_file, load_pipeline, resolved_yaml, with_recording
from closedloop.config.pipeline import Condition, Gates, Pipeline, Weights
from closedloop.config.schema import MODELS, schema_text
from closedloop.config.shipped import shipped_folder
from closedloop.config.source import Playback, Synthetic
from closedloop.errors import ConfigError

CHECKOUT = Path(__file__).parents[2]
PIPELINES = sorted((CHECKOUT / "pipelines").glob("*.yaml"))
DEVICES = sorted((CHECKOUT / "devices").glob("*.yaml"))
finite = st.floats(allow_nan=False, allow_infinity=False)


def names(path):
    return path.name


def test_there_are_pipelines_and_devices_to_check():
    assert {"alpha_trough_dlpfc", "alpha_trough_o1", "demo"} <= {path.stem for path in PIPELINES}
    assert "simulated" in {path.stem for path in DEVICES}


@pytest.mark.parametrize("path", PIPELINES, ids=names)
def test_a_shipped_pipeline_can_be_used(path):
    assert check_file(path).startswith("a pipeline, ")


@pytest.mark.parametrize("path", DEVICES, ids=names)
def test_a_shipped_device_can_be_used(path):
    assert check_file(path).startswith(("a stimulator, ", "an amplifier, ", "a trigger box, "))


@pytest.mark.parametrize("path", PIPELINES + DEVICES, ids=names)
def test_a_shipped_file_names_its_schema_for_editors(path):
    kind = "pipeline" if path.parent.name == "pipelines" else "device"
    schema = f"../schema/{kind}.json"
    assert path.read_text().splitlines()[0] == f"# yaml-language-server: $schema={schema}"
    assert (path.parent / schema).is_file()


@pytest.mark.parametrize("path", PIPELINES + DEVICES, ids=names)
def test_a_shipped_file_says_that_it_is_no_medical_device(path):
    assert "Research software, not a medical device" in path.read_text()


@pytest.mark.parametrize("path", PIPELINES, ids=names)
def test_a_resolved_pipeline_loads_as_the_same_pipeline(path, tmp_path):
    pipeline = load_pipeline(path).value
    resolved = tmp_path / "pipeline.yaml"
    resolved.write_text(resolved_yaml(pipeline), encoding="utf-8")
    assert load_pipeline(resolved).value == pipeline


def test_a_resolved_pipeline_has_every_default_written_out(written, pipeline_text, tmp_path):
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(resolved_yaml(load_pipeline(written("p.yaml", pipeline_text)[0]).value), encoding="utf-8")
    document = read_document(resolved)
    assert document.value(["target", "commit_horizon_s"]) == "auto"
    assert document.value(["limits", "max_lateness_s"]) == 0.001
    assert document.value(["calibration", "duration_s"]) == 60


def read_back(value, tmp_path_factory):
    path = tmp_path_factory.mktemp("resolved") / "value.yaml"
    path.write_text(resolved_yaml(value), encoding="utf-8")
    return type(value).model_validate(read_document(path).plain())


@settings(max_examples=150)
@given(value=finite)
def test_any_finite_number_comes_back_from_resolved_yaml_as_it_was(tmp_path_factory, value):
    weights = Weights(type="weights", weights={"Cz": value})
    found = read_back(weights, tmp_path_factory).weights["Cz"]
    assert found == value
    assert math.copysign(1.0, found) == math.copysign(1.0, value)


@settings(max_examples=50)
@given(value=st.floats(0.0, 60.0))
def test_any_number_beside_a_word_comes_back_as_it_was(tmp_path_factory, value):
    assert read_back(Gates(rhythm_snr_db=value), tmp_path_factory) == Gates(rhythm_snr_db=value)


@settings(max_examples=100)
@given(name=st.text(st.characters(codec="utf-8", categories=("L", "M", "N", "P", "S", "Zs")), min_size=1, max_size=20))
def test_any_name_comes_back_as_it_was(tmp_path_factory, name):
    condition = Condition(name=name, phase_deg=-90.0)
    assert read_back(condition, tmp_path_factory) == condition


@pytest.mark.parametrize("name", ["off", "no", "1e-3", "null", "2020-01-01", "180", "~", "a: b", "# a", "0x10", " a "])
def test_a_name_that_looks_like_something_else_comes_back_as_a_name(tmp_path_factory, name):
    condition = Condition(name=name, phase_deg="random")
    assert read_back(condition, tmp_path_factory) == condition


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_the_committed_schema_is_that_of_the_models(kind):
    committed = (CHECKOUT / "schema" / f"{kind}.json").read_text(encoding="utf-8")
    assert committed == schema_text(kind), f"run: closedloop schema {kind} > schema/{kind}.json"


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_every_key_of_a_schema_is_described(kind):
    schema = json.loads(schema_text(kind))
    for name, model in {"root": schema, **schema["$defs"]}.items():
        for key, value in model.get("properties", {}).items():
            # Where a key says of itself what its model says, the schema says it once, at the model.
            meant = schema["$defs"][value["$ref"].rpartition("/")[2]] if "$ref" in value else value
            assert key in {"type", "kind"} or value.get("description", meant.get("description")), f"{name}.{key}"


def test_a_pipeline_is_found_by_its_shipped_name():
    assert load_pipeline("demo").value == load_pipeline(CHECKOUT / "pipelines" / "demo.yaml").value


def test_a_missing_value_is_placed_at_its_section(written, pipeline_text):
    path, place = written("p.yaml", pipeline_text, "quiet: [", "«quiet: [")
    loaded = load_pipeline(path)
    line = int(place.rsplit(":", 2)[1])
    assert loaded.place("gates", "flat_uv") == f"{path}:{line - 3}:3"


def test_a_value_is_placed_where_it_stands(written, pipeline_text):
    path, place = written("p.yaml", pipeline_text, "peak_to_peak_uv: 50", "peak_to_peak_uv: «50")
    assert load_pipeline(path).place("gates", "quiet", 0, "peak_to_peak_uv") == place


def test_another_recording_takes_the_place_of_a_playback(written, pipeline_text):
    replaced = with_recording(load_pipeline(written("p.yaml", pipeline_text)[0]), "other.edf").value
    assert replaced.source == Playback(type="playback", recording="other.edf", delay_s=0.01)


def test_another_recording_takes_the_place_of_a_simulation_and_keeps_its_delay(written, pipeline_text):
    old = "type: playback\n  recording: some.edf\n  start_s: 1.0\n  stop_s: 100.0\n  delay_s: 0.01\n"
    path, _ = written("p.yaml", pipeline_text, old, "type: synthetic\n  delay_s: 0.02\n  artifacts: true\n")
    loaded = load_pipeline(path)
    assert isinstance(loaded.value.source, Synthetic)
    source = with_recording(loaded, "other.edf").value.source
    assert source == Playback(type="playback", recording="other.edf", delay_s=0.02, artifacts=True)


@pytest.mark.parametrize("name", ["devices", "limits", "pipelines", "recordings", "schema"])
def test_a_shipped_folder_is_the_checkouts_where_nothing_is_installed(name, monkeypatch):
    monkeypatch.setattr(closedloop.config.shipped, "__file__", str(CHECKOUT / "closedloop" / "config" / "shipped.py"))
    assert shipped_folder(name) == CHECKOUT / name


def test_a_shipped_folder_of_the_installed_package_comes_first(tmp_path, monkeypatch):
    for folder in (tmp_path / "closedloop" / "share" / "devices", tmp_path / "devices"):
        folder.mkdir(parents=True)
    monkeypatch.setattr(closedloop.config.shipped, "__file__", str(tmp_path / "closedloop" / "config" / "shipped.py"))
    assert shipped_folder("devices") == tmp_path / "closedloop" / "share" / "devices"


def test_a_shipped_folder_that_is_not_there_is_told(one_line_error):
    assert "the folder nothing/ did not come with closedloop" in one_line_error(ConfigError, shipped_folder, "nothing")


def test_a_loaded_pipeline_cannot_be_changed():
    loaded = load_pipeline("demo")
    with pytest.raises(ValueError, match="frozen"):
        loaded.value.name = "another"
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.value = Pipeline
