"""Sealing mail that is forwarded or changed, so that the next relay can see what we found out (RFC 8617 5.1).

`Sealing` is the last step after every edit, like `dkim_sign.Signing`, and before it where both are done: a DKIM
signature covers no ARC field, nor the reverse. A chain that failed is sealed once more to say so, over our own set
alone (RFC 8617 5.1.2); one that was sealed as failed, that is full, or that DNS could not tell us of gets nothing.
"""

from typing import Final

from postroad.mailauth.arc import INSTANCES_LIMIT, ArcResult, Chain
from postroad.mailauth.body_hash import BodyHashes
from postroad.mailauth.dkim_private import SigningKey
from postroad.mailauth.dkim_result import FAIL
from postroad.mailauth.dkim_sign import signature_field, signed_field, signed_names
from postroad.mailauth.dkim_terms import SigningTerms
from postroad.mailauth.fields import Fields, relaxed_line

_CANONICAL: Final = "relaxed/relaxed"


class Sealing:
    """The ARC set that we add to one message: first all is asked for, then the body comes, then `lines`."""

    __slots__ = ("_body", "_chain", "_claim", "_fields", "_found", "_instance", "_key", "_now", "_terms", "fault")

    def __init__(  # noqa: PLR0913, PLR0917  each is another thing that a seal is about
        self,
        fields: Fields,
        body: BodyHashes,
        key: SigningKey,
        now: int,
        terms: SigningTerms,
        chain: Chain,
        found: ArcResult,
        claim: str,
    ) -> None:
        """`fields` and `body` are the message as it leaves, `chain` with its result `found` what came.

        `claim` is what an Authentication-Results field of ours would say: our name, then the results, perhaps folded.
        `fault` says why no set is added, "" when one is. Of `terms` the fields that are signed count.
        """
        self._fields = fields
        self._body = body
        self._key = key
        self._now = now
        self._terms = terms
        self._chain = chain
        self._found = found
        self._claim = claim
        self._instance = found.instances + 1
        self.fault = self._judge()
        if not self.fault:
            body.want(is_relaxed=True)

    def lines(self) -> bytes:
        """Our three fields, each ended by CRLF, to be put on top; nothing when there is a `fault`."""
        if self.fault:
            return b""
        key, number = self._key, self._instance
        results = f"ARC-Authentication-Results: i={number}; {self._claim}".encode()
        names, chosen = signed_names(self._fields, self._terms)
        header = b"".join([self._fields.canonical(at, is_relaxed=True) for at in chosen])
        body_hash = self._body.digest(is_relaxed=True)
        assert body_hash is not None  # the whole body always has a hash
        about = f"a={key.algorithm}; d={key.domain}; s={key.selector}; t={self._now}"
        field = signature_field("ARC-Message-Signature", [f"i={number}; c={_CANONICAL}", about], names, body_hash)
        message = signed_field(key, header, field, is_relaxed=True)
        cv = "none" if number == 1 else self._found.result
        covered = b"" if cv == FAIL else self._chain.covered()
        covered += relaxed_line(results) + b"\r\n" + relaxed_line(message) + b"\r\n"
        seal = signed_field(
            key, covered, signature_field("ARC-Seal", [f"i={number}; cv={cv}", about], (), b""), is_relaxed=True
        )
        return seal + message + results + b"\r\n"

    def _judge(self) -> str:
        if self._found.is_over or self._instance > INSTANCES_LIMIT:
            return "the chain is over: " + (self._found.reason or "it is full")
        if self._found.is_temporary:
            return f"the chain could not be checked: {self._found.reason}"
        if len(self._fields.places(b"from")) != 1:
            return "a message that is sealed has one From field"
        if len(Fields(f"X: {self._claim}\r\n".encode()).raw) != 1:
            return "what was found out is not one folded field"
        return ""
