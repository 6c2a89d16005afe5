"""Options of routes (`[[routes]]`), of egress rules (`[[egress]]`) and names of providers (`[sites]`).

Routes and egress rules are ordered, the first that matches wins. Patterns: a domain, "*.domain" (any depth
below), user@domain, or "*". Next hops: "smtp://host[:port]", "smtps://...", "smtp+srv://name", "lmtp://host:port",
"lmtp:///socket", "mx" (look up the recipient domain's MX), "capture:".
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from postroad.model.address import parse_domain, parse_mailbox
from postroad.model.errors import AddressError
from postroad.model.option import Duration, Settings, Size, named
from postroad.routing.lanes import WEIGHT_LIMIT, parse_code, parse_failure


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


def _host_pattern(text: str) -> str:
    bare = text.removeprefix("*.")
    try:
        return text[: len(text) - len(bare)] + parse_domain(bare)
    except AddressError as error:
        raise ValueError(f'not a pattern of host names: {error}; write "mx.example.com" or "*.example.com"') from None


def _failure(text: str) -> str:
    parse_failure(text)
    return text


def rewrite_pattern(text: str) -> str:
    """`text`, when it can replace a recipient: "*@new.example" or "user@new.example"."""
    local, at, domain = text.rpartition("@")
    try:
        if local == "*":
            parse_domain(domain)
        elif not parse_mailbox(text).local.isascii():
            raise AddressError("the local part is not ASCII")
    except AddressError as error:
        at, words = "", f"{error}; "
    else:
        words = ""
    if not at:
        raise ValueError(f'{words}write "*@new.example" to keep the local part, or "user@new.example"')
    return text


def _form(value: object) -> str:
    return "<text>" if isinstance(value, str) else "<table>"


RecipientPattern = Annotated[str, AfterValidator(_recipient_pattern)]
SenderPattern = Annotated[str, AfterValidator(_sender_pattern)]
HostPattern = Annotated[str, AfterValidator(_host_pattern)]
Name = Annotated[str, AfterValidator(named("a name"))]
Code = Annotated[str, AfterValidator(parse_code)]
Failure = Annotated[str, AfterValidator(_failure)]
Rewriting = Annotated[str, AfterValidator(rewrite_pattern)]


class HopSettings(Settings):
    """A next hop with its weight."""

    hop: str = Field(description="The next hop, as it is written alone.")
    weight: int = Field(1, description='Its share where balance = "weighted".', ge=1, le=WEIGHT_LIMIT)


class ThenSettings(Settings):
    """What is done with a recipient instead of sending; one of the two."""

    fail: Failure | None = Field(None, description='Fail it for good, with a DSN: "550 5.7.1 text".')
    rewrite: Rewriting | None = Field(
        None, description='Replace it when the message is accepted: "*@new.example" or "user@new.example".'
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.fail is None) == (self.rewrite is None):
            raise ValueError('write one of { fail = "550 5.7.1 text" } and { rewrite = "*@new.example" }')
        return self


Hop = Annotated[Annotated[str, Tag("<text>")] | Annotated[HopSettings, Tag("<table>")], Discriminator(_form)]
Then = Annotated[
    Annotated[Literal["hold", "discard"], Tag("<text>")] | Annotated[ThenSettings, Tag("<table>")], Discriminator(_form)
]


class RouteSettings(Settings):
    """One route."""

    name: Name | None = Field(None, description="What reasons call it; without a name, its number.")
    recipients: tuple[RecipientPattern, ...] = Field(
        ("*",), description='Recipients it is for: domain, "*.domain", user@domain or "*".', min_length=1
    )
    senders: tuple[SenderPattern, ...] = Field(
        (), description='Reverse-paths it is for, same patterns and "<>"; none given: all.'
    )
    listeners: tuple[str, ...] = Field((), description="Names of listeners the mail came in by; none given: all.")
    logins: tuple[str, ...] = Field((), description='Logins the mail came in with, "*" for any; none given: all mail.')
    larger_than: Size = Field(0, description="Octets of content that a message must have more of; 0: any size.", ge=0)
    smaller_than: Size = Field(0, description="Octets of content that a message must have less of; 0: any size.", ge=0)
    tags: tuple[str, ...] = Field((), description="Tags of which the message must have one; none given: all mail.")
    next_hops: tuple[Hop, ...] = Field(
        (),
        description='Where to: "smtp://host[:port]", "smtps://host[:port]", "smtp+srv://name", "lmtp://host:port", '
        '"lmtp:///path", "mx" or "capture:", or a table of hop and weight. This or `then`.',
        json_schema_extra={"default": "required without `then`"},
    )
    balance: Literal["failover", "round-robin", "weighted", "least-busy"] = Field(
        "failover",
        description="How several next hops share the mail: the first that works, in turn, by weight, or the one with "
        "the fewest connections in use.",
    )
    source: Name | None = Field(None, description="Egress source or pool to send from; without: as [[egress]] says.")
    fallback: tuple[Hop, ...] = Field((), description="Next hops for mail that the others did not take in time.")
    fallback_after: Duration = Field(
        "1h", description='Age at which a recipient moves on to the fallback; "never": not for its age.', ge=0
    )
    fallback_on: tuple[Code, ...] = Field(
        (), description='Deferrals that move it on at once: "4.4.1", or "4.7." for all that begin so.'
    )
    then: Then | None = Field(
        None,
        description="Instead of sending: hold it, discard it, or a table with `fail` or `rewrite`.",
    )


class EgressSettings(Settings):
    """One rule that chooses where mail is sent from, where its route does not."""

    senders: tuple[SenderPattern, ...] = Field(
        (), description='Reverse-paths it is for: domain, "*.domain", user@domain, "*" or "<>"; none given: all.'
    )
    recipients: tuple[RecipientPattern, ...] = Field(
        ("*",), description='Recipients it is for: domain, "*.domain", user@domain or "*".', min_length=1
    )
    tags: tuple[str, ...] = Field((), description="Tags of which the message must have one; none given: all mail.")
    source: Name = Field(description="Egress source or pool to send from.")


Sites = dict[Name, tuple[HostPattern, ...]]
