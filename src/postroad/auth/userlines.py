"""The users file as text: one credential a line, "name:credential:attributes" (pure).

`name:$argon2id$...` is a password, as it always was; `name:$scram-sha-256$i=ROUNDS$SALT$STORED$SERVER` (or scram-sha-1)
is a password in the form that SCRAM needs (RFC 5803 has the same parts in another order); `name:-` has no credential,
and what is said there holds for the user. Attributes are words: `app=LABEL` makes it an app password,
`scope=LISTENER,...` says where that may be used, `expires=YYYY-MM-DD` is its last day, `addresses=...`, `groups=...`,
`locked`, `strong`.
Invariant: a line that cannot be understood costs that line alone, and no flaw's text repeats what could be a secret.
"""

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

from msgspec import Struct

from postroad.model.address import Mailbox, parse_domain, parse_mailbox
from postroad.model.errors import AddressError
from postroad.smtp.sasl import LOGIN_LIMIT
from postroad.smtp.saslprep import prepare
from postroad.smtp.scram import SHA1, SHA256, KeyPair

ARGON2: Final = "$argon2id$"
NONE: Final = "-"
LEAST_ROUNDS: Final = 4096  # RFC 7677 4
MOST_ROUNDS: Final = 10_000_000  # a client could not bear more, and nor could we
_SCRAM: Final = (("$scram-sha-256$", SHA256, 32), ("$scram-sha-1$", SHA1, 20))
_FLAGS: Final = frozenset(("locked", "strong"))
_LISTS: Final = frozenset(("scope", "addresses", "groups"))
_OF_USER: Final = frozenset(("locked", "strong", "addresses", "groups"))
_OF_PASSWORD: Final = frozenset(("expires", "addresses"))
_OF_APP: Final = frozenset(("app", "scope", "expires", "addresses"))


class ScramLine(Struct, frozen=True, gc=False):
    """A password as SCRAM has it."""

    hash_name: str
    salt: bytes
    iterations: int
    pair: KeyPair


class Attributes(Struct, frozen=True, gc=False, kw_only=True):
    """What stands behind a credential; `expires` is the instant at which it ends, in microseconds since 1970, or 0."""

    app: str = ""
    scope: tuple[str, ...] = ()
    expires: int = 0
    addresses: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    locked: bool = False
    strong: bool = False


class Line(Struct, frozen=True):
    """One line: `credential` is the hash of argon2, a SCRAM form, or None where the line is about the user."""

    name: str
    credential: str | ScramLine | None
    attributes: Attributes
    number: int = 0

    def __repr__(self) -> str:
        """Without the credential."""
        return f"Line({self.name!r}, line {self.number})"


class LineError(ValueError):
    """Why a line cannot be used."""


class Flaw(Struct, frozen=True):
    """A line, from 1, that cannot be used, and why."""

    line: int
    text: str


def key_of(name: str) -> str:
    """What a login is looked up by: prepared, without regard to case."""
    return prepare(name).casefold()


def parse_lines(text: str, flaws: list[Flaw]) -> Iterator[Line]:
    """All lines of `text` that can be used; the others become flaws."""
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line[0] == "#":
            continue
        try:
            yield parse_line(line, number)
        except LineError as error:
            flaws.append(Flaw(number, str(error)))


def parse_line(line: str, number: int = 0) -> Line:
    """One line; LineError."""
    name, colon, rest = line.partition(":")
    if not colon:
        raise LineError('has no colon; a line is "name:credential"')
    check_name(name)
    word, _, words = rest.partition(":")
    credential = _credential(word)
    attributes = _attributes(words, user=credential is None)
    if attributes.scope and not attributes.app:
        raise LineError("scope belongs to an app password (app=LABEL)")
    if attributes.app and not isinstance(credential, ScramLine):
        raise LineError("an app password is in a SCRAM form; `postroad user app-password` makes it")
    return Line(name, credential, attributes, number)


def check_name(name: str) -> None:
    """LineError unless `name` can be the name of a user."""
    if not name or len(name) > LOGIN_LIMIT or not name.isprintable() or set(name) & set(" :") or name[0] == "#":
        raise LineError("the name is empty, too long, or has spaces, colons or control characters")


def check_word(word: str) -> None:
    """LineError unless `word` can stand in an attribute."""
    if not word or not word.isprintable() or set(word) & set(" ,:="):
        raise LineError("a value is empty, or has spaces, commas, colons or equals signs")


def parse_address(text: str) -> Mailbox:
    """What a user may send as: an address, or "@domain" for all of a domain; LineError."""
    try:
        if text.startswith("@"):
            domain = parse_domain(text[1:])
            return Mailbox(f"@{domain}", "", domain)
        mailbox = parse_mailbox(text)
    except AddressError as error:
        raise LineError(f"addresses has something that is neither an address nor @domain: {error}") from None
    if not mailbox.domain:
        raise LineError("addresses has an address without a domain")
    return mailbox


def show_scram(line: ScramLine) -> str:
    """The credential as it stands in the file."""
    mark = next(mark for mark, name, _ in _SCRAM if name == line.hash_name)
    parts = (line.salt, line.pair.stored_key, line.pair.server_key)
    return f"{mark}i={line.iterations}$" + "$".join(b64encode(part).decode() for part in parts)


def show_line(name: str, credential: str, attributes: Attributes) -> str:
    """A whole line as it stands in the file; LineError when something cannot be written so."""
    check_name(name)
    words = []
    if attributes.app:
        check_word(attributes.app)
        words.append(f"app={attributes.app}")
    for key in ("scope", "addresses", "groups"):
        values: tuple[str, ...] = getattr(attributes, key)
        for value in values:
            check_word(value)
        if values:
            words.append(f"{key}={','.join(values)}")
    if attributes.expires:
        words.append(f"expires={last_day(attributes.expires).isoformat()}")
    words += [flag for flag in sorted(_FLAGS) if getattr(attributes, flag)]
    return f"{name}:{credential}" + (f":{' '.join(words)}" if words else "")


def end_of(day: date) -> int:
    """The instant at which `day` is over (UTC), in microseconds since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + 86400) * 1_000_000


def last_day(expires: int) -> date:
    """The last day on which what `expires` then is good."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=expires - 1)).date()


def _credential(word: str) -> str | ScramLine | None:
    if word == NONE:
        return None
    if word.startswith(ARGON2):
        if len(word.split("$")) != 6:
            raise LineError("the hash of argon2 has not all its parts")
        return word
    for mark, name, size in _SCRAM:
        if word.startswith(mark):
            return _scram(word[len(mark) :].split("$"), name, size)
    raise LineError('the credential is neither of argon2id nor of SCRAM, nor "-"; `postroad user` makes them')


def _scram(parts: list[str], name: str, size: int) -> ScramLine:
    try:
        rounds, *octets = parts
        salt, stored, server = (b64decode(part, validate=True) for part in octets)
    except (ValueError, Error):
        raise LineError("the SCRAM form has not all its parts") from None
    digits = rounds.removeprefix("i=")
    if not (digits.isascii() and digits.isdigit() and LEAST_ROUNDS <= int(digits) <= MOST_ROUNDS):
        raise LineError(f"the rounds of SCRAM are {LEAST_ROUNDS} to {MOST_ROUNDS}")
    if not salt or len(stored) != size or len(server) != size:
        raise LineError("the SCRAM form has parts of another length")
    return ScramLine(name, salt, int(digits), KeyPair(stored, server))


def _attributes(words: str, *, user: bool) -> Attributes:
    found: dict[str, str | tuple[str, ...] | bool | int] = {}
    for place, word in enumerate(words.split(), 1):
        key, equals, value = word.partition("=")
        if key in found:
            raise LineError(f"{key} is there twice")
        if key in _FLAGS and not equals:
            found[key] = True
        elif key in _LISTS and value:
            found[key] = tuple(value.split(","))
            if key == "addresses":
                for address in value.split(","):
                    parse_address(address)
        elif key == "expires":
            found[key] = _day(value)
        elif key == "app" and value:
            found[key] = value
        else:
            raise LineError(f"attribute {place} is not known, or has not its form")
    allowed = _OF_USER if user else _OF_APP if "app" in found else _OF_PASSWORD | {"scope"}
    for key in found:
        if key not in allowed:
            raise LineError(f"{key} belongs to {'a credential' if user else 'the line of the user (name:-:...)'}")
    return Attributes(**found)  # type: ignore[arg-type]  # the loop gave each its type


def _day(value: str) -> int:
    try:
        return end_of(date.fromisoformat(value))
    except ValueError:
        raise LineError("expires is no date; write it like 2027-01-31") from None
