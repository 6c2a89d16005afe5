"""Checking the DKIM signatures of a message, in three steps without waiting (RFC 6376 6).

`Verification` reads the header section and says which keys it needs; meanwhile the caller asks DNS for them, side by
side and within its time, and the body goes through `BodyHashes`; `results` then judges. However many signatures a
message has, only the topmost few are checked, and one result tells of the rest. A key that could not be had is a
temperror, never a failure.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from postroad.mailauth.body_hash import BodyHashes
from postroad.mailauth.dkim_key import KeyProblem, key_in
from postroad.mailauth.dkim_result import FAIL, NONE, PASS, PERMERROR, POLICY, DkimResult, Signature
from postroad.mailauth.dkim_signature import read_signature
from postroad.mailauth.fields import Fields
from postroad.model.dns import Answer

SIGNATURES_LIMIT: Final = 10  # that are checked of one message (RFC 6376 6.1 lets verifiers bound this)

_NAME: Final = b"dkim-signature"


class Verification:
    """The DKIM signatures of one message, on their way to results."""

    __slots__ = ("_body", "_fields", "_found", "_left")

    def __init__(self, fields: Fields, body: BodyHashes, now: int, *, most: int = SIGNATURES_LIMIT) -> None:
        """Of `fields` the `most` topmost signatures are looked at; `body` is told what they need; `now` in seconds."""
        places = fields.places(_NAME)
        self._fields = fields
        self._body = body
        self._left = max(0, len(places) - most)
        self._found = [read_signature(fields, place, now) for place in places[:most]]
        for found in self._found:
            if isinstance(found, Signature):
                body.want(is_relaxed=found.relaxed_body, length=found.length)

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names whose TXT records are needed, each once."""
        return tuple(dict.fromkeys(found.key_name for found in self._found if isinstance(found, Signature)))

    def results(self, answers: Mapping[str, Answer]) -> tuple[DkimResult, ...]:
        """One result a signature from the top down, or one that says there is none; the body is finished."""
        results = [
            judge(found, self._fields, self._body, answers) if isinstance(found, Signature) else found
            for found in self._found
        ]
        if not results:
            return (DkimResult(result=NONE, reason="the message has no DKIM signature"),)
        if self._left:
            reason = f"{self._left} more signatures were not looked at: {len(results)} are enough"
            results.append(DkimResult(result=POLICY, reason=reason))
        return tuple(results)


def judge(signature: Signature, fields: Fields, body: BodyHashes, answers: Mapping[str, Answer]) -> DkimResult:
    """What becomes of one readable signature (RFC 6376 6.1.2, RFC 6376 6.1.3)."""
    kind = signature.algorithm.partition("-")[0]
    key = key_in(answers.get(signature.key_name), kind, signature.key_name)
    if isinstance(key, KeyProblem):
        return _result(signature, key.result, key.reason)
    bits, is_testing = key.bits, key.is_testing
    if key.is_strict and not signature.has_own_domain:
        reason = f"its key is for i= in {signature.domain} itself alone, and not in domains below it"
        return _result(signature, PERMERROR, reason, bits, is_testing=is_testing)
    fault = _body_fault(signature, body)
    if not fault:
        if key.fits(signature.signature, sha256(signed_header(signature, fields)).digest()):
            partly = "" if signature.length is None else f", and the first {signature.length} octets of its body alone"
            return _result(signature, PASS, f"{signature.domain} signed it{partly}", bits, is_testing=is_testing)
        fault = "the signature does not fit: a signed field was changed, or the key is another"
    if is_testing:
        fault += "; the domain is testing"
    return _result(signature, FAIL, fault, bits, is_testing=is_testing)


def signed_header(signature: Signature, fields: Fields) -> bytes:
    """The octets that are signed (RFC 6376 3.7): the chosen fields, then the signature's own without its b=."""
    is_relaxed = signature.relaxed_header
    chosen = fields.chosen(signature.headers)
    parts = [fields.canonical(at, is_relaxed=is_relaxed) for at in chosen]
    parts.append(fields.unsigned(signature.place, is_relaxed=is_relaxed))
    return b"".join(parts)


def _body_fault(signature: Signature, body: BodyHashes) -> str:
    digest = body.digest(is_relaxed=signature.relaxed_body, length=signature.length)
    if digest is None:
        return f"l= counts {signature.length} octets, and the body has fewer"
    return "" if digest == signature.body_hash else "the body was changed"


def _result(signature: Signature, result: str, reason: str, bits: int = 0, *, is_testing: bool = False) -> DkimResult:
    return DkimResult(
        result=result,
        reason=reason,
        domain=signature.domain,
        selector=signature.selector,
        identity=signature.identity,
        algorithm=signature.algorithm,
        bits=bits,
        is_testing=is_testing,
        length=signature.length,
        headers=tuple(name.decode("latin-1") for name in signature.headers),
        start=signature.start,
    )
