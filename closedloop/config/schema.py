"""JSON Schemas of the YAML files, for editors."""

import json

from pydantic import BaseModel

from closedloop.config.device import Device
from closedloop.config.pipeline import Pipeline

MODELS: dict[str, type[BaseModel]] = {"pipeline": Pipeline, "device": Device}


def schema_text(kind: str) -> str:
    """Return the JSON Schema of a ``pipeline`` or a ``device`` as text."""
    return json.dumps(MODELS[kind].model_json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
