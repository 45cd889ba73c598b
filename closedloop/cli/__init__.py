"""The command line.

Heavy packages are imported by the command that needs them, so that ``--help`` and ``check`` answer at
once, and an interruption is heard as soon as a command begins.
"""

from closedloop.cli.app import app, main

__all__ = ["app", "main"]
