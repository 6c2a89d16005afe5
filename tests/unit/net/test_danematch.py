"""TLSA records against chains made for it: what matches, what must not, and whatever else a server may send."""

import hashlib
import random
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from postroad.model.dns import TlsaRecord
from postroad.net.tls.chainrules import covers
from postroad.net.tls.danematch import key_in, match_records
from postroad.net.tls.danewords import EXPIRED, NOT_TRUSTED, OTHER_NAME, Matched, Mismatch

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ("mx.example.com", "example.com")
RSA_KEY = rsa.generate_private_key(65537, 2048)


class Issuer(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def make(  # all that certificates differ in
    name: str,
    issuer: Issuer | None = None,
    *,
    names: Sequence[str] = (),
    ca: bool = False,
    path_length: int | None = None,
    days: tuple[int, int] = (-1, 30),
    more: Sequence[tuple[x509.ExtensionType, bool]] = (),
    key: CertificateIssuerPrivateKeyTypes | None = None,
    digest: hashes.HashAlgorithm | None = None,
) -> Issuer:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
    for value, critical in more:
        builder = builder.add_extension(value, critical)
    signer = issuer.key if issuer else key
    how = None if isinstance(signer, ed25519.Ed25519PrivateKey) else digest or hashes.SHA256()
    return Issuer(builder.sign(signer, how), key)  # type: ignore[arg-type]  # any digest, for the forgeable ones


ROOT = make("Root", ca=True)
MIDDLE = make("Middle", ROOT, ca=True)
LEAF = make("leaf", MIDDLE, names=["mx.example.com"])
CHAIN = [LEAF, MIDDLE, ROOT]


def key_of(one: Issuer) -> bytes:
    return one.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def tlsa(usage: int, selector: int, matching: int, one: Issuer) -> TlsaRecord:
    octets = key_of(one) if selector else one.der
    data = (octets, hashlib.sha256(octets).digest(), hashlib.sha512(octets).digest())[matching]
    return TlsaRecord(usage, selector, matching, data)


def compare(
    records: TlsaRecord | Sequence[TlsaRecord], chain: Sequence[Issuer], names: Sequence[str] = NAMES
) -> Matched | Mismatch:
    records = [records] if isinstance(records, TlsaRecord) else records
    return match_records(records, [one.der for one in chain], names, NOW.timestamp())


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
def test_every_form_of_a_record(selector: int, matching: int) -> None:
    own = tlsa(3, selector, matching, LEAF)
    assert compare(own, CHAIN) == Matched(own, 0)
    assert compare(own, [LEAF]) == Matched(own, 0)
    assert isinstance(compare(own, [make("leaf", MIDDLE, names=NAMES), MIDDLE, LEAF]), Mismatch)
    for depth, one in ((1, MIDDLE), (2, ROOT)):
        record = tlsa(2, selector, matching, one)
        assert compare(record, CHAIN) == Matched(record, depth)
    # RFC 7671 5.2: who is not sent can vouch only where the record has it whole.
    unsent = compare(tlsa(2, selector, matching, ROOT), [LEAF, MIDDLE])
    assert isinstance(unsent, Matched if matching == 0 else Mismatch)


def test_the_own_certificate_needs_neither_name_nor_date() -> None:
    old = make("other", names=["other.example.net"], days=(-30, -1))
    record = tlsa(3, 1, 1, old)
    assert compare(record, [old], ()) == Matched(record, 0)


def test_usage_2_is_no_word_about_the_own_certificate() -> None:
    alone = make("mx.example.com", names=NAMES)
    assert isinstance(compare([tlsa(2, 0, 1, alone), tlsa(2, 1, 1, LEAF)], [alone]), Mismatch)
    assert isinstance(compare(tlsa(3, 0, 1, ROOT), CHAIN), Mismatch)


def test_any_one_of_several_is_enough() -> None:
    good = tlsa(3, 1, 1, LEAF)
    others = [tlsa(3, 1, 1, MIDDLE), tlsa(3, 0, 2, ROOT), tlsa(2, 0, 1, LEAF)]
    assert compare([*others, good], CHAIN) == Matched(good, 0)
    assert compare(others, CHAIN) == Mismatch("none of its certificates is what 1 TLSA records say of its authority")


@pytest.mark.parametrize(
    ("names", "matches"),
    [
        (["mx.example.com"], True),
        (["MX.Example.COM"], True),
        (["example.com"], True),
        (["other.example.com", "example.com"], True),
        (["*.example.com"], True),
        (["*.com"], False),
        (["*.mx.example.com"], False),
        (["m*.example.com"], False),
        (["*"], False),
        (["other.example.com"], False),
        ([], True),  # the common name stands in
    ],
)
def test_names_count_behind_an_authority(names: Sequence[str], matches: bool) -> None:
    leaf = make("mx.example.com", MIDDLE, names=names)
    found = compare(tlsa(2, 0, 1, MIDDLE), [leaf, MIDDLE])
    assert isinstance(found, Matched if matches else Mismatch)
    if isinstance(found, Mismatch):
        assert found.result == OTHER_NAME
        assert names[0].lower() in found.words


def test_a_common_name_counts_for_nothing_beside_names() -> None:
    leaf = make("mx.example.com", MIDDLE, names=["other.example.net"])
    assert isinstance(compare(tlsa(2, 0, 1, MIDDLE), [leaf, MIDDLE]), Mismatch)


def test_wildcards() -> None:
    assert covers("*.example.com", "mx.example.com")
    for pattern, name in (("*.com", "com"), ("*.example.com", "a.b.example.com"), ("*.*.com", "a.b.com"), ("", "")):
        assert not covers(pattern, name)


@pytest.mark.parametrize(
    ("broken", "words", "result"),
    [
        ("own", "its certificate has expired", EXPIRED),
        ("middle", "the authority 'Middle' has expired", EXPIRED),
        ("root", "the authority 'Root' has expired", EXPIRED),
        ("early", "its certificate is not valid yet", NOT_TRUSTED),
    ],
)
def test_dates_count_behind_an_authority(broken: str, words: str, result: str) -> None:
    old = (-30, -1)
    root = make("Root", ca=True, days=old if broken == "root" else (-1, 30))
    middle = make("Middle", root, ca=True, days=old if broken == "middle" else (-1, 30))
    days = {"own": old, "early": (1, 30)}.get(broken, (-1, 30))
    leaf = make("leaf", middle, names=NAMES, days=days)
    assert compare(tlsa(2, 0, 1, root), [leaf, middle, root]) == Mismatch(words, result)


def usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(not sign, False, False, False, False, sign, False, False, False)


@pytest.mark.parametrize(
    ("middle", "words"),
    [
        (make("Middle", ROOT), "is none: it may not issue certificates"),
        (make("Middle", ROOT, ca=True, more=[(usage(sign=False), True)]), "may not sign certificates"),
        (
            make("Middle", ROOT, ca=True, more=[(x509.NameConstraints([x509.DNSName("example.net")], None), True)]),
            "may not issue certificates for such names",
        ),
        (
            make("Middle", ROOT, ca=True, more=[(x509.NameConstraints(None, [x509.DNSName(".com")]), True)]),
            "may not issue certificates for such names",
        ),
        (
            make("Middle", ROOT, ca=True, more=[(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b""), True)]),
            "has a critical extension that is not known here (1.2.3.4)",
        ),
    ],
)
def test_authorities_that_may_not_issue_it(middle: Issuer, words: str) -> None:
    leaf = make("leaf", middle, names=NAMES)
    for anchor in (ROOT, middle):
        found = compare(tlsa(2, 0, 1, anchor), [leaf, middle, ROOT])
        assert found == Mismatch(f"the authority 'Middle' {words}", NOT_TRUSTED)


def test_authorities_that_may() -> None:
    constraints = x509.NameConstraints([x509.DNSName("example.com")], [x509.DNSName("bad.example.com")])
    middle = make("Middle", ROOT, ca=True, path_length=0, more=[(constraints, True), (usage(sign=True), True)])
    leaf = make("leaf", middle, names=NAMES)
    record = tlsa(2, 1, 2, ROOT)
    assert compare(record, [leaf, middle, ROOT]) == Matched(record, 2)
    wild = make("leaf", middle, names=["*.example.com"])
    assert isinstance(compare(record, [wild, middle, ROOT]), Mismatch)  # it would be for bad.example.com


def test_more_authorities_than_allowed() -> None:
    root = make("Root", ca=True, path_length=0)
    middle = make("Middle", root, ca=True)
    found = compare(tlsa(2, 0, 1, root), [make("leaf", middle, names=NAMES), middle, root])
    assert found == Mismatch("the authority 'Root' has more authorities below it than it may", NOT_TRUSTED)


def test_purposes() -> None:
    record = tlsa(2, 0, 1, MIDDLE)
    for purpose, matches in (
        (ExtendedKeyUsageOID.SERVER_AUTH, True),
        (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, True),
        (ExtendedKeyUsageOID.CLIENT_AUTH, False),
    ):
        leaf = make("leaf", MIDDLE, names=NAMES, more=[(x509.ExtendedKeyUsage([purpose]), False)])
        assert isinstance(compare(record, [leaf, MIDDLE]), Matched if matches else Mismatch)


def test_who_only_calls_itself_the_issuer() -> None:
    impostor = make("Middle", ROOT, ca=True)
    leaf = make("leaf", impostor, names=NAMES)
    for chain in ([leaf, MIDDLE, ROOT], [leaf, ROOT], [LEAF, impostor, ROOT]):
        assert isinstance(compare([tlsa(2, 0, 1, MIDDLE), tlsa(2, 1, 1, ROOT)], chain), Mismatch)
    named_otherwise = make("Else", ROOT, ca=True, key=MIDDLE.key)
    assert isinstance(compare(tlsa(2, 1, 1, ROOT), [LEAF, named_otherwise, ROOT]), Mismatch)


def test_the_order_that_they_are_sent_in_does_not_count() -> None:
    record = tlsa(2, 0, 1, ROOT)
    stranger = make("Stranger", ca=True)
    assert compare(record, [LEAF, ROOT, stranger, MIDDLE, MIDDLE]) == Matched(record, 2)


@pytest.mark.parametrize(
    "key", [RSA_KEY, ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())]
)
def test_kinds_of_keys(key: CertificateIssuerPrivateKeyTypes) -> None:
    root = make("Root", ca=True, key=key)
    leaf = make("leaf", root, names=NAMES)
    for record in (tlsa(2, 1, 0, root), tlsa(2, 0, 0, root)):
        assert compare(record, [leaf]) == Matched(record, 1)
    edwards = make("Root", ca=True, key=ed25519.Ed25519PrivateKey.generate())
    for other in (edwards, ROOT):
        assert isinstance(compare([tlsa(2, 1, 0, other), tlsa(2, 0, 0, other)], [leaf]), Mismatch)


def test_signatures_that_can_be_forged(tmp_path: Path) -> None:
    named = x509.SubjectKeyIdentifier.from_public_key(RSA_KEY.public_key())  # openssl asks for it
    root = make("Root", ca=True, key=RSA_KEY, more=[(named, False)])
    (tmp_path / "root.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "root.key").write_bytes(RSA_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    found = {}
    for digest in ("sha1", "sha256"):
        command = "openssl req -x509 -newkey ed25519 -nodes -keyout own.key -subj /CN=leaf -CA root.pem -CAkey root.key"
        more = [f"-{digest}", "-days", "3650", "-outform", "DER", "-out", "own.der"]
        names = ["-addext", "subjectAltName=DNS:mx.example.com", "-addext", "basicConstraints=CA:FALSE"]
        subprocess.run([*command.split(), *more, *names], cwd=tmp_path, check=True, capture_output=True)
        own = Issuer(x509.load_der_x509_certificate((tmp_path / "own.der").read_bytes()), RSA_KEY)
        assert isinstance(compare(tlsa(3, 0, 1, own), [own]), Matched)
        now = datetime.now(UTC).timestamp()
        fresh = make("Root", ca=True, key=RSA_KEY, days=(-1, 9999))
        found[digest] = [
            type(match_records([tlsa(2, selector, matching, fresh)], [own.der, fresh.der], NAMES, now))
            for selector, matching in ((0, 1), (1, 0))
        ]
    assert found == {"sha1": [Mismatch, Mismatch], "sha256": [Matched, Matched]}


def test_no_chain_and_an_endless_one() -> None:
    assert compare(tlsa(3, 0, 1, LEAF), []) == Mismatch("the server shows no certificate", NOT_TRUSTED)
    same = [make("Same", ca=True, key=ROOT.key) for _ in range(30)]
    leaf = make("leaf", same[0], names=NAMES)
    assert isinstance(compare(tlsa(2, 0, 1, MIDDLE), [leaf, *same]), Mismatch)


def test_the_key_as_it_stands_in_the_certificate() -> None:
    for one in (LEAF, make("a" * 60, key=RSA_KEY), make("e", key=ed25519.Ed25519PrivateKey.generate())):
        assert key_in(one.der) == key_of(one)
        for end in range(0, len(one.der), 3):
            assert key_in(one.der[:end]) == b""
    assert key_in(b"") == key_in(b"\x30") == key_in(b"\x30\x84\xff\xff\xff\xff" * 3) == b""


def test_whatever_is_sent() -> None:
    """Thousands of damaged chains and records: an answer each time, and a match only where nothing was touched."""
    rng = random.Random(7671)
    records = [
        tlsa(usage, selector, matching, LEAF if usage == 3 else ROOT)
        for usage in (2, 3)
        for selector in (0, 1)
        for matching in (0, 1, 2)
    ]
    for _ in range(1500):
        chain = [bytearray(one.der) for one in CHAIN]
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(chain))
            position = rng.randrange(len(chain[at]))
            chain[at][position] ^= rng.randrange(1, 256)
            if rng.random() < 0.1:
                del chain[at][position:]
        record = rng.choice(records)
        found = match_records([record], [bytes(one) for one in chain], NAMES, NOW.timestamp())
        if isinstance(found, Matched) and record.usage == 3 and record.selector == 0:
            assert chain[0] == LEAF.der
        if isinstance(found, Matched) and record.usage == 2:
            assert chain[0] == LEAF.der
        damaged = TlsaRecord(record.usage, record.selector, record.matching, rng.randbytes(rng.randrange(80)))
        assert isinstance(match_records([damaged], [one.der for one in CHAIN], NAMES, NOW.timestamp()), Mismatch)
        with suppress(IndexError):
            chain.pop(rng.randrange(3))
            match_records([record], [bytes(one) for one in chain], NAMES, NOW.timestamp())
