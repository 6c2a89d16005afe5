"""Options of the defence against abuse: bans (`[bans]`), slow answers (`[tarpit]`), accounts (`[breaker]`).

Without a section there is no such defence, and nothing is paid for it.
"""

from ipaddress import ip_network
from typing import Final, Literal

from pydantic import Field

from postroad.model.option import Duration, Settings
from postroad.policy.settings import AnyNetwork

LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class BanSettings(Settings):
    """Who is banned: so many instances of a kind close together ban an address; different kinds add up."""

    auth_failed: int = Field(10, description="Failed attempts to log in; 0: they do not count.", ge=0, le=1_000_000)
    unknown_recipient: int = Field(
        20, description="Recipients that there are not (5.1.1); 0: they do not count.", ge=0, le=1_000_000
    )
    refused: int = Field(
        100, description="Commands and messages refused for good; 0: they do not count.", ge=0, le=1_000_000
    )
    talked_first: int = Field(
        5, description="Connections that talked before the greeting; 0: they do not count.", ge=0, le=1_000_000
    )
    half_life: Duration = Field(600.0, description="Time in which what was done counts half.", ge=1, le=604800)
    network_factor: float = Field(
        5.0, description="How many times as many ban the network around, IPv4 /24 or IPv6 /48.", ge=1, le=1000
    )
    time: Duration = Field(
        600.0, description="How long the first ban takes; each further one twice as long.", ge=1, le=31536000
    )
    longest: Duration = Field(
        86400.0, description="The longest ban, and how long after one the next is a first again.", ge=1, le=31536000
    )
    never: tuple[AnyNetwork, ...] = Field(
        LOOPBACK,
        description="Networks that are never banned; those of `access.relay_networks`, and of `proxies` and `xclient` "
        "of listeners, neither.",
    )
    answer: Literal["defer", "reject", "silence"] = Field(
        "defer", description="What a banned client gets: 421, 554, or no word before the connection is closed."
    )


class TarpitSettings(Settings):
    """How clients that err are slowed."""

    after: int = Field(3, description="Refusals in one session that are answered at once.", ge=0, le=10_000)
    delay: Duration = Field(
        1.0, description="How long the next one waits; each further one twice as long.", ge=0.1, le=60
    )
    longest: Duration = Field(20.0, description="The longest wait.", ge=0.1, le=240)
    waiting: int = Field(
        200,
        description="Sessions that wait at a time, of one process; further ones are answered at once.",
        ge=1,
        le=100_000,
    )
    close_at: float = Field(
        0.8,
        description="With `[bans]`: part of the way to a ban from which a refusal also ends the session, with 421.",
        ge=0.1,
        le=1,
    )


class BreakerSettings(Settings):
    """When what a login sends is held: more than is usual for it, and more than these amounts, within `window`."""

    window: Duration = Field(3600.0, description="Time in which an amount fades to about a third.", ge=60, le=86400)
    recipients: int = Field(500, description="Recipients that are never too many.", ge=1, le=10_000_000)
    new_recipients: int = Field(
        200, description="Recipients not written to before that are never too many.", ge=1, le=10_000_000
    )
    failures: int = Field(
        50, description="Failed recipients, and refused commands, that are never too many.", ge=1, le=10_000_000
    )
    failure_ratio: float = Field(
        0.25, description="Part of all outcomes that failures must be to count.", ge=0.0, le=1.0
    )
    factor: float = Field(5.0, description="How many times the usual is too much.", ge=1.1, le=1000)
    half_life: Duration = Field(
        1209600.0, description="Time in which what was usual counts half.", ge=86400, le=31536000
    )
