"""Whatever octets a DNS server sends, reading them ends, in a value or in ValueError."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from postroad.model.dns import DnsStatus
from postroad.net.dns.codec import KINDS, encode_question, read_answer

QUESTION = encode_question(0x1234, "a.example.com", "MX", edns=False)
# A true answer: CNAME to b.example.com, then two MX records with compressed names, then SOA and OPT.
TRUE = (
    b"\x12\x34\x81\xa0\0\1\0\3\0\1\0\1"
    + QUESTION[12:]
    + b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\4\1b\xc0\x0e"
    + b"\1b\xc0\x0e\0\x0f\0\1\0\0\0\x3c\0\6\0\x0a\1c\xc0\x0e"
    + b"\1b\xc0\x0e\0\x0f\0\1\0\0\0\x3c\0\6\0\x14\1d\xc0\x0e"
    + b"\xc0\x0e\0\6\0\1\0\0\0\x3c\0\x1c\1n\xc0\x0e\1h\xc0\x0e"
    + bytes(20)
    + b"\0\0\x29\4\xd0\0\0\0\0\0\0"
)


def test_the_true_answer_is_read() -> None:
    answer = read_answer(TRUE, QUESTION, "MX").answer
    assert answer.status is DnsStatus.FOUND
    assert [str(record) for record in answer.records]
    assert answer.canonical == "b.example.com"


@given(st.binary(max_size=600), st.sampled_from(sorted(KINDS)))
def test_random_octets(data: bytes, kind: str) -> None:
    question = encode_question(0x1234, "a.example.com", kind, edns=False)
    with suppress(ValueError):
        read_answer(data, question, kind)
    with suppress(ValueError):
        read_answer(TRUE[:12] + question[12:] + data, question, kind)


@given(
    st.lists(st.tuples(st.integers(2, len(TRUE) - 1), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(12, len(TRUE)),
    st.sampled_from(sorted(KINDS)),
)
def test_a_true_answer_damaged(changes: list[tuple[int, int]], end: int, kind: str) -> None:
    data = bytearray(TRUE)
    for at, octet in changes:
        data[at] = octet
    for octets in (bytes(data), bytes(data[:end])):
        with suppress(ValueError):
            reading = read_answer(octets, QUESTION, "MX")
            assert 0 <= reading.answer.ttl <= 86_400
            assert len(reading.answer.records) <= len(data)
        with suppress(ValueError):
            read_answer(octets[:29] + KINDS[kind].to_bytes(2, "big") + octets[31:], QUESTION, kind)


@given(st.binary(min_size=1, max_size=40), st.integers(0, 65535))
def test_names_of_pointers_end(pointers: bytes, at: int) -> None:
    chain = b"".join(b"\xc0" + bytes((octet,)) for octet in pointers)
    data = TRUE[:4] + b"\0\1\xff\xff\0\0\0\0" + QUESTION[12:] + chain + at.to_bytes(2, "big")
    with suppress(ValueError):
        read_answer(data, QUESTION, "MX")
