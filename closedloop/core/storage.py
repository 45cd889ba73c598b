"""The core's designed state as named arrays, to be stored with a session and loaded for its replay."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedloop.core.records import EVENT, INPUT, make_ring
from closedloop.core.state import (
    COMMAND_CAPACITY,
    EVENT_CAPACITY,
    INPUT_CAPACITY,
    Core,
    Steps,
    make_example,
)
from closedloop.errors import SessionError
from closedloop.estimators.interface import StepFunction

_RINGS = ("events", "commands", "inputs", "values")


def to_arrays(core: Core) -> dict[str, NDArray[Any]]:
    """Return copies of all designed arrays by dotted name; what the rings hold is no design."""
    found: dict[str, NDArray[Any]] = {}

    def visit(name: str, part: Any) -> None:
        if isinstance(part, np.ndarray):
            found[name] = part.copy()
        else:
            names = getattr(part, "_fields", map(str, range(len(part))))
            for child, value in zip(names, part, strict=True):
                visit(f"{name}.{child}", value)

    for name, part in zip(core._fields, core, strict=True):
        if name not in _RINGS:
            visit(name, part)
    found["values"] = core.values[:1].copy()
    return found


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Core:
    """Return a core with empty rings and the state of `to_arrays`.

    Raises
    ------
    SessionError
        Where an array is missing or of another type.
    """

    def build(name: str, like: Any) -> Any:
        if isinstance(like, np.ndarray):
            if name not in arrays:
                raise SessionError(f"state: {name} is missing")
            array = arrays[name]
            if array.dtype != like.dtype or array.ndim != like.ndim:
                raise SessionError(
                    f"state: {name} is {array.dtype}, {array.ndim}-dimensional; not as this version reads"
                )
            # A file does not keep that records are aligned, and compiled code counts on it.
            return np.ascontiguousarray(array).view(like.dtype)
        fields = getattr(like, "_fields", None)
        names = fields or [str(place) for place in range(len(like))]
        parts = [build(f"{name}.{child}", value) for child, value in zip(names, like, strict=True)]
        return type(like)(*parts) if fields else tuple(parts)

    example = make_example()
    designed = {
        name: build(name, value) for name, value in zip(example._fields, example, strict=True) if name not in _RINGS
    }
    return Core(
        **designed,
        events=make_ring(EVENT, EVENT_CAPACITY),
        commands=make_ring(INPUT, COMMAND_CAPACITY),
        inputs=make_ring(INPUT, INPUT_CAPACITY),
        values=np.zeros((INPUT_CAPACITY, build("values", example.values).shape[1])),
    )


def step_names(steps: Steps) -> list[str]:
    """Return where each step is defined, as ``module:function``."""
    return [f"{step.__module__}:{step.__name__}" for step in steps]


def find_steps(names: list[str]) -> Steps:
    """Return the steps of `step_names`.

    Raises
    ------
    SessionError
        Where a step's package is not installed.
    """
    steps: list[StepFunction] = []
    for name in names:
        module, _, function = name.partition(":")
        try:
            steps.append(getattr(import_module(module), function))
        except (ImportError, AttributeError):
            raise SessionError(f"the estimator {name} that this session used is not installed") from None
    return tuple(steps)
