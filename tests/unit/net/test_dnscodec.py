"""The codec against dnspython as oracle, and against the tricks of broken and hostile servers."""

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.model.dns import Answer, DnsStatus, MxRecord, SrvRecord, TlsaRecord
from postroad.net.dns.codec import CHAIN_LIMIT, KINDS, TTL_LIMIT, Reading, encode_name, encode_question, read_answer

SOA = "ns.example.com. hostmaster.example.com. 1 3600 600 86400 30"


def respond(question: bytes, *records: str, authority: tuple[str, ...] = (), rcode: int = 0, flags: int = 0) -> bytes:
    """An answer made by dnspython; records as "name ttl type data"."""
    response = dns.message.make_response(dns.message.from_wire(question))
    response.flags |= dns.flags.RA | flags
    response.set_rcode(dns.rcode.Rcode(rcode))
    for section, texts in ((response.answer, records), (response.authority, authority)):
        for text in texts:
            name, ttl, kind, data = text.split(" ", 3)
            section.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    return response.to_wire(max_size=65535)


def ask(kind: str, *records: str, name: str = "example.com", **more: object) -> Reading:
    question = encode_question(77, name, kind)
    return read_answer(respond(question, *records, **more), question, kind)  # type: ignore[arg-type]  # as respond


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_questions_are_what_dnspython_reads(kind: str) -> None:
    message = dns.message.from_wire(encode_question(4711, "_25._tcp.Mx1.example.com.", kind))
    assert message.id == 4711
    assert message.flags == dns.flags.RD | dns.flags.AD
    assert message.question[0].to_text() == f"_25._tcp.Mx1.example.com. IN {kind}"
    assert (message.edns, message.payload) == (0, 1232)
    assert dns.message.from_wire(encode_question(1, "example.com", kind, edns=False)).edns == -1


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("A", "192.0.2.1", "192.0.2.1"),
        ("AAAA", "2001:db8:0:0::1", "2001:db8::1"),
        ("MX", "10 MX1.Example.COM.", MxRecord(10, "mx1.example.com")),
        ("MX", "0 .", MxRecord(0, "")),
        ("TXT", '"v=spf1 " "include:example.net -all"', "v=spf1 include:example.net -all"),
        ("TXT", r'"\200\"\\"', '\xc8"\\'),
        ("TXT", '""', ""),
        ("NS", "ns1.example.net.", "ns1.example.net"),
        ("PTR", "relay.example.com.", "relay.example.com"),
        ("CNAME", "www.example.net.", "www.example.net"),
        ("PTR", r"a\.b\032c.example.com.", r"a\046b\032c.example.com"),
        ("SRV", "0 5 587 Submission.Example.com.", SrvRecord(0, 5, 587, "submission.example.com")),
        ("SRV", "65535 65534 65533 a.example.net.", SrvRecord(65535, 65534, 65533, "a.example.net")),
        ("SRV", "0 0 0 .", SrvRecord(0, 0, 0, "")),
        ("TLSA", f"3 1 1 {'d2ab' * 16}", TlsaRecord(3, 1, 1, b"\xd2\xab" * 16)),
        ("TLSA", "2 0 0 00", TlsaRecord(2, 0, 0, b"\0")),
        ("SOA", SOA, "ns.example.com hostmaster.example.com 1 3600 600 86400 30"),
    ],
)
def test_every_kind(kind: str, data: str, expected: str | MxRecord | SrvRecord | TlsaRecord) -> None:
    reading = ask(kind, f"example.com. 300 {kind} {data}")
    assert reading.answer == Answer(DnsStatus.FOUND, (expected,), 300, authentic=False, canonical="example.com")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\3\1\2", TlsaRecord(3, 1, 2, b"")),
        (b"\3\1", TlsaRecord(255, 255, 255, b"")),
        (b"", TlsaRecord(255, 255, 255, b"")),
    ],
)
def test_a_record_that_is_too_short_is_there(data: bytes, expected: TlsaRecord) -> None:
    question = encode_question(77, "_25._tcp.example.com", "TLSA", edns=False)
    record = b"\xc0\x0c\0\x34\0\1\0\0\0\x3c" + len(data).to_bytes(2, "big") + data
    message = question[:2] + b"\x81\xa0\0\1\0\1\0\0\0\0" + question[12:] + record
    assert read_answer(message, question, "TLSA").answer == Answer(
        DnsStatus.FOUND, (expected,), 60, authentic=True, canonical="_25._tcp.example.com"
    )


def test_aliases_are_followed_with_the_shortest_ttl() -> None:
    reading = ask(
        "A",
        "b.example.net. 50 A 192.0.2.2",
        "example.com. 100 CNAME A.example.net.",
        "a.example.net. 40 CNAME b.example.net.",
        "b.example.net. 60 A 192.0.2.1",
        "other.example.net. 60 A 192.0.2.9",
        flags=dns.flags.AD,
    )
    assert reading.answer.canonical == "b.example.net"
    assert set(reading.answer.records) == {"192.0.2.1", "192.0.2.2"}
    assert reading.answer.ttl == 40
    assert reading.answer.authentic


def test_asking_for_an_alias_gives_the_alias() -> None:
    reading = ask("CNAME", "example.com. 100 CNAME a.example.net.")
    assert reading.answer.records == ("a.example.net",)
    assert reading.answer.canonical == "example.com"


def test_absence_and_how_long_it_holds() -> None:
    soa = f"example.com. 3600 SOA {SOA}"
    no_data = ask("MX", authority=(soa,)).answer
    assert (no_data.status, no_data.ttl) == (DnsStatus.NO_DATA, 30)
    no_name = ask("MX", authority=(soa,), rcode=3).answer
    assert (no_name.status, no_name.ttl) == (DnsStatus.NO_NAME, 30)
    short = ask("MX", authority=(soa.replace(" 3600 ", " 5 ", 1),), rcode=3).answer
    assert short.ttl == 5
    bare = ask("MX", rcode=3).answer
    assert (bare.status, bare.ttl) == (DnsStatus.NO_NAME, 0)
    behind_alias = ask("MX", "example.com. 100 CNAME gone.example.net.", authority=(soa,), rcode=3).answer
    assert (behind_alias.status, behind_alias.canonical) == (DnsStatus.NO_NAME, "gone.example.net")


def test_a_broken_off_chain_proves_nothing() -> None:
    reading = ask("A", "example.com. 100 CNAME a.example.net.")
    assert reading.unproven == "a.example.net"
    assert reading.answer.ttl == 100
    assert ask("A", "example.com. 100 CNAME a.example.net.", authority=(f"example.net. 60 SOA {SOA}",)).unproven == ""


def test_a_referral_is_no_absence() -> None:
    assert ask("MX", authority=("example.com. 60 NS ns.example.com.",)).answer.status is DnsStatus.FAILED
    assert ask("MX").answer.status is DnsStatus.NO_DATA  # RFC 2308 2.2: type 3


@pytest.mark.parametrize("rcode", [1, 2, 4, 5, 16])
def test_errors_of_the_server(rcode: int) -> None:
    reading = ask("MX", rcode=rcode)
    assert reading.rcode == rcode
    assert reading.answer.is_temporary


def test_truncation() -> None:
    assert ask("MX", "example.com. 60 MX 10 mx.example.com.", flags=dns.flags.TC).truncated


def test_life_is_capped() -> None:
    assert ask("A", "example.com. 2000000000 A 192.0.2.1").answer.ttl == TTL_LIMIT


def test_servers_that_do_not_repeat_the_question() -> None:
    question = encode_question(77, "example.com", "MX")
    data = bytes((0, 77, 0x80, 0x01)) + bytes(8)
    assert read_answer(data, question, "MX").rcode == 1
    with pytest.raises(ValueError, match="too early"):
        read_answer(bytes((0, 77, 0x80, 0x02)) + bytes(8), question, "MX")


@pytest.mark.parametrize(
    ("ident", "name", "kind"), [(78, "example.com", "MX"), (77, "example.net", "MX"), (77, "example.com", "A")]
)
def test_answers_to_other_questions_are_refused(ident: int, name: str, kind: str) -> None:
    data = respond(encode_question(ident, name, kind))
    with pytest.raises(ValueError, match="question"):
        read_answer(data, encode_question(77, "example.com", "MX"), "MX")


def test_a_question_is_no_answer() -> None:
    question = encode_question(77, "example.com", "MX")
    with pytest.raises(ValueError, match="not an answer"):
        read_answer(question, question, "MX")


def test_case_of_the_question_does_not_matter() -> None:
    data = respond(encode_question(77, "EXAMPLE.com", "A"), "EXAMPLE.com. 60 A 192.0.2.1")
    assert read_answer(data, encode_question(77, "example.COM", "A"), "A").answer.records == ("192.0.2.1",)


def test_loops_of_aliases() -> None:
    with pytest.raises(ValueError, match="loop"):
        ask("A", "example.com. 60 CNAME b.example.com.", "b.example.com. 60 CNAME example.com.")
    chain = [f"h{at}.example.com. 60 CNAME h{at + 1}.example.com." for at in range(CHAIN_LIMIT + 1)]
    with pytest.raises(ValueError, match="too long"):
        ask("A", *chain, name="h0.example.com")


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x1d",  # to itself
        b"\xc0\x7f",  # forwards
        b"\x3f" + b"a" * 10,  # cut off
        b"\x41a\0",  # label types that were never defined
        b"\x80\x0c",
        (b"\x3f" + b"a" * 63) * 5 + b"\0",  # too long
    ],
)
def test_hostile_names(name: bytes) -> None:
    question = encode_question(77, "example.com", "A", edns=False)
    head = bytearray(question)
    head[2:4] = b"\x81\x80"
    head[6:8] = b"\0\1"
    data = bytes(head) + name + bytes((0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1))
    with pytest.raises(ValueError, match=r"name|label|message"):
        read_answer(data, question, "A")


def test_records_of_impossible_length() -> None:
    question = encode_question(77, "example.com", "A", edns=False)
    head = bytearray(question)
    head[2:4] = b"\x81\x80"
    head[6:8] = b"\0\1"
    for length, octets in ((3, b"\1\2\3"), (200, b"\1\2\3\4")):
        data = bytes(head) + b"\xc0\x0c" + bytes((0, 1, 0, 1, 0, 0, 0, 60, 0, length)) + octets
        with pytest.raises(ValueError, match="record"):
            read_answer(data, question, "A")


@pytest.mark.parametrize(
    "name", ["a..b", ".example.com", "a" * 64 + ".example.com", ".".join(["a" * 63] * 4), "ü.example"]
)
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match=r"label|name|ascii"):
        encode_name(name)


def test_the_root() -> None:
    assert encode_name("") == encode_name(".") == b"\0"


LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)
NAME = st.lists(LABEL, min_size=1, max_size=6).map(".".join)


@given(
    name=NAME,
    exchanges=st.lists(st.tuples(st.integers(0, 65535), NAME), min_size=1, max_size=12, unique=True),
    ttl=st.integers(0, TTL_LIMIT),
)
def test_any_mx_answer_is_read_as_written(name: str, exchanges: list[tuple[int, str]], ttl: int) -> None:
    reading = ask("MX", *(f"{name}. {ttl} MX {number} {host}." for number, host in exchanges), name=name)
    expected = tuple(dict.fromkeys(MxRecord(number, host) for number, host in exchanges))
    assert reading.answer == Answer(DnsStatus.FOUND, expected, ttl, authentic=False, canonical=name)


def test_an_answer_of_64_kilobytes_is_read_to_its_end() -> None:
    hosts = tuple(f"h{number}.example.com" for number in range(3000))
    question = encode_question(77, "example.com", "MX")
    data = respond(question, *(f"example.com. 60 MX 10 {host}." for host in hosts))
    assert 60_000 < len(data) < 65_536
    answer = read_answer(data, question, "MX").answer
    assert {record.exchange for record in answer.records if isinstance(record, MxRecord)} == set(hosts)
