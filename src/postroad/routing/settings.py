"""Options of routes (`[[routes]]`): ordered, the first that matches wins.

Patterns: a domain, "*.domain" (any depth below), user@domain, or "*". Next hops: "smtp://host[:port]",
"lmtp://host:port", "lmtp:///socket", "mx" (look up the recipient domain's MX), "capture:".
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from postroad.model.address import parse_domain, parse_mailbox
from postroad.model.errors import AddressError
from postroad.model.option import Settings


def _recipient_pattern(text: str) -> str:
    if text == "*":
        return text
    try:
        if "@" in text:
            parse_mailbox(text)
        else:
            parse_domain(text.removeprefix("*."))
    except AddressError as error:
        raise ValueError(
            f'not a pattern: {error}; write "example.com", "*.example.com", "user@example.com" or "*"'
        ) from None
    return text


def _sender_pattern(text: str) -> str:
    return text if text == "<>" else _recipient_pattern(text)


RecipientPattern = Annotated[str, AfterValidator(_recipient_pattern)]
SenderPattern = Annotated[str, AfterValidator(_sender_pattern)]


class RouteSettings(Settings):
    """One route."""

    recipients: tuple[RecipientPattern, ...] = Field(
        ("*",), description='Recipients it is for: domain, "*.domain", user@domain or "*".', min_length=1
    )
    senders: tuple[SenderPattern, ...] = Field(
        (), description='Reverse-paths it is for, same patterns and "<>"; none given: all.'
    )
    listeners: tuple[str, ...] = Field((), description="Names of listeners the mail came in by; none given: all.")
    next_hops: tuple[str, ...] = Field(
        description='Where to: "smtp://host[:port]", "lmtp://host:port", "lmtp:///path", "mx" or "capture:".',
        min_length=1,
    )
    balance: Literal["failover"] = Field(
        "failover", description="How several next hops share the mail: failover takes them in order."
    )
