"""``closedloop check`` and ``closedloop schema``: what pipelines and devices may say."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from closedloop.cli.terminal import ERROR_STATUS, out, report
from closedloop.errors import ClosedloopError, ConfigError


class Kind(StrEnum):
    """Kinds of YAML files."""

    PIPELINE = "pipeline"
    DEVICE = "device"


def check(
    files: Annotated[list[Path], typer.Argument(help="Pipelines and devices, in YAML.")],
) -> None:
    """Check pipelines and devices; every mistake is named with its file, line, column, value and limit."""
    from closedloop.calibration.whole_plan import check_whole_plan
    from closedloop.config.load import check_file

    failed = False
    for file in files:
        try:
            what = check_file(file, check_whole_plan)
        except ClosedloopError as error:
            failed = True
            for mistake in error.mistakes if isinstance(error, ConfigError) else (str(error),):
                report(mistake)
        else:
            out.print(f"{file}: {what}", soft_wrap=True, highlight=False)
    if failed:
        raise typer.Exit(ERROR_STATUS)


def schema(kind: Annotated[Kind, typer.Argument(help="What to describe.")]) -> None:
    """Print the JSON Schema of a pipeline or a device, for editors."""
    from closedloop.config.schema import schema_text

    sys.stdout.write(schema_text(kind.value))
