"""SPF after RFC 7208: its examples, its grammar, its limits, and hostile records; zones are tables in memory."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.mailauth.spf import Spf, check_host
from postroad.mailauth.spfmacro import SpfSyntaxError, parse_domain_spec, parse_macros, shortened
from postroad.mailauth.spfrecord import parse_record
from tests.support.spfzone import Zone

BROKEN = """\
al moo all/8 all:x.example allx include include: exists exists: --all
ip4 ip4:1.2.3 ip4:1.2.3.4/33 ip4:1.2.3.4/024 ip4:1.2.3.4:8080 ip6:::g ip6:fe80::1%eth0 ip6:1.2.3.4/129
a: a:/24 a/ a/33 a//129 a//033 a:museum a:111.222.33.44 a:example.-com a:example.com:8080 a:example.com-
mx:/ mx/64x ptr/0 ptr: redirect= exp= moo=%{z} a:\x80.example
a:%{x}.example.com a:%{d0}.example a:%{d a:%x.example a:% a:example.com%% a:example.com%_
"""
EXAMPLE: Mapping[str, Mapping[str, Sequence[str]]] = {  # RFC 7208 A, the sample setup
    "example.com": {"MX": ["10 mail-a.example.com", "20 mail-b.example.com"], "A": ["192.0.2.10", "192.0.2.11"]},
    "amy.example.com": {"A": ["192.0.2.65"]},
    "bob.example.com": {"A": ["192.0.2.66"]},
    "mail-a.example.com": {"A": ["192.0.2.129"]},
    "mail-b.example.com": {"A": ["192.0.2.130"]},
    "www.example.com": {"A": ["192.0.2.10"]},
    "example.org": {"MX": ["10 mail-c.example.org"]},
    "mail-c.example.org": {"A": ["192.0.2.140"]},
    "10.2.0.192.in-addr.arpa": {"PTR": ["example.com"]},
    "65.2.0.192.in-addr.arpa": {"PTR": ["amy.example.com"]},
    "140.2.0.192.in-addr.arpa": {"PTR": ["mail-c.example.org"]},
    "4.0.0.10.in-addr.arpa": {"PTR": ["bob.example.com"]},
    "mobile-users._spf.example.com": {"A": []},
    "mary.mobile-users._spf.example.com": {"A": ["127.0.0.2"]},
    "fred.mobile-users._spf.example.com": {"A": ["127.0.0.2"]},
    "15.15.168.192.joel.remote-users._spf.example.com": {"A": ["127.0.0.2"]},
}


def check(
    zone: Zone, ip: str = "192.0.2.10", domain: str = "example.com", local: str = "user", helo: str = "mail.example.com"
) -> Spf:
    """The whole check of a MAIL FROM."""
    return asyncio.run(check_host(zone, ip, domain, f"{local}@{domain}", helo=helo, receiver="relay.example", now=1))


def of(record: str, ip: str = "192.0.2.10", local: str = "user", **more: Sequence[str]) -> str:
    """The result for one record at example.com in the sample setup; `more` has TXT of other names, "_" for "."."""
    texts = {name.replace("_", "."): {"TXT": list(found)} for name, found in more.items()}
    zone = Zone({**EXAMPLE, **texts, "example.com": {**EXAMPLE["example.com"], "TXT": [record]}})
    return check(zone, ip, local=local).result


@pytest.mark.parametrize(
    ("record", "passes", "fails"),
    [
        ("v=spf1 +all", "1.2.3.4", ""),
        ("v=spf1 a -all", "192.0.2.10 192.0.2.11", "192.0.2.65"),
        ("v=spf1 a:example.org -all", "", "192.0.2.140"),
        ("v=spf1 mx -all", "192.0.2.129 192.0.2.130", "192.0.2.10"),
        ("v=spf1 mx:example.org -all", "192.0.2.140", "192.0.2.129"),
        ("v=spf1 mx mx:example.org -all", "192.0.2.129 192.0.2.140", "192.0.2.10"),
        ("v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.131 192.0.2.143", "192.0.2.132 192.0.2.10"),
        ("v=spf1 ptr -all", "192.0.2.10 192.0.2.65", "192.0.2.140 10.0.0.4"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.129", "192.0.2.65"),
        ("v=spf1 ip6:2001:db8::/32 ip4:10.0.0.1 -all", "2001:db8::1 10.0.0.1 ::ffff:10.0.0.1", "2001:db9::1 10.0.0.2"),
        ("V=SPF1 A -ALL", "192.0.2.10", "192.0.2.65"),
        ("v=spf1  a   -all ", "192.0.2.11", "192.0.2.65"),
        ("v=spf1 unknown=%{d}x moo.cow-far_out=man:dog/cat a -all", "192.0.2.10", "192.0.2.1"),
    ],
)
def test_the_sample_setup(record: str, passes: str, fails: str) -> None:
    assert {of(record, ip) for ip in passes.split()} <= {"pass"}
    assert {of(record, ip) for ip in fails.split()} <= {"fail"}


def test_users_that_are_looked_up() -> None:
    record = "v=spf1 exists:%{l1r+}.mobile-users._spf.%{d} exists:%{ir}.%{l1r-}.remote-users._spf.%{d} -all"
    assert of(record, "192.168.1.1", "mary+lists") == "pass"
    assert of(record, "192.168.15.15", "x-joel") == "fail"
    assert of(record, "192.168.15.15", "joel") == "pass"
    assert of(record, "192.168.1.1", "joel") == "fail"


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1", "neutral"),
        ("v=spf1 ?all", "neutral"),
        ("v=spf1 ~all", "softfail"),
        ("v=spf10 +all", "none"),
        ("v=spf1+all", "none"),
        ("spf2.0/pra +all", "none"),
        *((f"v=spf1 {wrong} -all", "permerror") for wrong in BROKEN.split()),
        ("v=spf1 redirect=a.example redirect=b.example", "permerror"),
        ("v=spf1 exp=a.example exp=b.example -all", "permerror"),
        ("v=spf1 +all moo", "permerror"),  # whatever comes first, the record is read whole
        ("v=spf1 ip4:1.2.3.4/0 -all", "pass"),
        ("v=spf1 a:example.com. -all", "pass"),
        ("v=spf1 a:%{d}.%{h} ?all", "neutral"),
    ],
)
def test_the_grammar(record: str, result: str) -> None:
    assert of(record) == result


def test_several_records_or_none() -> None:
    both = {"TXT": ["v=spf1 -all", "v=spf1 +all", "something else"]}
    assert check(Zone({"example.com": both})).result == "permerror"
    other = {"TXT": ["v=spf1 -all", "\xff\xfe not ours", "v=spf100"]}
    assert check(Zone({"example.com": other})).result == "fail"
    assert check(Zone({})).result == "none"
    for domain in ("com", "", "a..example", "x" * 64 + ".example.com", "[192.0.2.1]"):
        assert check(Zone({}), domain=domain).result == "none"


@pytest.mark.parametrize(
    ("inner", "result"),
    [
        ("v=spf1 +all", "pass"),
        ("v=spf1 -all", "neutral"),
        ("v=spf1 ~all", "neutral"),
        ("v=spf1 ?all", "neutral"),
        ("v=spf1 moo", "permerror"),
        ("nothing", "permerror"),
    ],
)
def test_include(inner: str, result: str) -> None:
    assert of("v=spf1 include:other.example ?all", other_example=[inner]) == result


def test_redirect() -> None:
    assert of("v=spf1 redirect=other.example", other_example=["v=spf1 ~all"]) == "softfail"
    assert of("v=spf1 redirect=other.example ?all", other_example=["v=spf1 -all"]) == "neutral"
    assert of("v=spf1 redirect=other.example", other_example=["nothing"]) == "permerror"
    assert of("v=spf1 redirect=%{d}") == "permerror"  # to itself, until it is too often


def test_a_fault_of_dns_is_never_a_fail() -> None:
    broken = Zone({"example.com": {"TXT": ["v=spf1 a:broken.example -all"]}}, broken={"broken.example"})
    assert check(broken).result == "temperror"
    assert check(Zone({}, broken={"example.com"})).result == "temperror"
    inner = {"example.com": {"TXT": ["v=spf1 include:broken.example -all"]}}
    assert check(Zone(inner, broken={"broken.example"})).result == "temperror"
    names = Zone({"example.com": {"TXT": ["v=spf1 ptr ~all"]}}, broken={"10.2.0.192.in-addr.arpa"})
    assert check(names).result == "softfail"  # RFC 7208 5.5: ptr then only does not match


def test_ten_terms_and_two_voids() -> None:
    eleven = " ".join(f"a:x{number}.example" for number in range(11))
    hosts = {f"x{number}.example": {"A": ["10.9.9.9"]} for number in range(11)}
    zone = {**hosts, "example.com": {"TXT": [f"v=spf1 {eleven} -all"]}}
    assert check(Zone(zone)).result == "permerror"
    zone["example.com"] = {"TXT": [f"v=spf1 {eleven.rpartition(' ')[0]} -all"]}
    assert check(Zone(zone)).result == "fail"
    assert of("v=spf1 a:no1.example a:no2.example -all") == "fail"
    assert of("v=spf1 a:no1.example mx:no2.example exists:no3.example -all") == "permerror"
    many = {"example.com": {"TXT": ["v=spf1 mx -all"], "MX": [f"10 x{number}.example" for number in range(11)]}}
    assert check(Zone(hosts | many)).result == "permerror"


def test_eleven_names_of_an_address() -> None:
    names = [f"n{number}.example.com" for number in range(11)]
    zone = {name: {"A": ["192.0.2.10"]} for name in names[10:]}
    zone |= {"10.2.0.192.in-addr.arpa": {"PTR": names}, "example.com": {"TXT": ["v=spf1 ptr -all"]}}
    assert check(Zone(zone)).result == "fail"  # the eleventh is not looked at


MACROS = {  # RFC 7208 7.4
    "%{s}": "strong-bad@email.example.com",
    "%{o}": "email.example.com",
    "%{d}": "email.example.com",
    "%{d4}": "email.example.com",
    "%{d3}": "email.example.com",
    "%{d2}": "example.com",
    "%{d1}": "com",
    "%{dr}": "com.example.email",
    "%{d2r}": "example.email",
    "%{l}": "strong-bad",
    "%{l-}": "strong.bad",
    "%{lr}": "strong-bad",
    "%{lr-}": "bad.strong",
    "%{l1r-}": "strong",
    "%{ir}.%{v}._spf.%{d2}": "3.2.0.192.in-addr._spf.example.com",
    "%{lr-}.lp._spf.%{d2}": "bad.strong.lp._spf.example.com",
    "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}": "bad.strong.lp.3.2.0.192.in-addr._spf.example.com",
    "%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}": "3.2.0.192.in-addr.strong.lp._spf.example.com",
    "%{d2}.trusted-domains.example.net": "example.com.trusted-domains.example.net",
}


@pytest.mark.parametrize(("text", "expanded"), MACROS.items())
def test_macros(text: str, expanded: str) -> None:
    zone = Zone({"email.example.com": {"TXT": [f"v=spf1 exists:{text} -all"]}})
    check(zone, "192.0.2.3", "email.example.com", "strong-bad")
    assert (expanded, "A") in zone.asked


def test_macros_of_ipv6_and_names() -> None:
    zone = Zone({"example.com": {"TXT": ["v=spf1 exists:%{ir}.%{v}.%{d} exists:%{p}.x.%{d} -all"]}})
    check(zone, "2001:db8::cb01")
    nibbles = "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
    assert (f"{nibbles}.ip6.example.com", "A") in zone.asked
    assert ("unknown.x.example.com", "A") in zone.asked
    assert parse_domain_spec("%{S}.example").expand_name({"s": "a b@c"}.__getitem__) == "a%20b%40c.example"


def test_explanations() -> None:
    texts = {"why_example_com": ["%{i} is not one of %{d}'s, %{c} %{R}%_%%%-"]}
    zone = {"example.com": {"TXT": ["v=spf1 exp=why.example.com -all"]}}
    zone["why.example.com"] = {"TXT": texts["why_example_com"]}
    found = check(Zone(zone))
    assert (found.result, found.explanation) == (
        "fail",
        "192.0.2.10 is not one of example.com's, 192.0.2.10 relay.example %%20",
    )
    for broken in (["%{z}"], ["a", "b"], ["\xe9t\xe9"], ["two\nlines"], []):
        zone["why.example.com"] = {"TXT": broken}
        assert check(Zone(zone)).explanation == ""
    inner = {
        "example.com": {"TXT": ["v=spf1 include:in.example -all"]},
        "in.example": {"TXT": ["v=spf1 exp=w.example -all"]},
    }
    assert (
        check(Zone({**inner, "w.example": {"TXT": ["inner"]}})).explanation == ""
    )  # of the record alone that was asked


def test_a_name_that_is_too_long_loses_its_left() -> None:
    long = "a." * 60 + "example"
    zone = Zone({long: {"TXT": ["v=spf1 exists:%{d}.%{d}.%{d}.example.org -all"]}})
    check(zone, domain=long)
    (name,) = [name for name, kind in zone.asked if kind == "A"]
    assert len(name) <= 253
    assert name.endswith(".example.example.org")


def test_hostile_records_are_bounded() -> None:
    zone = {
        f"i{number}.example": {"TXT": [f"v=spf1 include:i{number + 1}.example include:i0.example -all"]}
        for number in range(30)
    }
    found = Zone({**zone, "example.com": {"TXT": ["v=spf1 include:i0.example -all"]}})
    assert check(found).result == "permerror"
    assert len(found.asked) < 20
    assert of("v=spf1 include:example.com -all") == "permerror"
    assert of("v=spf1 " + "ip4:10.0.0.1 " * 5000 + "-all") == "fail"
    assert of("v=spf1 exists:" + "%{l}" * 15000 + ".example ?all", local="x" * 64) == "neutral"
    assert of("v=spf1 a:" + "%" * 60000) == "permerror"
    assert of("v=spf1 " + "x" * 65000) == "permerror"


def test_answers_of_64_kilobytes_lead_to_few_questions() -> None:
    hosts = [f"h{number}.example.com" for number in range(4000)]  # some 64 KiB in an answer
    spf = {"TXT": ["v=spf1 mx ptr exists:%{p}.example -all"]}
    reverse = {"10.2.0.192.in-addr.arpa": {"PTR": hosts}}
    exchangers = Zone({"example.com": {**spf, "MX": [f"10 {host}" for host in hosts]}, **reverse})
    assert check(exchangers).reason == "example.com has 4000 mail exchangers, more than 10"
    assert exchangers.asked == [("example.com", "TXT"), ("example.com", "MX")]
    names = Zone({"example.com": {"TXT": ["v=spf1 ptr ptr:example.org exists:%{p}.example -all"]}, **reverse})
    assert check(names).result == "fail"
    assert len(names.asked) == 1 + 1 + 10 + 1  # the names of the client are found out once
    texts = Zone({"example.com": {"TXT": ["v=spf1 include:example.com -all"] * 2000}})
    assert (check(texts).reason, len(texts.asked)) == ("example.com has 2000 SPF records", 1)
    addresses = Zone({"example.com": {"TXT": ["v=spf1 a -all"], "A": ["10.0.0.1"] * 4000}})
    assert (check(addresses).result, len(addresses.asked)) == ("fail", 2)


def test_a_tree_of_includes_and_redirects_ends_at_ten_terms() -> None:
    wide = "v=spf1 " + "include:%{d1r}.example include:example.com " * 1000 + "redirect=example.com"
    every = Zone({name: {"TXT": [wide]} for name in ("example.com", "example.example")})
    assert check(every).reason.startswith("more than 10 terms ask DNS")
    assert len(every.asked) == 11
    round_and_round = Zone({"example.com": {"TXT": ["v=spf1 redirect=example.com"]}})
    assert check(round_and_round).reason.startswith("more than 10 terms ask DNS")
    assert len(round_and_round.asked) == 11


def slowly_shortened(name: str) -> str:
    """As RFC 7208 7.3 says it, label by label."""
    name = name.removesuffix(".")
    while len(name) > 253 and "." in name:
        name = name.partition(".")[2]
    return name[-253:]


@given(st.lists(st.text("ab", max_size=70), max_size=12))
def test_the_left_goes_as_label_by_label(labels: list[str]) -> None:
    name = ".".join(labels)
    assert shortened(name) == slowly_shortened(name)


class Counted(dict[str, str]):
    """Values that count how often they were asked for."""

    asked = 0

    def __missing__(self, letter: str) -> str:
        self.asked += 1
        return "long.value." * 20


def test_no_more_is_expanded_than_a_name_or_an_explanation_can_hold() -> None:
    counted = Counted()
    name = parse_domain_spec("%{d}." * 13_000 + "example").expand_name(counted.__getitem__)
    assert len(name) <= 253
    assert name.endswith("long.value..example")
    text = parse_macros("%{d} " * 13_000, is_explanation=True).expand_text(counted.__getitem__, 500)
    assert len(text) == 500
    assert counted.asked < 10
    long = "a." * 60 + "example"
    zone = Zone({long: {"TXT": ["v=spf1 " + "exists:" + "%{d}." * 12_000 + "example -all"]}})
    assert check(zone, domain=long).result == "fail"


@given(st.text(st.characters(max_codepoint=255), max_size=80))
def test_any_text_is_a_record_or_broken(text: str) -> None:
    try:
        parse_record(f"v=spf1 {text}")
    except SpfSyntaxError:
        return
    assert text.isascii()
