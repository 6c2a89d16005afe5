"""Who may send where: the policy that keeps Postroad from being an open relay.

A client in `access.relay_networks`, or one that has logged in, may send anywhere; anyone may send to
`access.relay_domains` and to the postmaster; all else is refused. A local part that asks to be routed on (percent hack,
bang path, quoted at sign) counts as "elsewhere" for strangers, whatever its domain. RFC 5321 7.9, RFC 5321 4.5.1,
RFC 2505 2.1.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from postroad.model.address import NULL_PATH, Mailbox
from postroad.policy.context import RcptContext
from postroad.policy.settings import AccessSettings
from postroad.policy.verdict import Accept, Reject, Verdict
from postroad.smtp import replies

REMEMBERED: Final = 4096  # clients whose network is known; most connect again


class RelayControl:
    """The policy, bound to its settings."""

    def __init__(self, access: AccessSettings, postmaster: Mailbox = NULL_PATH) -> None:
        """Compile `access` once; mail to `postmaster` is taken from anyone."""
        self._postmaster = postmaster
        self._networks = access.relay_networks
        self.network_of = lru_cache(maxsize=REMEMBERED)(self._network_of)
        self._domains = frozenset(domain for domain in access.relay_domains if not domain.startswith("*."))
        self._parents = frozenset(domain[2:] for domain in access.relay_domains if domain.startswith("*."))

    def relays(self, ip: str) -> bool:
        """True when the client at `ip` may send anywhere; an IPv4 address mapped into IPv6 counts as itself."""
        return self.network_of(ip) is not None

    def _network_of(self, ip: str) -> str | None:
        """The relay network that `ip` is in, as text, or None."""
        try:
            address: IPv4Address | IPv6Address = ip_address(ip.partition("%")[0])
        except ValueError:
            return None
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return next((str(network) for network in self._networks if address in network), None)

    def relay_domain_of(self, recipient: Mailbox) -> str | None:
        """The entry of `access.relay_domains` that covers `recipient`, or None."""
        domain = recipient.domain
        if domain in self._domains:
            return domain
        while self._parents and "." in domain:
            domain = domain.partition(".")[2]
            if domain in self._parents:
                return f"*.{domain}"
        return None

    def __call__(self, ctx: RcptContext) -> Verdict | None:
        """Accept for relay networks and relay domains, reject all else (`554 5.7.1 ... Relay access denied`)."""
        if ctx.peer.relays:
            return Accept("client is in access.relay_networks")
        if ctx.peer.identity is not None:
            return Accept("client has logged in")
        return self.decide_stranger(ctx.recipient)

    def decide_stranger(self, recipient: Mailbox) -> Verdict:
        """The verdict for a client outside the relay networks."""
        if recipient == self._postmaster and not recipient.is_null:
            return Accept("postmaster is always reachable (RFC 5321 4.5.1)")
        entry = self.relay_domain_of(recipient)
        if entry is None:
            return Reject(
                replies.relay_access_denied(recipient),
                "client is not in access.relay_networks and the domain not in access.relay_domains",
            )
        if recipient.has_routing:
            return Reject(
                replies.relay_access_denied(recipient), "sender-specified routing from a client that may not relay"
            )
        return Accept(f"domain is in access.relay_domains as {entry}")
