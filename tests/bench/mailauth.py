"""CPU of mail authentication on a message of 4 KiB, beside the bare calls of `cryptography` that it cannot do without.

One row is all that a gateway checks: SPF, DKIM, DMARC and ARC, with DNS in memory. Each row is the least of several
rounds, in microseconds of CPU, so that other work on the machine counts little. Signing may take 15 % and 150 us more
than the bare call.
"""

from argparse import Namespace
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from hashlib import sha256
from time import process_time
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from postroad.mailauth.arc import Chain
from postroad.mailauth.body_hash import BodyHashes
from postroad.mailauth.dkim_private import SigningKey
from postroad.mailauth.dkim_verify import Verification
from postroad.mailauth.dmarc import Identifier, authors_of, evaluate
from postroad.mailauth.fields import Fields
from postroad.mailauth.spf import check_host
from tests.support.mailauth import NOW, answers, chain, check, feed, key, seal, sign, split, zone
from tests.support.spfzone import Zone

T = TypeVar("T")
ROUNDS = 9
CALLS = 200
WHOLE = 1000.0  # microseconds that all checks of one message may take
SENT: Mapping[str, Mapping[str, Sequence[str]]] = {
    "example.com": {"TXT": ["v=spf1 mx include:_spf.example.com -all"], "MX": ["10 mx1.example.com"]},
    "mx1.example.com": {"A": ["192.0.2.9"]},
    "_spf.example.com": {"TXT": ["v=spf1 ip4:198.51.100.0/24 ip4:192.0.2.0/29 -all"]},
    "_dmarc.example.com": {"TXT": ["v=DMARC1; p=reject; rua=mailto:reports@example.com"]},
}
ROWS = (
    ("Received", "from client.example.org (client.example.org [192.0.2.1]) by relay.example.com with ESMTPS id 1234"),
    ("Received", "from desk.example.org (desk.example.org [198.51.100.7]) by client.example.org with ESMTPSA id 5678"),
    ("From", "Alice Example <alice@example.com>"),
    ("To", "Bob Example <bob@example.net>"),
    ("Cc", "Carol Example <carol@example.net>"),
    ("Subject", "What we said yesterday about the things of tomorrow"),
    ("Date", "Thu, 26 Nov 2026 12:00:00 +0000"),
    ("Message-ID", "<20261126120000.1234@example.com>"),
    ("MIME-Version", "1.0"),
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Transfer-Encoding", "8bit"),
    ("User-Agent", "Example 1.0"),
)


def message() -> bytes:
    """A usual message of 4 KiB."""
    head = "".join(f"{name}: {value}\r\n" for name, value in ROWS) + "\r\n"
    line = "Some words of a line that is some seventy characters long, as usual.\r\n"
    return (head + line * ((4096 - len(head)) // len(line))).encode()


def least(call: Callable[[], object]) -> float:
    """Microseconds of CPU of one `call`."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = process_time()
        for _ in range(CALLS):
            call()
        best = min(best, (process_time() - begin) / CALLS)
    return best * 1e6


def bare(own: SigningKey, octets: bytes) -> tuple[float, float]:
    """The bare calls: signing and verifying."""
    private = own._private
    if isinstance(private, Ed25519PrivateKey):
        digest = sha256(octets).digest()
        signature, known = private.sign(digest), private.public_key()
        return least(lambda: private.sign(digest)), least(lambda: known.verify(signature, digest))
    assert isinstance(private, RSAPrivateKey)
    padding, algorithm = PKCS1v15(), SHA256()
    made, public = private.sign(octets, padding, algorithm), private.public_key()
    return (
        least(lambda: private.sign(octets, padding, algorithm)),
        least(lambda: public.verify(made, octets, padding, algorithm)),
    )


def at_once(pending: Coroutine[Any, Any, T]) -> T:
    """What `pending` comes to, which waits for nothing: its DNS is in memory."""
    try:
        pending.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("it waits")


def verify_all(octets: bytes, known: Mapping[str, str], lookup: Zone) -> tuple[str, ...]:
    """The words of SPF, DKIM, ARC and DMARC for one message."""
    lookup.asked.clear()
    head, content = split(octets)
    fields, body = Fields(head), BodyHashes()
    verification, sets = Verification(fields, body, NOW), Chain(fields, body, NOW)
    feed(body, content)
    found = answers(dict.fromkeys((*verification.key_names, *sets.key_names)), known)
    signatures, sealed = verification.results(found), sets.result(found)
    sender = at_once(
        check_host(lookup, "192.0.2.1", "example.com", "alice@example.com", helo="a.example", receiver="b.example")
    )
    proofs = [Identifier("spf", sender.result, sender.domain)]
    proofs += [Identifier("dkim", one.result, one.domain) for one in signatures]
    author = at_once(evaluate(lookup, authors_of(fields).domains, proofs))
    return sender.result, signatures[0].result, sealed.result, author.result


def table() -> list[tuple[str, float, float, float]]:
    """Of each row: what, the bare call, ours, and the most that ours may take (0: not promised)."""
    octets = message()
    rsa, ed25519 = key("rsa2048"), key("ed25519")
    known = zone(rsa, ed25519)
    rows = []
    for own in (rsa, ed25519):
        signing, verifying = bare(own, octets)
        signed = sign(octets, [own])
        assert check(signed, known)[0].is_pass
        ours = least(partial(sign, octets, [own]))
        rows.append((f"sign {own.kind}, {own.bits} bits", signing, ours, signing * 1.15 + 150))
        ours = least(partial(check, signed, known))
        rows.append((f"verify {own.kind}, {own.bits} bits", verifying, ours, 0.0))
    sealed, _ = seal(octets, rsa, known)
    assert chain(sealed, known).is_pass
    _, verifying = bare(rsa, octets)
    rows.append(("ARC, one set (two RSA signatures)", 2 * verifying, least(partial(chain, sealed, known)), 0.0))
    whole, lookup = seal(sign(octets, [rsa]), rsa, known)[0], Zone(SENT)
    assert set(verify_all(whole, known, lookup)) == {"pass"}
    ours = least(partial(verify_all, whole, known, lookup))
    rows.append(("verify SPF, DKIM, DMARC and ARC (three RSA signatures)", 3 * verifying, ours, WHOLE))
    return rows


def mailauth(_: Namespace) -> int:
    """Print the table; 0."""
    print("| microseconds of CPU, 4 KiB | bare call | ours | promised |")
    print("|---|---:|---:|---:|")
    for what, alone, ours, most in table():
        promise = f"{most:.0f}: {'kept' if ours <= most else 'missed'}" if most else "-"
        print(f"| {what} | {alone:.0f} | {ours:.0f} | {promise} |")
    return 0
