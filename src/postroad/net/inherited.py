"""Listening sockets that whoever started us has opened: systemd's socket activation (LISTEN_FDS, sd_listen_fds(3)).

The sockets are descriptors 3 and up, meant for us when LISTEN_PID is our process; LISTEN_FDNAMES may name them. Each
is used once, by the listener that has its name or its address, and what nobody wants is told.
"""

import os
import socket
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Final

from msgspec import Struct

FIRST: Final = 3
MOST: Final = 256  # more than that is a mistake
_UNNAMED: Final = "unknown"  # what systemd calls a socket without a name


class Given(Struct, eq=False):
    """One socket that was handed to us, with its name."""

    name: str
    socket: socket.socket

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; ("", 0) for a socket of another kind."""
        if self.socket.family not in {socket.AF_INET, socket.AF_INET6}:
            return "", 0
        host, port = self.socket.getsockname()[:2]
        return host, port


class Inherited:
    """The sockets that are still to be used."""

    def __init__(self, given: Iterable[Given]) -> None:
        """These."""
        self._given = list(given)

    def take(self, name: str, host: str, port: int) -> socket.socket | None:
        """The socket for the listener `name` at this address: by address first, else by a name that has but one."""
        found = next((one for one in self._given if one.address == (host, port)), None)
        if found is None:
            named = [one for one in self._given if one.name == name and one.name != _UNNAMED]
            found = named[0] if len(named) == 1 and named[0].address != ("", 0) else None
        if found is None:
            return None
        self._given.remove(found)
        return found.socket

    def left(self) -> list[str]:
        """What no listener asked for, as "name host:port"."""
        return [f"{one.name or _UNNAMED} {one.address[0]}:{one.address[1]}" for one in self._given]

    def close(self) -> None:
        """Let go of what no listener asked for."""
        for one in self._given:
            one.socket.close()
        self._given.clear()


def inherited_sockets(environment: MutableMapping[str, str]) -> Inherited:
    """The sockets that `environment` tells of, which is then cleaned of them; none when they are not for us."""
    given = _given(environment) if environment.get("LISTEN_PID") == str(os.getpid()) else []
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environment.pop(name, None)
    return Inherited(given)


def _given(environment: Mapping[str, str]) -> list[Given]:
    text = environment.get("LISTEN_FDS", "0")
    count = min(int(text), MOST) if text.isascii() and text.isdigit() else 0
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    found: list[Given] = []
    for at in range(count):
        descriptor = FIRST + at
        os.set_inheritable(descriptor, False)
        listening = socket.socket(fileno=descriptor)
        listening.setblocking(False)
        found.append(Given(names[at] if at < len(names) else "", listening))
    return found
