"""Changes of the users file's text: lines taken out and put in, all others as they were (pure).

Invariant: what is said of one user never touches a line of another, nor a comment.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from postroad.auth.userlines import (
    NONE,
    Attributes,
    Flaw,
    Line,
    LineError,
    ScramLine,
    key_of,
    parse_line,
    parse_lines,
    show_line,
    show_scram,
)
from postroad.auth.usertable import User, Users, users_of
from postroad.smtp.scram import SHA1, SHA256, key_pair, salted_password

HASHES: Final = (("SCRAM-SHA-256", SHA256), ("SCRAM-SHA-1", SHA1))


class Means(Struct, frozen=True):
    """What new credentials are made with: which SCRAM forms, their rounds, a fresh salt, and how to hash."""

    scram: Sequence[str]
    rounds: int
    salt: bytes
    hash: Callable[[str], str]


def read(text: str) -> Users:
    """The users in `text`."""
    flaws: list[Flaw] = []
    return users_of(list(parse_lines(text, flaws)), flaws)


def credentials(secret: str, user: User | None, means: Means) -> list[str]:
    """What stands for a new password of `user`: its hash, and SCRAM forms, which share the salt of app passwords."""
    return [means.hash(secret), *(_form(secret, name, user, means) for mech, name in HASHES if mech in means.scram)]


def app_credentials(secret: str, user: User, means: Means) -> list[str]:
    """What stands for an app password: SCRAM forms alone, since it is too random to be guessed."""
    names = [name for mech, name in HASHES if name == SHA256 or mech in means.scram]
    return [_form(secret, name, user, means) for name in names]


def _form(secret: str, name: str, user: User | None, means: Means) -> str:
    salt, rounds = means.salt, means.rounds
    known = None if user is None else user.stored(name)
    if known is not None:
        salt, rounds = known[0].salt, known[0].iterations
    return show_scram(ScramLine(name, salt, rounds, key_pair(salted_password(secret, salt, rounds, name), name)))


def put(text: str, lines: Iterable[str]) -> str:
    """`text` with `lines` behind the others of the same user, or at its end."""
    old = text.split("\n")
    while old and not old[-1]:
        old.pop()
    new = list(lines)
    name = new[0].partition(":")[0]
    places = [place for place, line in enumerate(old) if _is_of(line, name)]
    at = places[-1] + 1 if places else len(old)
    return "\n".join((*old[:at], *new, *old[at:], ""))


def without(text: str, name: str, wanted: Callable[[Line], bool] | None = None) -> str:
    """`text` without the lines of `name`: all, even broken ones, or those that are `wanted` out."""
    kept = []
    for line in text.split("\n"):
        if _is_of(line, name):
            try:
                if wanted is None or wanted(parse_line(line.strip())):
                    continue
            except LineError:
                pass
        kept.append(line)
    return "\n".join(kept)


def with_about(text: str, user: User, **changes: object) -> str:
    """`text` in which other things are said of `user`."""
    about: Attributes = replace(user.about, **changes)
    bare = without(text, user.name, lambda line: line.credential is None)
    return bare if about == Attributes() else put(bare, [show_line(user.name, NONE, about)])


def _is_of(line: str, name: str) -> bool:
    mine, colon, _ = line.strip().partition(":")
    return bool(colon) and not mine.startswith("#") and key_of(mine) == key_of(name)
