"""Rules about issuers of access tokens, and what they need of this host: the extra, secrets, files of certificates.

Issuers themselves are asked by log-ins alone: one that is down must not keep a configuration from being taken.
"""

import ssl
from collections.abc import Iterator
from typing import Final

from postroad.auth.oauthsettings import MakeOAuth, OAuthSettings
from postroad.config.problem import Problem
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.model.errors import ConfigError
from postroad.model.late import Late

OAUTH: Final = Late[MakeOAuth]("postroad.auth.oauth", "make_oauth", extra="oauth")


def check_oauth(config: Config) -> Iterator[Problem]:
    """Issuers that stand in two sections: only the first would ever be asked."""
    seen: dict[str, str] = {}
    for name, issuer in config.auth.oauth.items():
        for kind in ("ldap", "http"):
            if name in getattr(config.auth, kind):
                yield Problem(("auth", "oauth", name), f"auth.{kind}.{name} has this name already")
        before = seen.setdefault(issuer.issuer, name)
        if before != name:
            yield Problem(
                ("auth", "oauth", name, "issuer"),
                f'"{issuer.issuer}": is that of auth.oauth.{before} already; one section may have several audiences',
            )


def check_oauth_places(config: Config) -> Iterator[Problem]:
    """What is missing on this host."""
    for name, issuer in config.auth.oauth.items():
        path = ("auth", "oauth", name)
        try:
            OAUTH.load()
        except ConfigError as error:
            yield Problem(path, str(error))
        try:
            oauth_secret(name, issuer)
        except ConfigError as error:
            yield Problem((*path, "introspection", "client_secret"), str(error).partition(": ")[2])
        if issuer.ca:
            try:
                ssl.create_default_context(cafile=issuer.ca)
            except (OSError, ValueError) as error:  # no such file, or no certificates in it
                words = getattr(error, "strerror", None) or error
                yield Problem((*path, "ca"), f'"{issuer.ca}": {words}')


def oauth_secret(name: str, issuer: OAuthSettings) -> str:
    """Our password at introspection, "" when there is none; ConfigError when it cannot be read."""
    asking = issuer.introspection
    if asking is None or not asking.client_secret:
        return ""
    return read_secret(asking.client_secret, f"auth.oauth.{name}.introspection.client_secret")
