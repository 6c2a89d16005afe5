"""The listening sockets of a server with several processes, and their exchange together with its configuration.

What is new is opened before anything changes, so that an address that cannot be had refuses the whole of it; what stays
is never closed.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from postroad.config.schema import Config
from postroad.house.processes.family import Child
from postroad.model.errors import ConfigError
from postroad.model.option import parse_endpoint
from postroad.net.process.inherited import Inherited
from postroad.net.process.ports import Address, Port, given_port, open_port

Ports = Mapping[Address, Port]


class Exchange(Struct):
    """A configuration on its way into force: its sockets, those that were opened for it, the places of its edges.

    `old` are the edges that they take the place of.
    """

    config: Config
    ports: Ports
    added: list[Port]
    until: float
    places: tuple[int, ...] = ()
    problem: str = ""
    old: Sequence[Child] = ()


class Shop:
    """All listening sockets, by the address that was asked for."""

    def __init__(self) -> None:
        """None are open yet."""
        self.ports: Ports = {}

    def open(self, config: Config, places: int, inherited: Inherited) -> None:
        """Listen as `config` says, for edges at so many places; ConfigError with all that cannot be had."""
        self.ports, _ = self.prepare(config, places, inherited)

    def prepare(self, config: Config, places: int, inherited: Inherited | None = None) -> tuple[Ports, list[Port]]:
        """The sockets for `config`, and which of them are new; ConfigError with all that cannot be had."""
        ports: dict[Address, Port] = {}
        added: list[Port] = []
        problems: list[str] = []
        for name, text, address in _addresses(config):
            known = self.ports.get(address)
            if known is None:
                try:
                    given = inherited.take(name, *address) if inherited is not None else None
                    known = given_port(given.socket) if given is not None else open_port(address, places)
                except OSError as error:
                    reason = error.strerror or str(error)
                    problems.append(f"listeners.{name}.bind: cannot listen on {text}: {reason}")
                    continue
                added.append(known)
            ports[address] = known
        if problems:
            for port in added:
                port.close()
            raise ConfigError(problems)
        return ports, added

    def adopt(self, ports: Ports) -> None:
        """These from now on; the others are closed."""
        for address, port in self.ports.items():
            if address not in ports:
                port.close()
        self.ports = ports

    def shown(self, config: Config) -> list[str]:
        """Every address that is listened on, as "name address:port"."""
        found = []
        for name, _, address in _addresses(config):
            host, port = self.ports[address].bound
            found.append(f"{name} [{host}]:{port}" if ":" in host else f"{name} {host}:{port}")
        return found


def _addresses(config: Config) -> Iterator[tuple[str, str, Address]]:
    for name, listener in config.listeners.items():
        for text in listener.bind:
            yield name, text, parse_endpoint(text)
