"""Options of authentication (`[auth]`): who knows logins, how one may be proved, and what a wrong one costs.

The defaults never let a password over the wire in the clear. Each kind of identity source has a section of its own.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from postroad.auth.httpsettings import HttpSettings
from postroad.auth.ldapsettings import LdapSettings
from postroad.auth.oauthsettings import OAuthSettings
from postroad.auth.pamsettings import PamSettings
from postroad.auth.userlines import LEAST_ROUNDS, LineError, check_name
from postroad.model.option import Duration, Settings

_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_NAME_LIMIT: Final = 64
_TAKEN: Final = frozenset(("certificates", "pam", "users"))  # names of other sources
_HEX: Final = frozenset("0123456789abcdef")
_DIGEST: Final = 64  # hexadecimal digits of a SHA-256

Mechanism = Literal[
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1",
    "EXTERNAL",
    "OAUTHBEARER",
    "XOAUTH2",
    "PLAIN",
    "LOGIN",
]


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value)
    except ValueError as error:
        raise ValueError(f'{error}; write a network like "10.0.0.0/8" or "2001:db8::/32"') from None


def _path(value: object) -> object:
    return Path(value) if isinstance(value, str) and value else value


def _login(text: str) -> str:
    try:
        check_name(text)
    except LineError as error:
        raise ValueError(str(error)) from None
    return text


def _source(text: str) -> str:
    if not text or len(text) > _NAME_LIMIT or set(text) - _NAME or text in _TAKEN:
        taken = " and ".join(sorted(_TAKEN))
        raise ValueError(f"a source's name is 1 to {_NAME_LIMIT} letters, digits, hyphens and underscores, not {taken}")
    return text


def _certificate(text: str) -> str:
    """One form for each: `sha256:` and digits, `email:` and an address, or `DNS:` and a name."""
    kind, colon, rest = text.partition(":")
    if kind.lower() == "sha256":
        digits = rest.replace(":", "").lower()
        if len(digits) != _DIGEST or set(digits) - _HEX:
            raise ValueError("a fingerprint is sha256: and 64 hexadecimal digits")
        return f"sha256:{digits}"
    if colon and kind.lower() in ("dns", "email"):
        text = rest
    if not text or not text.isprintable() or " " in text or ":" in text:
        raise ValueError('a certificate is named by "sha256:DIGITS", or by a host name or address in it')
    return f"email:{text.lower()}" if "@" in text else f"DNS:{text.lower()}"


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
File = Annotated[Path, BeforeValidator(_path)]
Login = Annotated[str, AfterValidator(_login)]
SourceName = Annotated[str, AfterValidator(_source)]
CertificateName = Annotated[str, AfterValidator(_certificate)]


class UsersSettings(Settings):
    """The users file."""

    file: File = Field(
        description="Lines of name:hash, made by `postroad user`; relative to the configuration file's folder. "
        "Nobody but the server and its administrators may be able to read it."
    )
    scram: tuple[Literal["SCRAM-SHA-256", "SCRAM-SHA-1"], ...] = Field(
        (),
        description="For which mechanisms `postroad user` keeps new passwords, beside argon2id. SCRAM never sends a "
        "password, but what it needs is easier to guess from than argon2id once somebody has the file.",
    )
    scram_rounds: int = Field(
        100_000,
        description="How often SCRAM hashes new passwords; clients have to do it at each log-in.",
        ge=LEAST_ROUNDS,
        le=10_000_000,
    )


class AuthSettings(Settings):
    """Who logs in how."""

    sources: tuple[str, ...] = Field(
        (),
        description="The order in which identity sources are asked, by the names of their sections.",
        json_schema_extra={"default": "the users file first, then the others as they stand here"},
    )
    users: UsersSettings | None = Field(
        None, description="Users in a file.", json_schema_extra={"default": "no users file"}
    )
    ldap: dict[SourceName, LdapSettings] = Field(
        {}, description="Users in directories, by name.", json_schema_extra={"default": "none"}
    )
    http: dict[SourceName, HttpSettings] = Field(
        {}, description="Services that are asked by HTTP, by name.", json_schema_extra={"default": "none"}
    )
    pam: PamSettings | None = Field(
        None, description="Accounts of this host.", json_schema_extra={"default": "not asked"}
    )
    oauth: dict[SourceName, OAuthSettings] = Field(
        {},
        description="Issuers of access tokens, for XOAUTH2 and OAUTHBEARER, by name.",
        json_schema_extra={"default": "none"},
    )
    certificates: dict[CertificateName, Login] = Field(
        {},
        description='Logins of client certificates, for EXTERNAL: "sha256:DIGITS" is the fingerprint of one; a host '
        "name or address has to stand in one that was verified.",
        json_schema_extra={"default": "none"},
    )
    mechanisms: tuple[Mechanism, ...] = Field(
        (),
        description="What is offered at most.",
        json_schema_extra={"default": "all that work with every source, for every user"},
    )
    plain_text_networks: tuple[Network, ...] = Field(
        (),
        description="Networks whose clients may send passwords and tokens without TLS.",
        json_schema_extra={"default": "none"},
    )
    failure_delay: Duration = Field(
        "1s",
        description="Time from a wrong log-in to its answer at least, the same whatever was wrong.",
        ge=0,
        le=30,
    )
    source_timeout: Duration = Field(
        "10s", description="Time for one source to answer; then it counts as down (454 4.7.0).", ge=0.1, le=60
    )
    cache: Duration = Field(
        "1m", description='How long a right password or token is remembered; "0s" asks each time.', ge=0, le=3600
    )
    cache_size: int = Field(10_000, description="Log-ins that are remembered at most.", ge=1, le=1_000_000)
    verifications: int = Field(2, description="Passwords that are hashed at one time.", ge=1, le=64)
    waiting: int = Field(
        200, description="Log-ins that may wait for that; more are told to come again (454 4.7.0).", ge=0, le=100_000
    )

    def anchored(self, folder: Path) -> "AuthSettings":
        """The same, with relative files taken from `folder`."""
        oauth = {name: issuer.anchored(folder) for name, issuer in self.oauth.items()}
        if self.users is None:
            return self.model_copy(update={"oauth": oauth})
        file = (folder / self.users.file.expanduser()).absolute()
        return self.model_copy(update={"oauth": oauth, "users": self.users.model_copy(update={"file": file})})

    def order(self, known: Iterable[str]) -> tuple[str, ...]:
        """The names of the sources that are there, in the order in which they are asked; those named come first."""
        names = tuple(known)
        return (
            *(name for name in self.sources if name in names),
            *(name for name in names if name not in self.sources),
        )
