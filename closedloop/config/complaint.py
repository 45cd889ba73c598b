"""What a user is told about a file that cannot be: one line for each mistake, with place, key, value and limit."""

import difflib
import json
import re
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from closedloop.config.document import Document
from closedloop.config.fault import Fault

Path = tuple[str | int, ...]

PYTHONIC = re.compile(r" or instance of \w+| or object to extract fields from| after validation(, not \w+)?")
"""What pydantic says of Python objects and of its own order of work, which tells a reader of YAML nothing."""


def complaints(document: Document, error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return the mistakes of a file, a line each, in the order in which they stand there, missing keys last."""
    found: dict[Path, list[ErrorDetails]] = {}
    for detail in error.errors():
        found.setdefault(_path(document, detail), []).append(detail)
    # A value that fits none of several forms fails each of them: only the form that it came closest
    # to, which failed deepest inside, is worth telling.
    told = [path for path in found if not any(other[: len(path)] == path and other != path for other in found)]
    told.sort(key=lambda path: (found[path][0]["type"] == "missing", _line(document, path)))
    return [" ".join(_tell(document, path, found[path], model).splitlines()) for path in told]


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
        what = "value" if isinstance(path[-1], int) else "key"
        return f"{document.place(path[:-1])}: {name}: this {what} is missing"
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
    message = re.sub(r"^(Input|String|List|Tuple|Dictionary) should", "must", detail["msg"])
    message = message.replace("valid tuple", "list").replace("valid dictionary", "mapping")
    message = PYTHONIC.sub("", message)
    return message.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")


def _known_keys(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Return the keys that a model has where an unknown one was found, by walking its schema."""
    schema = model.model_json_schema()
    node = schema
    for step in location[:-1]:
        node = _resolved(schema, node)
        tagged = node.get("discriminator", {}).get("mapping", {}).get(step)
        if tagged:
            node = {"$ref": tagged}
        elif isinstance(step, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(step) or node.get("additionalProperties") or {}
    return list(_resolved(schema, node).get("properties", {}))


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Follow references, and pass by the null of what may be left out."""
    while True:
        forms = [form for form in node.get("anyOf", []) if form.get("type") != "null"]
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        elif len(forms) == 1:
            node = forms[0]
        else:
            return node
