"""What other packages announce by an entry point: found by its name, and imported on use."""

from importlib.metadata import entry_points
from typing import Any

from closedloop.errors import ConfigError


def check_installed(group: str, name: str, what: str) -> None:
    """Refuse a name that no installed package announces under an entry point's group.

    Parameters
    ----------
    group
        Of entry points.
    name
        Which of them.
    what
        What such a thing is called, for the error.

    Raises
    ------
    ConfigError
        One line that begins with the name.
    """
    installed = sorted(point.name for point in entry_points(group=group))
    if name not in installed:
        raise ConfigError(f"{name}: there is no such {what} (installed: {', '.join(installed)})")


def load_installed(group: str, name: str, what: str) -> Any:
    """Return what an installed package announces under a name, imported.

    Raises
    ------
    ConfigError
        Where none has it, or what it needs is not installed; one line that begins with the name.
    """
    check_installed(group, name, what)
    point = next(point for point in entry_points(group=group) if point.name == name)
    try:
        return point.load()
    except ImportError as error:
        raise ConfigError(f"{name}: what it needs is not installed: {error}") from None
