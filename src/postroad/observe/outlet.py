"""What a sink writes to: a file, a socket, the spool of a webhook; and what makes one from its settings.

Called by one thread alone, the sink's own, so that it may block. Invariant: an outlet never raises for
what a disk or a peer does; it says what is wrong in `fault` and how far it came.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from msgspec import Struct

from postroad.model.records import Record
from postroad.net.clock import Clock
from postroad.observe.settings import SinkSettings

NO_HEADERS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({})


class Outlet(Protocol):
    """One destination of records."""

    @property
    def fault(self) -> str:
        """Why it does not work at present; "" while it does."""

    @property
    def lost(self) -> int:
        """How many records were lost after they had been taken."""

    def write(self, records: Sequence[Record]) -> int:
        """Take `records` from the first on; how many were taken. Fewer than all: try the rest again later."""

    def idle(self) -> None:
        """Called first of all, and whenever a second went by without records."""

    def close(self) -> None:
        """No more records come; returns within a few seconds."""


class Around(Struct, frozen=True):
    """What sinks need beside their settings: our name, a folder for what waits, secrets and header fields by sink."""

    hostname: str
    folder: Path
    secrets: Mapping[str, str]
    headers: Mapping[str, Mapping[str, str]] = NO_HEADERS

    def of(self, name: str) -> tuple[str, str | None, Mapping[str, str] | None]:
        """What concerns the sink `name`."""
        return self.hostname, self.secrets.get(name), self.headers.get(name)


# From a sink's name and settings; nothing is opened yet.
MakeOutlet = Callable[[str, SinkSettings, Around, Clock], Outlet]
