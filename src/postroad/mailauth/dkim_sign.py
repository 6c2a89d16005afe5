"""Signing a message, as the last step after every edit (RFC 6376 5, RFC 8463, RFC 8301 3.2).

`Signing` is given the header section as it will leave and the hashes of the body as it will leave; what `lines` gives
is to stand on top of all, and nothing below may change any more. One signature a key, RSA and Ed25519 side by
side. Fields are signed as often as they are there, and the important ones once more, so that none can be added
(RFC 6376 5.4, RFC 6376 8.15).
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from postroad.mailauth.body_hash import BodyHashes
from postroad.mailauth.dkim_private import SigningKey
from postroad.mailauth.dkim_tags import encode_base64
from postroad.mailauth.dkim_terms import SigningTerms
from postroad.mailauth.fields import Fields, relaxed_line

_LINE_LIMIT: Final = 76  # octets of a line we write (RFC 5322 2.1.1 asks for at most 78)
_REPEATS_LIMIT: Final = 50  # times that one field is named; of more, the topmost stay unsigned


class Signing:
    """The signatures of one message, on their way: first all is asked for, then the body comes, then `lines`."""

    __slots__ = ("_body", "_fields", "_keys", "_now", "_terms", "fault")

    def __init__(
        self, fields: Fields, body: BodyHashes, keys: Sequence[SigningKey], now: int, terms: SigningTerms
    ) -> None:
        """`body` is told what is needed; `fault` says why the message cannot be signed, "" when it can."""
        self._fields = fields
        self._body = body
        self._keys = keys
        self._now = now
        self._terms = terms
        authors = len(fields.places(b"from"))
        self.fault = "" if authors == 1 else f"a message that is signed has one From field, this one {authors}"
        if not self.fault:
            body.want(is_relaxed=terms.relaxed_body)

    def lines(self) -> bytes:
        """The signature fields, each ended by CRLF, to be put on top; nothing when there is a `fault`."""
        if self.fault:
            return b""
        terms = self._terms
        names, chosen = signed_names(self._fields, terms)
        header = b"".join([self._fields.canonical(at, is_relaxed=terms.relaxed_header) for at in chosen])
        body_hash = self._body.digest(is_relaxed=terms.relaxed_body)
        assert body_hash is not None  # the whole body always has a hash
        lines = []
        for key in self._keys:
            tags = [f"v=1; a={key.algorithm}; c={terms.canonical}; d={key.domain}; s={key.selector}", *self._times()]
            if terms.identity:
                tags.append(f"i={terms.identity}")
            field = signature_field("DKIM-Signature", tags, names, body_hash)
            lines.append(signed_field(key, header, field, is_relaxed=terms.relaxed_header))
        return b"".join(lines)

    def _times(self) -> list[str]:
        times = [f"t={self._now}"] if self._terms.has_time else []
        if self._terms.expire_after:
            times.append(f"x={self._now + self._terms.expire_after}")
        return times


def signed_names(fields: Fields, terms: SigningTerms) -> tuple[list[str], list[int]]:
    """The names for the tag h=, and the fields that they choose, in their order."""
    names: list[str] = []
    chosen: list[int] = []
    oversigned = {name.lower() for name in terms.oversigned}
    for name in terms.signed:
        lower = name.lower()
        places = fields.places(lower.encode("ascii"))
        here = list(reversed(places))[:_REPEATS_LIMIT]
        chosen += here
        names += [name] * (len(here) + (lower in oversigned and len(here) == len(places)))
    return names, chosen


def signature_field(name: str, tags: Sequence[str], names: Sequence[str], body_hash: bytes) -> bytes:
    """A signature field as far as "b=", folded and without its CRLF; `names` are for h=."""
    words = [f"{tag};" for tag in "; ".join(tags).split("; ")]
    if names:
        words += [f"h={names[0]}", *(f":{one}" for one in names[1:])]
        words[-1] += ";"
        words.append(f"bh={encode_base64(body_hash).decode()};")
    lines = []
    line = f"{name}:"
    for word in words:
        glue = "" if word[0] == ":" else " "
        if len(line) + len(glue) + len(word) > _LINE_LIMIT:
            lines.append(line)
            line, glue = "", "\t"
        line += glue + word
    return "\r\n".join([*lines, line, "\tb="]).encode("ascii")


def signed_field(key: SigningKey, header: bytes, field: bytes, *, is_relaxed: bool) -> bytes:
    """`field`, which ends in "b=", with its signature over `header` and itself, folded, and CRLF."""
    signed = header + (relaxed_line(field) if is_relaxed else field)
    value = encode_base64(key.sign(sha256(signed).digest()))
    first = _LINE_LIMIT - 3
    parts = [value[:first], *(value[at : at + _LINE_LIMIT - 1] for at in range(first, len(value), _LINE_LIMIT - 1))]
    return field + b"\r\n\t".join(parts) + b"\r\n"
