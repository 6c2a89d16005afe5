"""From SRV answers to targets in the order to try them: RFC 2782 (*pure*).

Lower priorities first; within one, hosts in an order drawn by weight. Where we are listed ourselves our own priority
and everything worse is left out, as with MX. The name comes from the configuration, so that nothing found
there is ever the recipient's fault: every trouble is a deferral. Without an SRV record the address of the name is not
tried instead: whoever wants that names it as another next hop.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from typing import Final

from msgspec import Struct

from postroad.model.dns import Answer, SrvRecord
from postroad.model.outcome import Deferred, Scope
from postroad.model.reply import Reply
from postroad.model.route import SMTP, Target
from postroad.routing.mx import HOST_LIMIT, Located, Plan, Shuffle, deferral, is_host, is_unknown, targets_of

SERVICE: Final = "_smtp._tcp"
_LOTS: Final = 100  # that the heaviest record of one priority has in the draw


class Service(Struct, frozen=True, gc=False):
    """One host that an SRV record names."""

    priority: int
    weight: int
    port: int
    host: str


def question_of(name: str) -> str:
    """Whose SRV records are meant: those of SMTP at `name`, unless it begins with a service itself (RFC 2782)."""
    return name if name.startswith("_") else f"{SERVICE}.{name}"


def choose_services(
    name: str, answer: Answer, *, own_names: Collection[str], own_ports: Collection[int], shuffle: Shuffle
) -> list[Service] | Deferred:
    """The hosts to try, best first, given the `answer` for the SRV records of `name`."""
    if answer.is_temporary:
        return deferral(f"SRV of {name}", answer.status)
    records = [record for record in answer.records if isinstance(record, SrvRecord)]
    if not records:
        return _refusal("4.4.4", f"no SRV record of {name}: {answer.status.value}")
    if not any(record.target for record in records):
        return _refusal("4.4.4", f"SRV of {name} says that the service is not available")
    services = _order([record for record in records if is_host(record.target) and record.port], shuffle)
    if not services:
        return _refusal("4.4.4", f"no SRV record of {name} names a valid host")
    ours = min((one.priority for one in services if one.host in own_names and one.port in own_ports), default=None)
    kept = [one for one in services if ours is None or one.priority < ours]
    return kept[:HOST_LIMIT] or _loop(name)


def plan_services(
    name: str, services: Sequence[Service], located: Sequence[Located], *, is_own: Callable[[str, int], bool]
) -> Plan | Deferred:
    """The plan for `name`: `located` tells about each of `services`, `is_own` whether an address and port is us."""
    pairs = list(zip(services, located, strict=True))
    ours = min(
        (one.priority for one, place in pairs if any(is_own(address, one.port) for address in place.addresses)),
        default=None,
    )
    kept = [(one, place) for one, place in pairs if ours is None or one.priority < ours]
    unknown = [place for _, place in kept if is_unknown(place)]
    usable = [(one, place) for one, place in kept if place.addresses]
    if not usable:
        if unknown:
            return deferral(f"address of {unknown[0].host}", unknown[0].status)
        return _loop(name) if ours is not None else _refusal("4.4.4", f"no SRV host of {name} has an address")
    tiers = {priority: tier for tier, priority in enumerate(sorted({one.priority for one, _ in usable}))}
    targets: list[Target] = []
    for one, place in usable:
        targets += targets_of(SMTP, place, one.port, weight=_weight(one, usable), tier=tiers[one.priority])
    words = [f"SRV of {name}: {', '.join(f'{one.priority} {one.weight} {one.host}:{one.port}' for one, _ in pairs)}"]
    for one, place in pairs:
        if ours is not None and one.priority >= ours:
            words.append(f"{one.host} left out: priority {ours} is our own address")
        elif not place.addresses:
            words.append(f"{one.host} left out: {'no address' if not is_unknown(place) else place.status.value}")
    ttl = min(place.ttl for _, place in usable)
    hosts = tuple(dict.fromkeys(one.host for one, _ in kept))
    return Plan(tuple(targets), "; ".join(words), ttl, bool(unknown), hosts)


def _order(records: Sequence[SrvRecord], shuffle: Shuffle) -> list[Service]:
    """Best priority first, and within one drawn by weight, each host and port once."""
    best: dict[tuple[str, int], SrvRecord] = {}
    for record in records:
        known = best.get((record.target, record.port))
        if known is None or record.priority < known.priority:
            best[record.target, record.port] = record
    services = []
    for _, group in groupby(sorted(best.values(), key=_priority), key=_priority):
        services += _draw(list(group), shuffle)
    return services


def _draw(group: Sequence[SrvRecord], shuffle: Shuffle) -> list[Service]:
    """RFC 2782's choice by running sums, as lots in a hat: each record has lots by its weight, the first one counts.

    A weight of 0 beside others gets one lot, a very small chance; where all are 0 each has one.
    """
    heaviest = max(record.weight for record in group)
    lots: list[str] = []
    for index, record in enumerate(group):
        lots += [str(index)] * max(1, record.weight * _LOTS // heaviest if heaviest else 1)
    shuffle(lots)
    drawn = [group[int(lot)] for lot in dict.fromkeys(lots)]
    return [Service(one.priority, one.weight, one.port, one.target) for one in drawn]


def _weight(one: Service, usable: Sequence[tuple[Service, Located]]) -> int:
    """The weight among the usable hosts of the same priority; never 0, but as good as that beside greater ones."""
    weights = [other.weight for other, _ in usable if other.priority == one.priority]
    if 0 in weights and any(weights):
        return one.weight * _LOTS or 1
    return one.weight or 1


def _priority(record: SrvRecord) -> int:
    return record.priority


def _loop(name: str) -> Deferred:
    return _refusal("4.4.6", f"the best SRV host of {name} is this server itself: mail would loop")


def _refusal(enhanced: str, text: str) -> Deferred:
    return Deferred(Reply(451, enhanced, text), Scope.NEXT_HOP)
