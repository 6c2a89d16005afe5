"""Options of `[[rates]]` (how much somebody may send) and `[counting]` (where that is counted).

Limits of several sections hold together: a message has to fit into all that are for it. Nothing is counted of what one
of them refuses.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from postroad.model.counts import parse_cap
from postroad.model.days import Days
from postroad.model.option import Duration, SecretText, Settings
from postroad.policy.settings import AnyNetwork

Part = Literal["ip", "prefix", "login", "sender", "sender_domain", "recipient", "recipient_domain", "listener", "group"]
Counted = Literal["messages", "recipients", "bytes", "connections", "errors"]
_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_NAME_LIMIT: Final = 40
_LABEL_LIMIT: Final = 12  # of a period as it is written


def _name(text: str) -> str:
    if not text or len(text) > _NAME_LIMIT or set(text) - _NAME:
        raise ValueError(f"a name is 1 to {_NAME_LIMIT} letters, digits, hyphens and underscores")
    return text


def _cap(text: str) -> str:
    bare = text.strip()
    if bare.isascii() and bare.isdigit() and int(bare[:12]):
        return bare  # at once; `config.checkrates` says for what
    if len(parse_cap(text).label) > _LABEL_LIMIT:
        raise ValueError(f"{text!r}: write the period shorter")
    return text


def _zone(text: str) -> str:
    Days(text)
    return text


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Name = Annotated[str, AfterValidator(_name)]
CapText = Annotated[str, AfterValidator(_cap)]
Zone = Annotated[str, AfterValidator(_zone)]
Parts = Annotated[tuple[Part, ...], BeforeValidator(_one_or_more)]


class RateSettings(Settings):
    """One rate, with an account for each of whom it is for."""

    name: Name = Field(description="What records, commands and rules call it.")
    count: Counted = Field(
        "recipients",
        description="What is counted: messages, recipients or bytes that are taken, connections, or errors: refusals "
        "for good, unknown recipients, failed log-ins.",
    )
    per: Parts = Field(
        (),
        description="Who has an account of its own: each ip, prefix, login, sender, sender_domain, recipient, "
        "recipient_domain, listener or group, or each combination of several; none given: all have one together.",
    )
    limits: tuple[CapText, ...] = Field(
        description='How much: "100/1h" in any hour, "500MiB/24h", "1000/day" in a calendar day; of connections also '
        '"20", so many at once. All hold.',
        min_length=1,
    )
    then: Literal["defer", "hold"] = Field(
        "defer",
        description="What becomes of more: deferred with 450 or 451 (connections and errors: 421), or taken and held.",
    )
    listeners: tuple[str, ...] = Field((), description="Listeners it is for; none given: all.")
    networks: tuple[AnyNetwork, ...] = Field((), description="Networks of clients it is for; none given: all.")
    logins: tuple[str, ...] = Field((), description='Logins it is for, "*" for any text; none given: all mail.')
    groups: tuple[str, ...] = Field(
        (), description='Groups of logins it is for, "*" for any text; none given: all mail.'
    )
    except_networks: tuple[AnyNetwork, ...] = Field((), description="Networks of clients it is not for.")
    except_logins: tuple[str, ...] = Field((), description='Logins it is not for, "*" for any text.')
    prefix4: int = Field(24, description="Length of an IPv4 prefix.", ge=8, le=32)
    prefix6: int = Field(64, description="Length of an IPv6 prefix.", ge=16, le=128)
    timezone: Zone = Field("UTC", description='Whose calendar days "/day" means, as in "Europe/Berlin".')
    only_rules: bool = Field(False, description="Whether it is for mail alone of which a rule of `[[rules]]` says so.")


def _redis(text: str) -> str:
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError('write "redis://host:6379/0", "rediss://host:6379/0" or "unix:///path"')
    return text


class CountingSettings(Settings):
    """Where what `[[rates]]` limit is counted."""

    accounts: int = Field(
        65_536,
        description="Accounts held in memory, about 400 octets each, shared by all processes; the emptiest make room.",
        ge=256,
        le=4_194_304,
    )
    redis: Annotated[str, AfterValidator(_redis)] | None = Field(
        None,
        description='Redis or Valkey that several nodes count in: "redis://host:6379/0", "rediss://..." or '
        '"unix:///path". While it does not answer each node counts for itself.',
        json_schema_extra={"default": "none: this node counts for itself"},
    )
    username: str = Field("", description="User for it.")
    password: SecretText | None = Field(None, description="Password for it.", json_schema_extra={"default": "none"})
    prefix: str = Field(
        "postroad", description="What names of keys begin with there.", min_length=1, max_length=64, pattern="^[!-z]+$"
    )
    timeout: Duration = Field(0.25, description="How long an answer of it is waited for.", gt=0, le=20)
    retry: Duration = Field(5.0, description="How long it is left alone after it has not answered.", gt=0, le=3600)
