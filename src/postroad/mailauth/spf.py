"""SPF: may this client send mail with this sender? The whole of RFC 7208's check_host (*pure*, DNS as a parameter).

Nothing that a domain publishes makes it raise or go on for long: ten terms that ask DNS, two answers of nothing, ten
names of one answer, all counted over includes and redirects together (RFC 7208 4.6.4). The names of one answer may be
asked about side by side; they are judged in their order, so nothing else changes. A fault of DNS is temperror and
never a fail. RFC 7208 4 (the function), RFC 7208 5 and 6 (terms), RFC 7208 2.3 and 2.4 (identities).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import IPv4Address, ip_network
from typing import Final, TypeAlias

from msgspec import Struct

from postroad.mailauth.spfmacro import MacroText, SpfSyntaxError, parse_macros, shortened
from postroad.mailauth.spfrecord import Mechanism, Record, parse_record, records_in
from postroad.model.dns import Answer, DnsStatus, Lookup, MxRecord
from postroad.model.errors import PostroadError
from postroad.model.reverse import Address, address_of, name_of

TERMS: Final = 10  # that ask DNS (RFC 7208 4.6.4)
VOIDS: Final = 2  # answers of nothing
NAMES: Final = 10  # of one MX or PTR answer
_EXPLANATION: Final = 500  # characters of one that are worth telling
_NOTHING: Final = Answer(DnsStatus.NO_NAME)
Together: TypeAlias = Callable[[Lookup, Sequence[str], str], AbstractAsyncContextManager[Iterable[Awaitable[Answer]]]]


class Spf(Struct, frozen=True, gc=False):
    """What came of it: `result` is a word of RFC 7208 2.6, `term` what decided, `reason` why, in words for people.

    `explanation` is the domain's own text for a fail, "" when it has none (RFC 7208 6.2): of a stranger, so to be
    told with care.
    """

    result: str
    domain: str
    term: str = ""
    reason: str = ""
    explanation: str = ""


class _FaultError(PostroadError):
    """The check ends here: `result` is temperror or permerror."""

    def __init__(self, result: str, reason: str) -> None:
        super().__init__(reason)
        self.result = result


@asynccontextmanager
async def in_turn(lookup: Lookup, names: Sequence[str], kind: str) -> AsyncIterator[Iterable[Awaitable[Answer]]]:
    """The answers for `names`, in order; each is asked for when it is waited for."""
    yield (lookup(name, kind) for name in names)


async def check_host(  # noqa: PLR0913  the parameters of RFC 7208 4.1, and what it is asked with
    lookup: Lookup,
    ip: str,
    domain: str,
    sender: str,
    *,
    helo: str,
    receiver: str,
    now: int = 0,
    together: Together = in_turn,
) -> Spf:
    """Check the client `ip` for `domain`, which is that of `sender` or of the HELO name (RFC 7208 4).

    `sender` is an address, "postmaster@" and the HELO name for that identity and for the null reverse-path; `receiver`
    is our own name and `now` seconds since 1970, both for explanations alone. `together` asks for several names: in
    turn, or side by side (`net/dns/asking`).
    """
    address = address_of(ip)
    if address is None:
        return Spf("none", domain, reason="the client has no IP address")
    return await _Check(lookup, together, address, sender, helo, receiver, now).run(domain)


class _Check:
    """The state of one check."""

    def __init__(  # noqa: PLR0913, PLR0917  see check_host
        self, lookup: Lookup, together: Together, ip: Address, sender: str, helo: str, receiver: str, now: int
    ) -> None:
        local, at, domain = sender.rpartition("@")
        self._lookup = lookup
        self._together = together
        self._ip = ip
        self._kind = "A" if isinstance(ip, IPv4Address) else "AAAA"
        local = (local if at else "") or "postmaster"
        self._values = {"l": local, "o": domain, "s": f"{local}@{domain}", "h": helo, "r": receiver, "t": str(now)}
        self._values["i"] = str(ip) if isinstance(ip, IPv4Address) else ".".join(ip.packed.hex())
        self._values["v"] = "in-addr" if isinstance(ip, IPv4Address) else "ip6"
        self._values["c"] = str(ip)
        self._terms = 0
        self._voids = 0
        self._names: Sequence[str] | None = None  # of the client, confirmed

    async def run(self, domain: str) -> Spf:
        try:
            result, term, record, where = await self._check(domain)
        except _FaultError as fault:
            return Spf(fault.result, domain, reason=str(fault))
        if result == "none":
            return Spf(result, domain, reason="the domain has no SPF record")
        reason = f"{where} says {term}" if term else f"nothing in the record of {where} matches"
        explanation = await self._explain(record, where) if result == "fail" and record is not None else ""
        return Spf(result, domain, term, reason, explanation)

    async def _check(self, domain: str) -> tuple[str, str, Record | None, str]:
        """The result, the term that decided, and the record it stands in with its domain."""
        record = await self._record(domain)
        if record is None:
            return "none", "", None, domain
        while True:
            for mechanism in record.mechanisms:
                if await self._matches(mechanism, domain):
                    return mechanism.result, mechanism.text, record, domain
            if record.redirect is None:
                return "neutral", "", record, domain
            self._count("redirect=")
            target = await self._expand(record.redirect, domain)
            record = await self._record(target)
            if record is None:
                raise _FaultError("permerror", f"{domain} redirects to {target}, which has no SPF record")
            domain = target

    async def _record(self, domain: str) -> Record | None:
        if not _is_name(domain):
            return None
        answer = await self._lookup(domain, "TXT")
        if answer.is_temporary:
            raise _FaultError("temperror", f"DNS does not answer for the record of {domain}: {answer.status.value}")
        found = records_in([text for text in answer.records if isinstance(text, str)])
        if not found:
            return None
        if len(found) > 1:
            raise _FaultError("permerror", f"{domain} has {len(found)} SPF records")
        try:
            return parse_record(found[0])
        except SpfSyntaxError as error:
            raise _FaultError("permerror", f"the record of {domain} is broken: {error}") from None

    # -- terms -----------------------------------------------------------------------------------

    async def _matches(self, one: Mechanism, domain: str) -> bool:
        match one.kind:
            case "all":
                return True
            case "ip4" | "ip6":
                return one.network is not None and self._ip in one.network
        self._count(one.text)
        target = domain if one.domain is None else await self._expand(one.domain, domain)
        match one.kind:
            case "include":
                return await self._includes(target, domain)
            case "a":
                return self._is_among(await self._addresses(target), one)
            case "mx":
                return await self._is_exchanger(target, one)
            case "exists":
                return bool(_texts(await self._ask(target, "A")))
        return await self._has_name_below(target)

    async def _includes(self, target: str, domain: str) -> bool:
        result, _, _, _ = await self._check(target)
        if result == "none":
            raise _FaultError("permerror", f"{domain} includes {target}, which has no SPF record")
        return result == "pass"

    async def _is_exchanger(self, target: str, one: Mechanism) -> bool:
        answer = await self._ask(target, "MX")
        hosts = [record.exchange for record in answer.records if isinstance(record, MxRecord)]
        if len(hosts) > NAMES:
            raise _FaultError("permerror", f"{target} has {len(hosts)} mail exchangers, more than {NAMES}")
        hosts = [host for host in hosts if host]
        async with self._together(self._answer, hosts, self._kind) as answers:
            for host, pending in zip(hosts, answers, strict=True):
                if self._is_among(_texts(self._judged(host, self._kind, await pending)), one):
                    return True
        return False

    async def _has_name_below(self, target: str) -> bool:
        target = target.lower()
        return any(name == target or name.endswith(f".{target}") for name in await self._confirmed(is_counted=True))

    def _is_among(self, addresses: Sequence[str], one: Mechanism) -> bool:
        bits = one.bits4 if self._kind == "A" else one.bits6
        ip: Address = self._ip
        for text in addresses:
            address = address_of(text)
            if (
                address is not None
                and address.version == ip.version
                and ip in ip_network((address, bits), strict=False)
            ):
                return True
        return False

    # -- DNS -------------------------------------------------------------------------------------

    def _count(self, term: str) -> None:
        self._terms += 1
        if self._terms > TERMS:
            raise _FaultError("permerror", f"more than {TERMS} terms ask DNS; the next one is {term[:60]}")

    async def _ask(self, name: str, kind: str) -> Answer:
        """The answer, in which nothing is counted."""
        return self._judged(name, kind, await self._answer(name, kind))

    async def _answer(self, name: str, kind: str) -> Answer:
        name = shortened(name)
        return await self._lookup(name, kind) if _is_name(name, labels=1) else _NOTHING

    def _judged(self, name: str, kind: str, answer: Answer) -> Answer:
        name = shortened(name)
        if answer.is_temporary:
            raise _FaultError("temperror", f"DNS does not answer for {name} {kind}: {answer.status.value}")
        if not answer.records:
            self._voids += 1
            if self._voids > VOIDS:
                raise _FaultError("permerror", f"more than {VOIDS} names that it asks for do not exist, as {name}")
        return answer

    async def _addresses(self, host: str) -> list[str]:
        return _texts(await self._ask(host, self._kind))

    async def _confirmed(self, *, is_counted: bool) -> Sequence[str]:
        """The names of the client that lead back to it; faults of DNS leave names out (RFC 7208 5.5)."""
        if self._names is None:
            name = name_of(self._ip)
            answer = await self._lookup(name, "PTR")
            if is_counted and not answer.is_temporary and not answer.records:
                self._voids += 1
                if self._voids > VOIDS:
                    raise _FaultError("permerror", f"more than {VOIDS} names that it asks for do not exist")
            names = []
            hosts = _texts(answer)[:NAMES]
            async with self._together(self._lookup, hosts, self._kind) as answers:
                for host, pending in zip(hosts, answers, strict=True):
                    if any(address_of(text) == self._ip for text in _texts(await pending)):
                        names.append(host.lower().removesuffix("."))
            self._names = names
        return self._names

    # -- macros ----------------------------------------------------------------------------------

    async def _expand(self, text: MacroText, domain: str) -> str:
        return text.expand_name((await self._known(text, domain)).__getitem__)

    async def _known(self, text: MacroText, domain: str) -> Mapping[str, str]:
        if text.plain is not None:
            return self._values
        values = {**self._values, "d": domain}
        if "p" in text.letters():
            values["p"] = _closest(await self._confirmed(is_counted=False), domain.lower())
        return values

    async def _explain(self, record: Record, domain: str) -> str:
        """The domain's text, "" when it has none that can be told (RFC 7208 6.2)."""
        if record.exp is None:
            return ""
        try:
            target = await self._expand(record.exp, domain)
            answer = await self._lookup(target, "TXT") if _is_name(target) else _NOTHING
            texts = _texts(answer)
            if len(texts) != 1 or not texts[0].isascii() or not texts[0].isprintable():
                return ""
            text = parse_macros(texts[0], is_explanation=True)
            return text.expand_text((await self._known(text, domain)).__getitem__, _EXPLANATION)
        except PostroadError:
            return ""


def _texts(answer: Answer) -> list[str]:
    return [record for record in answer.records if isinstance(record, str)]


def _closest(names: Sequence[str], domain: str) -> str:
    """The name that macro `p` stands for (RFC 7208 7.3)."""
    if domain in names:
        return domain
    below = [name for name in names if name.endswith(f".{domain}")]
    return (below or list(names) or ["unknown"])[0]


def _is_name(domain: str, *, labels: int = 2) -> bool:
    """True for what can be looked up: a name of several labels for records (RFC 7208 4.3)."""
    parts = domain.removesuffix(".").split(".")
    return (
        not domain.startswith("[")
        and len(parts) >= labels
        and domain.isascii()
        and all(0 < len(part) < 64 for part in parts)
        and len(domain) < 255
    )
