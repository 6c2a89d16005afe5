"""Options of TLS with clients (`[tls]`): certificates, what is refused as unsafe, and how much handshakes may take.

Which listener uses it how is said there (`[listeners.NAME]`). The defaults refuse whatever is not safe today (RFC 8996
2, RFC 9325 3.1, RFC 9325 4.2).
"""

import ssl
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from postroad.model.address import parse_domain
from postroad.model.errors import AddressError
from postroad.model.option import Duration, File, Settings, parse_duration
from postroad.net.tls.keyfiles import KeyFiles
from postroad.net.tls.server import CIPHERS

NONE = Path()


def _server_name(text: str) -> str:
    bare = text.removeprefix("*.")
    try:
        return text[: len(text) - len(bare)] + parse_domain(bare)
    except AddressError as error:
        raise ValueError(f"not a host name: {error}") from None


def _ciphers(text: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(text)
    except ssl.SSLError:
        raise ValueError("no cipher of OpenSSL is named so; see `openssl ciphers -v`") from None
    return text


ServerName = Annotated[str, AfterValidator(_server_name)]
CipherList = Annotated[str, AfterValidator(_ciphers)]


def pair_of(certificate: Path, key: Path) -> KeyFiles | None:
    """The files of a certificate and its key, which may be in the same file; None when there is no certificate."""
    return None if certificate == NONE else KeyFiles(certificate, certificate if key == NONE else key)


def anchored_files(settings: Settings, folder: Path, *options: str) -> dict[str, Path]:
    """Those of the options that name a file, with relative ones taken from `folder`."""
    given = {option: getattr(settings, option) for option in options}
    return {option: (folder / file.expanduser()).absolute() for option, file in given.items() if file != NONE}


class CertificateSettings(Settings):
    """A further certificate, for clients that ask for one of its names."""

    certificate: File = Field(description="File of the certificate chain in PEM, the server's own first.")
    key: File = Field(
        NONE,
        description="File of its private key in PEM, without a passphrase.",
        json_schema_extra={"default": "the file of the certificate"},
    )
    names: tuple[ServerName, ...] = Field(
        (),
        description='Names that it is for: a host name, or "*.domain".',
        json_schema_extra={"default": "those in the certificate"},
    )

    @property
    def files(self) -> KeyFiles:
        """Where it lies."""
        return KeyFiles(self.certificate, self.certificate if self.key == NONE else self.key)

    def anchored(self, folder: Path) -> "CertificateSettings":
        """The same, with relative files taken from `folder`."""
        return self.model_copy(update=anchored_files(self, folder, "certificate", "key"))


class TlsSettings(Settings):
    """TLS with clients; files are read again when they change."""

    certificate: File = Field(
        NONE,
        description="File of the certificate chain in PEM, the server's own first; read again when it changes.",
        json_schema_extra={"default": "none: no TLS"},
    )
    key: File = Field(
        NONE,
        description="File of its private key in PEM, without a passphrase; read again when it changes.",
        json_schema_extra={"default": "the file of the certificate"},
    )
    certificates: tuple[CertificateSettings, ...] = Field(
        (), description="Further certificates, chosen by the name that the client asks for (SNI); the first wins."
    )
    minimum_version: Literal["TLSv1.2", "TLSv1.3"] = Field(
        "TLSv1.2", description="The oldest version that is spoken; `listeners.NAME.legacy_tls` allows older ones."
    )
    ciphers: CipherList = Field(
        CIPHERS, description="Ciphers of TLS 1.2 as OpenSSL names them; those of TLS 1.3 are all good, and fixed."
    )
    handshake_timeout: Duration = Field(
        parse_duration("30s"), description="Time for a handshake; then the connection is cut.", ge=1, le=300
    )
    handshakes: int = Field(
        200,
        description="Handshakes at one time in one process. Above that the oldest is cut if it has run for 3 seconds, "
        "else the new one gets 454 4.7.0.",
        ge=1,
        le=100_000,
    )

    @property
    def files(self) -> KeyFiles | None:
        """Where the default certificate lies; None without one."""
        return pair_of(self.certificate, self.key)

    def anchored(self, folder: Path) -> "TlsSettings":
        """The same, with relative files taken from `folder`."""
        found: dict[str, object] = {**anchored_files(self, folder, "certificate", "key")}
        if self.certificates:
            found["certificates"] = tuple(one.anchored(folder) for one in self.certificates)
        return self.model_copy(update=found) if found else self
