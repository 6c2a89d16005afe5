"""Options of access (`[access]`): who may relay, and where anyone may send.

The default relays for this machine alone: an unconfigured Postroad is never an open relay.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from postroad.model.address import parse_domain
from postroad.model.errors import AddressError
from postroad.model.option import Settings


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        network = ip_network(value)
    except ValueError as error:
        raise ValueError(f'{error}; write a network like "10.0.0.0/8" or "2001:db8::/32"') from None
    if network.prefixlen == 0:
        raise ValueError(
            "this is an open relay: anyone on the Internet could send any mail to anyone through this server, "
            "and within hours somebody would; name the networks of your own clients"
        )
    return network


def _domain_pattern(entry: str) -> str:
    bare = entry.removeprefix("*.")
    try:
        return entry[: len(entry) - len(bare)] + parse_domain(bare)
    except AddressError as error:
        raise ValueError(f"not a domain: {error}") from None


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
DomainPattern = Annotated[str, AfterValidator(_domain_pattern)]


class AccessSettings(Settings):
    """Who may send where."""

    relay_networks: tuple[Network, ...] = Field(
        ("127.0.0.0/8", "::1/128"), description="Networks whose clients may send to any domain without AUTH."
    )
    relay_domains: tuple[DomainPattern, ...] = Field(
        (), description='Domains anyone may send to: "example.com", or "*.example.com" for all below it.'
    )
