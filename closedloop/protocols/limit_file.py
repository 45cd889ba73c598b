"""Reading a file of limits, such as a table or an envelope, into its model."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from closedloop.config.complaint import complaint
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
    document = read_document(path)
    try:
        return model.model_validate(document.plain())
    except ValidationError as error:
        raise ConfigError(complaint(document, error, model)) from None
