"""Listening sockets for several processes: one for each at each address, held by the process that begins the others.

The kernel deals connections out over them (SO_REUSEPORT). Who holds them keeps what waits at one whose process has
died for the next one. An address is tried alone first: with SO_REUSEPORT another server of the same user could share
it unnoticed.
"""

import socket
from collections.abc import Mapping
from typing import Final

from postroad.net.process.inherited import Given, Inherited

BACKLOG: Final = 1024  # connections the kernel keeps waiting at each

Address = tuple[str, int]


class Port:
    """One address, and the sockets for it: by process, or one for all when it was handed to us."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        """These; at least one."""
        self._sockets = sockets

    @property
    def bound(self) -> Address:
        """Where it listens: the port may have been the system's choice."""
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    def of(self, place: int) -> socket.socket:
        """That of the process at this place, from 0 on; a copy, to be closed without harm."""
        return self._sockets[place % len(self._sockets)].dup()

    def close(self) -> None:
        """Listen no more."""
        for one in self._sockets:
            one.close()


def open_port(address: Address, processes: int) -> Port:
    """Listen at `address` for so many processes; OSError when that cannot be."""
    host, port = address
    first = _bind(host, port, shared=False)
    if processes == 1:
        return _listening([first])
    bound: Address = first.getsockname()[:2]
    first.close()
    sockets: list[socket.socket] = []
    try:
        sockets.extend(_bind(*bound, shared=True) for _ in range(processes))
        return _listening(sockets)
    except OSError:
        for one in sockets:
            one.close()
        raise


def given_port(given: socket.socket) -> Port:
    """A socket that we were started with, for all processes."""
    return _listening([given])


def _listening(sockets: list[socket.socket]) -> Port:
    for one in sockets:
        one.listen(BACKLOG)
    return Port(sockets)


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


def ports_of(ports: Mapping[Address, Port], place: int) -> Inherited:
    """What the process at `place` listens on, as sockets that were handed to it."""
    return _Prepared({address: port.of(place) for address, port in ports.items()})


class _Prepared(Inherited):
    """Sockets by the address that was asked for, which is not the one they have when the system chose the port."""

    def __init__(self, sockets: dict[Address, socket.socket]) -> None:
        self._asked = {address: Given("", one) for address, one in sockets.items()}
        super().__init__(self._asked.values())

    def take(self, name: str, host: str, port: int) -> Given | None:  # noqa: ARG002  the address says it all
        """See `Inherited`."""
        found = self._asked.pop((host, port), None)
        if found is not None:
            self._given.remove(found)
        return found
