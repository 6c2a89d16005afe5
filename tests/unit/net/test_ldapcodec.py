"""LDAP's octets: what servers send becomes values, and nothing that they send becomes anything but a PeerError."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postroad.model.errors import PeerError
from postroad.net.ldap.codec import (
    MESSAGE_LIMIT,
    Entry,
    Message,
    Reference,
    Result,
    bind_request,
    decode_message,
    pack,
    search_request,
    start_tls_request,
    unbind_request,
    whole_message,
)
from postroad.net.ldap.filters import pack_filter


def message(number: int, tag: int, content: bytes, controls: bytes = b"") -> bytes:
    return pack(0x30, pack(0x02, number.to_bytes(4, "big")) + pack(tag, content) + controls)


def entry(dn: str, attributes: dict[str, list[bytes]]) -> bytes:
    packed = b"".join(
        pack(0x30, pack(0x04, name.encode()) + pack(0x31, b"".join(pack(0x04, value) for value in values)))
        for name, values in attributes.items()
    )
    return message(7, 0x64, pack(0x04, dn.encode()) + pack(0x30, packed))


DONE = message(7, 0x65, b"\x0a\x01\x20" + pack(0x04, b"dc=x") + pack(0x04, b"no such entry"))
ENTRY = entry("cn=a", {"Mail": [b"a@example.com", b"\xff"], "member": []})


def test_requests_are_those_of_the_protocol() -> None:
    assert bind_request(1, "cn=a", "pw").hex() == "3012020101600d020103" + "0404636e3d61" + "80027077"
    assert start_tls_request(2).hex() == "301d02010277188016" + b"1.3.6.1.4.1.1466.20037".hex()
    assert unbind_request(3).hex() == "30050201034200"
    packed = search_request(128, "dc=x", 2, pack_filter("(a=1)"), ("mail",), (2, 4))
    assert packed.hex() == (
        "302b02020080" + "6325" + "040464633d78" + "0a0102" + "0a0100" + "020102" + "020104" + "010100"
        "a306040161040131" + "3006" + "04046d61696c"
    )  # fmt: skip


def test_answers_become_values() -> None:
    assert decode_message(ENTRY) == Message(7, Entry("cn=a", {"mail": (b"a@example.com", b"\xff"), "member": ()}))
    assert decode_message(DONE) == Message(7, Result(32, "no such entry"))
    assert str(Result(32, "no such entry")) == "no such object (32): no such entry"
    assert str(Result(999)) == "result (999)"
    assert decode_message(message(7, 0x73, pack(0x04, b"ldap://else"))) == Message(7, Reference())
    assert decode_message(message(0, 0x78, b"\x0a\x01\x34\x04\x00\x04\x00")) == Message(0, Result(52))
    assert decode_message(message(7, 0x61, b"\x0a\x01\x00\x04\x00\x04\x00", controls=b"\xa0\x00")).number == 7


def test_only_text_is_given_as_text() -> None:
    body = decode_message(ENTRY).body
    assert isinstance(body, Entry)
    assert body.texts("MAIL") == ("a@example.com",)
    assert (body.text("mail"), body.text("member"), body.text("cn")) == ("a@example.com", "", "")


@given(st.integers(0, len(ENTRY) - 1))
def test_a_message_is_whole_or_waited_for(cut: int) -> None:
    assert whole_message(ENTRY[:cut], 0) == 0
    assert whole_message(ENTRY + DONE, 0) == len(ENTRY)
    assert whole_message(ENTRY + DONE, len(ENTRY)) == len(DONE)
    with pytest.raises(PeerError):
        decode_message(ENTRY[:cut])


@pytest.mark.parametrize("octets", [b"HTTP/1.1 400", b"\x30\x80", b"\x30\x85\0\0\0\0\1"])
def test_what_is_not_ldap_is_refused_at_once(octets: bytes) -> None:
    with pytest.raises(PeerError, match="not LDAP"):
        whole_message(octets, 0)


def test_a_message_that_is_too_large_is_refused_before_it_comes() -> None:
    assert whole_message(b"\x30\x84" + MESSAGE_LIMIT.to_bytes(4, "big"), 0) == 0
    with pytest.raises(PeerError, match="more than"):
        whole_message(b"\x30\x84" + (MESSAGE_LIMIT + 1).to_bytes(4, "big"), 0)


@given(
    st.one_of(
        st.binary(max_size=80),
        st.builds(
            lambda octets, at, value: octets[: at % len(octets)] + bytes((value,)) + octets[at % len(octets) + 1 :],
            st.sampled_from((ENTRY, DONE)),
            st.integers(0, 200),
            st.integers(0, 255),
        ),
    )
)
@example(b"\x30\x05\x02\x01\x01\x64\x00")
@example(b"\x30\x84\xff\xff\xff\xff")
def test_whatever_is_sent_is_a_message_or_a_fault_of_the_peer(octets: bytes) -> None:
    with contextlib.suppress(PeerError):
        whole_message(octets, 0)
    with contextlib.suppress(PeerError):
        decode_message(octets)
