"""DANE for SMTP: what DNSSEC proves about the TLS of a host, found out before mail goes there (RFC 7672 2).

A host is asked for TLSA records only if DNSSEC proves that mail goes to it and that its addresses are its own, so that
a zone whose servers fail at unknown types keeps its mail (RFC 7672 2.2.2). Records that are there are obeyed; ones that
cannot be acted upon still demand TLS; records that cannot be looked up now put the host off: nothing that an attacker
can suppress brings mail back to plain text (RFC 7672 2.1). Without a resolver that validates nothing is done at all.
That the resolver has no valid answer is told to the observer of TLS reports, as there is no connection to be told of
(RFC 8460 4.3.2.1).
"""

from collections.abc import Sequence

from postroad.model.dns import Answer, DnsStatus, Lookup, TlsaRecord
from postroad.model.outcome import Deferred, Scope
from postroad.model.reply import Reply
from postroad.model.security import BY_DANE, DANE, DNSSEC_INVALID, REQUIRED, Security, TlsObserver, TlsOutcome
from postroad.routing.mx import is_host
from postroad.routing.securing import Validates
from postroad.routing.tlsa import LIMIT, kinds_of, text_of, usable_of


class Dane:
    """Asks what a host must have; for `routing.securing`."""

    __slots__ = ("_lookup", "_observe", "_validates")

    def __init__(self, lookup: Lookup, validates: Validates, observe: TlsObserver | None = None) -> None:
        """`validates` is asked once an answer is called authentic, not before; `observe` counts for TLS reports."""
        self._lookup = lookup
        self._validates = validates
        self._observe = observe

    async def __call__(self, domain: str, host: str, port: int, *, authentic: bool) -> Security | Deferred | None:
        """The demand on `host`, to which mail for `domain` goes; `authentic`: DNS, or we, proved that it does.

        None: DANE has nothing to say. Deferred: it may have, and what it is could not be looked up.
        """
        if not authentic or not is_host(host):
            return None
        bases = await self._bases(domain, host)
        if isinstance(bases, Deferred):
            return bases
        if not bases or not await self._validates():
            return None
        for base in bases:
            name = f"_{port}._tcp.{base}"
            answer = await self._lookup(name, "TLSA")
            if answer.is_temporary:
                return self._deferral(domain, host, f"TLSA records {name}", answer.status)
            if answer.records and answer.authentic:
                names = await self._names(base, host, domain)
                found = tuple(one for one in answer.records if isinstance(one, TlsaRecord))
                return _demand(name, found, names, domain)
        return None

    async def _bases(self, domain: str, host: str) -> Sequence[str] | Deferred:
        """The names that TLSA records may stand at, in order (RFC 7672 2.2.2, 2.2.3); none where DNS is not secure."""
        answers = [await self._lookup(host, kind) for kind in ("A", "AAAA")]
        found = [answer for answer in answers if answer.records]
        if not found:
            return ()
        canonical = found[0].canonical or host
        if all(map(_is_authentic, found)):
            return tuple(dict.fromkeys((canonical, host)))
        if canonical == host:
            return ()
        # Only what the alias stands for is unsigned: the alias itself may have records (RFC 7672 2.2.2).
        alias = await self._lookup(host, "CNAME")
        if alias.is_temporary:
            return self._deferral(domain, host, f"alias {host}", alias.status)
        return (host,) if alias.records and alias.authentic else ()

    async def _names(self, base: str, host: str, domain: str) -> tuple[str, ...]:
        """Names that a certificate may have which an authority vouches for, the best first (RFC 7672 3.2.2)."""
        names = [base, host]
        if domain != host:
            answer = await self._lookup(domain, "MX")
            names.append(domain)
            if answer.records and answer.authentic and answer.canonical:
                names.append(answer.canonical)
        return tuple(dict.fromkeys(names))

    def _deferral(self, domain: str, host: str, what: str, status: DnsStatus) -> Deferred:
        words = f"DNS look-up of the {what} failed: {status.value}; without knowing them no mail goes there"
        if (
            self._observe is not None and status is DnsStatus.FAILED
        ):  # silence of our own resolver is no fault of theirs
            self._observe(TlsOutcome(domain, host, "tlsa", (), DNSSEC_INVALID, words=words))
        return Deferred(Reply(451, "4.4.3", words), Scope.HOST)


def _is_authentic(answer: Answer) -> bool:
    return answer.authentic


def _demand(name: str, found: tuple[TlsaRecord, ...], names: tuple[str, ...], domain: str) -> Security:
    usable = usable_of(found)
    if not usable:  # RFC 7672 2.2: there is TLS, or there would be no such records
        words = f"TLSA records {name}, of which none can be acted upon"
        return Security(REQUIRED, BY_DANE, words, domain=domain, policy=tuple(map(text_of, found[:LIMIT])))
    reason = f"TLSA {kinds_of(usable)} at {name}"
    policy = tuple(map(text_of, usable))
    return Security(DANE, BY_DANE, reason, names=names, tlsa=usable, domain=domain, policy=policy)
