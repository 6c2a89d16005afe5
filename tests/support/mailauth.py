"""Signing and checking whole messages with `postroad.mailauth`, for its tests: DNS is a mapping of names to records."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from postroad.mailauth.arc import ArcResult, Chain
from postroad.mailauth.arc_seal import Sealing
from postroad.mailauth.body_hash import BodyHashes
from postroad.mailauth.dkim_private import ED25519, SigningKey, make_signing_key
from postroad.mailauth.dkim_result import DkimResult
from postroad.mailauth.dkim_sign import Signing
from postroad.mailauth.dkim_terms import SigningTerms
from postroad.mailauth.dkim_verify import Verification
from postroad.mailauth.fields import Fields
from postroad.model.dns import Answer, DnsStatus

NOW = 1_700_000_000
NO_NAME = Answer(DnsStatus.NO_NAME)
Zone = Mapping[str, str | Answer]


@lru_cache(maxsize=16)  # the same for all tests: making one takes time
def key(kind: str, number: int = 0, domain: str = "example.com") -> SigningKey:
    """A key of the domain: rsa1024, rsa2048 or ed25519."""
    selector = f"{kind}-{number}"
    if kind == ED25519:
        return make_signing_key(domain, selector, ED25519)
    return make_signing_key(domain, selector, bits=int(kind.removeprefix("rsa")))


def zone(*keys: SigningKey) -> dict[str, str]:
    """What DNS has of `keys`."""
    return {one.name: one.record() for one in keys}


def answers(names: Iterable[str], known: Zone) -> dict[str, Answer]:
    """The answers for `names`."""
    found = {}
    for name in names:
        record = known.get(name, NO_NAME)
        found[name] = Answer(DnsStatus.FOUND, (record,)) if isinstance(record, str) else record
    return found


def split(message: bytes) -> tuple[bytes, bytes]:
    """Header section with its last CRLF, and body."""
    head, blank, body = message.partition(b"\r\n\r\n")
    return (head + b"\r\n", body) if blank else (head, b"")


def feed(body: BodyHashes, octets: bytes, step: int = 0) -> None:
    """The whole body, in pieces of `step` octets."""
    for at in range(0, len(octets), step or len(octets) or 1):
        body.feed(octets[at : at + (step or len(octets))])
    body.finish()


def check(message: bytes, known: Zone, *, now: int = NOW, step: int = 0, most: int = 10) -> tuple[DkimResult, ...]:
    """The results of all DKIM signatures of `message`."""
    head, octets = split(message)
    body = BodyHashes()
    verification = Verification(Fields(head), body, now, most=most)
    feed(body, octets, step)
    return verification.results(answers(verification.key_names, known))


def words(message: bytes, known: Zone, **more: int) -> list[str]:
    """The result words of `check`."""
    return [one.result for one in check(message, known, **more)]


DEFAULT = SigningTerms()


def sign(
    message: bytes, keys: Sequence[SigningKey], terms: SigningTerms = DEFAULT, *, now: int = NOW, step: int = 0
) -> bytes:
    """`message` with a signature of each key."""
    head, octets = split(message)
    body = BodyHashes()
    signing = Signing(Fields(head), body, keys, now, terms)
    feed(body, octets, step)
    return signing.lines() + message


def chain(message: bytes, known: Zone, *, now: int = NOW) -> ArcResult:
    """What the ARC sets of `message` come to."""
    head, octets = split(message)
    body = BodyHashes()
    found = Chain(Fields(head), body, now)
    feed(body, octets)
    return found.result(answers(found.key_names, known))


def seal(
    message: bytes,
    by: SigningKey,
    known: Zone,
    claim: str = "relay.example.com;\r\n\tspf=pass smtp.mailfrom=example.net",
    *,
    edited: bytes | None = None,
    now: int = NOW,
) -> tuple[bytes, str]:
    """The message with one more set, as it came or as it was `edited`, and why there is none."""
    head, octets = split(message)
    came = BodyHashes()
    read = Chain(Fields(head), came, now)
    feed(came, octets)
    found = read.result(answers(read.key_names, known))
    leaving = message if edited is None else edited
    head, octets = split(leaving)
    body = BodyHashes()
    sealing = Sealing(Fields(head), body, by, now, DEFAULT, read, found, claim)
    feed(body, octets)
    return sealing.lines() + leaving, sealing.fault
