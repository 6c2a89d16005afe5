"""Options of egress (`[sources.NAME]`, `[pools.NAME]`): from where mail leaves, under which name, by which proxy.

A route names a source or a pool; mail of a route that names none leaves as the system chooses. `proxy` may hold a
password and is a secret (design: inline, or in a file, or in the environment). RFC 1928, RFC 1929 2.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from postroad.model.address import parse_domain
from postroad.model.errors import AddressError
from postroad.model.option import File, Secret, SecretText, Settings

MOST_WEIGHT: Final = 1000


def _local_address(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError('not an IP address; write it like "192.0.2.10" or "2001:db8::10"') from None
    if address.is_unspecified or address.is_multicast:
        raise ValueError("not an address that mail can come from")
    return str(address)


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _one_a_family(addresses: tuple[str, ...]) -> tuple[str, ...]:
    for mark, family in ((".", "IPv4"), (":", "IPv6")):
        if sum(mark in address for address in addresses) > 1:
            raise ValueError(f"a source has one {family} address; make several sources and a pool of them")
    return addresses


def _ehlo_name(text: str) -> str:
    try:
        return parse_domain(text) if text else text
    except AddressError as error:
        raise ValueError(f"not a host name: {error}") from None


LocalAddress = Annotated[str, AfterValidator(_local_address)]
LocalAddresses = Annotated[tuple[LocalAddress, ...], BeforeValidator(_as_list), AfterValidator(_one_a_family)]
EhloName = Annotated[str, AfterValidator(_ehlo_name)]
Weight = Annotated[int, Field(ge=1, le=MOST_WEIGHT)]


class SourceSettings(Settings):
    """One source."""

    address: LocalAddresses = Field(
        (), description="Our address to connect from: one, or a list of one IPv4 and one IPv6 address; none: any."
    )
    ehlo: EhloName = Field("", description="Our name in EHLO; none given: `hostname`.")
    certificate: File = Field(
        Path(),
        description="File of the certificate chain we prove ourselves with under TLS; read again when it changes.",
        json_schema_extra={"default": "none"},
    )
    key: File = Field(
        Path(),
        description="File of the private key of `certificate`; it may be the same file.",
        json_schema_extra={"default": "none"},
    )
    ip: Literal["default", "any", "ipv4", "ipv6", "prefer-ipv4", "prefer-ipv6"] = Field(
        "default", description="As `delivery.ip`, for this source; default: what `delivery.ip` says."
    )
    proxy: SecretText = Field(
        Secret(),
        description='Who connects for us: "socks5://[user:password@]host:port" or "haproxy://host:port".',
        json_schema_extra={"default": "none"},
    )

    @property
    def files(self) -> Mapping[str, Path]:
        """The files that are given, by option."""
        given = {"certificate": self.certificate, "key": self.key}
        return {name: file for name, file in given.items() if file != Path()}


class PoolSettings(Settings):
    """One pool."""

    sources: dict[str, Weight] = Field(
        description="Sources by name, each with its weight: its share of the mail, at least 1.", min_length=1
    )
