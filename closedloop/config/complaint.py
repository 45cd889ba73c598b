"""What a user is told about a file that cannot be: one line with place, key, value and limit."""

import difflib
import json
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from closedloop.config.document import Document
from closedloop.config.fault import Fault

Path = tuple[str | int, ...]


def complaint(document: Document, error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first mistake of a file in one line, and how many more there are."""
    found: dict[Path, list[ErrorDetails]] = {}
    for detail in error.errors():
        found.setdefault(_path(document, detail), []).append(detail)
    # A value that fits none of several forms fails each of them: only the form that it came closest
    # to, which failed deepest inside, is worth telling.
    told = [path for path in found if not any(other[: len(path)] == path and other != path for other in found)]
    first = min(told, key=lambda path: (found[path][0]["type"] == "missing", _line(document, path)))
    rest = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return _tell(document, first, found[first], model) + rest


def _line(document: Document, path: Path) -> tuple[int, int]:
    line, column = document.place(path).rsplit(":", 2)[1:]
    return int(line), int(column)


def _path(document: Document, detail: ErrorDetails) -> Path:
    """Return the keys of an error in the file; pydantic's own names of union members drop out."""
    location = detail["loc"]
    fault = detail.get("ctx", {}).get("error")
    if isinstance(fault, Fault):
        location = (*location, *fault.keys)
    path = document.known_part(location)
    if detail["type"] == "missing":
        return (*path, location[-1])
    if detail["type"] == "union_tag_invalid":
        return (*path, detail["ctx"]["discriminator"].strip("'"))
    return path


def _tell(document: Document, path: Path, details: list[ErrorDetails], model: type[BaseModel]) -> str:
    name = ".".join(str(key) for key in path) or "the file"
    kinds = {detail["type"] for detail in details}
    if "missing" in kinds:
        return f"{document.place(path[:-1])}: {name}: this key is missing"
    if "extra_forbidden" in kinds:
        known = _known_keys(model, details[0]["loc"])
        near = difflib.get_close_matches(str(path[-1]), known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{document.place(path, of_key=True)}: {name}: unknown key ({hint}known: {', '.join(known)})"
    messages = list(dict.fromkeys(_message(detail) for detail in details))
    value = document.value(path)
    shown = "" if isinstance(value, dict) else f" = {json.dumps(value, ensure_ascii=False, default=str)}"
    return f"{document.place(path)}: {name}{shown}: {' or '.join(messages).replace(' or must be', ' or')}"


def _message(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    if isinstance(context.get("error"), Fault):
        return str(context["error"])
    if detail["type"] == "union_tag_invalid":
        return f"must be one of {context['expected_tags']}"
    if detail["type"] == "union_tag_not_found":
        return f"the key {context['discriminator']} is missing"
    message = detail["msg"]
    for before, after in (("Input should", "must"), ("Tuple should", "must"), ("Dictionary should", "must")):
        message = message.replace(before, after)
    message = message.replace("valid tuple", "list").replace("valid dictionary", "mapping")
    return message.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")


def _known_keys(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Return the keys that a model has where an unknown one was found, by walking its schema."""
    schema = model.model_json_schema()
    node: dict[str, Any] = schema

    def resolved(part: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in part:
            part = schema["$defs"][part["$ref"].rpartition("/")[2]]
        return part

    for step in location[:-1]:
        node = resolved(node)
        alternatives = node.get("oneOf") or node.get("anyOf")
        if alternatives:
            reference = node.get("discriminator", {}).get("mapping", {}).get(step)
            chosen = [resolved(part) for part in alternatives if part.get("type") != "null"]
            node = resolved({"$ref": reference}) if reference else chosen[0]
            if reference or step not in node.get("properties", {}):
                continue
        if isinstance(step, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(step) or node.get("additionalProperties") or {}
    node = resolved(node)
    for part in node.get("anyOf", []):
        if "properties" in resolved(part):
            node = resolved(part)
    return list(node.get("properties", {}))
