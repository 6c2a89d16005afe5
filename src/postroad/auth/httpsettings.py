"""Options of a service that is asked by HTTP as an identity source (`[auth.http.NAME]`).

The service gets what the client said, password included, so it is spoken to under TLS, or on this host.
"""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from postroad.model.option import Duration, Secret, SecretText, Settings


def has_credentials(url: str) -> bool:
    """True when a name or password is in `url`, which is an option that is shown."""
    parts = urlsplit(url)
    return bool(parts.username or parts.password)


def _url(text: str) -> str:
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = 0
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ValueError('not an address; write it like "https://login.example.com/check"')
    if has_credentials(text):
        return text  # refused in config/checks/auth.py, whose words do not repeat it
    if parts.scheme == "http" and not (host in ("localhost", "::1") or host.startswith("127.")):
        raise ValueError("passwords would go in the clear; use https")
    return text


class HttpSettings(Settings):
    """One service as an identity source."""

    url: Annotated[str, AfterValidator(_url)] = Field(
        description="Where the service is: `https://host/path`, or `http://` on this host."
    )
    secret: SecretText = Field(
        Secret(),
        description="By which it knows us: sent as `Authorization: Bearer`.",
        json_schema_extra={"default": "none"},
    )
    ca: str = Field(
        "",
        description="File of the certificates that the service's is checked with.",
        json_schema_extra={"default": "the system's"},
    )
    timeout: Duration = Field(
        5.0, description="Time for one answer; after it the service counts as down.", ge=0.1, le=60
    )
    connections: int = Field(8, description="Connections at most, of each process.", ge=1, le=200)
