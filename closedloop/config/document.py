"""A YAML file, and where in it each value stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean
from ruamel.yaml.scalarfloat import ScalarFloat
from ruamel.yaml.scalarint import ScalarInt

from closedloop.errors import ConfigError

Keys = Sequence[str | int]


@dataclass(frozen=True)
class Document:
    """A file's content with the line and column of every key and value.

    Attributes
    ----------
    path
        The file.
    root
        Its content, as ruamel.yaml gives it.
    """

    path: Path
    root: CommentedMap

    def plain(self) -> dict[str, Any]:
        """Return the content as plain dictionaries, lists, numbers and strings."""
        content: dict[str, Any] = _plain(self.root)
        return content

    def known_part(self, keys: Keys) -> tuple[str | int, ...]:
        """Return those of the keys that lead into the file, leaving out the others."""
        node: Any = self.root
        found: list[str | int] = []
        for key in keys:
            if _has(node, key):
                found.append(key)
                node = node[key]
        return tuple(found)

    def value(self, keys: Keys) -> Any:
        """Return the plain value at keys that lead into the file."""
        node: Any = self.root
        for key in keys:
            node = node[key]
        return _plain(node)

    def place(self, keys: Keys, *, of_key: bool = False) -> str:
        """Return ``path:line:column`` of the value at the keys, or of the last key itself."""
        line, column = 0, 0
        node: Any = self.root
        for depth, key in enumerate(keys):
            if not _has(node, key):
                break
            if isinstance(node, CommentedSeq):
                line, column = node.lc.item(key)
            elif key not in (node.lc.data or {}):  # merged in by <<: it stands elsewhere
                break
            elif (of_key and depth == len(keys) - 1) or node[key] is None:
                # Where nothing stands after a key, its value's place is the next key's.
                line, column = node.lc.key(key)
            else:
                line, column = node.lc.value(key)
            node = node[key]
        return f"{self.path}:{line + 1}:{column + 1}"


def read_document(path: Path) -> Document:
    """Read a YAML file.

    Raises
    ------
    ConfigError
        Where it cannot be read, is no YAML, names a key twice, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no text: byte {error.start} is not UTF-8") from None
    try:
        root = YAML(typ="rt").load(text)
    except DuplicateKeyError as error:
        key = str(error.problem).partition('"')[2].partition('"')[0]
        raise ConfigError(f"{_mark(path, error)}: {key}: this key stands here a second time") from None
    except MarkedYAMLError as error:
        raise ConfigError(f"{_mark(path, error)}: is no YAML: {_line(error.problem)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is no YAML that can be read: it is nested too deeply") from None
    except (YAMLError, ValueError) as error:  # a date or a number that cannot be is a ValueError
        raise ConfigError(f"{path}: is no YAML: {_line(error)}") from None
    if not isinstance(root, CommentedMap):
        raise ConfigError(f"{path}: must hold keys and values (it holds {'nothing' if root is None else 'none'})")
    document = Document(path, root)
    _check_keys(document, root, ())
    return document


def _check_keys(document: Document, node: Any, keys: tuple[str | int, ...]) -> None:
    if isinstance(node, CommentedMap):
        for key, value in node.items():
            if not isinstance(key, str):
                place = document.place((*keys, key), of_key=True)
                raise ConfigError(f"{place}: {_line(key)}: a key must be a string: set it in quotes")
            _check_keys(document, value, (*keys, key))
    elif isinstance(node, CommentedSeq):
        for index, value in enumerate(node):
            _check_keys(document, value, (*keys, index))


def _mark(path: Path, error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return str(path) if mark is None else f"{path}:{mark.line + 1}:{mark.column + 1}"


def _line(text: object) -> str:
    return " ".join(str(text).split())


def _has(node: Any, key: str | int) -> bool:
    if isinstance(node, CommentedMap):
        return key in node
    return isinstance(node, CommentedSeq) and isinstance(key, int) and 0 <= key < len(node)


def _plain(node: Any) -> Any:
    match node:
        case CommentedMap():
            return {str(key): _plain(value) for key, value in node.items()}
        case CommentedSeq():
            return [_plain(value) for value in node]
        case ScalarBoolean():
            return bool(node)
        case ScalarFloat():
            return float(node)
        case ScalarInt():
            return int(node)
        case str():
            return str(node)
    return node
