"""A service of the administrator's as an identity source: it is asked by HTTP whether a password is right.

A POST of JSON has login, secret, address, mechanism and listener. 200 is yes, with who it is as JSON; 401 and 403 are
no, or "not known here"; everything else, also a 200 that is not as agreed, means that the service cannot tell now.
Invariant: neither the secret nor anything the service says of it gets into a reason.
"""

import ssl
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from postroad import VERSION
from postroad.auth.httpsettings import HttpSettings
from postroad.auth.httpsource import ClosableSource, MakeHttp
from postroad.auth.source import EXPIRED, PASSWORDS, WRONG, Attempt, Denied, ScramKeys, Unavailable
from postroad.auth.userlines import LineError, parse_address
from postroad.model.errors import ConfigError
from postroad.model.identity import Identity
from postroad.net.http.fetching import Answer
from postroad.net.http.poster import Poster

REASON_LIMIT: Final = 200
LOGIN_LIMIT: Final = 320
VALUES_LIMIT: Final = 1000  # addresses, groups or scopes of one answer

T = TypeVar("T")


class Question(Struct, frozen=True):
    """What the service is asked."""

    login: str
    secret: str
    ip: str
    mechanism: str
    listener: str
    session: str
    tls: bool

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Question({self.login!r})"


class Yes(Struct, frozen=True):
    """The body of a 200: who it is, as far as the service knows better than the client."""

    login: str = ""
    addresses: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


class No(Struct, frozen=True):
    """The body of a 401 or 403: why; `known` false asks the next source; `expired`: right, but to be changed first."""

    reason: str = ""
    known: bool = True
    expired: bool = False


class HttpSource:
    """The source; `name` is that of its section."""

    def __init__(self, name: str, settings: HttpSettings, secret: str) -> None:
        """Nothing is opened before the first question."""
        self.name = name
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if secret:
            self._headers["Authorization"] = f"Bearer {secret}"
        self._poster = Poster(
            settings.url,
            timeout=settings.timeout,
            agent=f"postroad/{VERSION}",
            ca=settings.ca,
            connections=settings.connections,
        )
        self._is_open = False

    @property
    def offers(self) -> frozenset[str]:
        """Passwords alone."""
        return frozenset((PASSWORDS,))

    async def verify(self, login: str, secret: str, attempt: Attempt) -> Identity | Denied | Unavailable | None:
        """What the service says."""
        if not secret:
            return Denied("an empty password")
        try:
            body = msgspec.json.encode(
                Question(
                    login,
                    secret,
                    attempt.ip,
                    attempt.mechanism,
                    attempt.listener,
                    attempt.session,
                    attempt.is_secure,
                )
            )
        except UnicodeEncodeError:
            return None  # nobody has such a name or password
        if not self._is_open:
            try:
                self._poster.open()
            except OSError as error:
                return Unavailable(f"the certificates cannot be read: {error.strerror}")
            self._is_open = True
        return meaning_of(await self._poster.ask(body, self._headers), self.name, login, secret, attempt.mechanism)

    async def scram_keys(self, _login: str, _hash: str, _attempt: Attempt) -> ScramKeys | Denied | Unavailable | None:
        """There are none."""
        return None

    async def token(self, _login: str, _token: str, _attempt: Attempt) -> Identity | Denied | Unavailable | None:
        """There are none."""
        return None

    async def look_up(self, _login: str, _attempt: Attempt) -> Identity | Denied | Unavailable | None:
        """The service is only ever asked with a password."""
        return None

    async def close(self) -> None:
        """Close the connections."""
        await self._poster.close()


def meaning_of(
    answer: Answer, source: str, login: str, secret: str, mechanism: str
) -> Identity | Denied | Unavailable | None:
    """What `answer` says of `login`."""
    match answer.status:
        case 200:
            said = _decoded(answer.body, Yes)
            if said is None:
                return Unavailable("the service answered 200 with something else than it should")
            return _identity(said, source, login, mechanism)
        case 401 | 403:
            why = _decoded(answer.body, No) or No()
            if not why.known:
                return None
            reason = "".join(sign for sign in why.reason[:REASON_LIMIT] if sign.isprintable())
            told = f": {reason}" if reason and secret not in why.reason else ""
            return Denied(f"the service says no (HTTP {answer.status}){told}", EXPIRED if why.expired else WRONG)
    return Unavailable(str(answer))


def _identity(said: Yes, source: str, login: str, mechanism: str) -> Identity | Unavailable:
    if max(map(len, (said.addresses, said.groups, said.scopes))) > VALUES_LIMIT:
        return Unavailable(f"the service gives more than {VALUES_LIMIT} addresses, groups or scopes")
    name = said.login or login
    if len(name) > LOGIN_LIMIT or not name.isprintable():
        return Unavailable("the service gives a login that is none")
    try:
        addresses = tuple(map(parse_address, said.addresses))
    except LineError:
        return Unavailable("the service gives an address that is none")
    return Identity(name, source, mechanism, addresses, frozenset(said.groups), said.scopes)


def _decoded(body: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _make(name: str, settings: HttpSettings, secret: str) -> ClosableSource:
    if settings.ca:
        try:
            ssl.create_default_context(cafile=settings.ca)
        except OSError as error:
            raise ConfigError([f"auth.http.{name}.ca: {settings.ca}: {error.strerror or error}"]) from None
    return HttpSource(name, settings, secret)


make_http: Final[MakeHttp] = _make
