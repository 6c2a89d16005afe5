"""Next hops and lanes as text: what is written is read back, and everything else is refused with words for people."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postroad.model.option import NEVER
from postroad.model.reply import Reply
from postroad.model.route import Fallback, NextHop
from postroad.routing.lanes import (
    BALANCES,
    LaneSpec,
    fallback_of,
    format_lane,
    held_lane,
    parse_code,
    parse_failure,
    parse_lane,
    parse_next_hop,
    with_tls,
)


@pytest.mark.parametrize(
    ("text", "expected", "canonical"),
    [
        ("mx", NextHop("mx"), "mx:"),
        ("mx:", NextHop("mx"), "mx:"),
        ("mx:Example.COM", NextHop("mx", "example.com"), "mx:example.com"),
        ("mx:[192.0.2.1]", NextHop("mx", "[192.0.2.1]"), "mx:[192.0.2.1]"),
        ("mx:[IPv6:2001:db8:0::1]", NextHop("mx", "[ipv6:2001:db8::1]"), "mx:[ipv6:2001:db8::1]"),
        ("capture:", NextHop("capture"), "capture:"),
        ("smtp+srv://Example.COM.", NextHop("smtp+srv", "example.com"), "smtp+srv://example.com"),
        (
            "smtp+srv://_submission._tcp.example.com",
            NextHop("smtp+srv", "_submission._tcp.example.com"),
            "smtp+srv://_submission._tcp.example.com",
        ),
        ("smtp://Mail1.Internal", NextHop("smtp", "mail1.internal", 25), "smtp://mail1.internal:25"),
        ("smtp://mail1:2525", NextHop("smtp", "mail1", 2525), "smtp://mail1:2525"),
        ("smtp://bücher.example", NextHop("smtp", "xn--bcher-kva.example", 25), "smtp://xn--bcher-kva.example:25"),
        ("smtp://192.0.2.1:26", NextHop("smtp", "192.0.2.1", 26), "smtp://192.0.2.1:26"),
        ("smtp://[2001:DB8::1]:26", NextHop("smtp", "2001:db8::1", 26), "smtp://[2001:db8::1]:26"),
        ("smtp://[::1]", NextHop("smtp", "::1", 25), "smtp://[::1]:25"),
        ("lmtp://store.internal", NextHop("lmtp", "store.internal", 24), "lmtp://store.internal:24"),
        ("lmtp:///run/dovecot/lmtp", NextHop("lmtp", path="/run/dovecot/lmtp"), "lmtp:///run/dovecot/lmtp"),
    ],
)
def test_next_hops(text: str, expected: NextHop, canonical: str) -> None:
    assert parse_next_hop(text) == expected
    assert str(expected) == canonical
    assert parse_next_hop(canonical) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("mail1.internal:25", r'did you mean "smtp://mail1.internal:25"\?'),
        ("smtp:mail1", "is written"),
        ("http://mail1", '"http://" is not known'),
        ("smtp+srv://", "domain's name"),
        ("smtp+srv://example.com:25", "names the port; write smtp[+]srv://example.com"),
        ("smtp+srv://192.0.2.1", "domain's name"),
        ("smtp+srv://[2001:db8::1]", "domain's name"),
        ("smtp+srv://a..b", "label"),
        ("smtp://", "no host"),
        ("smtp://:25", "no host"),
        ("smtp://mail1:", "no port"),
        ("smtp://mail1:0", "no port"),
        ("smtp://mail1:65536", "no port"),
        ("smtp://mail1:smtp", "no port"),
        ("smtp://mail1:٢٥", "no port"),
        ("smtp://300.1.2.3", "no IPv4 address"),
        ("smtp://2001:db8::1", "in brackets"),
        ("smtp://[2001:db8::1", r"\[2001:db8::1\]:port"),
        ("smtp://[2001:db8::1]25", r"\[2001:db8::1\]:port"),
        ("smtp://[mail1]:25", "no IPv6 address"),
        ("smtp://user:secret@mail1", "user and password"),
        ("smtp://mail1/path", "has no meaning"),
        ("smtp://mail 1", "character"),
        ("smtp://a,smtp://b", "has no meaning|character"),
        ("lmtp:///run/a,b", "comma"),
        ("lmtp:///run/a?b", "question mark"),
        ("lmtp:///run/a*2", "asterisk"),
        ("lmtp:///run/dovecot/", "folder"),
        ("mx:..", "label|empty"),
    ],
)
def test_what_is_no_next_hop(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_next_hop(text)


@given(st.text(max_size=40))
@example("0.")
@example("0..")
@example("a..")
def test_any_text_is_a_next_hop_or_a_value_error(text: str) -> None:
    for candidate in (text, f"smtp://{text}", f"lmtp://{text}", f"mx:{text}"):
        try:
            hop = parse_next_hop(candidate)
        except ValueError:
            continue
        assert parse_next_hop(str(hop)) == hop
        assert "," not in str(hop)


A = NextHop("smtp", "a", 25)
B = NextHop("smtp", "b", 26, weight=3)
LONG = "smtp://a:25?source=s&fallback=smtp://b:26*3,mx:example.com%3Fsource%3Ds&after=90&on=4.4.1,4.7."


@pytest.mark.parametrize(
    ("lane", "spec"),
    [
        ("mx:example.com", LaneSpec((NextHop("mx", "example.com"),))),
        ("smtp://a:25,mx:example.com", LaneSpec((A, NextHop("mx", "example.com")))),
        ("smtp://a:25,smtp://b:26*3?balance=weighted", LaneSpec((A, B), "weighted")),
        ("smtp://a:25?balance=round-robin&source=news", LaneSpec((A,), "round-robin", "news")),
        (
            LONG,
            LaneSpec(
                (A,), source="s", fallback=Fallback("smtp://b:26*3,mx:example.com?source=s", 90.0, ("4.4.1", "4.7."))
            ),
        ),
        (
            "smtp://a:25?fallback=capture:&after=never&on=4.",
            LaneSpec((A,), fallback=Fallback("capture:", NEVER, ("4.",))),
        ),
        ("hold:", LaneSpec(action="hold")),
        ("hold:review", LaneSpec(action="hold", words="review")),
        ("discard:7", LaneSpec(action="discard", words="7")),
        ("fail:550 5.7.1 no: ?*,&=%", LaneSpec(action="fail", words="550 5.7.1 no: ?*,&=%")),
    ],
)
def test_lanes(lane: str, spec: LaneSpec) -> None:
    assert parse_lane(lane) == spec
    assert format_lane(spec) == lane


@pytest.mark.parametrize(
    ("lane", "words"),
    [
        ("", "empty"),
        ("smtp://a:25,", "empty"),
        ("smtp://a:25*", "weight"),
        ("smtp://a:25*0", "weight"),
        ("smtp://a:25*1001", "weight"),
        ("smtp://a:25*x", "weight"),
        ("*3", "empty"),
        ("smtp://a:25?balance=best", "no way to balance"),
        ("smtp://a:25?balance", "no option"),
        ("smtp://a:25?source=", "no option"),
        ("smtp://a:25?weight=3", "no option"),
        ("smtp://a:25?source=a&source=b", "no option"),
        ("smtp://a:25?after=3", "no fallback"),
        ("smtp://a:25?fallback=nonsense&after=3", "next hop is written"),
        ("smtp://a:25?fallback=mx:a", "no number of seconds"),
        ("smtp://a:25?fallback=mx:a&after=1h", "no number of seconds"),
        ("smtp://a:25?fallback=mx:a&after=-1", "no number of seconds"),
        ("smtp://a:25?fallback=mx:a&after=1&on=5.1.1", "enhanced code of a deferral"),
        ("fail:", "550 5.7.1 text"),
        ("fail:450 4.7.1 not now", "from 500 to 599"),
        ("drop:", "next hop is written"),
    ],
)
def test_what_is_no_lane(lane: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_lane(lane)


@given(st.text(max_size=60))
def test_any_text_is_a_lane_or_a_value_error(text: str) -> None:
    for candidate in (text, f"smtp://a:25?{text}", f"smtp://a:25?fallback={text}", f"fail:{text}", f"hold:{text}"):
        try:
            spec = parse_lane(candidate)
        except ValueError:
            assert fallback_of(candidate) is None
            continue
        assert parse_lane(format_lane(spec)) == spec


NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=1, max_size=64)
PATHS = st.text(st.characters(exclude_characters=",?*", exclude_categories=["C", "Z"]), min_size=1, max_size=20).map(
    lambda text: f"/run/{text.rstrip('/')}x"
)
WEIGHTS = st.integers(1, 1000)
HOPS = st.one_of(
    st.builds(
        NextHop,
        st.just("smtp"),
        st.sampled_from(["a", "b.example", "192.0.2.1", "2001:db8::1"]),
        st.integers(1, 65535),
        weight=WEIGHTS,
    ),
    st.builds(NextHop, st.just("lmtp"), st.just("store.internal"), st.integers(1, 65535), weight=WEIGHTS),
    st.builds(NextHop, st.just("lmtp"), path=PATHS, weight=WEIGHTS),
    st.builds(NextHop, st.sampled_from(["mx", "smtp+srv"]), st.just("example.com"), weight=WEIGHTS),
    st.builds(NextHop, st.just("mx"), st.sampled_from(["[192.0.2.1]", "[ipv6:2001:db8::1]"]), weight=WEIGHTS),
    st.builds(NextHop, st.just("capture"), weight=WEIGHTS),
)
SENT = st.builds(
    LaneSpec,
    st.lists(HOPS, min_size=1, max_size=4).map(tuple),
    st.sampled_from(BALANCES),
    st.just("") | NAMES,
)
CODES = st.sampled_from(["4.", "4.7.", "4.4.1", "4.123.456"])
FALLBACKS = st.builds(
    Fallback,
    SENT.map(format_lane),
    st.integers(0, 10**7).map(float) | st.just(NEVER) | st.just(0.25),
    st.lists(CODES, max_size=3, unique=True).map(tuple),
)
ACTIONS = st.one_of(
    st.builds(LaneSpec, action=st.sampled_from(["hold", "discard"]), words=NAMES),
    st.builds(
        LaneSpec, action=st.just("fail"), words=st.sampled_from(["550 5.7.1 no", "599 5.1.10 50 % & more? a=b, c*2"])
    ),
)
SPECS = st.one_of(
    ACTIONS,
    SENT,
    st.builds(lambda spec, fallback: LaneSpec(spec.hops, spec.balance, spec.source, fallback), SENT, FALLBACKS),
)


@given(SPECS)
def test_what_is_written_is_read_back(spec: LaneSpec) -> None:
    lane = format_lane(spec)
    assert parse_lane(lane) == spec
    assert fallback_of(lane) == spec.fallback


@given(st.lists(HOPS, min_size=1, max_size=4))
def test_without_options_a_lane_is_its_next_hops(hops: list[NextHop]) -> None:
    plain = [NextHop(hop.scheme, hop.host, hop.port, hop.path) for hop in hops]
    assert format_lane(LaneSpec(tuple(plain))) == ",".join(map(str, plain))


def test_most_lanes_have_no_fallback() -> None:
    assert fallback_of("mx:example.com") is None
    assert fallback_of("hold:fallback=x") is None
    assert fallback_of("nonsense?fallback=x") is None
    assert fallback_of(LONG) == Fallback("smtp://b:26*3,mx:example.com?source=s", 90.0, ("4.4.1", "4.7."))


def test_failures() -> None:
    assert parse_failure("550 5.7.1 We do not write to them") == Reply(550, "5.7.1", "We do not write to them")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "from 500 to 599"),
        ("no", "from 500 to 599"),
        ("250 2.0.0 ok", "from 500 to 599"),
        ("5500 5.7.1 no", "from 500 to 599"),
        ("550", "enhanced code of class 5"),
        ("550 no", "enhanced code of class 5"),
        ("550 4.7.1 no", "enhanced code of class 5"),
        ("550 5.7 no", "enhanced code of class 5"),
        ("550 5.7.x no", "enhanced code of class 5"),
        ("550 5.7.1", "a text of"),
        ("550 5.7.1 ", "a text of"),
        ("550 5.7.1 a\nb", "a text of"),
        ("550 5.7.1 " + "a" * 401, "a text of"),
    ],
)
def test_what_is_no_failure(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_failure(text)


@pytest.mark.parametrize("text", ["4.", "4.7.", "4.4.1", "4.7.500"])
def test_codes(text: str) -> None:
    assert parse_code(text) == text


@pytest.mark.parametrize("text", ["", "4", "4.4", "5.1.1", "4.4.1.", "4.4.1.2", "4..1", "4.x.", "4.1234.", "2.0.0"])
def test_what_is_no_code(text: str) -> None:
    with pytest.raises(ValueError, match="enhanced code"):
        parse_code(text)


@pytest.mark.parametrize(
    ("lane", "secure"),
    [
        ("mx:example.com", "mx:example.com?tls=required"),
        ("mx:example.com?tls=required", "mx:example.com?tls=required"),
        ("smtp://a:25,capture:?balance=weighted", "smtp://a:25,capture:?balance=weighted&tls=required"),
        (
            "smtp://a:25?fallback=smtp://b:25&after=60",
            "smtp://a:25?fallback=smtp://b:25%3Ftls%3Drequired&after=60&tls=required",
        ),
        ("capture:", "capture:"),
        ("hold:review", "hold:review"),
        ("fail:550 5.7.1 No", "fail:550 5.7.1 No"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_lane_that_requires_tls(lane: str, secure: str) -> None:
    assert with_tls(lane, "required") == secure
    if secure != lane:
        assert parse_lane(secure).tls == "required"
        assert format_lane(parse_lane(secure)) == secure


def test_a_lane_requires_tls_or_says_nothing() -> None:
    with pytest.raises(ValueError, match='write "tls=required"'):
        parse_lane("smtp://a:25?tls=off")


def test_the_lane_of_held_mail_has_its_reason_within_bounds() -> None:
    assert held_lane("rule 3: invoices") == "hold:(rule 3: invoices)"
    long = held_lane("a\r\nb\x00" * 1000)
    assert len(long) < 220
    assert long.isprintable()
    assert parse_lane(long).action == "hold"
