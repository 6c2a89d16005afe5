"""The users of a file, put together from its lines, and what each of their passwords says of who presents it (pure).

A login may have one password, its SCRAM forms, and any number of app passwords. SCRAM can tell passwords of one login
apart only when they share salt and rounds (RFC 5802 3), so the first form decides for its hash, and one that differs is
a doubt: it works with PLAIN and LOGIN alone.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from postroad.auth.source import EXPIRED, SCRAM_SHA1, SCRAM_SHA256, WEAK, Denied
from postroad.auth.userlines import Attributes, Flaw, Line, ScramLine, key_of, parse_address
from postroad.model.identity import Identity
from postroad.smtp.scram import SHA256, Stored

SENT: Final = frozenset(("PLAIN", "LOGIN"))  # mechanisms that send the password itself


class Password(Struct, frozen=True):
    """One password: its hash or SCRAM form, and what was said about it."""

    form: str | ScramLine
    attributes: Attributes

    def __repr__(self) -> str:
        """Without the password."""
        return f"Password({self.attributes.app!r})"


class User(Struct):
    """One user."""

    name: str
    about: Attributes
    passwords: list[Password]

    def stored(self, hash_name: str) -> tuple[Stored, tuple[Password, ...]] | None:
        """What SCRAM with `hash_name` needs, and the passwords in the order of its keys."""
        forms = [
            (one, one.form)
            for one in self.passwords
            if isinstance(one.form, ScramLine) and one.form.hash_name == hash_name
        ]
        if not forms:
            return None
        salt, rounds = forms[0][1].salt, forms[0][1].iterations
        same = [(one, form) for one, form in forms if (form.salt, form.iterations) == (salt, rounds)]
        return Stored(salt, rounds, tuple(form.pair for _, form in same)), tuple(one for one, _ in same)

    def has_all(self, hash_name: str) -> bool:
        """True when SCRAM with `hash_name` works with every password."""
        known = self.stored(hash_name)
        labels = {one.attributes.app for one in self.passwords}
        return known is not None and {one.attributes.app for one in known[1]} == labels

    def argon2(self) -> Password | None:
        """The password that has a hash of argon2."""
        return next((one for one in self.passwords if isinstance(one.form, str)), None)

    def slow_forms(self) -> list[tuple[ScramLine, list[Password]]]:
        """The SCRAM forms that tell whether a password that was sent is right, by what has to be computed for each."""
        hashed = {one.attributes.app for one in self.passwords if isinstance(one.form, str)}
        groups: dict[tuple[str, bytes, int], tuple[ScramLine, list[Password]]] = {}
        seen = set(hashed)
        for one in sorted(
            self.passwords, key=lambda one: isinstance(one.form, ScramLine) and one.form.hash_name != SHA256
        ):
            form, label = one.form, one.attributes.app
            if isinstance(form, ScramLine) and label not in seen:
                seen.add(label)
                groups.setdefault((form.hash_name, form.salt, form.iterations), (form, []))[1].append(one)
        return list(groups.values())

    def judge(self, password: Password, *, source: str, mechanism: str, listener: str, now: int) -> Identity | Denied:
        """What the right `password` makes of its owner."""
        about, said = self.about, password.attributes
        if about.locked:
            return Denied("the user is locked")
        if said.expires and now >= said.expires:
            if said.app:
                return Denied(f"the app password {said.app} has expired")
            return Denied("the password has expired", EXPIRED)
        if said.scope and listener not in said.scope:
            return Denied(f"the app password {said.app} is not for listener {listener}")
        if about.strong and mechanism in SENT:
            return Denied("the user may not send a password (strong)", WEAK)
        return self.identity(source, mechanism, said)

    def identity(self, source: str, mechanism: str, said: Attributes) -> Identity:
        """Who it is."""
        about = self.about
        addresses = tuple(map(parse_address, said.addresses or about.addresses))
        return Identity(self.name, source, mechanism, addresses, frozenset(about.groups), said.scope)


class Users(Struct):
    """All of them, by the key of their names; with which hashes SCRAM works for `all` of them, and for `some`."""

    users: dict[str, User]
    all: frozenset[str]
    some: frozenset[str]
    flaws: list[Flaw]


def users_of(lines: Iterable[Line], flaws: list[Flaw]) -> Users:
    """The users that `lines` describe; `flaws` are those of lines, more are added."""
    users: dict[str, User] = {}
    about: dict[str, Line] = {}
    for line in lines:
        key = key_of(line.name)
        if line.credential is None:
            if key in about:
                flaws.append(Flaw(line.number, f"the user has a line of attributes already: line {about[key].number}"))
                continue
            about[key] = line
        user = users.setdefault(key, User(line.name, Attributes(), []))
        if line.credential is None:
            user.about = line.attributes
        elif any(_is_same(one, line) for one in user.passwords):
            flaws.append(Flaw(line.number, "the user has a credential of this kind already, which counts"))
        else:
            user.passwords.append(Password(line.credential, line.attributes))
            if isinstance(line.credential, ScramLine) and not _shares_salt(user, line.credential):
                flaws.append(
                    Flaw(line.number, "SCRAM cannot use it: it has not the salt and rounds of the user's first")
                )
    with_passwords = [user for user in users.values() if user.passwords]
    names = (SCRAM_SHA256, SCRAM_SHA1)
    for_all = frozenset(n for n in names if with_passwords and all(user.has_all(n) for user in with_passwords))
    for_some = frozenset(n for n in names if any(user.stored(n) for user in with_passwords))
    flaws.sort(key=lambda flaw: flaw.line)
    return Users(users, for_all, for_some, flaws)


def _is_same(password: Password, line: Line) -> bool:
    def kind(form: str | ScramLine | None) -> str:
        return form.hash_name if isinstance(form, ScramLine) else "argon2"

    return password.attributes.app == line.attributes.app and kind(password.form) == kind(line.credential)


def _shares_salt(user: User, form: ScramLine) -> bool:
    known = user.stored(form.hash_name)
    return known is None or (known[0].salt, known[0].iterations) == (form.salt, form.iterations)
