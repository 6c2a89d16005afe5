"""What checking a DKIM signature comes to, and what it says of itself, as values.

The words are those of RFC 8601 2.7.1: pass, fail, neutral, policy, temperror, permerror; none is a message
without signatures. Each has a reason for people. RFC 6376 6.1, RFC 6008 3.
"""

from typing import Final

from msgspec import Struct

PASS: Final = "pass"  # noqa: S105  a result, no secret
FAIL: Final = "fail"  # the signature is well and does not fit the message
NEUTRAL: Final = "neutral"  # it cannot be made use of: its syntax, an algorithm nobody knows
POLICY: Final = "policy"  # it may even be right, and we do not accept its kind
TEMPERROR: Final = "temperror"  # a later attempt may do better
PERMERROR: Final = "permerror"  # a later attempt will not: its key is missing, revoked or broken
NONE: Final = "none"


class Signature(Struct, frozen=True, kw_only=True):
    """A signature as its field says it (RFC 6376 3.5); of ARC too (RFC 8617 4.1.2)."""

    place: int  # of its field in the header section
    algorithm: str  # "rsa-sha256" or "ed25519-sha256"
    signature: bytes
    domain: str  # d= in look-up form
    selector: str
    key_name: str  # where its key is in DNS
    headers: tuple[bytes, ...] = ()
    body_hash: bytes = b""
    relaxed_header: bool = True
    relaxed_body: bool = True
    length: int | None = None  # l=
    identity: str = ""  # i=, with the domain in look-up form
    has_own_domain: bool = True  # the domain of i= is d= itself
    start: str = ""  # the first characters of b=, by which RFC 6008 3 tells signatures apart


class DkimResult(Struct, frozen=True, kw_only=True):
    """What became of one signature; all but `result` and `reason` is as far as it could be read."""

    result: str
    reason: str
    domain: str = ""
    selector: str = ""
    identity: str = ""  # who signed: i=, by default the domain behind an at sign
    algorithm: str = ""
    bits: int = 0  # of the key
    is_testing: bool = False  # the domain tries DKIM out: a failure is as if there were no signature (RFC 6376 3.6.1)
    length: int | None = None  # octets of the body that are signed; None: all
    headers: tuple[str, ...] = ()  # the fields that are signed, in lower case
    start: str = ""  # of b=, for header.b of RFC 6008 3

    @property
    def is_pass(self) -> bool:
        """True when the domain answers for the message."""
        return self.result == PASS


class DkimResults(Struct, frozen=True):
    """A fact: the results of all signatures of a message, from the top down; never empty."""

    results: tuple[DkimResult, ...]

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that answer for the message."""
        return tuple(dict.fromkeys(one.domain for one in self.results if one.is_pass))

    @property
    def word(self) -> str:
        """What all come to: "pass", "none", "temperror" or "fail"; who only tries DKIM out counts for nothing."""
        counted = [one.result for one in self.results if not one.is_testing and one.result != NONE]
        if self.domains:
            return PASS
        return TEMPERROR if TEMPERROR in counted else FAIL if counted else NONE
