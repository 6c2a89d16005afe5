"""Key records: which are keys, which are none, and why."""

from itertools import count

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postroad.mailauth.dkim_key import TEXT_LIMIT, DkimKey, KeyProblem, key_in, read_key
from postroad.mailauth.dkim_private import read_signing_key
from postroad.mailauth.dkim_tags import encode_base64
from postroad.model.dns import Answer, DnsStatus
from postroad.model.errors import ConfigError
from tests.support.mailauth import key

RSA = key("rsa2048").record().rpartition("p=")[2]
ED = key("ed25519").record().rpartition("p=")[2]
NAME = "s._domainkey.example.com"


def pkcs1() -> str:
    public = key("rsa2048")._public
    return encode_base64(public.public_bytes(Encoding.DER, PublicFormat.PKCS1)).decode()


@pytest.mark.parametrize(
    ("text", "kind", "flags"),
    [
        (f"v=DKIM1; k=rsa; p={RSA}", "rsa", (False, False)),
        (f"p={RSA}", "rsa", (False, False)),
        (f"p={RSA};", "rsa", (False, False)),
        (f" v = DKIM1 ; p = {RSA[:50]} \t {RSA[50:]} ; ", "rsa", (False, False)),
        (f"v=DKIM1; n=a note; x=of tomorrow; k=ed25519; p={ED}", "ed25519", (False, False)),
        (f"v=DKIM1; h=sha1 : sha256; s=other:email; t=y : s; p={RSA}", "rsa", (True, True)),
        (f"v=DKIM1; s=*; t=s; p={RSA}", "rsa", (False, True)),
        (f"v=DKIM1; p={pkcs1()}", "rsa", (False, False)),
    ],
    ids=count(),
)
def test_a_key_is_read(text: str, kind: str, flags: tuple[bool, bool]) -> None:
    found = read_key(text)
    assert isinstance(found, DkimKey), found
    assert (found.kind, found.bits) == (kind, 2048 if kind == "rsa" else 256)
    assert (found.is_testing, found.is_strict) == flags


def numbers(bits: int, exponent: int) -> str:
    public = RSAPublicNumbers(exponent, (1 << (bits - 1)) + 1).public_key()
    return encode_base64(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


@pytest.mark.parametrize(
    ("text", "result", "reason"),
    [
        ("", "permerror", "it has no p="),
        ("v=DKIM1; p=", "permerror", "it was revoked"),
        (f"k=rsa; v=DKIM1; p={RSA}", "permerror", "its v= is not the first tag"),
        (f"v=DKIM2; p={RSA}", "permerror", "its version is 'DKIM2'"),
        (f"v=DKIM1; k=dsa; p={RSA}", "permerror", "keys of type 'dsa' are not known"),
        (f"v=DKIM1; h=sha1; p={RSA}", "permerror", "it is only for the hashes 'sha1'"),
        (f"v=DKIM1; s=tlsrpt; p={RSA}", "permerror", "it is only for the services 'tlsrpt'"),
        ("v=DKIM1; p=#", "permerror", "its p= is no base64"),
        (f"v=DKIM1; p={RSA[:100]}", "permerror", "its p= is no RSA key"),
        (f"v=DKIM1; p={ED}", "permerror", "its p= is no RSA key"),
        (f"v=DKIM1; k=ed25519; p={RSA}", "permerror", "an Ed25519 key has 32 octets, this one 294"),
        (f"v=DKIM1; p={RSA}; p={RSA}", "permerror", "the tag 'p' is there twice"),
        ("v=spf1 -all", "permerror", "its version is 'spf1 -all'"),
        ("some text", "permerror", "'some text' is no tag with a value"),
        ("v=DKIM1; p=\x01", "permerror", "it has control characters"),
        (f"v=DKIM1; p={numbers(1023, 65537)}", "policy", "its 1023 bits are too few, 1024 the least (RFC 8301 3.2)"),
        (f"v=DKIM1; p={numbers(4097, 65537)}", "policy", "its 4097 bits are too many, 4096 the most"),
        (f"v=DKIM1; p={numbers(2048, 2**40 + 1)}", "policy", "its exponent is too large"),
        ("; ".join(f"a{n}=" for n in range(70)), "permerror", "it has more than 64 tags"),
    ],
    ids=count(),
)
def test_what_is_no_key_is_told(text: str, result: str, reason: str) -> None:
    assert read_key(text) == KeyProblem(result, reason)


@pytest.mark.parametrize(
    ("answer", "result", "reason"),
    [
        (None, "temperror", "the key s._domainkey.example.com could not be had: it was not asked for"),
        (Answer(DnsStatus.TIMED_OUT), "temperror", "the key s._domainkey.example.com could not be had: timed out"),
        (Answer(DnsStatus.FAILED), "temperror", "the key s._domainkey.example.com could not be had: SERVFAIL"),
        (Answer(DnsStatus.NO_NAME), "permerror", "there is no key s._domainkey.example.com: NXDOMAIN"),
        (Answer(DnsStatus.NO_DATA), "permerror", "there is no key s._domainkey.example.com: no data"),
        (
            Answer(DnsStatus.FOUND, (f"k=ed25519; p={ED}",)),
            "permerror",
            "the key s._domainkey.example.com is for ed25519, and the signature is of rsa",
        ),
        (
            Answer(DnsStatus.FOUND, (f"p={RSA}", f"p={RSA}")),
            "permerror",
            "s._domainkey.example.com has 2 records, of which 2 can be the key",
        ),
        (
            Answer(DnsStatus.FOUND, ("v=DKIM1; p=" + "A" * 65_000,)),
            "permerror",
            f"the key s._domainkey.example.com cannot be used: it has more than {TEXT_LIMIT} characters",
        ),
        (
            Answer(DnsStatus.FOUND, ("x" * 65_000, *["p="] * 500)),
            "permerror",
            "s._domainkey.example.com has 501 records, of which 0 can be the key",
        ),
    ],
)
def test_an_answer_without_a_key_is_told(answer: Answer | None, result: str, reason: str) -> None:
    assert key_in(answer, "rsa", NAME) == KeyProblem(result, reason)


def test_other_texts_beside_a_key_do_not_hide_it() -> None:
    found = key_in(Answer(DnsStatus.FOUND, ("v=spf1 -all", f"p={RSA}", f"k=ed25519; p={ED}")), "rsa", NAME)
    assert isinstance(found, DkimKey)


def test_keys_that_were_read_are_remembered_and_not_without_bound() -> None:
    text = f"v=DKIM1; n=remembered; p={RSA}"
    assert read_key(text) is read_key(text)
    assert read_key.cache_info().maxsize == 1024


def test_private_keys_come_back_from_their_file() -> None:
    for made in (key("rsa2048"), key("ed25519")):
        read = read_signing_key("example.com", made.selector, made.pem())
        assert (read.record(), read.algorithm, read.bits) == (made.record(), made.algorithm, made.bits)
        assert read.record(is_testing=True) == made.record().replace("; p=", "; t=y; p=")
        strings = made.zone_line().partition("( ")[2].removesuffix(" )").split('" "')
        assert "".join(strings).strip('"') == made.record()
        assert max(map(len, strings)) <= 256


def test_what_is_no_private_key_is_refused_without_showing_it() -> None:
    pem = key("ed25519").pem()
    for domain, selector, text in (
        ("example.com", "s", b"secret"),
        ("example.com", "s", pem.replace(b"MC4C", b"MC4D")),
        ("exa mple", "s", pem),
        ("example.com", "a b", pem),
    ):
        with pytest.raises(ConfigError) as caught:
            read_signing_key(domain, selector, text)
        assert "DKIM key" in str(caught.value)
        assert "secret" not in str(caught.value)
