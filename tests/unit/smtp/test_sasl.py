"""Mechanisms as exchanges: what each asks the client and the identity sources, and what it does with lies."""

import pytest

from postroad.model.errors import SaslError
from postroad.smtp.sasl import (
    MECHANISMS,
    NOT_PROVED,
    PROVED,
    CertificateShown,
    Challenge,
    Ended,
    Exchange,
    KeysWanted,
    PasswordGiven,
    Setting,
    TokenGiven,
)
from postroad.smtp.scram import Stored, key_pair, salted_password
from tests.support.saslclient import ScramClient

PLAIN_SETTING = Setting(nonce="nonce")
PASSWORD = PasswordGiven("alice", "secret")


def exchange(mechanism: str, setting: Setting = PLAIN_SETTING) -> Exchange:
    return Exchange(mechanism, setting)


@pytest.mark.parametrize("message", [b"\0alice\0secret", b"alice\0alice\0secret", b"ALICE\0alice\0secret"])
@pytest.mark.parametrize(("answer", "place"), [(True, PROVED), (False, NOT_PROVED)])
def test_plain(message: bytes, answer: bool, place: int) -> None:
    one = exchange("PLAIN")
    assert one.start(message) == PASSWORD
    assert one.give(answer) == Ended(place)
    two = exchange("PLAIN")
    assert two.start(None) == Challenge(b"")
    assert two.give(message) == PASSWORD


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"alice",
        b"\0alice",
        b"\0alice\0",
        b"\0\0secret",
        b"\0alice\0secret\0",
        b"bob\0alice\0secret",
        b"\0al\x01ice\0secret",
        b"\0\xff\0secret",
        b"\0alice\0\xff",
        b"\0" + b"a" * 513 + b"\0secret",
    ],
)
def test_plain_that_is_not_of_its_form(message: bytes) -> None:
    with pytest.raises(SaslError) as error:
        exchange("PLAIN").start(message)
    assert "secret" not in str(error.value)


def test_login_asks_for_both() -> None:
    one = exchange("LOGIN")
    assert one.start(None) == Challenge(b"Username:")
    assert one.give(b"alice") == Challenge(b"Password:")
    assert one.give(b"secret") == PASSWORD
    assert one.give(True) == Ended(PROVED)


def test_login_takes_the_name_at_once() -> None:
    one = exchange("LOGIN")
    assert one.start(b"alice") == Challenge(b"Password:")
    with pytest.raises(SaslError):
        one.give(b"")


def test_external() -> None:
    one = exchange("EXTERNAL")
    assert one.start(b"") == CertificateShown("")
    assert one.give(False) == Ended(NOT_PROVED)
    assert exchange("EXTERNAL").start(b"printer") == CertificateShown("printer")
    with pytest.raises(SaslError):
        exchange("EXTERNAL").start(b"prin\0ter")


def test_xoauth2() -> None:
    setting = Setting(nonce="", hint={"scope": "mail"})
    one = exchange("XOAUTH2", setting)
    assert one.start(b"user=alice@example.com\1auth=Bearer to.ken\1\1") == TokenGiven("alice@example.com", "to.ken")
    assert one.give(True) == Ended(PROVED)
    two = exchange("XOAUTH2", setting)
    two.start(b"user=alice@example.com\1auth=bearer to.ken\1\1")
    assert two.give(False) == Challenge(b'{"status": "400", "schemes": "Bearer", "scope": "mail"}')
    assert two.give(b"") == Ended(NOT_PROVED)


@pytest.mark.parametrize(
    "message",
    [b"", b"user=a", b"user=a\1auth=Bearer t", b"user=a\1auth=Basic t\1\1", b"user=\1auth=Bearer t\1\1",
     b"user=a\1auth=Bearer \1\1", b"user=a\1auth=Bearer t u\1\1", b"user=a\1auth=Bearer \xc3\xa9\1\1",
     b"auth=Bearer t\1user=a\1\1"],
)  # fmt: skip
def test_xoauth2_that_is_not_of_its_form(message: bytes) -> None:
    with pytest.raises(SaslError):
        exchange("XOAUTH2").start(message)


def test_oauthbearer() -> None:
    setting = Setting(nonce="", hint={"openid-configuration": "https://id.example.com"})
    message = b"n,a=alice=2C@example.com,\1host=relay.example.com\1port=587\1auth=Bearer to.ken==\1\1"
    one = exchange("OAUTHBEARER", setting)
    assert one.start(message) == TokenGiven("alice,@example.com", "to.ken==")
    assert one.give(False) == Challenge(
        b'{"status": "invalid_token", "openid-configuration": "https://id.example.com"}'
    )
    assert one.give(b"\1") == Ended(NOT_PROVED)
    two = exchange("OAUTHBEARER")
    assert two.start(b"n,,\1auth=Bearer t\1\1") == TokenGiven("", "t")
    assert two.give(True) == Ended(PROVED)


@pytest.mark.parametrize(
    "message",
    [b"", b"n,,", b"n,,\1\1", b"n,,\1auth=Bearer t\1", b"p=x,,\1auth=Bearer t\1\1", b"n,b=x,\1auth=Bearer t\1\1",
     b"n\1auth=Bearer t\1\1", b"n,,x\1auth=Bearer t\1\1", b"n,,\1host=x\1\1"],
)  # fmt: skip
def test_oauthbearer_that_is_not_of_its_form(message: bytes) -> None:
    with pytest.raises(SaslError):
        exchange("OAUTHBEARER").start(message)


SALT = b"0123456789abcdef"
BINDINGS = {"tls-exporter": b"b" * 32, "tls-server-end-point": b"e" * 32}


def stored(hash_name: str, *passwords: str) -> Stored:
    pairs = (key_pair(salted_password(password, SALT, 4096, hash_name), hash_name) for password in passwords)
    return Stored(SALT, 4096, tuple(pairs))


@pytest.mark.parametrize("hash_name", ["sha256", "sha1"])
@pytest.mark.parametrize("binding", ["", "tls-exporter", "tls-server-end-point"])
def test_scram(hash_name: str, binding: str) -> None:
    name = "SCRAM-SHA-256" if hash_name == "sha256" else "SCRAM-SHA-1"
    setting = Setting(nonce="nonce", bindings=BINDINGS, offers_binding=True)
    for password, place in (("first", 0), ("second", 1), ("third", NOT_PROVED)):
        client = ScramClient("alice", password, hash_name, binding=binding, data=BINDINGS.get(binding, b""))
        one = exchange(f"{name}-PLUS" if binding else name, setting)
        assert one.start(None) == Challenge(b"")
        assert one.give(client.first()) == KeysWanted("alice", hash_name)
        challenge = one.give(stored(hash_name, "first", "second"))
        assert isinstance(challenge, Challenge)
        step = one.give(client.final(challenge.data))
        if place == NOT_PROVED:
            assert step == Ended(NOT_PROVED)
            continue
        assert isinstance(step, Challenge)
        assert client.is_server_proved(step.data)
        assert one.give(b"") == Ended(place)


@pytest.mark.parametrize(
    ("mechanism", "first", "offers"),
    [
        ("SCRAM-SHA-256-PLUS", b"n,,n=alice,r=abc", True),
        ("SCRAM-SHA-256-PLUS", b"p=tls-unique,,n=alice,r=abc", True),
        ("SCRAM-SHA-256", b"p=tls-exporter,,n=alice,r=abc", True),
        ("SCRAM-SHA-256", b"y,,n=alice,r=abc", True),  # somebody hid -PLUS from the client
        ("SCRAM-SHA-256", b"n,a=bob,n=alice,r=abc", True),
        ("SCRAM-SHA-256", b"n,,n=,r=abc", True),
    ],
)
def test_scram_that_contradicts_itself(mechanism: str, first: bytes, offers: bool) -> None:
    with pytest.raises(SaslError):
        exchange(mechanism, Setting(nonce="n", bindings=BINDINGS, offers_binding=offers)).start(first)


def test_scram_without_an_offer_of_binding_takes_y() -> None:
    assert exchange("SCRAM-SHA-256").start(b"y,,n=alice,r=abc") == KeysWanted("alice", "sha256")


def test_scram_ends_with_an_empty_response() -> None:
    client = ScramClient("alice", "first", "sha1")
    one = exchange("SCRAM-SHA-1")
    one.start(client.first())
    challenge = one.give(stored("sha1", "first"))
    assert isinstance(challenge, Challenge)
    assert isinstance(one.give(client.final(challenge.data)), Challenge)
    with pytest.raises(SaslError):
        one.give(b"more")


def test_questions_show_no_credential() -> None:
    assert "secret" not in repr(PASSWORD)
    assert "to.ken" not in repr(TokenGiven("alice", "to.ken"))
    assert list(MECHANISMS)[-1] == "LOGIN"
