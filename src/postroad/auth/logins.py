"""Asks the identity sources in order, and answers the questions of a SASL exchange (RFC 4422 3).

The first source that knows a login decides. One that is down ends the search: what a later one says could be a wrong
yes or a wrong no, so it is neither (454 4.7.0 in RFC 4954 6). A login that nobody knows costs the time of a wrong
password, and SCRAM for it goes on with keys that nothing matches (RFC 5802 9).
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType
from typing import Final, TypeVar

from msgspec import Struct

from postroad.auth.gate import CrowdedError, Gate
from postroad.auth.hashing import Hashing
from postroad.auth.remembered import Remembered
from postroad.auth.settings import AuthSettings
from postroad.auth.source import (
    PASSWORDS,
    SCRAM_SHA1,
    SCRAM_SHA256,
    TOKENS,
    Attempt,
    Denied,
    ScramKeys,
    Source,
    Unavailable,
)
from postroad.auth.userlines import LEAST_ROUNDS, key_of
from postroad.model.identity import Identity, TlsState
from postroad.smtp.sasl import EXTERNAL, MECHANISMS
from postroad.smtp.scram import KeyPair, Stored

T = TypeVar("T")
SALT_OCTETS: Final = 16
CERTIFICATES: Final = "certificates"
SENDING: Final = frozenset(
    ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER")
)  # over the wire goes what somebody can use again
NEEDS: Final = MappingProxyType(
    {
        "SCRAM-SHA-256-PLUS": SCRAM_SHA256,
        "SCRAM-SHA-1-PLUS": SCRAM_SHA1,
        "SCRAM-SHA-256": SCRAM_SHA256,
        "SCRAM-SHA-1": SCRAM_SHA1,
        "OAUTHBEARER": TOKENS,
        "XOAUTH2": TOKENS,
        "PLAIN": PASSWORDS,
        "LOGIN": PASSWORDS,
    }
)


class Found(Struct, frozen=True, gc=False):
    """What the sources said, and which of them."""

    source: str
    answer: Identity | Denied | Unavailable


class Tools(Struct, frozen=True):
    """What the driver needs from outside; `key` is random, and the same for all processes of a server."""

    gate: Gate
    hashing: Hashing
    monotonic: Callable[[], float]
    key: bytes
    hint: Mapping[str, str] = MappingProxyType({})  # told to clients whose token was refused (RFC 7628 3.2.2)


class Logins:
    """The driver."""

    def __init__(self, settings: AuthSettings, sources: Sequence[Source], tools: Tools) -> None:
        """Ask `sources` in their order."""
        self._settings = settings
        self._sources = tuple(sources)
        self._tools = tools
        self._dummy = ""
        self.hint = tools.hint
        self.failure_delay = settings.failure_delay
        self.remembered = Remembered(
            hmac.digest(tools.key, b"remembered", "sha256"), settings.cache, settings.cache_size
        )
        self._certificates = settings.certificates

    # -- what is offered -----------------------------------------------------------------------

    def usable(self, *, sends: bool, is_bound: bool, tls: TlsState | None) -> tuple[str, ...]:
        """The mechanisms that work now: those that send a secret when it `sends`, those with -PLUS when it is bound."""
        allowed = self._settings.mechanisms
        has = self._offers()
        return tuple(
            name
            for name in MECHANISMS
            if (not allowed or name in allowed)
            and (bool(self.owners(tls)) if name == EXTERNAL else NEEDS[name] in has)
            and (sends or name not in SENDING)
            and (is_bound or not name.endswith("-PLUS"))
        )

    def may_send(self, ip: str) -> bool:
        """Whether a client at `ip` may send a password or token without TLS."""
        networks = self._settings.plain_text_networks
        if not networks:
            return False
        try:
            address: IPv4Address | IPv6Address = ip_address(ip.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in networks)

    def _offers(self) -> frozenset[str]:
        """What can be asked for. SCRAM works when it does with every source that has passwords, or when it is set."""
        offers = [source.offers for source in self._sources]
        some = frozenset[str]().union(*offers)
        if self._settings.mechanisms:
            return some
        missing = {
            name
            for name in (SCRAM_SHA256, SCRAM_SHA1)
            if any(PASSWORDS in offer and name not in offer for offer in offers)
        }
        return some - missing

    # -- questions -----------------------------------------------------------------------------

    async def password(self, login: str, secret: str, attempt: Attempt) -> Found:
        """Whether `secret` is a password of `login`."""
        handle = self.remembered.handle(PASSWORDS, login, secret, attempt)
        known = self.remembered.get(handle, self._tools.monotonic())
        if known is not None:
            return Found(known.source, known)
        found = await self._first(PASSWORDS, lambda source: source.verify(login, secret, attempt))
        if found is None:
            return await self._unknown(secret)
        return self._keep(handle, found)

    async def token(self, login: str, token: str, attempt: Attempt) -> Found:
        """Whose access token it is."""
        handle = self.remembered.handle(TOKENS, login, token, attempt)
        known = self.remembered.get(handle, self._tools.monotonic())
        if known is not None:
            return Found(known.source, known)
        found = await self._first(TOKENS, lambda source: source.token(login, token, attempt))
        return Found("", Denied("no source knows the token")) if found is None else self._keep(handle, found)

    async def keys(self, login: str, hash_name: str, attempt: Attempt) -> tuple[Found, ScramKeys | None]:
        """The SCRAM keys of `login`, made-up ones when there are none, and what it means when no key is proved.

        There are no keys at all when a source is down.
        """
        for source in self._sources:
            if hash_name not in source.offers:
                continue
            answer = await self._ask(source.scram_keys(login, hash_name, attempt))
            if isinstance(answer, ScramKeys):
                return Found(source.name, Denied("wrong password")), answer
            if isinstance(answer, Unavailable):
                return Found(source.name, answer), None
            if isinstance(answer, Denied):
                return Found(source.name, Denied(answer.reason)), self._made_up(login, hash_name)
        return Found("", Denied("no source knows the login")), self._made_up(login, hash_name)

    async def certificate(self, login: str, tls: TlsState | None, attempt: Attempt) -> Found:
        """Whose certificate that is, when it is of somebody who may be `login`."""
        owners = self.owners(tls)
        wanted = [owner for owner in owners if not login or key_of(owner) == key_of(login)]
        if not wanted:
            return Found(CERTIFICATES, Denied("the certificate is nobody's" if not owners else "it is another's"))
        if len(wanted) > 1:
            return Found(CERTIFICATES, Denied("the certificate is that of several logins; the client names none"))
        owner = wanted[0]
        found = await self._first("", lambda source: source.look_up(owner, attempt))
        return found or Found(CERTIFICATES, Identity(owner, CERTIFICATES, EXTERNAL))

    def owners(self, tls: TlsState | None) -> tuple[str, ...]:
        """The logins of a client certificate."""
        if tls is None or not self._certificates:
            return ()
        names = [f"sha256:{tls.fingerprint}"] if tls.fingerprint else []
        if tls.is_verified:
            names += [name if name.startswith("DNS:") else name.lower() for name in tls.names]
        found = (self._certificates.get(_folded(name)) for name in names)
        return tuple(dict.fromkeys(login for login in found if login is not None))

    # -- sources -------------------------------------------------------------------------------

    async def _first(
        self, kind: str, question: Callable[[Source], Awaitable[Identity | Denied | Unavailable | None]]
    ) -> Found | None:
        """The answer of the first source that has one."""
        for source in self._sources:
            if kind and kind not in source.offers:
                continue
            answer = await self._ask(question(source))
            if answer is not None:
                return Found(source.name, answer)
        return None

    async def _ask(self, pending: Awaitable[T]) -> T | Unavailable:
        seconds = self._settings.source_timeout
        try:
            async with asyncio.timeout(seconds):
                return await pending
        except TimeoutError:
            return Unavailable(f"did not answer within {seconds:g} s")
        except CrowdedError as error:
            return Unavailable(str(error))
        except Exception as error:  # noqa: BLE001  a seam like that of policies: a broken source must not decide
            return Unavailable(f"failed: {type(error).__name__}")  # its words could have a credential

    async def _unknown(self, secret: str) -> Found:
        """Nobody knows the login: as slow as a wrong password."""
        try:
            await self._tools.gate.run(self._waste, secret)
        except CrowdedError as error:
            return Found("", Unavailable(str(error)))
        return Found("", Denied("no source knows the login"))

    def _waste(self, secret: str) -> None:
        hashing = self._tools.hashing
        if not self._dummy:
            self._dummy = hashing.hash("nobody's")
        hashing.verify(self._dummy, secret)

    def _keep(self, handle: bytes, found: Found) -> Found:
        if isinstance(found.answer, Identity):
            self.remembered.put(handle, found.answer, self._tools.monotonic())
        return found

    def _made_up(self, login: str, hash_name: str) -> ScramKeys:
        """Always the same for a login, and never right."""

        def octets(what: str) -> bytes:
            return hmac.digest(self._tools.key, f"{what}\0{hash_name}\0{key_of(login)}".encode(), hash_name)

        users = self._settings.users
        rounds = LEAST_ROUNDS if users is None else users.scram_rounds
        pair = KeyPair(octets("stored"), octets("server"))
        return ScramKeys(Stored(octets("salt")[:SALT_OCTETS], rounds, (pair,)), (Denied("keys of nobody"),))


def _folded(name: str) -> str:
    kind, _, rest = name.partition(":")
    return f"{kind}:{rest.lower()}"
