"""Options of the desk (`[desk]`): the HTTP listener for health and metrics.

It is there only when the configuration has the section.
"""

from pydantic import Field

from postroad.model.option import Endpoint, Settings


class DeskSettings(Settings):
    """Health and metrics over HTTP; it is open to everybody who can connect."""

    bind: tuple[Endpoint, ...] = Field(
        ("127.0.0.1:8025",),
        description='Where to listen: "address:port" or "[v6]:port"; without encryption and log-in.',
        min_length=1,
    )
    connections: int = Field(32, description="Connections at one time; those above get 503.", ge=1, le=1000)
