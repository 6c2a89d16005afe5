"""DMARC: records, the walk up the tree, alignment, what is asked for, and what hostile mail and DNS can do."""

import random
import time

import pytest

from postroad.mailauth.dmarc import Authors, Identifier, authors_of, evaluate
from postroad.mailauth.dmarc_discovery import Discovery, walk
from postroad.mailauth.dmarc_record import DmarcRecord, parse_record, record_in
from postroad.mailauth.fields import Fields
from tests.support.dns import FakeLookup


def lookup(records: dict[str, str], *, existing: tuple[str, ...] = (), failing: tuple[str, ...] = ()) -> FakeLookup:
    """DNS with the DMARC records of domains, and an address of each name that is `existing`."""
    zone: dict[tuple[str, str], list[str]] = {(f"_dmarc.{name}", "TXT"): [text] for name, text in records.items()}
    zone |= {(name, "A"): ["192.0.2.1"] for name in existing}
    return FakeLookup(zone, failing=failing)


def spf(domain: str, result: str = "pass") -> Identifier:
    return Identifier("spf", result, domain)


def dkim(domain: str, result: str = "pass") -> Identifier:
    return Identifier("dkim", result, domain)


# -- records -----------------------------------------------------------------------------------------------------


def test_a_record_with_everything() -> None:
    text = (
        "v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=S; pct=25; t=y; psd=n; fo=1:d:s:x;"
        " rua=mailto:a@example.com!10m, mailto:b@example.net; ruf=mailto:c@example.com; rf=afrf; ri=3600; future=yes"
    )
    assert parse_record(text) == DmarcRecord(
        "reject",
        "quarantine",
        "none",
        is_dkim_strict=True,
        is_spf_strict=True,
        percent=25,
        is_testing=True,
        psd="n",
        rua=("mailto:a@example.com!10m", "mailto:b@example.net"),
        ruf=("mailto:c@example.com",),
        fo=("1", "d", "s"),
    )


@pytest.mark.parametrize(
    ("text", "policies"),
    [
        ("v=DMARC1;p=none", "none none none"),
        ("v=DMARC1 ; P = Reject ;", "reject reject reject"),
        ("v=DMARC1; p=reject; sp=none", "reject none none"),
        ("v=DMARC1; p=none; np=reject", "none none reject"),
        ("v=DMARC1; adkim=s; p=quarantine", "quarantine quarantine quarantine"),
        ("v=DMARC1; p=reject; p=none", "reject reject reject"),
        ("v=DMARC1; p=bogus; rua=mailto:a@b.example", "none none none"),
        ("v=DMARC1; rua=mailto:a@b.example", "none none none"),
        ("v=DMARC1; p=reject; sp=bogus; rua=mailto:a@b.example", "none none none"),
        ("v=DMARC1; p=reject; sp=bogus", "  "),
        ("v=DMARC1; p=bogus; rua=nowhere", "  "),
        ("v=DMARC1", "  "),
        ("v=DMARC1; garbage; =; ;; p=reject", "reject reject reject"),
    ],
)
def test_what_a_record_asks_for(text: str, policies: str) -> None:
    record = parse_record(text)
    assert record is not None
    assert f"{record.policy} {record.sub_policy} {record.missing_policy}" == policies


@pytest.mark.parametrize("text", ["", "v=DMARC2; p=none", "p=none; v=DMARC1", "v=DMARC10; p=none", "v=dmarc1; p=none"])
def test_what_is_no_record(text: str) -> None:
    assert parse_record(text) is None


@pytest.mark.parametrize(
    ("pct", "percent"), [("0", 0), ("50", 50), ("100", 100), ("101", 100), ("-1", 100), ("x", 100)]
)
def test_shares(pct: str, percent: int) -> None:
    record = parse_record(f"v=DMARC1; p=reject; pct={pct}")
    assert record is not None
    assert record.percent == percent
    assert [record.disposition("reject", roll) for roll in (0, 99)] == [
        "reject" if percent > 0 else "quarantine",
        "reject" if percent > 99 else "quarantine",
    ]


def test_several_records_are_none() -> None:
    assert record_in(("v=DMARC1; p=none", "v=DMARC1; p=reject")) is None
    found = record_in(("v=spf1 -all", "v=DMARC1; p=reject"))
    assert found is not None
    assert found.policy == "reject"


# -- the walk ----------------------------------------------------------------------------------------------------


def test_a_walk_asks_eight_names_at_most() -> None:
    assert list(walk("example.com")) == ["example.com", "com"]
    assert list(walk("a.b.c.d.e.f.g.h.i.j.mail.example.com")) == [
        "a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "g.h.i.j.mail.example.com",
        "h.i.j.mail.example.com",
        "i.j.mail.example.com",
        "j.mail.example.com",
        "mail.example.com",
        "example.com",
        "com",
    ]
    for labels in range(1, 128):
        assert len(list(walk(".".join(["a"] * labels)))) == min(labels, 8)


@pytest.mark.parametrize(
    ("records", "domain", "organization"),
    [
        ({"example.com": "p=none"}, "a.mail.example.com", "example.com"),
        ({"mail.example.com": "p=none", "example.com": "p=none"}, "a.mail.example.com", "example.com"),
        ({"mail.example.com": "p=none; psd=n", "example.com": "p=none"}, "a.mail.example.com", "mail.example.com"),
        ({"example.com": "p=none", "com": "p=none; psd=y"}, "a.mail.example.com", "example.com"),
        ({"com": "p=none; psd=y"}, "a.mail.example.com", "example.com"),
        ({"gov.example": "p=reject; psd=y", "example": "p=none"}, "gov.example", "example"),
        ({"gov.example": "p=reject; psd=y"}, "gov.example", "gov.example"),
        ({}, "a.mail.example.com", "a.mail.example.com"),
        ({"a.mail.example.com": "p=none"}, "a.mail.example.com", "a.mail.example.com"),
    ],
)
async def test_organisations(records: dict[str, str], domain: str, organization: str) -> None:
    dns = lookup({name: f"v=DMARC1; {text}" for name, text in records.items()})
    assert await Discovery(dns).organization_of(domain) == organization
    assert len(dns.asked) == len(set(dns.asked)) <= 8


# -- what comes of it --------------------------------------------------------------------------------------------

REJECTS = {"example.com": "p=reject"}
INNER = {"example.com": "p=reject", "b.example.com": "p=none; psd=n"}
BOTH = {"example.com": "p=reject; sp=none", "there.example.com": "p=quarantine"}
CASES = [
    # records, existing names, author, identifiers -> result, disposition
    ({"example.com": "p=reject"}, "example.com", [spf("example.com")], "pass", "none"),
    ({"example.com": "p=reject"}, "example.com", [dkim("example.com")], "pass", "none"),
    ({"example.com": "p=reject"}, "example.com", [spf("example.net"), dkim("example.net")], "fail", "reject"),
    ({"example.com": "p=quarantine"}, "example.com", [spf("example.com", "fail")], "fail", "quarantine"),
    ({"example.com": "p=none"}, "example.com", [], "fail", "none"),
    ({}, "example.com", [spf("example.com")], "none", "none"),
    ({"example.com": "sp=none"}, "example.com", [], "none", "none"),
    # RFC 7489 appendix B.1: relaxed and strict
    ({"example.com": "p=reject"}, "example.com", [spf("child.example.com")], "pass", "none"),
    ({"example.com": "p=reject; aspf=s"}, "example.com", [spf("child.example.com")], "fail", "reject"),
    ({"example.com": "p=reject; aspf=s"}, "example.com", [dkim("child.example.com")], "pass", "none"),
    ({"example.com": "p=reject; adkim=s"}, "example.com", [dkim("child.example.com")], "fail", "reject"),
    ({"example.com": "p=reject"}, "child.example.com", [dkim("example.com")], "pass", "none"),
    ({"example.com": "p=reject"}, "one.example.com", [dkim("two.example.com")], "pass", "none"),
    ({"example.com": "p=reject"}, "example.com", [dkim("notexample.com")], "fail", "reject"),
    ({"example.com": "p=reject"}, "example.com", [dkim("com")], "fail", "reject"),
    ({"example.com": "p=reject"}, "example.com", [dkim("example.com.evil.example")], "fail", "reject"),
    # an organisation below another
    (INNER, "example.com", [spf("a.b.example.com")], "fail", "reject"),
    (INNER, "x.b.example.com", [spf("example.com")], "fail", "none"),
    # public suffixes
    ({"bank": "p=reject; psd=y"}, "a.bank", [spf("b.bank")], "fail", "reject"),
    ({"bank": "p=reject; psd=y"}, "mail.a.bank", [spf("a.bank")], "pass", "none"),
    ({"bank": "p=reject"}, "a.bank", [spf("b.bank")], "pass", "none"),  # without psd=y it is an organisation
    # policies for those below
    ({"example.com": "p=reject; sp=none"}, "there.example.com", [], "fail", "none"),
    ({"example.com": "p=none; np=reject"}, "there.example.com", [], "fail", "none"),
    ({"example.com": "p=none; np=reject"}, "missing.example.com", [], "fail", "reject"),
    ({"example.com": "p=none; sp=quarantine; np=reject"}, "missing.example.com", [], "fail", "reject"),
    ({"example.com": "p=none; sp=quarantine"}, "missing.example.com", [], "fail", "quarantine"),
    (BOTH, "there.example.com", [], "fail", "quarantine"),
    # one step milder
    ({"example.com": "p=reject; t=y"}, "example.com", [], "fail", "quarantine"),
    ({"example.com": "p=quarantine; t=y"}, "example.com", [], "fail", "none"),
    ({"example.com": "p=reject; pct=50"}, "example.com", [], "fail", "quarantine"),
    ({"example.com": "p=reject; pct=51"}, "example.com", [], "fail", "reject"),
    # what could not be found out
    (REJECTS, "example.com", [dkim("example.com", "temperror")], "temperror", "none"),
    (REJECTS, "example.com", [spf("a.example.com", "temperror"), dkim("x.example")], "temperror", "none"),
    (REJECTS, "example.com", [spf("example.net", "temperror")], "fail", "reject"),
    (REJECTS, "example.com", [spf("example.com", "temperror"), dkim("example.com")], "pass", "none"),
    (REJECTS, "failing.example.com", [], "temperror", "none"),
]  # fmt: skip


@pytest.mark.parametrize(("records", "author", "identifiers", "result", "disposition"), CASES)
async def test_results(
    records: dict[str, str], author: str, identifiers: list[Identifier], result: str, disposition: str
) -> None:
    dns = lookup(
        {name: f"v=DMARC1; {text}" for name, text in records.items()},
        existing=("there.example.com",),
        failing=("_dmarc.failing.example.com",),
    )
    found = await evaluate(dns, (author,), identifiers, roll=50)
    assert (found.result, found.disposition) == (result, disposition), found.reason
    assert found.domain == author
    assert found.reason


async def test_a_list_of_suffixes_instead_of_a_walk() -> None:
    def organization(domain: str) -> str:
        return ".".join(domain.split(".")[-2:])

    dns = lookup({"example.com": "v=DMARC1; p=reject; sp=quarantine"})
    found = await evaluate(dns, ("a.b.c.example.com",), [dkim("x.y.example.com")], organization=organization)
    assert (found.result, found.record_domain) == ("pass", "example.com")
    assert len(dns.asked) == 2
    found = await evaluate(dns, ("a.example.com",), [spf("example.net")], organization=organization)
    assert (found.result, found.disposition) == ("fail", "quarantine")
    assert found.reason == "nothing proves a.example.com (SPF pass of example.net), example.com asks for quarantine"


@pytest.mark.parametrize(
    ("authors", "result", "domain"),
    [
        (("strict.example", "mild.example"), "fail reject", "strict.example"),
        (("mild.example", "strict.example"), "fail reject", "strict.example"),
        (("proven.example", "mild.example"), "fail quarantine", "mild.example"),
        (("proven.example", "other.example"), "none none", "other.example"),
        (("proven.example", "failing.example"), "temperror none", "failing.example"),
        (("watching.example", "other.example"), "fail none", "watching.example"),
        ((), "permerror none", ""),
    ],
)
async def test_of_several_authors_the_strictest_counts(authors: tuple[str, ...], result: str, domain: str) -> None:
    dns = lookup(
        {
            "strict.example": "v=DMARC1; p=reject",
            "mild.example": "v=DMARC1; p=quarantine",
            "proven.example": "v=DMARC1; p=reject",
            "watching.example": "v=DMARC1; p=none",
        },
        failing=("_dmarc.failing.example",),
    )
    found = await evaluate(dns, authors, [dkim("proven.example")])
    assert (f"{found.result} {found.disposition}", found.domain) == (result, domain)


@pytest.mark.parametrize(
    ("header", "authors"),
    [
        ("From: joe@Example.COM", "example.com"),
        ("from : Joe <joe@example.com.>", "example.com"),
        ('From: "ceo@bank.example" <joe@example.com>', "example.com"),
        ("From: (ceo@bank.example) joe@example.com", "example.com"),
        ("From: a@one.example,\r\n b@two.example", "one.example two.example"),
        ("From: Team: a@one.example, b@one.example;", "one.example"),
        ("From: a@one.example\r\nTo: x@y.example\r\nFROM: b@two.example", "one.example two.example"),
        ("From: Jörg <jörg@bücher.example>", "xn--bcher-kva.example"),
        ("From: joe@xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("From: joe@[192.0.2.1]", ""),
        ("From: undisclosed:;", ""),
        ("From: joe", ""),
        ("From:", ""),
        ("From: <a@ok.example> <joe@example.com>", "ok.example example.com"),
    ],
)
def test_authors(header: str, authors: str) -> None:
    assert " ".join(authors_of(Fields(f"{header}\r\n".encode())).domains) == authors


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ("To: joe@example.com", "no From field"),
        ("From: a@ok.example\r\n" * 4 + "From: joe@example.com", "more than 4 From fields"),
        ("From: a@ok.example\r\n" * 5 + "From: joe@example.com", "more than 4 From fields"),
        ("From: a@a.ex, b@b.ex, c@c.ex, d@d.ex, e@e.ex", "more than 4 domains"),
        ("From: " + "x" * 70_000 + " <joe@example.com>", "more than 64 KiB"),
    ],
)
def test_part_of_the_authors_is_nobody(header: str, fault: str) -> None:
    found = authors_of(Fields(f"{header}\r\n".encode()))
    assert found.domains == ()
    assert fault in found.fault


# -- hostile -----------------------------------------------------------------------------------------------------


async def test_hostile_mail_and_records_are_bounded() -> None:
    begun = time.process_time()
    many = b"".join(b"From: a@x%d.example\r\n" % number for number in range(10_000))
    assert authors_of(Fields(many)).domains == ()
    assert authors_of(Fields(b"From: " + b", ".join(b"a@x%d.ex" % at for at in range(4000)))).domains == ()
    assert authors_of(Fields(b"From: " + b"(" * 60_000)) == Authors()
    for text in ("v=DMARC1;" + "a;" * 32_000, "v=DMARC1;" + "=" * 65_000, "v=DMARC1; rua=" + "mailto:a@b," * 6000):
        record = parse_record(text)
        assert record is not None
        assert len(record.rua) <= 20
    deep = ".".join(["a"] * 120) + ".example"
    dns = lookup({"example": "v=DMARC1; p=reject"})
    found = await evaluate(dns, (deep,), [dkim(f"{number}.{deep}") for number in range(1000)])
    assert found.result == "pass"
    assert len(dns.asked) <= 8 + 20
    assert time.process_time() - begun < 10


async def test_octets_at_random_never_raise() -> None:
    dice = random.Random(9989)
    for _ in range(2000):
        text = "v=DMARC1;" + "".join(dice.choices("psdnptruav=;:,! \tyrejctß\x00", k=dice.randrange(40)))
        record = parse_record(text)
        assert record is not None
        found = await evaluate(lookup({"example.com": text}), ("example.com",), [spf("example.com")])
        assert found.result == ("pass" if record.policy else "none")
        header = b"From: " + bytes(dice.choices(b'a@.,;:<>()"\\ \t\r\n\xc3\xb6[]', k=dice.randrange(40)))
        assert all("@" not in domain for domain in authors_of(Fields(header)).domains)
