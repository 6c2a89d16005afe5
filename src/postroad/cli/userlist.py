"""How users are listed: one line a user and one an app password, or JSON lines.

Nothing of a credential is shown but its kind.
"""

import msgspec

from postroad.auth.userlines import ScramLine, last_day
from postroad.auth.usertable import Password, User, Users
from postroad.smtp.scram import SHA256


class App(msgspec.Struct, omit_defaults=True):
    """An app password as listed."""

    label: str
    scope: tuple[str, ...] = ()
    expires: str = ""
    expired: bool = False
    addresses: tuple[str, ...] = ()


class Listed(msgspec.Struct, omit_defaults=True):
    """A user as listed."""

    name: str
    kinds: tuple[str, ...]
    expires: str = ""
    expired: bool = False
    addresses: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    locked: bool = False
    strong: bool = False
    apps: tuple[App, ...] = ()


def print_users(users: Users, now: int, *, as_json: bool) -> None:
    """All of them, by name."""
    for _, user in sorted(users.users.items()):
        listed = listed_of(user, now)
        if as_json:
            print(msgspec.json.encode(listed).decode())
            continue
        print("  ".join((listed.name, ", ".join(listed.kinds) or "no password", *_words(listed))))
        for app in listed.apps:
            words = [f"for {', '.join(app.scope)}"] if app.scope else []
            words += [f"as {', '.join(app.addresses)}"] if app.addresses else []
            words += [_until(app.expires, is_over=app.expired)] if app.expires else []
            print("  ".join((f"  app {app.label}", *words)))


def listed_of(user: User, now: int) -> Listed:
    """What is shown of `user`."""
    mine = [one for one in user.passwords if not one.attributes.app]
    apps = {one.attributes.app: one for one in user.passwords if one.attributes.app}
    ends = next((one.attributes.expires for one in mine if one.attributes.expires), 0)
    about = user.about
    return Listed(
        user.name,
        tuple(_kind(one) for one in mine),
        last_day(ends).isoformat() if ends else "",
        bool(ends) and now >= ends,
        about.addresses,
        about.groups,
        about.locked,
        about.strong,
        tuple(_app(one, now) for one in apps.values()),
    )


def _app(password: Password, now: int) -> App:
    said = password.attributes
    day = last_day(said.expires).isoformat() if said.expires else ""
    return App(said.app, said.scope, day, bool(said.expires) and now >= said.expires, said.addresses)


def _kind(password: Password) -> str:
    form = password.form
    if not isinstance(form, ScramLine):
        return "argon2id"
    return "SCRAM-SHA-256" if form.hash_name == SHA256 else "SCRAM-SHA-1"


def _words(listed: Listed) -> list[str]:
    words = ["LOCKED"] if listed.locked else []
    words += ["strong"] if listed.strong else []
    words += [f"as {', '.join(listed.addresses)}"] if listed.addresses else []
    words += [f"in {', '.join(listed.groups)}"] if listed.groups else []
    return words + ([_until(listed.expires, is_over=listed.expired)] if listed.expires else [])


def _until(day: str, *, is_over: bool) -> str:
    return f"EXPIRED {day}" if is_over else f"until {day}"
