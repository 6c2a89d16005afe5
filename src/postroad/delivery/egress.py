"""*pure*: egress sources and pools: from which address, under which name and by which proxy mail leaves.

A pool gives its sources in turn, each as often as its weight says; a source that is itself the trouble (its address
is not on this host, its proxy does not answer) leaves the turn as a host would, and the others take its mail. Which
targets a source can reach is told by its addresses: without one of a family, targets of that family are left out.
"""

from collections.abc import Mapping

from msgspec import Struct

from postroad.delivery.balance import ANY, IPV4, IPV6, Preference
from postroad.delivery.health import Health
from postroad.model.route import Target
from postroad.net.proxy import Proxy
from postroad.net.tls.client import ClientContexts


class Source(Struct, frozen=True):
    """One `[sources.NAME]`: addresses "" and `hostname` "" mean the system's choice and our own name.

    `tls` has the contexts with the client certificate; None: those that all share.
    """

    name: str
    ipv4: str = ""
    ipv6: str = ""
    hostname: str = ""
    ip: str = ANY
    proxy: Proxy | None = None
    tls: ClientContexts | None = None

    @property
    def preference(self) -> Preference:
        """Which targets this source can use, and in which order."""
        lacks = ""
        if bool(self.ipv4) != bool(self.ipv6):
            lacks = IPV6 if self.ipv4 else IPV4
        return Preference(self.name, self.ip, lacks)

    def address_for(self, target: Target) -> str:
        """Our address towards `target`, "" for the system's choice."""
        return self.ipv6 if ":" in target.address else self.ipv4


class Turn(Struct):
    """One source of a pool and its credit in the round robin."""

    source: Source
    weight: float
    credit: float = 0.0


class Egress:
    """All sources and pools by name; says which source is next."""

    __slots__ = ("_pools", "health")

    def __init__(self, sources: Mapping[str, Source], pools: Mapping[str, Mapping[str, int]]) -> None:
        """`pools` have the weight of each source by its name; a source alone is a pool of one."""
        self._pools: dict[str, list[Turn]] = {name: [Turn(source, 1.0)] for name, source in sources.items()}
        for name, weights in pools.items():
            self._pools[name] = [Turn(sources[one], float(weight)) for one, weight in weights.items() if weight > 0]
        self.health: Health[str] = Health()

    def order(self, name: str, now: float) -> list[Source]:
        """The sources to try for one message of the source or pool `name`, the one whose turn it is first.

        Of those that are out one whose time has come is tried first, with this message, until `health.end_probe`;
        when all are out, the one whose time comes first is tried anyway.
        """
        turns = self._pools.get(name, [])
        if len(turns) < 2:
            return [turn.source for turn in turns]
        probed = next((turn.source for turn in turns if self.health.begin_probe(turn.source.name, now)), None)
        rest = self._in_turn(turns, now)
        return rest if probed is None else [probed, *(source for source in rest if source is not probed)]

    def _in_turn(self, turns: list[Turn], now: float) -> list[Source]:
        rated = [(turn, turn.weight * self.health.share(turn.source.name, now)) for turn in turns]
        rated = [one for one in rated if one[1] > 0]
        if not rated:
            return [min(turns, key=lambda turn: self.health.until(turn.source.name)).source]
        total = 0.0
        best = rated[0][0]
        for turn, weight in rated:
            turn.credit += weight
            total += weight
            if turn.credit > best.credit + 1e-9:
                best = turn
        best.credit -= total
        return [best.source, *(turn.source for turn, _ in rated if turn is not best)]
