"""What lists answer, and what it weighs."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from postroad.model.dns import Answer, DnsStatus
from postroad.policy.dnslists import DnsListSettings, parse_codes, question_of, read, score_of
from postroad.policy.findings import DnsListHit

ZEN = DnsListSettings(zone="zen.example.net", weight=3.0, codes=("127.0.0.2-11",))


def found(*records: str) -> Answer:
    return Answer(DnsStatus.FOUND, records, 60)


def test_questions() -> None:
    assert question_of(ZEN, ip_address("192.0.2.1")).name == "1.2.0.192.zen.example.net"  # type: ignore[union-attr]
    question = question_of(ZEN, ip_address("2001:db8::1"))
    assert question is not None
    assert question.name == "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.zen.example.net"
    names = DnsListSettings(zone="dbl.example.net", of="sender")
    assert question_of(names, "Example.ORG.").name == "example.org.dbl.example.net"  # type: ignore[union-attr]
    for nothing in (
        "",
        "localhost",
        "[192.0.2.1]",
        "[ipv6:2001:db8::1]",
        "192.0.2.1",
        "a b.example",
        "\x01.example",
        "é.example",
        f"{'a.' * 120}org",
    ):
        assert question_of(names, nothing) is None


@pytest.mark.parametrize(
    ("answer", "codes", "fault"),
    [
        (found("127.0.0.2"), ("127.0.0.2",), ""),
        (found("127.0.0.11", "127.0.0.4"), ("127.0.0.11", "127.0.0.4"), ""),
        (found("127.0.0.12"), None, ""),
        (found("127.0.0.12", "127.0.0.3"), ("127.0.0.3",), ""),
        (Answer(DnsStatus.NO_NAME), None, ""),
        (Answer(DnsStatus.NO_DATA), None, ""),
        (Answer(DnsStatus.TIMED_OUT), None, "no answer: timed out"),
        (Answer(DnsStatus.FAILED), None, "no answer: SERVFAIL"),
        (found("127.255.255.254"), None, "it refuses to answer us: 127.255.255.254"),
        (found("127.0.0.2", "127.255.255.252"), None, "it refuses to answer us: 127.255.255.252"),
        (found("93.184.216.34"), None, "its answer is none of a list: 93.184.216.34"),
        (found("127.0.0.1"), None, "its answer is none of a list: 127.0.0.1"),
    ],
)
def test_answers(answer: Answer, codes: tuple[str, ...] | None, fault: str) -> None:
    question = question_of(ZEN, ip_address("192.0.2.1"))
    assert question is not None
    hit = None if codes is None else DnsListHit("zen.example.net", "192.0.2.1", codes, 3.0)
    assert read(question, answer) == (hit, fault)


def test_a_list_without_codes_takes_all_but_errors() -> None:
    question = question_of(DnsListSettings(zone="bl.example.net", name="bl"), ip_address("192.0.2.1"))
    assert question is not None
    assert read(question, found("127.9.9.9"))[0] == DnsListHit("bl", "192.0.2.1", ("127.9.9.9",), 1.0)
    assert read(question, found("127.255.255.255")) == (None, "it refuses to answer us: 127.255.255.255")


@given(st.lists(st.integers(-1000, 1000).map(lambda number: number / 8), max_size=12))
def test_a_score_is_the_sum_in_any_order(weights: list[float]) -> None:
    hits = [DnsListHit(str(at), "192.0.2.1", ("127.0.0.2",), weight) for at, weight in enumerate(weights)]
    assert score_of(hits) == score_of(hits[::-1]) == pytest.approx(sum(weights))


@given(st.integers(2, 254), st.integers(2, 254))
def test_ranges(one: int, other: int) -> None:
    low, high = sorted((one, other))
    first, last = parse_codes(f"127.0.0.{low}-{high}")
    assert last - first == high - low
    assert parse_codes(f"127.0.0.{low}-127.0.0.{high}") == (first, last)


def test_other_forms_of_codes() -> None:
    assert parse_codes("127.0.1.0/24") == (0x7F000100, 0x7F0001FF)
    assert parse_codes("127.0.0.2") == (0x7F000002, 0x7F000002)
    for wrong in ("", "2", "127.0.0.9-2", "192.0.2.1", "127.0.0.2-300", "127.0.0.1/24", "127.0.0.2-128.0.0.1"):
        with pytest.raises(ValueError, match="codes lie in|is no code"):
            parse_codes(wrong)


@pytest.mark.parametrize("wrong", [{"zone": "no zone"}, {"zone": "[127.0.0.1]"}, {"zone": "a.example", "help": "a\nb"}])
def test_mistakes_in_settings(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        DnsListSettings.model_validate(wrong)
