"""Keys: only the right one has an owner, whatever is presented; failures are bounded."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.api.failures import ADDRESSES, ALLOWED, SECONDS, Failures
from postroad.api.keys import KeyRing, bearer, digest_of, scope_of
from postroad.api.settings import KeySettings
from postroad.model.address import NULL_PATH, parse_mailbox

KEY = "0123456789abcdefghijklmnopqrstuvwxyz"


def ring(key: str = KEY) -> KeyRing:
    settings = KeySettings.model_validate({"key": key, "senders": ("a@example.com", "*.shop.example")})
    return KeyRing({digest_of(key): scope_of("one", settings, 1 << 30)})


def test_a_key_and_its_digest_are_the_same() -> None:
    assert digest_of(f"sha256:{sha256(KEY.encode()).hexdigest()}") == digest_of(KEY)


@pytest.mark.parametrize(
    "text", ["short", "sha256:", "sha256:zz", "sha256:" + "0" * 63, "x" * 600, "ü" * 40, "a b" * 20]
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"key is|digest") as caught:
        digest_of(text)
    assert text == "short" or text.removeprefix("sha256:") not in str(caught.value) or not text.removeprefix("sha256:")


@given(st.text())
def test_only_the_right_one_has_an_owner(text: str) -> None:
    assert (ring().owner(text) is not None) == (text == KEY)
    assert ring().owner(KEY + text) is None or not text


def test_what_begins_with_a_key_is_none_however_long() -> None:
    long = "k" * 512
    assert ring(long).owner(long) is not None
    assert ring(long).owner(long + "x") is None


@pytest.mark.parametrize(
    ("header", "key"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("abc", ""), ("", ""), ("Bearer", "")],
)
def test_the_header(header: str, key: str) -> None:
    assert bearer(header) == key


def test_senders() -> None:
    scope = ring().owner(KEY)
    assert scope is not None
    assert scope.may_send_as(parse_mailbox("A@example.com"))
    assert scope.may_send_as(parse_mailbox("x@eu.shop.example"))
    assert not scope.may_send_as(parse_mailbox("x@shop.example"))
    assert not scope.may_send_as(parse_mailbox("b@example.com"))
    assert not scope.may_send_as(NULL_PATH)


def test_failures_are_bounded_by_address_and_forgotten() -> None:
    failures = Failures()
    assert [failures.wait("a", 0.0) for _ in range(ALLOWED)] == [0.0] * ALLOWED
    assert failures.wait("a", 1.0) == SECONDS - 1
    assert failures.wait("b", 1.0) == 0
    assert failures.wait("a", SECONDS) == 0
    for number in range(ADDRESSES + 10):
        failures.wait(f"{number}", 2.0)
    assert len(failures._found) == ADDRESSES
