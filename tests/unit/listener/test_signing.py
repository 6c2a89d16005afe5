"""Which keys sign which mail, on which day."""

import pytest

from postroad.listener.signing import Use, authors_of, keys_for
from postroad.listener.signsettings import DkimSettings
from postroad.mailauth.fields import Fields
from postroad.model.address import NULL_PATH
from postroad.model.days import seconds_of
from postroad.model.envelope import Envelope, Origin
from tests.support.mailauth import NOW, key

RSA, OLD, NEW, OTHER = key("rsa1024"), key("ed25519"), key("ed25519", 1), key("ed25519", 2, "other.example")


def envelope(listener: str = "mx", login: str = "") -> Envelope:
    return Envelope("id", NULL_PATH, (), NOW * 1_000_000, 0, origin=Origin(listener=listener, login=login))


def names(uses: list[Use], *authors: str, listener: str = "mx", login: str = "", now: int = NOW) -> list[str]:
    return [one.selector for one in keys_for(uses, authors, envelope(listener, login), now)]


def test_all_kinds_sign_and_of_each_the_one_that_began_last() -> None:
    ours = ("example.com",)
    uses = [Use(RSA, ours), Use(NEW, ours, begins=NOW + 10), Use(OLD, ours, ends=NOW + 20)]
    assert names(uses, "example.com") == [RSA.selector, OLD.selector]
    assert names(uses, "example.com", now=NOW + 10) == [RSA.selector, NEW.selector]
    assert names(uses[2:], "example.com", now=NOW + 19) == [OLD.selector]
    assert names(uses[2:], "example.com", now=NOW + 20) == []


def test_a_key_for_fewer_goes_before_one_for_more() -> None:
    ours = ("example.com",)
    all_of_it, here = Use(OLD, ours, begins=NOW), Use(NEW, ours, listeners=("mx",))
    alike = Use(key("ed25519", 4), ours, begins=NOW)
    for uses in ([all_of_it, here, alike], [here, alike, all_of_it]):
        assert names(uses, "example.com") == [NEW.selector]
    assert names([all_of_it, here], "example.com", listener="out") == [OLD.selector]
    assert names([all_of_it, alike], "example.com") == [OLD.selector]
    assert names([alike, all_of_it], "example.com") == [alike.key.selector]
    shop = Use(key("ed25519", 5), ours, logins=("shop",))
    assert names([all_of_it, here, shop], "example.com", login="shop") == [shop.key.selector]


def test_a_key_signs_for_its_authors_listeners_and_logins() -> None:
    uses = [
        Use(RSA, ("example.com", "*.example.net"), listeners=("submission",)),
        Use(OTHER, ("*.example.com", "example.com"), logins=("shop",)),
    ]
    assert names(uses, "example.com") == []
    assert names(uses, "example.com", listener="submission") == [RSA.selector]
    assert names(uses, "example.com", listener="submission", login="shop") == [RSA.selector, OTHER.selector]
    assert names(uses, "example.net", listener="submission") == []
    assert names(uses, "a.example.net", listener="submission") == [RSA.selector]
    assert names(uses, "nobody.example", "mail.example.com", login="shop") == [OTHER.selector]


@pytest.mark.parametrize(
    ("head", "domains"),
    [
        (b"From: joe@Example.COM\r\n", ["example.com"]),
        (
            b'From: "a@b.example" <joe@example.com> (c@d.example),\r\n sue@example.net\r\n',
            ["example.com", "example.net"],
        ),
        ("From: joe@bücher.example\r\n".encode(), ["xn--bcher-kva.example"]),
        (b"From: nobody\r\n", []),
        (b"From: \xff@\xff\r\n", []),
        (b"Subject: x\r\n", []),
        (b"From: joe@example.com\r\nFrom: joe@example.com\r\n", []),
        (b"From: " + b"a@b.example, " * 1000 + b"\r\n", ["b.example"] * 20),
    ],
)
def test_authors_are_those_of_the_one_from_field(head: bytes, domains: list[str]) -> None:
    assert authors_of(Fields(head)) == domains


def test_a_day_begins_at_midnight_in_utc() -> None:
    assert seconds_of("2026-01-01") == 1767225600.0
    given = {"domain": "example.com", "selector": "s", "key": "x", "begins": "20261231"}
    assert DkimSettings.model_validate({"keys": [given]}).keys[0].begins == "2026-12-31"
