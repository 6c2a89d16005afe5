"""Signing mail as it is accepted, after every edit: which keys, and the body read for it (RFC 6376 5).

Signatures stand on top of the envelope's prefix and cover the header section as it leaves, prefix and content. Mail of
strangers is never signed; it can be sealed, with what was found out of it (RFC 8617 5.1). Mail that we make ourselves
is signed like that of others, but comes in by no listener and no login. Content in memory is read at once; large
content piece by piece, and the event loop goes on meanwhile.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from postroad.listener.sign import MakeSign, Signatures, Signed, Unreadable
from postroad.listener.signbench import Bench
from postroad.listener.signsettings import DkimKeySettings, DkimSettings
from postroad.listener.transaction import Transaction
from postroad.mailauth.arc import ArcResult, Chain
from postroad.mailauth.arc_seal import Sealing
from postroad.mailauth.body_hash import BodyHashes, feed_body, read_body
from postroad.mailauth.dkim_facts import ReadSecret
from postroad.mailauth.dkim_keys import signing_key
from postroad.mailauth.dkim_private import SigningKey
from postroad.mailauth.dkim_sign import Signing
from postroad.mailauth.dkim_terms import SigningTerms
from postroad.mailauth.fields import Fields
from postroad.message.addresslist import addresses
from postroad.message.headers import header_section
from postroad.model.address import parse_domain
from postroad.model.content import cut
from postroad.model.days import seconds_of
from postroad.model.envelope import Envelope
from postroad.model.errors import AddressError, SigningError, SpoolError
from postroad.model.option import NEVER
from postroad.model.policyrecords import MessageSigned, MessageUnsigned
from postroad.model.record import Record
from postroad.policy.strangers import covers, is_stranger
from postroad.spool.draft import Draft, whole

_AUTHORS_LIMIT: Final = 20  # addresses of one From field that are looked at
_SECOND: Final = 1_000_000  # microseconds


class Use(Struct, frozen=True):
    """A key and what it signs; from `begins` until before `ends`, in seconds since 1970."""

    key: SigningKey
    authors: tuple[str, ...]
    listeners: tuple[str, ...] = ()
    logins: tuple[str, ...] = ()
    begins: float = 0.0
    ends: float = NEVER

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Higher than that of a key which it goes before."""
        return bool(self.logins), bool(self.listeners), self.begins

    def obstacle(self, authors: Sequence[str], envelope: Envelope, now: int) -> str:
        """Why it does not sign mail of the domains `authors`; "" when it may."""
        origin = envelope.origin
        if now < self.begins:
            return f"begins on {_day(self.begins)}"
        if now >= self.ends:
            return f"ended on {_day(self.ends)}"
        if self.listeners and origin.listener not in self.listeners:
            return f"only what comes in by {', '.join(self.listeners)}"
        if self.logins and origin.login not in self.logins:
            return f"only what the logins {', '.join(self.logins)} send"
        if not any(covers(self.authors, author) for author in authors):
            return f"only mail of {', '.join(self.authors)}"
        return ""

    def grounds(self, authors: Sequence[str], envelope: Envelope) -> str:
        """Why it signs mail that it may sign."""
        words = [f"author {author}" for author in authors if covers(self.authors, author)]
        words += [f"listener {envelope.origin.listener}"] * bool(self.listeners)
        words += [f"login {envelope.origin.login}"] * bool(self.logins)
        words += [f"since {_day(self.begins)}"] if self.begins else []
        words += [f"until {_day(self.ends)}"] if self.ends != NEVER else []
        return ", ".join(words)


class Signer:
    """Signs what `uses` are for; for an intake to call."""

    def __init__(self, uses: Sequence[Use], terms: SigningTerms, seal: SigningKey | None = None) -> None:
        """Nothing is running yet; `seal` is the key for mail of strangers, if that is sealed."""
        self._seal = seal
        self._uses = tuple(uses)
        self._terms = terms
        keys = [use.key for use in uses] + ([seal] if seal is not None else [])
        self._bench = Bench() if any(key.waits for key in keys) else None  # all wait for what one of them waits for
        self._running: set[asyncio.Task[None]] = set()

    def sign(
        self,
        transaction: Transaction,
        envelope: Envelope,
        beginning: bytes,
        content: bytes | Draft,
        signed: Signed,
        unreadable: Unreadable,
    ) -> None:
        """Call `signed` once with the envelope, and what signatures it gets; or `unreadable`."""
        is_foreign = is_stranger(transaction.peer) and not envelope.origin.login
        found = transaction.facts.get(ArcResult) if is_foreign and self._seal is not None else None
        if is_foreign and found is None:
            signed(envelope, None)
            return
        section = header_section(beginning)
        fields = Fields(envelope.prefix.encode() + cut(section, envelope.cuts))
        if self._seal is not None and found is not None:
            self._sealed(self._seal, found, envelope, (fields, len(section), content), signed, unreadable)
            return
        body = BodyHashes()
        signing, note = self._signing(fields, body, envelope)
        if signing is None:
            signed(envelope, note)
            return
        self._read(
            content, len(section), body, signing.lines, lambda top: signed(with_lines(envelope, top), note), unreadable
        )

    async def own(self, envelope: Envelope, content: bytes) -> tuple[Envelope, Record]:
        """`envelope`, of mail that we made, with the signatures it gets; and what is to be told of it."""
        section, body = header_section(content), BodyHashes()
        signing, note = self._signing(Fields(envelope.prefix.encode() + section), body, envelope)
        if signing is None:
            return envelope, note
        feed_body(content, len(section), body)
        try:
            top = signing.lines() if self._bench is None else await self._bench.run(signing.lines)
        except SigningError as error:
            return envelope, MessageUnsigned(at=envelope.arrived, id=envelope.id, reason=str(error))
        return with_lines(envelope, top), note

    def _signing(self, fields: Fields, body: BodyHashes, envelope: Envelope) -> tuple[Signing | None, Record]:
        """What signs a message with these `fields`, None when nothing does; and what is to be told of it."""
        now, authors = envelope.arrived // _SECOND, authors_of(fields)
        keys = keys_for(self._uses, authors, envelope, now)
        signing = Signing(fields, body, keys, now, self._terms)
        if not keys or signing.fault:
            reason = signing.fault or why_not(authors, envelope)
            return None, MessageUnsigned(at=envelope.arrived, id=envelope.id, reason=reason)
        names, reason = tuple(key.name for key in keys), f"mail of {', '.join(authors)}"
        return signing, MessageSigned(at=envelope.arrived, id=envelope.id, keys=names, reason=reason)

    def _sealed(
        self,
        key: SigningKey,
        found: ArcResult,
        envelope: Envelope,
        leaving: tuple[Fields, int, bytes | Draft],
        signed: Signed,
        unreadable: Unreadable,
    ) -> None:
        """Seal what was found out, if anything is told of it; `leaving` is the message with where its body begins."""
        fields, start, content = leaving
        now, body = envelope.arrived // _SECOND, BodyHashes()
        claim = claim_of(envelope)
        sealing = Sealing(fields, body, key, now, self._terms, Chain(fields, BodyHashes(), now), found, claim)
        fault = sealing.fault if claim else "nothing was found out of it"
        if fault:
            signed(envelope, MessageUnsigned(at=envelope.arrived, id=envelope.id, reason=f"not sealed: {fault}"))
            return
        note = MessageSigned(at=envelope.arrived, id=envelope.id, keys=(key.name,), reason="sealed for those behind us")
        self._read(content, start, body, sealing.lines, lambda top: signed(with_lines(envelope, top), note), unreadable)

    def _read(
        self,
        content: bytes | Draft,
        start: int,
        body: BodyHashes,
        lines: Callable[[], bytes],
        done: Callable[[bytes], None],
        unreadable: Unreadable,
    ) -> None:
        """Read the body, which begins at `start`, and then call `done` with the `lines`."""
        all_of_it, bench = whole(content), self._bench
        if isinstance(all_of_it, bytes):
            feed_body(all_of_it, start, body)
            if bench is None:
                done(lines())
                return

        async def later() -> None:
            try:
                if not isinstance(all_of_it, bytes):
                    await read_body(all_of_it, start, body)
                top = lines() if bench is None else await bench.run(lines)
            except (SpoolError, SigningError) as error:
                unreadable(error)
                return
            done(top)

        task = asyncio.ensure_future(later())
        self._running.add(task)
        task.add_done_callback(self._running.discard)


def claim_of(envelope: Envelope) -> str:
    """What our own Authentication-Results field of the message says; "" when it has none."""
    fields = Fields(envelope.prefix.encode())
    places = fields.places(b"authentication-results")
    return fields.value(places[0]).decode("ascii", "replace").strip() if places else ""


def with_lines(envelope: Envelope, top: bytes) -> Envelope:
    """`envelope` with its signatures on top."""
    return replace(envelope, prefix=top.decode("ascii") + envelope.prefix)


def why_not(authors: Sequence[str], envelope: Envelope) -> str:
    """Why no key signs mail of `authors`."""
    if not authors:
        return "the From field has no address with a domain"
    listener = f"by the listener {envelope.origin.listener}" if envelope.origin.listener else "that we make ourselves"
    login = f" of the login {envelope.origin.login}" if envelope.origin.login else ""
    return f"no key is for mail of {', '.join(authors)} {listener}{login}"


def keys_for(uses: Sequence[Use], authors: Sequence[str], envelope: Envelope, now: int) -> list[SigningKey]:
    """The keys that sign: of each domain and kind one, in the order of the configuration.

    It is the one for the fewest senders, of several such the one that began last, of several such the first.
    """
    chosen: dict[tuple[str, str], Use] = {}
    for use in uses:
        if not use.obstacle(authors, envelope, now):
            place = (use.key.domain, use.key.kind)
            known = chosen.get(place)
            if known is None or use.rank > known.rank:
                chosen[place] = use
    return [use.key for use in chosen.values()]


def authors_of(fields: Fields) -> list[str]:
    """The domains of the From field, in look-up form; none when there is not exactly one field."""
    places = fields.places(b"from")
    return list(_domains(fields.value(places[0]).decode("utf-8", "replace"))) if len(places) == 1 else []


def _domains(text: str) -> Iterator[str]:
    for address in addresses(text)[:_AUTHORS_LIMIT]:
        _, sign, domain = address.rpartition("@")
        if not sign:
            continue
        try:
            yield parse_domain(domain)
        except AddressError:
            continue


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def make_sign(settings: DkimSettings, read: ReadSecret) -> Signatures:
    """What signs as `settings` say; ConfigError when a key cannot be used. Slow."""
    header, _, body = settings.canonicalization.partition("/")
    terms = SigningTerms(
        signed=settings.signed,
        oversigned=settings.oversigned,
        relaxed_header=header == "relaxed",
        relaxed_body=body == "relaxed",
        expire_after=0 if settings.expire_after == NEVER else int(settings.expire_after),
    )
    seal = settings.seal
    key = None
    if seal is not None:
        key = signing_key(seal.domain, seal.selector, seal.key, "dkim.seal.key", read)
    signer = Signer([use_of(one, read, f"dkim.keys[{at}].key") for at, one in enumerate(settings.keys)], terms, key)
    return Signatures(signer.sign, signer.own)


def use_of(settings: DkimKeySettings, read: ReadSecret, option: str) -> Use:
    """One key with what it signs; ConfigError, naming `option`, when it cannot be used."""
    key = signing_key(settings.domain, settings.selector, settings.key, option, read)
    return Use(
        key,
        settings.authors or (settings.domain,),
        settings.listeners,
        settings.logins,
        seconds_of(settings.begins) if settings.begins else 0.0,
        seconds_of(settings.ends) if settings.ends else NEVER,
    )


MAKE: Final[MakeSign] = make_sign
