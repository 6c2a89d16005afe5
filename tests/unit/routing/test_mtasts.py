"""MTA-STS as RFC 8461 has it: records, policies, patterns, and when to look; hostile ones included."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.model.outcome import Deferred
from postroad.model.security import OPPORTUNISTIC, VERIFIED, Security
from postroad.model.sts import INVALID, StsFault, StsKept, StsPolicy
from postroad.routing.mtasts import (
    LONGEST,
    MX_LIMIT,
    SIZE_LIMIT,
    demand,
    holds,
    names_host,
    next_refresh,
    parse_policy,
    parse_records,
    wants_fetch,
    wants_look,
)

SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND
EXAMPLE = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),  # RFC 8461 3.1
        (["v=STSv1;id=a"], "a"),
        (["v=STSv1 \t;\t id=a ; more=x-y.z"], "a"),
        (["v=STSv1; more=1; id=a; id=b"], "a"),
        (["v=spf1 -all", "v=STSv1; id=a"], "a"),
        (["v=STSv1; id=a", "v=STSv1; id=a"], None),
        (["v=STSv1; id=a", "v=STSv1; broken"], None),
        (["v=STSv10; id=a"], None),
        (["V=STSv1; id=a"], None),
        ([" v=STSv1; id=a"], None),
        (["v=STSv1"], None),
        (["v=STSv1;"], None),
        (["v=STSv1; id="], None),
        (["v=STSv1; id=a-b"], None),
        (["v=STSv1; id=" + "a" * 33], None),
        (["v=STSv1; id=a; =x"], None),
        (["v=STSv1; id=a;; x=y"], None),
        (["v=STSv1; id=a; x=\xff"], None),
        ([], None),
    ],
)
def test_records(texts: list[str], found: str | None) -> None:
    assert parse_records(texts) == found


def test_the_policy_of_the_rfc() -> None:
    lines = ("version: STSv1", "mode: enforce", "mx: mail.example.com", "mx: *.example.net", "max_age: 604800")
    expected = StsPolicy("enforce", 604800, ("mail.example.com", "*.example.net"), lines)
    assert parse_policy(EXAMPLE) == expected
    assert parse_policy(EXAMPLE.replace(b"\r\n", b"\n")) == expected
    assert parse_policy(EXAMPLE.rstrip()) == expected


def test_what_a_policy_may_be_like() -> None:
    policy = parse_policy(
        b"mx : MAIL.Example.COM.\nmax_age:  99999999 \t\nmode:testing\nmode: none\nversion: STSv1\nnew.x: \xc3\xbc\n"
    )
    assert isinstance(policy, StsPolicy)
    assert (policy.mode, policy.max_age, policy.mx) == ("testing", LONGEST, ("mail.example.com",))
    none = parse_policy(b"version: STSv1\nmode: none\nmax_age: 0\n")
    assert isinstance(none, StsPolicy)
    assert (none.mode, none.max_age, none.mx) == ("none", 0, ())


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "does not say version"),
        (b"<html>404</html>", "line 1 of the policy is not"),
        (EXAMPLE.replace(b"STSv1", b"STSv2"), "does not say version"),
        (EXAMPLE.replace(b"enforce", b"Enforce"), "says mode: Enforce"),
        (EXAMPLE.replace(b"mode: enforce\r\n", b""), "says mode: (nothing)"),
        (EXAMPLE.replace(b"604800", b"-1"), "no max_age"),
        (EXAMPLE.replace(b"604800", b"12345678901"), "no max_age"),
        (EXAMPLE.replace(b"604800", "٦".encode()), "no max_age"),
        (b"version: STSv1\nmode: enforce\nmax_age: 1\n", "names no mx"),
        (b"version: STSv1\nmode: enforce\nmax_age: 1\nmx: *.*.example.com\n", "no host name"),
        (b"version: STSv1\nmode: enforce\nmax_age: 1\nmx: *\n", "no host name"),
        (b"version: STSv1\nmode: enforce\nmax_age: 1\nmx: a..b\n", "no host name"),
        (b"version: STSv1\nmode: enforce\nmax_age: 1\nmx: a b\n", "no host name"),
        (EXAMPLE + b"\xff: x\n", "not text in UTF-8"),
        (EXAMPLE + b"x: \0\n", "line 6"),
        (EXAMPLE.replace(b"mode", b"\r\n\r\nmode"), "line 2"),
        (EXAMPLE + b"x: y\n" * SIZE_LIMIT, "more than 65536 octets"),
        (EXAMPLE + b"".join(b"mx: m%d.example\n" % n for n in range(MX_LIMIT)), "more than 1000 mx"),
    ],
)
def test_what_is_no_policy(octets: bytes, words: str) -> None:
    fault = parse_policy(octets)
    assert isinstance(fault, StsFault)
    assert fault.result == INVALID
    assert words in fault.words


@given(st.binary(max_size=300), st.integers(0, len(EXAMPLE)), st.integers(0, len(EXAMPLE)))
def test_any_octets_are_a_policy_or_a_fault(octets: bytes, begin: int, end: int) -> None:
    for text in (octets, EXAMPLE[:begin] + octets + EXAMPLE[end:]):
        found = parse_policy(text)
        if isinstance(found, StsPolicy):
            assert found.mode in ("enforce", "testing", "none")
            assert 0 <= found.max_age <= LONGEST
            assert found.mx or found.mode == "none"
        else:
            assert found.words.isprintable()


@given(st.lists(st.text(max_size=80)), st.text(max_size=40))
def test_any_records_are_an_id_or_none(texts: list[str], rest: str) -> None:
    for found in (parse_records(texts), parse_records([f"v=STSv1;{rest}"]), parse_records([f"v=STSv1; id=a;{rest}"])):
        assert found is None or (found.isascii() and found.isalnum())


def test_patterns_stand_for_one_label() -> None:
    policy = parse_policy(EXAMPLE)
    assert isinstance(policy, StsPolicy)
    for host in ("mail.example.com", "MAIL.example.COM.", "mx1.example.net", "a-b.Example.NET"):
        assert names_host(policy, host), host
    for host in ("example.com", "x.mail.example.com", "example.net", ".example.net", "a.b.example.net", "", ".", "net"):
        assert not names_host(policy, host), host


def test_hosts_are_matched_as_the_rule_reads() -> None:
    chance, labels = random.Random(8461), ("a", "b", "mx")
    for _ in range(3000):
        pattern, host = ([chance.choice(labels) for _ in range(chance.randint(1, 4))] for _ in range(2))
        wild = chance.random() < 0.5
        policy = StsPolicy("enforce", 1, (".".join(["*"] * wild + pattern),), ())
        assert names_host(policy, ".".join(host)) == (host[wild:] == pattern and (not wild or len(host) > 1))


def kept(
    mode: str = "enforce", *, max_age: int = 604800, fetched: int = NOW, fault: str = "", tried: int = 0
) -> StsKept:
    policy = StsPolicy(mode, max_age, ("mail.example.com",), ("version: STSv1",))
    return StsKept("example.com", "a1", policy, fetched, fetched, tried or fetched, fault)


def test_what_a_host_must_have() -> None:
    found = demand(kept(), "mail.example.com")
    assert isinstance(found, Security)
    assert (found.level, found.names, found.testing, found.source) == (
        VERIFIED,
        ("mail.example.com",),
        False,
        "mta-sts",
    )
    assert (found.domain, found.policy) == ("example.com", ("version: STSv1",))
    other = demand(kept(), "evil.example.org")
    assert isinstance(other, Deferred)
    assert other.reply.code == 451
    assert "does not name the MX host evil.example.org" in other.reply.text
    testing = demand(kept("testing"), "mail.example.com")
    assert isinstance(testing, Security)
    assert (testing.level, testing.testing) == (VERIFIED, True)
    stray = demand(kept("testing"), "evil.example.org")
    assert isinstance(stray, Security)
    assert (stray.level, stray.domain) == (OPPORTUNISTIC, "")
    assert demand(kept("none"), "evil.example.org") is None


def test_when_to_look() -> None:
    one = kept()
    assert holds(one, NOW + 604800 * SECOND - 1)
    assert not holds(one, NOW + 604800 * SECOND)
    assert not holds(kept(fetched=NOW + 2 * 86400 * SECOND), NOW)
    assert next_refresh(one) == NOW + 86400 * SECOND
    assert next_refresh(kept(max_age=7200)) == NOW + 3600 * SECOND
    assert next_refresh(kept(max_age=1)) == NOW + 300 * SECOND
    assert not wants_look(one, NOW + 3599 * SECOND)
    assert wants_look(one, NOW + 3600 * SECOND)
    assert wants_look(kept(max_age=1200), NOW + 600 * SECOND)
    assert not wants_fetch(one, "a1", NOW + 3600 * SECOND)
    assert not wants_fetch(one, None, NOW + 3600 * SECOND)
    assert wants_fetch(one, "a2", NOW)
    assert wants_fetch(one, None, NOW + 86400 * SECOND)
    failed = kept(fault="no answer", tried=NOW + 86400 * SECOND)
    assert not wants_fetch(failed, "a2", NOW + 86699 * SECOND)
    assert not wants_look(failed, NOW + 86699 * SECOND)
    assert wants_fetch(failed, "a2", NOW + 86700 * SECOND)
    assert next_refresh(failed) == NOW + 86700 * SECOND
