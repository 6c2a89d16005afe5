"""Who gets aggregate reports about a domain: whom its record names, if they want them (*pure*).

An address elsewhere gets none unless its own domain says in DNS that it takes reports about the other one: nobody is
sent reports that he did not ask for. That domain may name other addresses at the same host instead. DNS is a parameter.
RFC 7489 6.2 (addresses), RFC 7489 7.1 (those elsewhere).
"""

from typing import Final, Literal

from postroad.mailauth.dmarc_discovery import Discovery, DnsFaultError
from postroad.mailauth.dmarc_record import DmarcRecord, record_in, split_size
from postroad.message.reportmail import mailbox_of
from postroad.model.dns import Lookup

Tag = Literal["rua", "ruf"]
ADDRESSEES: Final = 5  # of one domain
_NAME_LIMIT: Final = 253


async def addressees(lookup: Lookup, domain: str, tag: Tag = "rua") -> tuple[str, ...] | None:
    """The addresses as the record at `domain` has them, sizes included; None when DNS cannot tell for now."""
    discovery = Discovery(lookup)
    found: dict[str, None] = {}
    try:
        record = await discovery.record_at(domain)
        for address in () if record is None else _addresses(record, tag):
            found |= dict.fromkeys(await _wanted(discovery, lookup, domain, address, tag))
    except DnsFaultError:
        return None
    return tuple(found)[:ADDRESSEES]


async def _wanted(discovery: Discovery, lookup: Lookup, domain: str, address: str, tag: Tag) -> tuple[str, ...]:
    """The address if reports about the domain may go there, or what its own domain names instead."""
    to = mailbox_of(split_size(address)[0])
    if to is None or to.domain.startswith("["):
        return ()
    if await discovery.organization_of(to.domain) == await discovery.organization_of(domain):
        return (address,)
    name = f"{domain}._report._dmarc.{to.domain}"
    if len(name) > _NAME_LIMIT:
        return ()
    answer = await lookup(name, "TXT")
    if answer.is_temporary:
        raise DnsFaultError(f"DNS does not answer for {name}: {answer.status.value}")
    records = [record for text in answer.records if (record := record_in([text])) is not None]
    instead = [other for record in records for other in _addresses(record, tag)]
    if not records or not instead:
        return (address,) if records else ()
    return tuple(other for other in instead if _host(other) == to.domain)


def _addresses(record: DmarcRecord, tag: Tag) -> tuple[str, ...]:
    return tuple(dict.fromkeys(record.rua if tag == "rua" else record.ruf))


def _host(address: str) -> str:
    mailbox = mailbox_of(split_size(address)[0])
    return "" if mailbox is None else mailbox.domain
