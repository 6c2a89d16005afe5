"""A DKIM-Signature or ARC-Message-Signature field, read: all that can be judged without key and body.

What cannot be read is a result at once, with its reason (RFC 6376 6.1.1). RFC 6376 3.5, RFC 8301 3.1 (SHA-1 is
refused), RFC 8463 3, RFC 8616 4 (domains beyond ASCII), RFC 8617 4.1.2.
"""

from typing import Final

from postroad.mailauth.dkim_result import FAIL, NEUTRAL, PERMERROR, POLICY, DkimResult, Signature
from postroad.mailauth.dkim_tags import SPACES, Tags, decode_base64, number_of, parse_tags, shown
from postroad.mailauth.fields import Fields, names_of
from postroad.model.address import parse_domain
from postroad.model.errors import AddressError

CLOCK_SKEW: Final = 300  # seconds that a signer's clock may be wrong when x= has come
FUTURE_LIMIT: Final = 86_400  # seconds that t= may be ahead of us: clocks with the wrong time zone are common
SIGNATURE_LIMIT: Final = 4096 // 8 + 1  # octets of b= before it is as wrong as any other
NAME_LIMIT: Final = 253  # characters of a name in DNS

_ALGORITHMS: Final = frozenset({b"rsa-sha256", b"ed25519-sha256"})
_FORMS: Final = frozenset({b"simple", b"relaxed"})
_NEEDED: Final = (b"a", b"b", b"bh", b"d", b"h", b"s")


def read_signature(fields: Fields, place: int, now: int) -> Signature | DkimResult:
    """The DKIM-Signature field at `place`, or why it is none that can be checked; `now` is in seconds."""
    tags = parse_tags(fields.value(place))
    if isinstance(tags, str):
        return DkimResult(result=NEUTRAL, reason=f"the signature cannot be read: {tags}")
    if tags.get(b"v") != b"1":
        return _refused(tags, NEUTRAL, f"its version is {shown(tags[b'v'])}" if b"v" in tags else "v= is missing")
    return read_tags(tags, place, now)


def read_tags(tags: Tags, place: int, now: int, *, is_arc: bool = False) -> Signature | DkimResult:
    """The signature that `tags` describe; of an ARC-Message-Signature, i= is not looked at."""
    missing = [name.decode() for name in _NEEDED if name not in tags]
    if missing:
        return _refused(tags, NEUTRAL, f"{missing[0]}= is missing")
    result, fault = _judge(tags, now)
    if result:
        return _refused(tags, result, fault)
    try:
        domain = parse_domain(_text(tags[b"d"]))
        selector = parse_domain(_text(tags[b"s"]))
    except AddressError as error:
        return _refused(tags, NEUTRAL, f"d= or s= is no domain: {error}")
    key_name = f"{selector}._domainkey.{domain}"
    if domain[0] == "[" or selector[0] == "[" or len(key_name) > NAME_LIMIT:
        return _refused(tags, NEUTRAL, "d= and s= are no name in DNS")
    identity = f"@{domain}" if is_arc else _identity(tags, domain)
    if not identity:
        return _refused(tags, NEUTRAL, f"the domain of i= is not within d=: {shown(tags[b'i'])}")
    header, _, body = tags.get(b"c", b"simple" if not is_arc else b"relaxed/relaxed").partition(b"/")
    return Signature(
        place=place,
        algorithm=tags[b"a"].decode(),
        signature=decode_base64(tags[b"b"]) or b"",
        domain=domain,
        selector=selector,
        key_name=key_name,
        headers=names_of(tags[b"h"]),
        body_hash=decode_base64(tags[b"bh"]) or b"",
        relaxed_header=header.strip(SPACES) == b"relaxed",
        relaxed_body=body.strip(SPACES) == b"relaxed",
        length=number_of(tags[b"l"]) if b"l" in tags else None,
        identity=identity,
        has_own_domain=identity.rpartition("@")[2] == domain,
        start=_start(tags),
    )


def _judge(tags: Tags, now: int) -> tuple[str, str]:
    """The result that a signature has whatever message it is on, with its reason; or nothing."""
    algorithm = tags[b"a"]
    if algorithm == b"rsa-sha1":
        return POLICY, "rsa-sha1 is not accepted (RFC 8301 3.1)"
    if algorithm not in _ALGORITHMS:
        return NEUTRAL, f"its algorithm {shown(algorithm)} is not known"
    if b"from" not in names_of(tags[b"h"]):
        return PERMERROR, "the From field is not signed"
    forms = tags.get(b"c", b"simple").split(b"/")
    if len(forms) > 2 or any(form.strip(SPACES) not in _FORMS for form in forms):
        return NEUTRAL, f"its canonicalisation {shown(tags[b'c'])} is not known"
    if b"q" in tags and b"dns/txt" not in {way.strip(SPACES) for way in tags[b"q"].split(b":")}:
        return NEUTRAL, f"its key is to be had by {shown(tags[b'q'])} alone"
    if b"l" in tags and number_of(tags[b"l"]) is None:
        return NEUTRAL, "l= is no number"
    signature = decode_base64(tags[b"b"])
    if not signature or len(signature) > SIGNATURE_LIMIT:
        return NEUTRAL, "b= is no signature"
    digest = decode_base64(tags[b"bh"])
    if digest is None or len(digest) != 32:
        return NEUTRAL, "bh= is no hash"
    return _judge_times(tags, now)


def _judge_times(tags: Tags, now: int) -> tuple[str, str]:
    begin = number_of(tags.get(b"t", b"0"))
    end = number_of(tags[b"x"]) if b"x" in tags else now
    if begin is None or end is None:
        return NEUTRAL, "t= or x= is no number"
    if b"x" in tags and b"t" in tags and end <= begin:
        return NEUTRAL, "it expires before it begins"
    if end < now - CLOCK_SKEW:
        return FAIL, f"it expired {now - end} seconds ago"
    if begin > now + FUTURE_LIMIT:
        return NEUTRAL, f"it was made {begin - now} seconds from now"
    return "", ""


def _identity(tags: Tags, domain: str) -> str:
    """i= with its domain in look-up form; nothing when that is not within `domain` (RFC 6376 3.5)."""
    given = tags.get(b"i")
    if given is None:
        return f"@{domain}"
    local, at, own = given.rpartition(b"@")
    if not at:
        return ""
    try:
        name = parse_domain(_text(own.strip(SPACES)))
    except AddressError:
        return ""
    if name != domain and not name.endswith("." + domain):
        return ""
    local = local.translate(None, SPACES)  # as it was written, in DKIM-Quoted-Printable (RFC 6376 2.11)
    return f"{local.decode('utf-8', 'replace')}@{name}"


def _refused(tags: Tags, result: str, reason: str) -> DkimResult:
    """`result` before key and body were looked at, with what the field says of itself, as far as it may be shown."""
    domain, selector, identity = (_shown(tags.get(name, b"")) for name in (b"d", b"s", b"i"))
    return DkimResult(
        result=result,
        reason=f"the signature cannot be used: {reason}",
        domain=domain,
        selector=selector,
        identity=identity,
        algorithm=_shown(tags.get(b"a", b"")),
        start=_start(tags),
    )


def _start(tags: Tags) -> str:
    return _shown(tags.get(b"b", b"")[:24].translate(None, SPACES)[:8])


def _shown(value: bytes) -> str:
    text = value[:NAME_LIMIT].decode("utf-8", "replace")
    return text if text.isprintable() else ""


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
