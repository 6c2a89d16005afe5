"""SASL mechanisms, the server's side, without I/O: octets of the client in, challenges and questions out. Pure.

PLAIN (RFC 4616), LOGIN, SCRAM with and without channel binding (RFC 5802), XOAUTH2, OAUTHBEARER (RFC 7628), EXTERNAL
(RFC 4422 app. A). A mechanism is a generator: it yields a `Challenge` and is sent the client's response,
or yields a question and is sent its answer; it returns which key was proved. What is not of its form is a `SaslError`.
Invariant: nothing here has an opinion on whether somebody may log in.
"""

import json
from collections.abc import Callable, Generator, Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.model.errors import SaslError
from postroad.smtp import scram
from postroad.smtp.saslprep import prepare
from postroad.smtp.scram import Stored

NOT_PROVED: Final = -1
PROVED: Final = 0
LOGIN_LIMIT: Final = 512  # characters


class Challenge(Struct, frozen=True, gc=False):
    """Send this to the client; its response is what comes next."""

    data: bytes


class PasswordGiven(Struct, frozen=True, gc=False):
    """Is `secret` a password of `login`? Answered with True or False."""

    login: str
    secret: str

    def __repr__(self) -> str:
        """Without the password."""
        return f"PasswordGiven({self.login!r})"


class TokenGiven(Struct, frozen=True, gc=False):
    """Is `token` an access token of `login` ("" where the client names none)? Answered with True or False."""

    login: str
    token: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"TokenGiven({self.login!r})"


class KeysWanted(Struct, frozen=True, gc=False):
    """What is kept of the passwords of `login` for this hash? Answered with `Stored`, made up for who is not known."""

    login: str
    hash_name: str


class CertificateShown(Struct, frozen=True, gc=False):
    """Whose is the certificate of the connection? `login` is who the client wants to be, or "". Answered as above."""

    login: str


class Ended(Struct, frozen=True, gc=False):
    """The exchange is over: `place` is that of the proved key, PROVED, or NOT_PROVED."""

    place: int


class Setting(Struct, frozen=True, gc=False, kw_only=True):
    """What an exchange is given: a fresh `nonce`, the connection's channel bindings by type, and what is offered.

    `hint` is told to clients whose token was refused (RFC 7628 3.2.2).
    """

    nonce: str
    bindings: Mapping[str, bytes] = MappingProxyType({})
    offers_binding: bool = False
    hint: Mapping[str, str] = MappingProxyType({})


Question = PasswordGiven | TokenGiven | KeysWanted | CertificateShown
Answer = bool | Stored
Step = Challenge | Question
Script = Generator[Step, bytes | Answer, int]
Mechanism = Callable[[Setting], Script]


class Exchange:
    """One run of a mechanism."""

    def __init__(self, mechanism: str, setting: Setting) -> None:
        """KeyError when there is no such `mechanism`; its name is in capitals."""
        self._script = MECHANISMS[mechanism](setting)

    def start(self, initial: bytes | None) -> Step | Ended:
        """The first step; `initial` is the initial response, None when there was none (RFC 4954 4)."""
        step = next(self._script)
        return step if initial is None else self.give(initial)

    def give(self, value: bytes | Answer) -> Step | Ended:
        """The next step, after the client's response to a challenge or the answer to a question; SaslError."""
        try:
            return self._script.send(value)
        except StopIteration as end:
            place: int = end.value
            return Ended(place)


def _ask(data: bytes) -> Generator[Step, bytes | Answer, bytes]:
    """Send a challenge, get the response."""
    response = yield Challenge(data)
    if not isinstance(response, bytes):
        raise AssertionError("answered instead of responded")  # noqa: TRY004  a bug of the caller's
    return response


def _is_right(question: Question) -> Generator[Step, bytes | Answer, bool]:
    """Ask a question, get its answer."""
    answer = yield question
    return answer is True


def _plain(_setting: Setting) -> Script:
    message = yield from _ask(b"")
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise SaslError("PLAIN takes authorization identity, login and password, parted by NUL")
    login = _login(parts[1])
    _same(_optional(parts[0]), login)
    right = yield from _is_right(PasswordGiven(login, _secret(parts[2])))
    return PROVED if right else NOT_PROVED


def _login_mechanism(_setting: Setting) -> Script:
    login = _login((yield from _ask(b"Username:")))
    secret = _secret((yield from _ask(b"Password:")))
    right = yield from _is_right(PasswordGiven(login, secret))
    return PROVED if right else NOT_PROVED


def _external(_setting: Setting) -> Script:
    login = _optional((yield from _ask(b"")))
    right = yield from _is_right(CertificateShown(login))
    return PROVED if right else NOT_PROVED


def _scram(hash_name: str, *, bound: bool) -> Mechanism:
    def run(setting: Setting) -> Script:
        first = scram.parse_first((yield from _ask(b"")))
        login = _login(first.login.encode())
        _same(first.authorization, login)
        if bound and first.binding not in setting.bindings:
            raise SaslError("the mechanism needs a channel binding, of a type that the connection has")
        if not bound and first.binding not in ("y", "n"):
            raise SaslError("a channel binding belongs to a mechanism with -PLUS")
        if first.binding == "y" and setting.offers_binding:
            raise SaslError("the client did not see that channel binding is offered: somebody may be in between")
        stored = yield KeysWanted(login, hash_name)
        if not isinstance(stored, Stored):
            raise AssertionError("KeysWanted is answered with Stored")  # noqa: TRY004  a bug of the caller's
        challenge = scram.server_first(first, setting.nonce, stored)
        final = yield from _ask(challenge)
        place, proof = scram.Verifier(hash_name, first, challenge, setting.bindings).judge(final, stored.keys)
        if place >= 0 and (yield from _ask(proof)):  # RFC 4954 4: there is no other place for the server's proof
            raise SaslError("the response to the server's proof is not empty")
        return place

    return run


def _bearer(name: str, parse: Callable[[bytes], tuple[str, str]]) -> Mechanism:
    status = {"status": "400", "schemes": "Bearer"} if name == "XOAUTH2" else {"status": "invalid_token"}

    def run(setting: Setting) -> Script:
        login, token = parse((yield from _ask(b"")))
        if (yield from _is_right(TokenGiven(login, token))):
            return PROVED
        # The client reads why, answers with a dummy, and then the exchange has failed (RFC 7628 3.2.3).
        yield from _ask(json.dumps({**status, **setting.hint}).encode())
        return NOT_PROVED

    return run


def _parse_xoauth2(message: bytes) -> tuple[str, str]:
    user, auth, *rest = (*message.split(b"\1"), b"")
    if not user.startswith(b"user=") or rest[:2] != [b"", b""]:
        raise SaslError("XOAUTH2 takes user and auth, each ended by ^A, and one more ^A")
    return _login(user[5:]), _token(auth)


def _parse_oauthbearer(message: bytes) -> tuple[str, str]:
    header, *fields = message.split(b"\1")
    flag, _, rest = header.partition(b",")
    authorization, comma, extra = rest.partition(b",")
    if flag not in (b"n", b"y") or not comma or extra or fields[-2:] != [b"", b""]:
        raise SaslError("OAUTHBEARER takes a GS2 header and fields, each ended by ^A, and one more ^A")
    if authorization and not authorization.startswith(b"a="):
        raise SaslError("the GS2 header has something else than an authorization identity")
    auth = next((field for field in fields if field.lower().startswith(b"auth=")), b"")
    return _optional(authorization[2:].replace(b"=2C", b",").replace(b"=3D", b"=")), _token(auth)


def _token(field: bytes) -> str:
    key, _, value = field.partition(b"=")
    scheme, _, token = value.strip().partition(b" ")
    token = token.strip()
    if key.lower() != b"auth" or scheme.lower() != b"bearer" or not token:
        raise SaslError("there is no bearer token")
    text = _text(token)
    if not text.isascii() or not text.isprintable() or " " in text:
        raise SaslError("the token is not of the form of one")  # RFC 6750 2.1
    return text


def _same(authorization: str, login: str) -> None:
    """Nobody acts for somebody else."""
    if authorization and authorization.lower() != login.lower():
        raise SaslError("the authorization identity is another than the login")


def _login(octets: bytes) -> str:
    login = _optional(octets)
    if not login:
        raise SaslError("the login is empty")
    return login


def _optional(octets: bytes) -> str:
    login = prepare(_text(octets))
    if len(login) > LOGIN_LIMIT or not login.isprintable():
        raise SaslError("the login is too long or has control characters")
    return login


def _secret(octets: bytes) -> str:
    secret = _text(octets)
    if not secret or "\0" in secret:
        raise SaslError("the password is empty or has NUL")
    return secret


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise SaslError("the response is not UTF-8") from None


EXTERNAL: Final = "EXTERNAL"
MECHANISMS: Final[Mapping[str, Mechanism]] = MappingProxyType(  # in the order in which they are offered
    {
        "SCRAM-SHA-256-PLUS": _scram(scram.SHA256, bound=True),
        "SCRAM-SHA-1-PLUS": _scram(scram.SHA1, bound=True),
        "SCRAM-SHA-256": _scram(scram.SHA256, bound=False),
        "SCRAM-SHA-1": _scram(scram.SHA1, bound=False),
        EXTERNAL: _external,
        "OAUTHBEARER": _bearer("OAUTHBEARER", _parse_oauthbearer),
        "XOAUTH2": _bearer("XOAUTH2", _parse_xoauth2),
        "PLAIN": _plain,
        "LOGIN": _login_mechanism,
    }
)
