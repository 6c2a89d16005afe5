"""Listening sockets that whoever started us has opened: systemd's socket activation (LISTEN_FDS, sd_listen_fds(3)).

The sockets are descriptors 3 and up, meant for us when LISTEN_PID is our process; LISTEN_FDNAMES may name them. Each
is used once, by the listener that has its name or its address, and what nobody wants is told. `net.handover` passes
sockets on in the same form, from the program that we were before.
"""

import os
import socket
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Final

from msgspec import Struct

FIRST: Final = 3
MOST: Final = 256  # more than that is a mistake
UPGRADED_FROM: Final = "POSTROAD_UPGRADED_FROM"  # the version that handed its sockets to us
_UNNAMED: Final = "unknown"  # what systemd calls a socket without a name
_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  compared with, not bound


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

    def __init__(self, given: Iterable[Given], upgraded_from: str = "") -> None:
        """These; from ourselves, as version `upgraded_from`, when that is not empty."""
        self._given = list(given)
        self.upgraded_from = upgraded_from

    def take(self, name: str, host: str, port: int) -> Given | None:
        """The socket for the listener `name` at this address: by address first, else by a name that has but one."""
        found = next((one for one in self._given if one.address == (host, port)), None)
        if found is None:
            named = [one for one in self._given if one.name == name and one.name != _UNNAMED]
            found = named[0] if len(named) == 1 and named[0].address != ("", 0) else None
        if found is None:
            return None
        self._given.remove(found)
        return found

    def take_unix(self, name: str) -> socket.socket | None:
        """The Unix socket of this name."""
        for one in self._given:
            if one.name == name and one.socket.family == socket.AF_UNIX:
                self._given.remove(one)
                return one.socket
        return None

    def make_way(self, host: str, port: int) -> None:
        """Close what would stand in the way of binding this address: sockets that nobody has asked for by now."""
        for one in tuple(self._given):
            theirs, number = one.address
            if number == port and (theirs == host or {theirs, host} & _WILDCARDS):
                self._given.remove(one)
                one.socket.close()

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
    return Inherited(given, environment.pop(UPGRADED_FROM, ""))


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
