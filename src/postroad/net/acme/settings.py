"""Options of certificates by ACME (`[acme]`): whom they are asked of, for which names, and how names are proven.

The section is what turns it on. The certificate that comes of it is one of `[tls]`: the default when none is named
there, else one that is chosen by name. RFC 8555 7.3.4 (external accounts), RFC 8555 8.3 (http-01), RFC 8737 3
(tls-alpn-01).
"""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from postroad.model.address import parse_domain, parse_mailbox
from postroad.model.errors import AddressError
from postroad.model.option import Duration, Endpoint, File, Secret, SecretText, Settings, parse_duration
from postroad.net.tls.settings import NONE, anchored_files

EVERYWHERE = ("0.0.0.0:443", "[::]:443")


def _directory(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_sound = parts.scheme == "https" and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_sound = False
    if not is_sound or "@" in parts.netloc or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f'{text!r} is no address of a directory; write it like "https://ca.example.com/directory"')
    return text


def _contact(text: str) -> str:
    try:
        mailbox = parse_mailbox(text)
    except AddressError as error:
        raise ValueError(f"not an address: {error}") from None
    if not mailbox.domain or "," in text or "?" in text:
        raise ValueError('needs to be a plain address, like "postmaster@example.com"')
    return text


def _provable(text: str) -> str:
    if text.startswith("*."):
        raise ValueError("a name with a wildcard can be proven by DNS alone, which is not done here; name the hosts")
    try:
        name = parse_domain(text)
    except AddressError as error:
        raise ValueError(f"not a host name: {error}") from None
    if name.startswith("[") or "_" in name or not name.isascii():
        raise ValueError('not a host name; write a name like "relay.example.com", in ASCII')
    return name


class ExternalAccountSettings(Settings):
    """An account that you have with the CA already, where it wants one."""

    kid: str = Field(description="The identifier of the key that the CA has given you.", min_length=1, max_length=500)
    key: SecretText = Field(description="That key (HMAC), in the base64url form that it was given in.")


class AcmeSettings(Settings):
    """Certificates from a CA that speaks ACME, such as Let's Encrypt or step-ca; needs `postroad[acme]`."""

    directory: Annotated[str, AfterValidator(_directory)] = Field(
        "https://acme-v02.api.letsencrypt.org/directory", description="The CA's directory."
    )
    agree_tos: bool = Field(False, description="You agree to the CA's terms of service; nothing is asked of it before.")
    contact: tuple[Annotated[str, AfterValidator(_contact)], ...] = Field(
        (), description="Addresses at which the CA may write about the account.", json_schema_extra={"default": "none"}
    )
    names: tuple[Annotated[str, AfterValidator(_provable)], ...] = Field(
        (),
        description="Host names that the certificate is for; each must lead to this server.",
        max_length=100,
        json_schema_extra={"default": "`hostname`"},
    )
    challenge: Literal["tls-alpn-01", "http-01"] = Field(
        "tls-alpn-01",
        description="How the CA sees that names are ours: by TLS at port 443 of each, or by HTTP at port 80.",
    )
    bind: tuple[Endpoint, ...] = Field(
        (),
        description="Where the CA is answered, and nobody else finds anything.",
        json_schema_extra={"default": 'tls-alpn-01: `["0.0.0.0:443", "[::]:443"]`; http-01: `desk.bind` alone'},
    )
    key: Literal["ecdsa-p256", "rsa-2048"] = Field(
        "ecdsa-p256", description="The kind of the certificate's key; each certificate has a new one."
    )
    renew_before: Duration = Field(
        parse_duration("30d"),
        description="A certificate is renewed so long before it expires, at the latest; no earlier than in the last third "
        "of its life, and sooner when the CA suggests it.",
        ge=3600,
        le=365 * 86400,
    )
    external_account: ExternalAccountSettings | None = Field(
        None, description="An account with the CA that ours is bound to.", json_schema_extra={"default": "none"}
    )
    ca: File = Field(
        NONE,
        description="File of the certificates that the directory's own is checked with.",
        json_schema_extra={"default": "the system's"},
    )

    @property
    def answering_at(self) -> tuple[str, ...]:
        """Where a listener is wanted for challenges."""
        return self.bind or (EVERYWHERE if self.challenge == "tls-alpn-01" else ())

    def anchored(self, folder: Path) -> "AcmeSettings":
        """The same, with relative files taken from `folder`."""
        found: dict[str, object] = {**anchored_files(self, folder, "ca")}
        one = self.external_account
        if one is not None and one.key.file:
            key = Secret(file=str((folder / Path(one.key.file).expanduser()).absolute()))
            found["external_account"] = one.model_copy(update={"key": key})
        return self.model_copy(update=found) if found else self
