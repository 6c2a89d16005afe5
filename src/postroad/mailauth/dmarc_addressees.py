"""Who gets aggregate reports about a domain: whom its record names, if they want them (*pure*).

An address elsewhere gets none unless its own domain says in DNS that it takes reports about the other one: nobody is
sent reports that he did not ask for. DNS is a parameter. RFC 7489 6.2 (addresses), RFC 7489 7.1 (those elsewhere).
"""

from typing import Final

from postroad.mailauth.dmarc_discovery import Discovery, DnsFaultError
from postroad.mailauth.dmarc_record import record_in, split_size
from postroad.message.reportmail import mailbox_of
from postroad.model.dns import Lookup

ADDRESSEES: Final = 5  # of one domain
_NAME_LIMIT: Final = 253


async def addressees(lookup: Lookup, domain: str) -> tuple[str, ...] | None:
    """The addresses as the record at `domain` has them, sizes included; None when DNS cannot tell for now."""
    discovery = Discovery(lookup)
    try:
        record = await discovery.record_at(domain)
        if record is None:
            return ()
        wanted = dict.fromkeys(record.rua)
        found = [address for address in wanted if await _takes_reports(discovery, lookup, domain, address)]
    except DnsFaultError:
        return None
    return tuple(found)[:ADDRESSEES]


async def _takes_reports(discovery: Discovery, lookup: Lookup, domain: str, address: str) -> bool:
    to = mailbox_of(split_size(address)[0])
    if to is None or to.domain.startswith("["):
        return False
    if await discovery.organization_of(to.domain) == await discovery.organization_of(domain):
        return True
    name = f"{domain}._report._dmarc.{to.domain}"
    if len(name) > _NAME_LIMIT:
        return False
    answer = await lookup(name, "TXT")
    if answer.is_temporary:
        raise DnsFaultError(f"DNS does not answer for {name}: {answer.status.value}")
    return any(record_in([text]) is not None for text in answer.records)
