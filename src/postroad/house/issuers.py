"""Opens the issuers of access tokens (`[auth.oauth]`) as identity sources.

Nothing is fetched before the first token, so an issuer that is down keeps no server from its start.
"""

from msgspec import Struct

from postroad.auth.oauthsettings import OAuthSource
from postroad.config.checks.oauth import OAUTH, oauth_secret
from postroad.config.schema import Config
from postroad.net.clock import Clock


class Issuers(Struct, frozen=True):
    """The sources by name, and what clients are told whose token was refused (RFC 7628 3.2.2)."""

    sources: dict[str, OAuthSource]
    hint: dict[str, str]


def open_issuers(config: Config, clock: Clock) -> Issuers:
    """Those that `config` has; ConfigError when a secret cannot be read or the extra is not installed."""
    issuers = config.auth.oauth
    sources = {name: OAUTH.load()(name, issuer, oauth_secret(name, issuer), clock) for name, issuer in issuers.items()}
    first = next(iter(issuers.values()), None)
    if first is None:
        return Issuers(sources, {})
    hint = {"openid-configuration": f"{first.issuer.rstrip('/')}/.well-known/openid-configuration"}
    if first.scopes:
        hint["scope"] = " ".join(first.scopes)
    return Issuers(sources, hint)


def has_same_issuers(new: Config) -> bool:
    """True when no file behind an option could have changed."""
    for issuer in new.auth.oauth.values():
        secret = None if issuer.introspection is None else issuer.introspection.client_secret
        if issuer.ca or (secret is not None and (secret.file or secret.env)):
            return False
    return True
