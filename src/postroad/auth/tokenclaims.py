"""What a token says, judged: is it for us, in force, and whose is it? Pure: the time is a parameter.

Signature and issuer are others' business. Whatever is missing, of another type than it should be, or merely odd makes
the answer a no, with an exact reason that repeats nothing of the token but names of claims (RFC 7519 4.1, RFC 9068 4).
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from postroad.auth.oauthsettings import OAuthSettings
from postroad.auth.source import Denied
from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.errors import AddressError
from postroad.model.identity import Identity

Claims = Mapping[str, object]
_LOGIN_LIMIT: Final = 320
_LAST: Final = 1e12  # seconds since 1970 that are still a time
_GROUPS_LIMIT: Final = 1000
_ADDRESSES_LIMIT: Final = 100


class Client(Struct, frozen=True, gc=False):
    """Who the client says it is, "" when it says nothing, and by which mechanism."""

    login: str
    mechanism: str


def judge(claims: Claims, settings: OAuthSettings, source: str, client: Client, now: float) -> Identity | Denied:
    """Who the token with `claims` speaks of; `now` in seconds since 1970."""
    names = _names(claims, settings.login_claims)
    login = names[0] if names else ""
    reason = (
        _time_problem(claims, settings.leeway, now)
        or _audience_problem(claims, settings.audiences)
        or _scope_problem(claims, settings.scopes)
        or _claim_problem(claims, settings.claims)
    )
    if not reason and not login:
        reason = f"the token names nobody: it has none of {', '.join(settings.login_claims)}"
    if not reason and client.login and client.login.lower() not in {name.lower() for name in names}:
        reason = "the token is somebody else's than the client says"
    if reason:
        return Denied(reason, login=login)
    return Identity(
        login=login,
        source=source,
        mechanism=client.mechanism,
        addresses=tuple(_addresses(claims, settings.address_claims)),
        groups=frozenset(texts(claims.get(settings.groups_claim))[:_GROUPS_LIMIT]),
    )


def texts(value: object) -> list[str]:
    """The texts of a claim that is one or a list of them."""
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _time_problem(claims: Claims, leeway: float, now: float) -> str:
    """RFC 7519 4.1.4 to 4.1.6; a token without an end is none."""
    expiry = _time(claims.get("exp"))
    if expiry is None:
        return "the token says no time at which it expires"
    if now >= expiry + leeway:
        return "the token has expired"
    for name in ("nbf", "iat"):
        if name in claims:
            begin = _time(claims[name])
            if begin is None:
                return f"{name} in the token is no time"
            if now < begin - leeway:
                return f"the token is not in force yet ({name})"
    return ""


def _time(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _LAST else None


def _audience_problem(claims: Claims, audiences: Iterable[str]) -> str:
    given = texts(claims.get("aud"))
    if not given:
        return "the token says no audience"
    return "" if not set(given).isdisjoint(audiences) else "the token is for another audience"


def _scope_problem(claims: Claims, wanted: tuple[str, ...]) -> str:
    """RFC 8693 4.2; Entra ID calls it scp, and some write a list."""
    given = {scope for name in ("scope", "scp") for text in texts(claims.get(name)) for scope in text.split()}
    missing = [scope for scope in wanted if scope not in given]
    return f"the token lacks the scope {missing[0]}" if missing else ""


def _claim_problem(claims: Claims, wanted: Mapping[str, tuple[str, ...]]) -> str:
    for name, values in wanted.items():
        found = claims.get(name)
        given = [str(found).lower()] if isinstance(found, bool) else texts(found)
        if set(given).isdisjoint(values):
            return f"the token has not the right {name}"
    return ""


def _names(claims: Claims, names: Iterable[str]) -> list[str]:
    """Each login that the token names."""
    found = []
    for name in names:
        value = claims.get(name)
        if isinstance(value, str) and _is_login(value) and not _is_unverified(claims, name):
            found.append(value)
    return found


def _is_login(text: str) -> bool:
    return bool(text) and len(text) <= _LOGIN_LIMIT and text.isprintable() and text == text.strip()


def _is_unverified(claims: Claims, name: str) -> bool:
    """OpenID Connect Core 5.1: an address that anybody may have written into a profile."""
    return name == "email" and claims.get("email_verified", True) not in (True, "true")


def _addresses(claims: Claims, names: Iterable[str]) -> list[Mailbox]:
    found: dict[Mailbox, None] = {}
    for name in names:
        if _is_unverified(claims, name):
            continue
        for text in texts(claims.get(name))[:_ADDRESSES_LIMIT]:
            try:
                address = parse_mailbox(text)
            except AddressError:
                continue
            if address.domain and address.local:
                found[address] = None
    return list(found)
