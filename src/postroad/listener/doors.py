"""Listening sockets by the address they were asked for; what a new connection finds behind one can change.

A reload binds what is new before anything changes, so that an address that cannot be had refuses the whole of it.
Sockets that stay are never closed: their next session has the new terms.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from postroad.listener.session import Conversation
from postroad.listener.settings import ListenerSettings
from postroad.listener.terms import Terms
from postroad.listener.vestibule import Vestibule
from postroad.model.errors import ConfigError
from postroad.model.option import parse_endpoint
from postroad.net.process.handover import copy_of
from postroad.net.process.inherited import Given, Inherited

BACKLOG: Final = 1024  # connections the kernel keeps waiting


class Door(Struct, eq=False):
    """One address that is listened on, and the terms of the sessions to come."""

    address: str
    terms: Terms
    server: asyncio.Server | None = None

    def shown(self) -> list[str]:
        """Its name with address and port, as bound: the port may have been the system's choice."""
        if self.server is None:
            return []
        return [f"{self.terms.name} {_show(sock.getsockname())}" for sock in self.server.sockets]


class Doors:
    """All of them."""

    def __init__(self, next_id: Callable[[], str], inherited: Inherited | None = None) -> None:
        """`next_id` names sessions; sockets that were handed to the process are used before new ones are bound."""
        self._next_id = next_id
        self._inherited = inherited or Inherited(())
        self._open: dict[str, Door] = {}

    async def bind(self, listeners: Mapping[str, ListenerSettings], terms: Mapping[str, Terms]) -> list[Door]:
        """Bind the addresses of `listeners` that are not open yet; ConfigError with all that cannot be had."""
        made: list[Door] = []
        problems: list[str] = []
        wanted = ((name, address) for name, settings in listeners.items() for address in settings.bind)
        missing = [Door(address, terms[name]) for name, address in wanted if address not in self._open]
        # What was handed to us is given out first: what is left then may stand in the way of what is bound.
        for door, given in [(door, self._inherited.take(door.terms.name, *_endpoint(door))) for door in missing]:
            address = door.address
            try:
                await self._bind(door, given)
            except OSError as error:
                why = self._why(error, address)
                problems.append(f"listeners.{door.terms.name}.bind: cannot listen on {address}: {why}")
            else:
                made.append(door)
        if problems:
            for door in made:
                _close(door)
            raise ConfigError(problems)
        return made

    async def _bind(self, door: Door, given: Given | None) -> None:
        def converse() -> Conversation | Vestibule:
            terms = door.terms
            if terms.trusts_proxy is not None:
                return Vestibule(terms, terms.trusts_proxy, lambda caller: Conversation(terms, self._next_id(), caller))
            return Conversation(terms, self._next_id())

        loop = asyncio.get_running_loop()
        host, port = _endpoint(door)
        if given is not None:
            door.server = await loop.create_server(converse, sock=given.socket, backlog=BACKLOG, start_serving=False)
        else:
            self._inherited.make_way(host, port)
            door.server = await loop.create_server(converse, host, port, backlog=BACKLOG, start_serving=False)

    def _why(self, error: OSError, address: str) -> str:
        reason = error.strerror or str(error)
        port = parse_endpoint(address)[1]
        if isinstance(error, PermissionError) and self._open:
            return (
                f"{reason}; ports below 1024 can be opened at the start alone, before the rights of root are given up: "
                "restart, or let systemd open them"
            )
        taken = next((other for other in self._open if parse_endpoint(other)[1] == port), None)
        return reason if taken is None else f"{reason}; this server has {taken} open: restart, or free that first"

    async def start(self, doors: Sequence[Door]) -> None:
        """Accept connections at `doors`, which were bound; ConfigError when that is not possible after all."""
        for door in doors:
            if door.server is None:
                continue
            try:
                await door.server.start_serving()
            except OSError as error:
                self.abandon(doors)
                why = self._why(error, door.address)
                raise ConfigError(
                    [f"listeners.{door.terms.name}.bind: cannot listen on {door.address}: {why}"]
                ) from None

    def abandon(self, doors: Sequence[Door]) -> None:
        """`doors` were bound in vain."""
        for door in doors:
            _close(door)

    def adopt(
        self, listeners: Mapping[str, ListenerSettings], terms: Mapping[str, Terms], added: Sequence[Door]
    ) -> None:
        """Give the doors of `listeners` their new terms and close the others; running sessions go on."""
        self._open |= {door.address: door for door in added}
        wanted = {address: name for name, settings in listeners.items() for address in settings.bind}
        for address, door in list(self._open.items()):
            name = wanted.get(address)
            if name is None:
                _close(self._open.pop(address))
            else:
                door.terms = terms[name]

    def hand_over(self) -> list[Given]:
        """Copies of all listening sockets, for the next program; here all are closed, running sessions go on."""
        given = []
        for door in self._open.values():
            for sock in door.server.sockets if door.server is not None else ():
                is_as_asked = sock.getsockname()[:2] == _endpoint(door)  # else its name alone tells whose it is
                given.append(copy_of("" if is_as_asked else door.terms.name, sock.fileno()))
        self.close()
        return given

    def close(self) -> None:
        """Close all; running sessions go on."""
        for door in self._open.values():
            _close(door)
        self._open.clear()

    def addresses(self) -> list[str]:
        """Every address that is listened on, as it was asked for."""
        return list(self._open)

    def shown(self) -> list[str]:
        """Every address that is listened on, as "name address:port"."""
        return [line for door in self._open.values() for line in door.shown()]


def _endpoint(door: Door) -> tuple[str, int]:
    return parse_endpoint(door.address)


def _close(door: Door) -> None:
    if door.server is not None:
        door.server.close()
        door.server = None


def _show(address: tuple[str, int] | tuple[str, int, int, int]) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
