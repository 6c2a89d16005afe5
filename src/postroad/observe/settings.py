"""Options of the log (`[log]`).

One line a record, to standard error; what a peer did is there with the exact reason.
"""

from typing import Literal

from pydantic import Field

from postroad.model.option import Settings


class LogSettings(Settings):
    """How records are written."""

    format: Literal["json", "postfix", "text"] = Field(
        "json",
        description="json: one object a line; postfix: the lines that log tools for Postfix read; text: for people.",
    )
