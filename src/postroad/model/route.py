"""Where a recipient goes: next hop, targets, the whole plan.

A lane is the text that names a next hop: "mx:example.com", "smtp://mail1.internal:25", or several next hops of a route
joined by ",", a weight behind one as "*3", and behind "?" what is not the default, joined by "&": `balance`, `source`,
`fallback` (a lane itself, in percent encoding), with it `after` (seconds, or "never") and `on` (codes joined by ","),
and `tls`: "required" for mail that a policy lets go by TLS alone, "requiretls" for mail whose sender requires verified
TLS all the way, "optional" for mail whose sender waives what the destination asks for (RFC 8689 4.2):
"smtp://a:25,smtp://b:25*3?balance=weighted&source=news". What a route does instead of sending is a lane too:
"hold:ROUTE", "hold:(why)" where a policy holds it, "discard:ROUTE", "fail:550 5.7.1 text". Mail of one lane shares
connections, limits and suspensions; the text alone says all that the plan is made from. `routing.lanes` reads and
writes it.
"""

from typing import Final

from msgspec import Struct

from postroad.model.security import Security

SMTP: Final = "smtp"
SMTPS: Final = "smtps"
LMTP: Final = "lmtp"
MX: Final = "mx"
CAPTURE: Final = "capture"
SMTP_SRV: Final = "smtp+srv"

HOLD: Final = "hold"
DISCARD: Final = "discard"
FAIL: Final = "fail"

FAILOVER: Final = "failover"
ROUND_ROBIN: Final = "round-robin"
WEIGHTED: Final = "weighted"
LEAST_BUSY: Final = "least-busy"

TLS_REQUIRED: Final = "required"
TLS_REQUIRETLS: Final = "requiretls"
TLS_OPTIONAL: Final = "optional"
TLS_WORDS: Final = (TLS_REQUIRED, TLS_REQUIRETLS, TLS_OPTIONAL)


class NextHop(Struct, frozen=True, gc=False):
    """One next hop of a route: `scheme` is one of the words above; `path` is set for lmtp:///path alone.

    `weight` is its share of the mail where the route is balanced by weight.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    weight: int = 1

    def __str__(self) -> str:
        """As written in the configuration, in canonical form."""
        if self.scheme in (MX, CAPTURE):
            return f"{MX}:{self.host}" if self.scheme == MX else "capture:"
        if self.scheme == SMTP_SRV:
            return f"{SMTP_SRV}://{self.host}"
        if self.path:
            return f"{self.scheme}://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class Placement(Struct, frozen=True, gc=False):
    """Which lane a recipient waits in, and the rule that chose it, in words for people."""

    lane: str
    reason: str


class Target(Struct, frozen=True, gc=False):
    """One host, address and port to try: `address` is an IP address, or a socket's path when `port` is 0.

    Targets of one `tier` stand beside each other and share the mail as the route's balance says, each host by its
    `weight`, which its addresses have in common; the next tier is for when no target of this one takes the mail.
    `security` is what TLS it must have; None: as `[delivery] tls` says.
    """

    scheme: str
    host: str
    address: str
    port: int
    weight: int = 1
    tier: int = 0
    security: Security | None = None

    def __str__(self) -> str:
        """`host[address]:port`, as logs have it."""
        return f"{self.host}[{self.address}]:{self.port}" if self.port else f"{self.host}[{self.address}]"


class Terms(Struct, frozen=True, gc=False):
    """How one lane's mail is sent where a rule says so; None and 0: as `[delivery]` has it. Times in seconds."""

    connection_messages: int = 0
    recipients: int = 0
    connect_timeout: float = 0.0
    command_timeout: float = 0.0
    data_timeout: float = 0.0
    done_timeout: float = 0.0
    tls: str = ""


class Fallback(Struct, frozen=True, gc=False):
    """Where a recipient goes on when its lane does not deliver.

    It moves to `lane` once it is `after` seconds old, or at once when a deferral's enhanced code begins with one of
    `on` ("4.4.1", "4.7.").
    """

    lane: str
    after: float
    on: tuple[str, ...] = ()


class Route(Struct, frozen=True, gc=False):
    """The plan for one lane: targets in the order to try them, valid for `ttl` seconds.

    `balance` says how targets of one tier share the mail, `site` names the provider that the targets belong to ("":
    none that has a name), `source` the egress source or pool to send from ("": the system's choice), `terms` what a
    rule asks for beside the defaults.
    """

    lane: str
    targets: tuple[Target, ...]
    reason: str
    ttl: float = 60.0
    balance: str = FAILOVER
    site: str = ""
    source: str = ""
    terms: Terms | None = None
