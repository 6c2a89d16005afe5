"""Options of access (`[access]`) and of policies (`[[policies]]`): who may relay, and what else is asked of mail.

The default relays for this machine alone: an unconfigured Postroad is never an open relay.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from postroad.model.address import parse_domain
from postroad.model.errors import AddressError
from postroad.model.option import Settings


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value)
    except ValueError as error:
        raise ValueError(f'{error}; write a network like "10.0.0.0/8" or "2001:db8::/32"') from None


def _bounded(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
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


def _domain_name(text: str) -> str:
    try:
        name = parse_domain(text)
    except AddressError as error:
        raise ValueError(f"not a domain: {error}") from None
    if name.startswith("["):
        raise ValueError("not a domain: an address literal")
    return name


DomainName = Annotated[str, AfterValidator(_domain_name)]
AnyNetwork = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Network = Annotated[AnyNetwork, AfterValidator(_bounded)]
DomainPattern = Annotated[str, AfterValidator(_domain_pattern)]


class AccessSettings(Settings):
    """Who may send where."""

    relay_networks: tuple[Network, ...] = Field(
        ("127.0.0.0/8", "::1/128"), description="Networks whose clients may send to any domain without AUTH."
    )
    relay_domains: tuple[DomainPattern, ...] = Field(
        (), description='Domains anyone may send to: "example.com", or "*.example.com" for all below it.'
    )

    def is_for_all(self, domain: str) -> bool:
        """Whether anyone may send to `domain`, a name or, with "*.", all below one."""
        for taken in self.relay_domains:
            if domain == taken or (taken.startswith("*.") and domain.removeprefix("*.").endswith(taken[1:])):
                return True
        return False


class PolicySettings(Settings):
    """One policy; every further key is an option of the policy itself, checked against its own types."""

    model_config = ConfigDict(extra="allow")

    use: str = Field(
        description='Name of a policy that comes with Postroad, or "module:function" of your own: a file in '
        "`policies_path`, or an installed package.",
        min_length=1,
    )
    listeners: tuple[str, ...] = Field((), description="Listeners whose mail it is asked about; none given: all.")

    @property
    def given(self) -> dict[str, object]:
        """The policy's own options, as in the file."""
        return dict(self.model_extra or {})
