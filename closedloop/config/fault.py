"""A combination of settings that cannot be, raised by a model and placed by whoever loaded the file."""

from collections.abc import Sequence


class Fault(ValueError):  # noqa: N818 - it is a message on its way to a ConfigError, not an error of its own
    """What is wrong, and at which keys.

    Parameters
    ----------
    keys
        Path of the value from the model's root.
    message
        The limit, or what must hold.
    """

    def __init__(self, keys: Sequence[str | int], message: str) -> None:
        super().__init__(message)
        self.keys = tuple(keys)

    @property
    def named(self) -> str:
        """The name of the value, and what is wrong with it."""
        return f"{'.'.join(map(str, self.keys))}{self}"
