"""Vendors' libraries: installed by whoever has the device, imported by nobody else."""

from importlib import import_module
from typing import Any

from closedloop.errors import StimulatorError


def vendor_module(name: str, *, package: str, extra: str) -> Any:
    """Return a vendor's module.

    Raises
    ------
    StimulatorError
        Where it is not installed; it names the extra that brings it along.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise StimulatorError(f"{package} cannot be imported ({error}): pip install 'closedloop[{extra}]'") from None
