"""Options of the host's own accounts as an identity source (`[auth.pam]`), through PAM.

What a password has to be, and where it is looked up, stands in PAM's file of the service, not here.
"""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from postroad.model.address import parse_domain
from postroad.model.errors import AddressError
from postroad.model.option import Settings

_SERVICE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def _service(text: str) -> str:
    if not text or len(text) > 64 or set(text) - _SERVICE:
        raise ValueError("the name of a file in /etc/pam.d has letters, digits, hyphens and underscores")
    return text


def _domain(text: str) -> str:
    try:
        return parse_domain(text) if text else ""
    except AddressError as error:
        raise ValueError(f"not a domain: {error}") from None


class PamSettings(Settings):
    """Accounts of this host."""

    service: Annotated[str, AfterValidator(_service)] = Field(
        "postroad", description="Which file of /etc/pam.d says how passwords are checked."
    )
    domain: Annotated[str, AfterValidator(_domain)] = Field(
        "",
        description="Users may send as login@domain.",
        json_schema_extra={"default": "none: of what they may send as, PAM says nothing"},
    )
    threads: int = Field(4, description="Log-ins that are checked at one time, of each process.", ge=1, le=64)
    waiting: int = Field(
        100, description="Log-ins that may wait for that; more are told to come again (454 4.7.0).", ge=0, le=10_000
    )
