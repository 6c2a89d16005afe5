"""Options of the queue: `[queue]`, rules for some of the mail (`[[shaping]]`, `[[retry]]`).

Units are those of model/option.py. An option that a rule does not give is left to the rules before it, and in the
end to `[queue]` and `[delivery]`. RFC 5321 4.5.4.1 asks for at least 4 to 5 days before giving up.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, field_validator

from postroad.model.address import parse_domain
from postroad.model.errors import AddressError
from postroad.model.option import Duration, Settings, Size
from postroad.queue.limits import parse_rate
from postroad.queue.remap import parse_action

_LONGEST_PAUSE: Final = 30 * 86400


def _domain_pattern(text: str) -> str:
    if text == "*":
        return text
    try:
        return parse_domain(text.removeprefix("*.")) if not text.startswith("*.") else f"*.{parse_domain(text[2:])}"
    except AddressError as error:
        raise ValueError(f'not a pattern: {error}; write "example.com", "*.example.com" or "*"') from None


def _pattern(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError('not a pattern: write text, with "*" for any text')
    return text


def _rate(text: str) -> str:
    parse_rate(text)
    return text


def _action(text: str) -> str:
    parse_action(text)
    return text


def _pauses(value: tuple[float, ...]) -> tuple[float, ...]:
    if any(not 0 < pause <= _LONGEST_PAUSE for pause in value):
        raise ValueError("each pause must be more than 0 and at most 30d")
    return value


DomainPattern = Annotated[str, AfterValidator(_domain_pattern)]
Pattern = Annotated[str, AfterValidator(_pattern)]
RateText = Annotated[str, AfterValidator(_rate)]
ErrorClass = Literal[
    "bounce", "2bounce", "delay", "address", "mailbox", "system", "network", "protocol", "content", "policy"
]
Action = Annotated[str, AfterValidator(_action)]


class QueueSettings(Settings):
    """How accepted mail waits."""

    retry: tuple[Duration, ...] = Field(
        ("1m", "5m", "15m", "30m", "1h", "2h", "4h"),
        description="Pauses between tries of a recipient, each with up to 10 % of jitter; the last repeats.",
        min_length=1,
    )
    expire_after: Duration = Field(
        "5d", description="Age at which an undelivered recipient fails and its sender gets a DSN.", gt=0
    )
    warn_after: Duration = Field(
        "4h", description='Age at which the sender is told of the delay, once; "never" turns it off.', gt=0
    )
    suspend: tuple[Duration, ...] = Field(
        ("15s", "30s", "1m", "2m", "5m", "10m"),
        description="Pauses of a next hop that keeps failing, each ended by a probe with one message; the last repeats.",
        min_length=1,
    )
    return_size: Size = Field(
        "64KiB",
        description="Octets of a message that a failure DSN returns in full; of a larger one only the header section.",
        ge=0,
        le=16 << 20,
    )
    window: int = Field(
        20_000, description="Recipients held in memory for delivery; more wait on disk.", ge=100, le=1_000_000
    )
    window_content: Size = Field(
        "64MiB", description="Octets of content held in memory for delivery; more is read from disk.", ge=0
    )
    concurrency: int = Field(
        20, description="Connections to one next hop at most; fewer while it fails.", ge=1, le=1000
    )
    greylist_retry: Duration = Field(
        "5m",
        description="Longest pause after an answer that speaks of greylisting, for the first tries of a recipient.",
        gt=0,
        le=86400,
    )
    retry_hints: Duration = Field(
        "1h",
        description='Longest "try again in 5 minutes" of a peer that is followed instead of the schedule; "0s": none is.',
        ge=0,
        le=86400,
    )
    deliveries: int = Field(500, description="Connections to all next hops together.", ge=1, le=10_000)

    @field_validator("retry", "suspend")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return _pauses(value)


class ReplySettings(Settings):
    """Replies of peers that mean something else than their code says."""

    match: Pattern = Field(description='The reply: "421 4.7.28*", "554 *blocked*"; the enhanced code may be left out.')
    as_: Action = Field(
        alias="as",
        description='Its meaning: "defer", "fail", "suspend 10m" (the next hop) or "retry 5m" (the recipient).',
    )


class ShapingSettings(Settings):
    """One shaping rule."""

    domains: tuple[DomainPattern, ...] = Field(
        (), description='Domains whose MX is looked up: domain, "*.domain" or "*".'
    )
    mx: tuple[Pattern, ...] = Field(
        (), description='Host names the mail goes to, with "*" for any text; one host of the route is enough.'
    )
    sites: tuple[str, ...] = Field((), description="Names of sites.")
    sources: tuple[str, ...] = Field((), description="Names of egress sources or pools.")
    per: Literal["rule", "site", "lane"] = Field(
        "rule", description="Who shares the limits: all next hops the rule covers, those of one site, or nobody."
    )
    concurrency: int = Field(
        0, description="Connections at once at most; not given: `queue.concurrency` for each next hop.", ge=0, le=1000
    )
    rates: tuple[RateText, ...] = Field(
        (), description='Messages at most, "100/minute": second, minute, hour, day; several hold together.'
    )
    recipient_rates: tuple[RateText, ...] = Field((), description="Recipients at most, likewise.")
    connection_messages: int = Field(0, description="As in `[delivery]`, which 0 stands for.", ge=0)
    recipients_per_transaction: int = Field(0, description="As in `[delivery]`, which 0 stands for.", ge=0, le=10_000)
    connect_timeout: Duration = Field("0s", description='As in `[delivery]`, which "0s" stands for.', ge=0, le=600)
    command_timeout: Duration = Field("0s", description='As in `[delivery]`, which "0s" stands for.', ge=0, le=3600)
    data_timeout: Duration = Field("0s", description='As in `[delivery]`, which "0s" stands for.', ge=0, le=3600)
    done_timeout: Duration = Field("0s", description='As in `[delivery]`, which "0s" stands for.', ge=0, le=3600)
    tls: Literal["", "off", "opportunistic", "required", "verified"] = Field(
        "", description='Plain text, TLS where it is offered, or TLS or no delivery; "": as in `[delivery]`.'
    )
    replies: tuple[ReplySettings, ...] = Field(
        (), description="Replies that mean something else than their code says; the last that matches wins."
    )


class RetrySettings(Settings):
    """One retry rule."""

    domains: tuple[DomainPattern, ...] = Field((), description='Domains of recipients: domain, "*.domain" or "*".')
    sites: tuple[str, ...] = Field((), description="Names of sites.")
    lanes: tuple[Pattern, ...] = Field(
        (), description='Next hops as `postroad explain` prints them, with "*" for any text.'
    )
    errors: tuple[Pattern, ...] = Field(
        (),
        description='What the peer said last: the begin of an enhanced code ("4.2.2", "4.7."), or a reply ("450 *full*").',
    )
    tags: tuple[str, ...] = Field((), description="Tags of the message.")
    retry: tuple[Duration, ...] = Field((), description="As in `[queue]`.")
    expire_after: Duration = Field("0s", description='As in `[queue]`, which "0s" stands for.', ge=0)
    warn_after: Duration = Field(
        "0s", description='As in `[queue]`, which "0s" stands for; "never" turns the warning off.', ge=0
    )

    @field_validator("retry")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return _pauses(value)


class DsnSettings(Settings):
    """Reports to senders, and copies of them."""

    templates: str = Field(
        "",
        description='Folder of texts, one file a language ("de.toml"), each text beside or instead of the built-in ones; relative to the configuration file\'s folder.',
    )
    language: str = Field("en", description='Language of reports: "en", "de", or one of the templates.')
    languages: dict[str, tuple[DomainPattern, ...]] = Field(
        {},
        description="Languages by domain of the sender, in order; the first that matches wins.",
        validate_default=False,
    )
    postmaster_copies: tuple[ErrorClass, ...] = Field(
        (),
        description='What the postmaster gets a copy of: "bounce" all failures, "2bounce" failures of reports, "delay" warnings, or failures by class of their enhanced code.',
    )

    def anchored(self, folder: Path) -> "DsnSettings":
        """The same with a relative folder of templates taken from `folder`, that of the configuration file."""
        if not self.templates:
            return self
        return self.model_copy(update={"templates": str((folder / Path(self.templates).expanduser()).absolute())})
