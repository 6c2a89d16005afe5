"""Options of TLS to next hops (`[tls_out]`, `[[tls_out.destinations]]`): who must have which TLS, and whom we trust.

What is asked of a destination here wins over what the destination says about itself by DNS. Destinations are ordered,
the first that matches a host wins. RFC 7435 3 (opportunistic security), RFC 9525 6.3 (names), RFC 7672 6 (mandatory DANE).
"""

import string
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from postroad.model.address import parse_domain
from postroad.model.errors import AddressError
from postroad.model.option import File, Settings

NONE: Final = Path()
_DIGITS: Final = 64  # of SHA-256
Level = Literal["none", "opportunistic", "required", "verified", "fingerprint", "dane"]


def _pattern(text: str) -> str:
    bare = text.removeprefix("*.")
    try:
        return text[: len(text) - len(bare)] + parse_domain(bare)
    except AddressError as error:
        raise ValueError(f"not a domain: {error}") from None


def _host(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return _pattern(text)


def _name(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    try:
        return parse_domain(text)
    except AddressError as error:
        raise ValueError(f"not a host name: {error}") from None


def _fingerprint(text: str) -> str:
    digits = text.lower().removeprefix("sha256:").replace(":", "")
    if len(digits) != _DIGITS or set(digits) - set(string.hexdigits):
        raise ValueError(f"not a SHA-256 digest: write {_DIGITS} hexadecimal digits, with or without colons")
    return digits


Pattern = Annotated[str, AfterValidator(_pattern)]
HostPattern = Annotated[str, AfterValidator(_host)]
PeerName = Annotated[str, AfterValidator(_name)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]


class DestinationSettings(Settings):
    """What TLS mail to some destinations must have; one of `domains` or of `hosts` has to match."""

    domains: tuple[Pattern, ...] = Field(
        (), description='Domains whose MX is looked up: a domain, or "*.domain" for all below.'
    )
    hosts: tuple[HostPattern, ...] = Field(
        (), description='Hosts that mail goes to, MX hosts and next hops of routes: a name, "*.domain", or an address.'
    )
    level: Level = Field(
        description="none: plain text; opportunistic: TLS where it is offered and works; required: TLS with any "
        "certificate; verified: with a certificate by an authority that we trust for one of `names`; fingerprint: with "
        "one of `fingerprints`; dane: with one that TLSA records of the host vouch for, without which mail waits."
    )
    names: tuple[PeerName, ...] = Field(
        (),
        description="Names of which the certificate must carry one; level verified.",
        json_schema_extra={"default": "the name of the host"},
    )
    fingerprints: tuple[Fingerprint, ...] = Field(
        (),
        description="SHA-256 digests, in hexadecimal digits, of the certificate or of its public key; level fingerprint.",
    )
    ca: File = Field(
        NONE,
        description="File of certificates in PEM that we trust here, authorities or the server's own; level verified.",
        json_schema_extra={"default": "`tls_out.ca`"},
    )
    crl: File = Field(
        NONE,
        description="File of revocation lists in PEM of the authorities in `ca`: a certificate that is on them is "
        "refused, and so is one whose authority has no list there.",
        json_schema_extra={"default": "none: revocation is not looked at"},
    )

    def anchored(self, folder: Path) -> "DestinationSettings":
        """The same, with relative files taken from `folder`."""
        return self.model_copy(update=_anchored(self, folder, "ca", "crl"))


class TlsOutSettings(Settings):
    """TLS to next hops; what all have to do without being named here is `delivery.tls`."""

    dane: bool = Field(
        True,
        description="Ask for TLSA records (DANE), and obey them whatever `delivery.tls` says, where DNSSEC proves that "
        "mail goes to a host; needs a resolver on this host that validates, which is tried out "
        "(`resolver.signed_name`), and does nothing without.",
    )
    ca: File = Field(
        NONE,
        description="File of the certificates in PEM of the authorities that we trust; read again when it changes.",
        json_schema_extra={"default": "those of the system"},
    )
    mta_sts: bool = Field(
        False,
        description="Ask domains for their MTA-STS policies, by DNS and HTTPS, and obey them: mail goes to the MX hosts "
        "that they name, with verified TLS.",
    )
    mta_sts_ca: File = Field(
        NONE,
        description="File of the certificates in PEM of the authorities that we trust where policies are fetched.",
        json_schema_extra={"default": "those of the system"},
    )
    destinations: tuple[DestinationSettings, ...] = Field(
        (),
        description="Destinations that must have another TLS than `delivery.tls` says; the first that matches wins.",
        json_schema_extra={"default": "none"},
    )

    @property
    def anchors(self) -> str:
        """The file of authorities, "" for the system's."""
        return "" if self.ca == NONE else str(self.ca)

    def anchored(self, folder: Path) -> "TlsOutSettings":
        """The same, with relative files taken from `folder`."""
        found: dict[str, object] = {**_anchored(self, folder, "ca", "mta_sts_ca")}
        if self.destinations:
            found["destinations"] = tuple(one.anchored(folder) for one in self.destinations)
        return self.model_copy(update=found) if found else self


def _anchored(settings: Settings, folder: Path, *options: str) -> dict[str, Path]:
    given = {option: getattr(settings, option) for option in options}
    return {option: (folder / file.expanduser()).absolute() for option, file in given.items() if file != NONE}
