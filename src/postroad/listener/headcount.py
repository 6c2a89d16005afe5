"""How many sessions there are: in all, from each address, and from each network around one; and when it is too many.

The limits hold over all listeners, and with a census over all processes. A session is counted from its first octet to
its end, or until a trusted program says that it speaks for another client: then for that one.
"""

from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final, Protocol

from postroad.listener.settings import LimitsSettings
from postroad.listener.terms import Guest
from postroad.model.reply import Reply
from postroad.smtp import replies

_REMEMBERED: Final = 4096  # addresses of IPv6 whose network is known


class Census(Protocol):
    """Counts sessions over several processes; `network` is "" when networks are not counted."""

    def come(self, ip: str, network: str) -> tuple[int, int, int]:
        """One from `ip` began: how many there are in all, from there, and from its network, with it."""

    def go(self, ip: str, network: str) -> None:
        """One from `ip` ended."""


class Headcount:
    """The sessions of this process."""

    def __init__(self, census: Census | None) -> None:
        """`census` counts those of all processes, when there are several."""
        self._census = census
        self._guests: dict[Guest, tuple[str, str]] = {}  # what each is counted for
        self._counts: Counter[str] = Counter()

    def guests(self) -> Collection[Guest]:
        """All sessions."""
        return self._guests.keys()

    def come(self, guest: Guest, limits: LimitsSettings) -> Reply | None:
        """A session began, or goes on for another client: why it is one too many, None when it is not."""
        if guest in self._guests:
            self.go(guest)
        ip = guest.ip
        network = network_of(ip) if limits.sessions_per_network else ""
        self._guests[guest] = ip, network
        counts = self._counts
        counts[ip] += 1
        if network:
            counts[network] += 1
        total, same, near = len(self._guests), counts[ip], counts[network] if network else 0
        if self._census is not None:
            total, same, near = self._census.come(ip, network)
        if total > limits.sessions:
            return replies.TOO_BUSY
        if same > limits.sessions_per_ip:
            return replies.TOO_MANY_FROM_YOU
        if network and near > limits.sessions_per_network:
            return replies.TOO_MANY_FROM_NETWORK
        return None

    def go(self, guest: Guest) -> None:
        """It ended."""
        ip, network = self._guests.pop(guest)
        if self._census is not None:
            self._census.go(ip, network)
        counts = self._counts
        for name in (ip, network) if network else (ip,):
            if counts[name] > 1:
                counts[name] -= 1
            else:
                del counts[name]


def network_of(ip: str) -> str:
    """The network that is counted as one, by a name that is no address: 24 bits of IPv4, 48 of IPv6."""
    return _network_of_6(ip) if ":" in ip else ip.rpartition(".")[0]


@lru_cache(_REMEMBERED)
def _network_of_6(ip: str) -> str:
    return IPv6Address(ip.partition("%")[0]).packed[:6].hex(":", 2) + "::/48"
