"""Where the numbers of a limit come from."""

from typing import Annotated, Literal

from pydantic import Field

from closedloop.config.model import Model

Text = Annotated[str, Field(pattern=r"\S")]
"""Something that can be read: blanks alone are no name and no source."""


class Source(Model):
    """What a limit was taken from."""

    citation: Text
    """Authors, title, journal, year, pages; or what it was taken from in place of a publication."""
    doi: Annotated[str, Field(pattern=r"^10\.[0-9]{4,9}/\S+$")] | None
    """Its DOI; null: none that could be stated."""
    origin: Literal["seen", "recalled"]
    """seen: citation and DOI were read in a source; recalled: at least one of them is from memory."""
