"""Options of delivery (`[delivery]`): time-outs per phase and reuse of connections.

The defaults of the time-outs are the minima of RFC 5321 4.5.3.2, but for connecting, where waiting
longer than half a minute only delays the next target.
"""

from typing import Literal

from pydantic import Field

from postroad.model.option import Duration, Settings

IpChoice = Literal["any", "ipv4", "ipv6", "prefer-ipv4", "prefer-ipv6"]


class DeliverySettings(Settings):
    """How next hops are spoken to."""

    connect_timeout: Duration = Field("30s", description="Wait for a TCP connection.", ge=0.1, le=600)
    greeting_timeout: Duration = Field("5m", description="Wait for the banner (RFC 5321 4.5.3.2.1).", ge=0.1, le=3600)
    command_timeout: Duration = Field(
        "5m",
        description="Wait for the reply to EHLO, STARTTLS, MAIL, RCPT or RSET (RFC 5321 4.5.3.2.2, 4.5.3.2.3).",
        ge=0.1,
        le=3600,
    )
    data_timeout: Duration = Field(
        "2m", description="Wait for the reply to DATA (RFC 5321 4.5.3.2.4).", ge=0.1, le=3600
    )
    block_timeout: Duration = Field(
        "3m", description="Wait for the peer to take a part of the content (RFC 5321 4.5.3.2.5).", ge=0.1, le=3600
    )
    done_timeout: Duration = Field(
        "10m", description="Wait for the reply to the end of the content (RFC 5321 4.5.3.2.6).", ge=0.1, le=3600
    )
    connection_idle: Duration = Field(
        "2s", description='Keep a connection this long for the next message; "0s": never keep one.', ge=0, le=300
    )
    connection_messages: int = Field(100_000, description="Messages sent over one connection at most.", ge=1)
    connection_lifetime: Duration = Field("5m", description="Age at which a connection takes no further message.", ge=0)
    recipients_per_transaction: int = Field(
        100, description="Recipients in one transaction at most; the peer's own limit may be lower.", ge=1, le=10_000
    )
    tls: Literal["opportunistic", "required", "verified", "off"] = Field(
        "opportunistic",
        description="STARTTLS where the next hop offers it; always, or the mail waits; always, with a certificate for "
        "the name of the host by an authority that we trust (`tls_out.ca`), or the mail waits; never. "
        "`tls_out.destinations` says otherwise for some.",
    )
    ip: IpChoice = Field(
        "any",
        description="Which addresses of a host are used, and which kind is tried first; any: in the order of DNS.",
    )
