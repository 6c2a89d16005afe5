"""SCRAM against the examples of its RFCs, and against clients that lie."""

from base64 import b64decode

import pytest

from postroad.model.errors import SaslError
from postroad.smtp import scram
from postroad.smtp.scram import KeyPair, Stored, Verifier, key_pair, parse_first, salted_password, server_first

# RFC 5802 5 and RFC 7677 3: the same user, password "pencil".
SHA1 = (
    "sha1",
    "QSXCR+Q6sek8bf92",
    b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
    "3rfcNHYJY1ZVvWVs7j",
    b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
)
SHA256 = (
    "sha256",
    "W22ZaJ0SNY7soEsUEjb6gQ==",
    b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
)
OTHER = KeyPair(b"s" * 32, b"t" * 32)


@pytest.mark.parametrize("example", [SHA1, SHA256], ids=lambda example: example[0])
def test_the_examples_of_the_rfcs(example: tuple[str, str, bytes, str, bytes, bytes, bytes]) -> None:
    name, salt, first, nonce, challenge, final, proof = example
    pair = key_pair(salted_password("pencil", b64decode(salt), 4096, name), name)
    parsed = parse_first(first)
    assert (parsed.login, parsed.binding, parsed.authorization) == ("user", "n", "")
    assert server_first(parsed, nonce, Stored(b64decode(salt), 4096, (pair,))) == challenge
    other = KeyPair(bytes(len(pair.stored_key)), b"x")
    assert Verifier(name, parsed, challenge, {}).judge(final, (other, pair)) == (1, proof)
    assert Verifier(name, parsed, challenge, {}).judge(final, (other,)) == (-1, b"")


def test_a_proof_is_bound_to_its_channel() -> None:
    first = parse_first(b"p=tls-exporter,,n=user,r=abc")
    assert (first.binding, first.header) == ("tls-exporter", b"p=tls-exporter,,")
    challenge = server_first(first, "def", Stored(b"salt", 4096, ()))
    final = b"c=cD10bHMtZXhwb3J0ZXIsLGJpbmRpbmc=,r=abcdef,p=" + b"A" * 43 + b"="
    assert Verifier("sha256", first, challenge, {"tls-exporter": b"binding"}).judge(final, (OTHER,)) == (-1, b"")
    with pytest.raises(SaslError, match="channel binding"):
        Verifier("sha256", first, challenge, {"tls-exporter": b"another"}).judge(final, (OTHER,))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n,,",
        b"n,n=user,r=abc",
        b"x,,n=user,r=abc",
        b"p=,,n=user,r=abc",
        b"n,b=x,n=user,r=abc",
        b"n,,m=extension,n=user,r=abc",
        b"n,,n=user",
        b"n,,n=user,r=",
        b"n,,n=user,r=a\x01b",
        b"n,,n=user,r=" + b"a" * 513,
        b"n,,n=us=er,r=abc",
        b"n,,n=us=2Der,r=abc",
        b"n,,n=us\0er,r=abc",
        b"n,,n=\xff,r=abc",
    ],
)
def test_first_messages_that_are_not_of_the_form(message: bytes) -> None:
    with pytest.raises(SaslError):
        parse_first(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"c=biws,r=abcdef",
        b"c=biws,r=abcdeX,p=" + b"A" * 43 + b"=",
        b"c=biws,r=abc,p=" + b"A" * 43 + b"=",
        b"c=eSws,r=abcdef,p=" + b"A" * 43 + b"=",
        b"c=b*ws,r=abcdef,p=" + b"A" * 43 + b"=",
        b"r=abcdef,c=biws,p=" + b"A" * 43 + b"=",
        b"c=biws,r=abcdef,p=AAAA",
        b"c=biws,r=abcdef,p=*",
        b"c=biws,r=abcdef,p=" + b"A" * 43 + b"=,x=y",
    ],
)
def test_final_messages_that_do_not_fit(message: bytes) -> None:
    first = parse_first(b"n,,n=user,r=abc")
    challenge = server_first(first, "def", Stored(b"salt", 4096, ()))
    with pytest.raises(SaslError):
        Verifier("sha256", first, challenge, {}).judge(message, (OTHER,))


def test_names_are_unescaped_and_prepared() -> None:
    first = parse_first("y,a=b=2Cc,n=a=2Cb=3D2C\u2163\u00ad,r=abc,x=extension".encode())
    assert (first.login, first.authorization, first.binding) == ("a,b=2CIV", "b,c", "y")


def test_keys_show_nothing() -> None:
    assert "sss" not in repr(OTHER)
    assert "sss" not in repr(Stored(b"", 1, (OTHER,)))
    assert scram.SHA256 == "sha256"
