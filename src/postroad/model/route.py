"""Where a recipient goes: next hop, targets, the whole plan.

A lane is the text that names a next hop: "mx:example.com", "smtp://mail1.internal:25", or several
next hops of a route joined by ",". Mail of one lane shares connections, limits and suspensions.
"""

from typing import Final

from msgspec import Struct

SMTP: Final = "smtp"
SMTPS: Final = "smtps"
LMTP: Final = "lmtp"
MX: Final = "mx"
CAPTURE: Final = "capture"


class NextHop(Struct, frozen=True, gc=False):
    """One next hop of a route: `scheme` is one of the words above; `path` is set for lmtp:///path alone."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        """As written in the configuration, in canonical form."""
        if self.scheme in (MX, CAPTURE):
            return f"{MX}:{self.host}" if self.scheme == MX else "capture:"
        if self.path:
            return f"{self.scheme}://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class Placement(Struct, frozen=True, gc=False):
    """Which lane a recipient waits in, and the rule that chose it, in words for people."""

    lane: str
    reason: str


class Target(Struct, frozen=True, gc=False):
    """One host, address and port to try: `address` is an IP address, or a socket's path when `port` is 0."""

    scheme: str
    host: str
    address: str
    port: int

    def __str__(self) -> str:
        """`host[address]:port`, as logs have it."""
        return f"{self.host}[{self.address}]:{self.port}" if self.port else f"{self.host}[{self.address}]"


class Route(Struct, frozen=True, gc=False):
    """The plan for one lane: targets in the order to try them, valid for `ttl` seconds."""

    lane: str
    targets: tuple[Target, ...]
    reason: str
    ttl: float = 60.0
