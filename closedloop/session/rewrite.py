"""Writing measured values into a lab's YAML file, which keeps its comments and its order."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from closedloop.config.document import read_document
from closedloop.files import write_text


def rewrite(path: Path, values: Mapping[str, Any]) -> None:
    """Replace values at the top of a YAML file.

    Parameters
    ----------
    path
        The file.
    values
        New content by key; what else the file holds stays as it is.

    Raises
    ------
    ConfigError
        Where it cannot be read.
    OutputError
        Where it cannot be written; then it is as it was.
    """
    yaml = YAML()
    yaml.width = 120
    yaml.preserve_quotes = True
    read_document(path)  # says in one line what is wrong with it
    content = yaml.load(path.read_text(encoding="utf-8"))
    for key, value in values.items():
        content[key] = value
    text = io.StringIO()
    yaml.dump(content, text)
    write_text(path, text.getvalue())
