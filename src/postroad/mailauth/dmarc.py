"""DMARC: whether the author's domain is proven, and what it asks to be done when it is not (*pure*).

Proven is what passes SPF or DKIM for a domain that fits the author's. What DNS cannot tell is temperror, and so is
what SPF or DKIM could not find out for a domain that fits: never a false fail. Of several authors the strictest answer
counts (RFC 7489 6.6.1), whatever field they stand in. DNS is a parameter. RFC 7489 3.1 (alignment), RFC 9989 4.10
(records).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from postroad.mailauth.dmarc_discovery import Discovery, DnsFaultError, Organization
from postroad.mailauth.dmarc_record import NOTHING, QUARANTINE, REJECT, DmarcRecord
from postroad.mailauth.fields import Fields
from postroad.message.addresslist import addresses
from postroad.model.address import parse_domain
from postroad.model.dns import Lookup
from postroad.model.errors import AddressError

AUTHORS_LIMIT: Final = 4  # domains of one message that are looked at
IDENTIFIERS_LIMIT: Final = 20
_FIELD_LIMIT: Final = 64 * 1024  # octets of a From field that is read; no honest one comes near
_STRICTNESS: Final = (REJECT, QUARANTINE, "temperror", "permerror", NOTHING)


class Identifier(Struct, frozen=True, gc=False):
    """A domain that SPF or DKIM speaks of: `method` is "spf" or "dkim", `result` a word of theirs."""

    method: str
    result: str
    domain: str


class Dmarc(Struct, frozen=True, gc=False):
    """What came of it for the author's `domain`: pass, fail, none, temperror or permerror, and why.

    `policy` is what is asked for, at `record_domain`; `disposition` is what is to be done: "none", "quarantine" or
    "reject". `aligned` are the identifiers that prove it.
    """

    result: str
    domain: str = ""
    reason: str = ""
    policy: str = ""
    disposition: str = NOTHING
    record_domain: str = ""
    aligned: tuple[Identifier, ...] = ()
    record: DmarcRecord | None = None


class Authors(Struct, frozen=True, gc=False):
    """The domains of a message's authors; or the `fault` for which it has none that can be looked at (RFC 5322 3.6)."""

    domains: tuple[str, ...] = ()
    fault: str = ""


async def evaluate(
    lookup: Lookup,
    authors: Sequence[str],
    identifiers: Sequence[Identifier],
    *,
    organization: Organization | None = None,
    roll: int = 0,
) -> Dmarc:
    """What DMARC says of a message of the domains `authors`, of which SPF and DKIM found out `identifiers`.

    `roll`, from 0 to 99, chooses the share of mail that a tag pct= speaks of.
    """
    if not authors:
        return Dmarc("permerror", reason="the message has no author with a domain that can be read")
    identifiers = sorted(identifiers, key=_is_no_pass)[:IDENTIFIERS_LIMIT]  # what proves something comes first
    discovery = Discovery(lookup, organization)
    if len(authors) == 1:
        return await _evaluate(discovery, authors[0], identifiers, roll)
    found = [await _evaluate(discovery, author, identifiers, roll) for author in authors]
    return min(found, key=_strictness)


async def _evaluate(discovery: Discovery, author: str, identifiers: Sequence[Identifier], roll: int) -> Dmarc:
    try:
        record, where = await discovery.policy_of(author)
        if record is None or not record.policy:
            return Dmarc(NOTHING, author, f"{author} has no DMARC policy")
        aligned, unsure = await _aligned(discovery, author, record, identifiers)
        if aligned:
            reason = f"{author} is proven by {_shown(aligned)}"
            policy = record.policy if where == author else record.sub_policy
            return Dmarc("pass", author, reason, policy, NOTHING, where, tuple(aligned), record)
        policy = await _policy(discovery, author, record, where)
    except DnsFaultError as fault:
        return Dmarc("temperror", author, str(fault))
    if unsure:
        reason = f"nothing proves {author}, and DNS did not answer all: {_shown(unsure)}"
        return Dmarc("temperror", author, reason, policy, NOTHING, where, record=record)
    disposition = record.disposition(policy, roll)
    reason = f"nothing proves {author} ({_shown(identifiers) or 'neither SPF nor DKIM'}), {where} asks for {policy}"
    if disposition != policy:
        mild = "t=y" if record.is_testing else f"pct={record.percent}"
        reason = f"{reason}, by {mild} for {disposition}"
    return Dmarc("fail", author, reason, policy, disposition, where, record=record)


async def _policy(discovery: Discovery, author: str, record: DmarcRecord, where: str) -> str:
    if where == author:
        return record.policy
    if record.missing_policy != record.sub_policy and not await discovery.exists(author):
        return record.missing_policy
    return record.sub_policy


async def _aligned(
    discovery: Discovery, author: str, record: DmarcRecord, identifiers: Iterable[Identifier]
) -> tuple[list[Identifier], list[Identifier]]:
    """Those of `identifiers` that pass, and those that nobody could find out, for domains that fit the author's."""
    top = ""
    fitting: dict[str, list[Identifier]] = {"pass": [], "temperror": []}
    relaxed: list[Identifier] = []
    for one in identifiers:
        if one.result not in fitting or not one.domain:
            continue
        if one.domain == author:
            fitting[one.result].append(one)
        elif not (record.is_spf_strict if one.method == "spf" else record.is_dkim_strict):
            relaxed.append(one)
    for one in relaxed:
        if fitting["pass"] and one.result != "pass":
            continue
        top = top or await discovery.organization_of(author)
        if one.domain != top and not one.domain.endswith("." + top):
            continue  # whatever its organisation is, it is another
        if await discovery.organization_of(one.domain) == top:
            fitting[one.result].append(one)
    return fitting["pass"], fitting["temperror"]


def _is_no_pass(one: Identifier) -> bool:
    return one.result != "pass"


def _strictness(found: Dmarc) -> tuple[int, bool]:
    word = found.disposition if found.result == "fail" else found.result
    return (_STRICTNESS.index(word), found.result != "fail") if word in _STRICTNESS else (len(_STRICTNESS), True)


def _shown(identifiers: Iterable[Identifier]) -> str:
    return ", ".join(dict.fromkeys(f"{one.method.upper()} {one.result} of {one.domain}" for one in identifiers))


def authors_of(fields: Fields) -> Authors:
    """The domains of all authors in all From fields, in look-up form and each once.

    What has no domain is left out, an address literal too. Never part of what is there: who reads the message sees the
    rest, so a message with more than can be looked at is of nobody.
    """
    places = fields.places(b"from")
    if not places:
        return Authors(fault="it has no From field")
    if len(places) > AUTHORS_LIMIT:
        return Authors(fault=f"it has more than {AUTHORS_LIMIT} From fields")
    values = [fields.value(place) for place in places]
    if any(len(value) > _FIELD_LIMIT for value in values):
        return Authors(fault=f"a From field of it has more than {_FIELD_LIMIT >> 10} KiB")
    found: dict[str, None] = {}
    for value in values:
        for address in addresses(value.decode("utf-8", "replace")):
            _, at, text = address.rpartition("@")
            try:
                domain = parse_domain(text) if at else ""
            except AddressError:
                continue
            if domain and not domain.startswith("["):
                found[domain] = None
            if len(found) > AUTHORS_LIMIT:
                return Authors(fault=f"its authors are of more than {AUTHORS_LIMIT} domains")
    return Authors(tuple(found))
