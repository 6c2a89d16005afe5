"""MTA-STS policies as values: what a domain says about TLS to its MX hosts, and what is kept of it.

Times are microseconds since 1970. A policy holds from when it was fetched for `max_age` seconds, whatever becomes of
the domain's record meanwhile (RFC 8461 3.3, RFC 8461 5.1).
"""

from typing import Final

from msgspec import Struct

ENFORCE: Final = "enforce"
TESTING: Final = "testing"
NO_POLICY: Final = "none"
MODES: Final = (ENFORCE, TESTING, NO_POLICY)

FETCH_ERROR: Final = "sts-policy-fetch-error"
INVALID: Final = "sts-policy-invalid"
UNTRUSTED: Final = "sts-webpki-invalid"


class StsPolicy(Struct, frozen=True):
    """One policy: `max_age` in seconds, `mx` the patterns in lower case, `lines` its text as a TLS report has it."""

    mode: str
    max_age: int
    mx: tuple[str, ...]
    lines: tuple[str, ...]


class StsFault(Struct, frozen=True):
    """Why there is no policy: `result` is a result type of RFC 8460 4.3.2.2, `words` are for people."""

    result: str
    words: str


class StsKept(Struct, frozen=True):
    """What is kept of a domain: its policy, the id of the record it was fetched for, and when that was.

    `looked` is when the record was asked for last, `tried` when a fetch was begun last; `fault` is what came of it, ""
    when it brought the policy.
    """

    domain: str
    id: str
    policy: StsPolicy
    fetched: int
    looked: int
    tried: int
    fault: str = ""

    @property
    def expires(self) -> int:
        """When the policy ends to hold."""
        return self.fetched + self.policy.max_age * 1_000_000
