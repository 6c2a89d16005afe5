"""Options of signing (`[dkim]`): the keys of each domain, which mail each signs, and how signatures are made.

Mail is signed that comes from those who may relay: networks of ours, logins, the HTTP API, programs of this machine.
What strangers bring can be sealed (RFC 8617 5.1).
RFC 6376 3.5 (tags), RFC 6376 5.4 (fields).
"""

from datetime import date
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from postroad.mailauth.dkim_terms import OVERSIGNED_FIELDS, SIGNED_FIELDS
from postroad.model.option import NEVER, Duration, SecretText, Settings
from postroad.policy.settings import DomainName, DomainPattern

_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


def _text(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value  # TOML has days of its own


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat() if text else ""
    except ValueError:
        raise ValueError("not a day; write it like 2026-12-31") from None


def _field_name(text: str) -> str:
    if not text or set(text) - _NAME:
        raise ValueError("not the name of a header field")
    return text


def _with_from(names: tuple[str, ...]) -> tuple[str, ...]:
    if "from" not in {name.lower() for name in names}:
        raise ValueError("From must be among them (RFC 6376 5.4)")
    return names


Day = Annotated[str, BeforeValidator(_text), AfterValidator(_day)]
FieldName = Annotated[str, AfterValidator(_field_name)]


class DkimKeySettings(Settings):
    """One key, as `postroad dkim new` and `postroad dkim rotate` make them."""

    domain: DomainName = Field(description="Domain that signs (d=).")
    selector: DomainName = Field(description="Name of the key below `_domainkey` of the domain (s=).")
    key: SecretText = Field(description="The private key in PEM, RSA or Ed25519.")
    authors: tuple[DomainPattern, ...] = Field(
        (),
        description="Domains in the From field of what it signs.",
        json_schema_extra={"default": "`domain` alone"},
    )
    listeners: tuple[str, ...] = Field(
        (), description="Only what comes in by one of these listeners.", json_schema_extra={"default": "any"}
    )
    logins: tuple[str, ...] = Field(
        (), description="Only what one of these logins sends.", json_schema_extra={"default": "any, and none"}
    )
    begins: Day = Field("", description="First day (UTC) on which it signs.", json_schema_extra={"default": "at once"})
    ends: Day = Field(
        "", description="First day (UTC) on which it signs no more.", json_schema_extra={"default": "never"}
    )


class SealSettings(Settings):
    """The key that seals what strangers bring, with what was found out of it (ARC)."""

    domain: DomainName = Field(description="Domain that seals (d=).")
    selector: DomainName = Field(description="Name of the key below `_domainkey` of the domain (s=).")
    key: SecretText = Field(description="The private key in PEM, RSA; few know Ed25519 here.")


class DkimSettings(Settings):
    """Of several keys of a domain and of one kind (RSA, Ed25519) that may sign, one does.

    It is one with `logins` before one with `listeners`, and that before one with neither; then the one that began last;
    then the first.
    """

    keys: tuple[DkimKeySettings, ...] = Field((), description="Keys, and what each signs.")
    seal: SealSettings | None = Field(
        None,
        description="Mail of strangers is sealed for those behind us (ARC); needs the policy `dkim`, which checks earlier seals.",
        json_schema_extra={"default": "it is not"},
    )
    canonicalization: Literal["relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"] = Field(
        "relaxed/relaxed", description="How much relays may change of header and body without breaking a signature."
    )
    signed: Annotated[tuple[FieldName, ...], AfterValidator(_with_from)] = Field(
        SIGNED_FIELDS, description="Header fields that are signed, as often as they are there."
    )
    oversigned: tuple[FieldName, ...] = Field(
        OVERSIGNED_FIELDS, description="Those of `signed` of which none can be added."
    )
    expire_after: Duration = Field(
        NEVER, description="For how long a signature is good (x=); an hour at least.", ge=3600
    )
