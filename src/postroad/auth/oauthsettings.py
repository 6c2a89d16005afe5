"""Options of access tokens as proof of a login (`[auth.oauth.NAME]`): whose tokens, for whom, and who they speak of.

One section an issuer. Tokens that are JWTs (RFC 7519, RFC 9068) are checked here with the issuer's published keys;
about others the issuer can be asked (RFC 7662). No algorithm can be chosen that a public key could be turned against.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from postroad.auth.source import Source
from postroad.model.option import Duration, Secret, SecretText, Settings, Size
from postroad.net.clock import Clock

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]  # fmt: skip
ALL: Final[tuple[Algorithm, ...]] = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
)  # fmt: skip


def _https(text: str) -> str:
    try:
        parts = urlsplit(text)
        sound = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0 and text.isprintable()
    except ValueError:
        sound = False
    else:
        sound = sound and not parts.fragment and "@" not in parts.netloc and " " not in text
    if text and not sound:
        raise ValueError('not an address; write it like "https://login.example.com/realm"')
    return text


def _given(text: str) -> str:
    if not text:
        raise ValueError('is needed; write it like "https://login.example.com/realm"')
    return _https(text)


Url = Annotated[str, AfterValidator(_https)]


class IntrospectionSettings(Settings):
    """Asking the issuer about tokens that are no JWTs."""

    url: Annotated[str, AfterValidator(_given)] = Field(description="Where to ask (RFC 7662).")
    client_id: str = Field(description="Who we are there.", min_length=1)
    client_secret: SecretText = Field(
        Secret(), description="Our password there.", json_schema_extra={"default": "none"}
    )


class OAuthSettings(Settings):
    """One issuer of access tokens."""

    issuer: Annotated[str, AfterValidator(_given)] = Field(
        description="Whose tokens: what stands in them as `iss`, to the letter; OpenID discovery begins there."
    )
    audiences: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        description="For whom a token may be: one of these has to stand in it as `aud`.", min_length=1
    )
    keys: Url = Field(
        "",
        description="Where the issuer's keys (JWKS) are.",
        json_schema_extra={"default": "what OpenID discovery says"},
    )
    algorithms: tuple[Algorithm, ...] = Field(
        ALL, description="Signatures that are taken.", min_length=1, json_schema_extra={"default": "all"}
    )
    login_claims: tuple[str, ...] = Field(
        ("email", "upn", "sub"),
        description="Claims that hold the login, like `preferred_username`; the first that is there counts. An e-mail "
        "address that the issuer says is not verified counts as not there.",
        min_length=1,
    )
    address_claims: tuple[str, ...] = Field(
        ("email",), description="Claims that hold addresses the login may send as, as text or lists."
    )
    groups_claim: str = Field("groups", description="The claim that holds groups.")
    scopes: tuple[str, ...] = Field((), description="Scopes that a token must have, all of them.")
    claims: dict[str, tuple[str, ...]] = Field(
        {},
        description='Claims that a token must have, each with one of these values: hd = ["example.com"].',
        json_schema_extra={"default": "`{}`"},
    )
    leeway: Duration = Field(
        30.0,
        description="How far the issuer's clock may be off.",
        ge=0,
        le=300,
        json_schema_extra={"default": '`"30s"`'},
    )
    token_size: Size = Field(
        12 << 10, description="Octets of a token at most.", ge=256, le=65536, json_schema_extra={"default": '`"12KiB"`'}
    )
    ca: str = Field(
        "",
        description="File of the certificates that the issuer's is checked with.",
        json_schema_extra={"default": "the system's"},
    )
    timeout: Duration = Field(
        5.0, description="Time for one answer of the issuer.", ge=0.1, le=30, json_schema_extra={"default": '`"5s"`'}
    )
    refresh: Duration = Field(
        3600.0,
        description="How old keys may be before they are fetched again.",
        ge=60,
        le=86400,
        json_schema_extra={"default": '`"1h"`'},
    )
    keep_for: Duration = Field(
        86400.0,
        description="How old they may be while the issuer does not answer; then 454 4.7.0.",
        ge=60,
        le=30 * 86400,
        json_schema_extra={"default": '`"1d"`'},
    )
    introspection: IntrospectionSettings | None = Field(
        None, description="For tokens that are no JWTs.", json_schema_extra={"default": "they are not taken"}
    )

    def anchored(self, folder: Path) -> "OAuthSettings":
        """The same, with a relative file taken from `folder`."""
        if not self.ca:
            return self
        return self.model_copy(update={"ca": str((folder / Path(self.ca).expanduser()).absolute())})


class OAuthSource(Source, Protocol):
    """An issuer as an identity source."""

    async def close(self) -> None:
        """Close the connections to it."""


# From its name, its settings, our password at introspection and the clock.
MakeOAuth = Callable[[str, OAuthSettings, str, Clock], OAuthSource]
