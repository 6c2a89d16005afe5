"""Where the DMARC policy of a domain is, and of which organisation a domain is: RFC 9989's tree walk (*pure*).

A walk asks at most eight names, from the domain up to its last label. With a list of public suffixes, as RFC 7489 3.2
has it, it is two. Each name is asked once for a message, whoever needs it. DNS is a parameter; what it cannot tell is
a `DnsFaultError`, never a missing record.
"""

from collections.abc import Callable, Iterator
from typing import Final

from postroad.mailauth.dmarc_record import DmarcRecord, record_in
from postroad.model.dns import DnsStatus, Lookup
from postroad.model.errors import PostroadError

LABELS: Final = 8  # of the longest name that is asked below the first
_NAME_LIMIT: Final = 253
_PREFIX: Final = "_dmarc."

Organization = Callable[[str], str]  # the organisation's domain by a list of public suffixes


class DnsFaultError(PostroadError):
    """DNS does not answer for now."""


class Discovery:
    """What DNS says about the domains of one message."""

    __slots__ = ("_known", "_lookup", "_organization")

    def __init__(self, lookup: Lookup, organization: Organization | None = None) -> None:
        """Without `organization` the tree is walked."""
        self._lookup = lookup
        self._organization = organization
        self._known: dict[str, DmarcRecord | None] = {}

    async def policy_of(self, domain: str) -> tuple[DmarcRecord | None, str]:
        """The record that is for mail of `domain`, and where it was found (RFC 9989 4.10.1)."""
        record = await self.record_at(domain)
        if record is not None:
            return record, domain
        top = await self.organization_of(domain)
        record = await self.record_at(top)
        if record is None and self._organization is None:
            top = top.partition(".")[2]  # a public suffix may have one for all below it
            record = await self.record_at(top) if top else None
            if record is not None and record.psd != "y":
                record = None
        return record, top

    async def organization_of(self, domain: str) -> str:
        """The domain of the organisation that `domain` is of (RFC 9989 4.10.2)."""
        if self._organization is not None:
            return self._organization(domain)
        found = domain
        for name in walk(domain):
            record = await self.record_at(name)
            if record is None:
                continue
            if record.psd == "n":
                return name
            if record.psd == "y" and name != domain:
                return domain[: -len(name) - 1].rpartition(".")[2] + "." + name
            found = name
        return found

    async def record_at(self, name: str) -> DmarcRecord | None:
        """The record of `name` itself."""
        if name in self._known:
            return self._known[name]
        record = None
        if len(name) <= _NAME_LIMIT - len(_PREFIX):
            answer = await self._lookup(_PREFIX + name, "TXT")
            if answer.is_temporary:
                raise DnsFaultError(f"DNS does not answer for {_PREFIX}{name}: {answer.status.value}")
            record = record_in(answer.records)
        self._known[name] = record
        return record

    async def exists(self, domain: str) -> bool:
        """False when there is nothing at `domain`: neither addresses nor mail servers (RFC 9989 3.2)."""
        for kind in ("MX", "A", "AAAA"):
            answer = await self._lookup(domain, kind)
            if answer.is_temporary:
                raise DnsFaultError(f"DNS does not answer for {domain}: {answer.status.value}")
            if answer.status is DnsStatus.FOUND:
                return True
        return False


def walk(domain: str) -> Iterator[str]:
    """The names that a walk asks, eight at most: `domain`, then those above it."""
    yield domain
    labels = domain.split(".")
    above = labels[1:] if len(labels) < LABELS else labels[1 - LABELS :]
    for at in range(len(above)):
        yield ".".join(above[at:])
