"""Reading a file of limits, such as a table or an envelope, into its model."""

from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from closedloop.config.complaint import complaints
from closedloop.config.document import read_document
from closedloop.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


def load_limit_file(path: Path, model: type[M]) -> M:
    """Load a file of limits.

    Raises
    ------
    ConfigError
        Where it cannot be read or used; one line with place, key, value and limit.
    """
    try:
        found = path.stat()
    except OSError:  # reading it says what is wrong
        return _load(path, model)
    loaded: M = _load_once(path.resolve(), (found.st_ino, found.st_size, found.st_mtime_ns), model)
    return loaded


@lru_cache(maxsize=64)
def _load_once(path: Path, state: tuple[int, int, int], model: type[M]) -> M:
    """Load it, once for as long as it stays as it is: a calibration asks for its table again and again."""
    del state
    return _load(path, model)


def _load(path: Path, model: type[M]) -> M:
    document = read_document(path)
    try:
        return model.model_validate(document.plain())
    except ValidationError as error:
        raise ConfigError(*complaints(document, error, model)) from None
