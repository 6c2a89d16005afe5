"""Rules: patterns and conditions, the lanes that come of them, and that the first match wins, cached or not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postroad.model.address import NULL_PATH, Mailbox, parse_mailbox
from postroad.model.envelope import Envelope, Origin, Recipient
from postroad.model.route import Fallback, Placement
from postroad.routing.lanes import fallback_of, parse_lane
from postroad.routing.rules import Rules, compile_rules
from postroad.routing.settings import EgressSettings, HopSettings, RouteSettings, ThenSettings


def envelope(sender: str = "me@example.org", listener: str = "mx") -> Envelope:
    path = parse_mailbox(sender) if sender else NULL_PATH
    return Envelope("1", path, (), arrived=0, size=0, origin=Origin(listener=listener))


def recipient(address: str) -> Recipient:
    return Recipient(parse_mailbox(address))


def route(*next_hops: str, **conditions: tuple[str, ...]) -> RouteSettings:
    return RouteSettings(next_hops=next_hops, **conditions)


def test_without_routes_everything_goes_by_mx() -> None:
    assert compile_rules(()).place(envelope(), recipient("you@example.com")) == Placement(
        "mx:example.com", "default route"
    )


def test_first_match_wins() -> None:
    rules = compile_rules(
        [
            route("smtp://vip.internal", recipients=("boss@example.com",)),
            route("smtp://a.internal:25", "smtp://b.internal:26", recipients=("example.com", "*.example.com")),
            route("capture:", recipients=("[192.0.2.1]",)),
            route("mx", recipients=("*",)),
        ]
    )
    expected = {
        "Boss@EXAMPLE.com": ("smtp://vip.internal:25", 'route 1 (recipients = ["boss@example.com"])'),
        "you@example.com": (
            "smtp://a.internal:25,smtp://b.internal:26",
            'route 2 (recipients = ["example.com", "*.example.com"])',
        ),
        "you@deep.below.example.com": ("smtp://a.internal:25,smtp://b.internal:26", None),
        "you@notexample.com": ("mx:notexample.com", 'route 4 (recipients = ["*"])'),
        "you@[192.0.2.1]": ("capture:", 'route 3 (recipients = ["[192.0.2.1]"])'),
        "you@[IPv6:2001:db8::1]": ("mx:[ipv6:2001:db8::1]", None),
    }
    for _ in range(2):
        for address, (lane, reason) in expected.items():
            placement = rules.place(envelope(), recipient(address))
            assert placement is not None
            assert placement.lane == lane
            assert reason in (None, placement.reason)


def test_parents_do_not_cover_themselves() -> None:
    rules = compile_rules([route("mx", recipients=("*.example.com",))])
    assert rules.place(envelope(), recipient("you@example.com")) is None
    assert rules.place(envelope(), recipient("you@a.example.com")) is not None


def test_senders_and_listeners() -> None:
    rules = compile_rules(
        [
            route("smtp://bounces:25", senders=("<>",)),
            route("smtp://app:25", senders=("*.example.org", "me@example.net"), listeners=("submission",)),
            route("mx", listeners=("mx", "submission")),
        ]
    )
    you = recipient("you@example.com")

    def lane(sender: str, listener: str) -> str | None:
        placement = rules.place(envelope(sender, listener), you)
        return placement.lane if placement is not None else None

    assert lane("", "mx") == "smtp://bounces:25"
    assert lane("a@x.example.org", "submission") == "smtp://app:25"
    assert lane("ME@example.net", "submission") == "smtp://app:25"
    assert lane("a@example.org", "submission") == "mx:example.com"
    assert lane("a@x.example.org", "mx") == "mx:example.com"
    assert lane("a@x.example.org", "other") is None
    placement = rules.place(envelope("a@x.example.org", "submission"), you)
    assert placement is not None
    assert placement.reason == (
        'route 2 (recipients = ["*"], senders = ["*.example.org", "me@example.net"], listeners = ["submission"])'
    )


def lane_of(rules: Rules, message: Envelope, address: str = "you@example.com") -> str | None:
    placement = rules.place(message, recipient(address))
    return placement.lane if placement is not None else None


def message(
    sender: str = "me@example.org", *, login: str = "", size: int = 100, tags: tuple[str, ...] = ()
) -> Envelope:
    path = parse_mailbox(sender) if sender else NULL_PATH
    return Envelope("1", path, (), arrived=0, size=size, origin=Origin(listener="mx", login=login), tags=tags)


def test_logins_sizes_and_tags() -> None:
    rules = compile_rules(
        [
            RouteSettings(logins=("scanner", "printer"), next_hops=("smtp://office:25",)),
            RouteSettings(logins=("*",), tags=("bulk",), next_hops=("smtp://bulk:25",)),
            RouteSettings(larger_than=1000, smaller_than=2000, next_hops=("smtp://middle:25",)),
            RouteSettings(larger_than=1000, next_hops=("smtp://large:25",)),
            RouteSettings(tags=("a", "b"), next_hops=("smtp://tagged:25",)),
            RouteSettings(next_hops=("smtp://rest:25",)),
        ]
    )
    assert lane_of(rules, message(login="scanner")) == "smtp://office:25"
    assert lane_of(rules, message(login="Scanner")) == "smtp://rest:25"
    assert lane_of(rules, message(login="other", tags=("x", "bulk"))) == "smtp://bulk:25"
    assert lane_of(rules, message(tags=("bulk",))) == "smtp://rest:25"
    assert lane_of(rules, message(size=1000)) == "smtp://rest:25"
    assert lane_of(rules, message(size=1001)) == "smtp://middle:25"
    assert lane_of(rules, message(size=1999)) == "smtp://middle:25"
    assert lane_of(rules, message(size=2000)) == "smtp://large:25"
    assert lane_of(rules, message(tags=("b",))) == "smtp://tagged:25"


def test_conditions_are_named_in_the_reason() -> None:
    rules = compile_rules([RouteSettings(name="big", logins=("*",), tags=("t",), larger_than=5, next_hops=("mx",))])
    placement = rules.place(message(login="x", tags=("t",), size=6), recipient("you@example.com"))
    assert placement is not None
    assert placement.reason == 'route big (recipients = ["*"], logins = ["*"], tags = ["t"], larger_than = 5)'


def test_what_is_not_the_default_is_in_the_lane() -> None:
    rules = compile_rules(
        [
            RouteSettings(
                next_hops=("mx", HopSettings(hop="smtp://b", weight=3)),
                balance="weighted",
                source="news",
                fallback=(HopSettings(hop="mx"), "smtp+srv://backup.example"),
                fallback_after="10m",
                fallback_on=("4.4.1", "4.7."),
            )
        ]
    )
    assert lane_of(rules, message()) == (
        "mx:example.com,smtp://b:25*3?balance=weighted&source=news&fallback=mx:example.com,"
        "smtp+srv://backup.example%3Fbalance%3Dweighted%26source%3Dnews&after=600&on=4.4.1,4.7."
    )
    spec = parse_lane(lane_of(rules, message()) or "")
    assert spec.fallback == Fallback(
        "mx:example.com,smtp+srv://backup.example?balance=weighted&source=news", 600.0, ("4.4.1", "4.7.")
    )


def test_what_is_done_instead_of_sending_is_a_lane() -> None:
    rules = compile_rules(
        [
            RouteSettings(name="review", recipients=("a.example",), then="hold"),
            RouteSettings(recipients=("b.example",), then="discard"),
            RouteSettings(recipients=("c.example",), then=ThenSettings(fail="550 5.7.1 We do not write to them")),
        ],
        [EgressSettings(source="news")],
    )
    assert lane_of(rules, message(), "x@a.example") == "hold:review"
    assert lane_of(rules, message(), "x@b.example") == "discard:2"
    assert lane_of(rules, message(), "x@c.example") == "fail:550 5.7.1 We do not write to them"


def test_released_recipients_go_on_behind_the_routes_that_hold() -> None:
    rules = compile_rules(
        [
            RouteSettings(recipients=("a.example", "b.example"), then="hold"),
            RouteSettings(recipients=("b.example",), then="discard"),
            RouteSettings(senders=("you@example.com",), next_hops=("capture:",)),
            RouteSettings(next_hops=("mx",)),
        ],
        [EgressSettings(source="news")],
    )

    def released(address: str) -> str | None:
        placement = rules.place_released(message(), recipient(address))
        return placement.lane if placement is not None else None

    assert released("x@a.example") == "mx:a.example?source=news"
    assert released("x@b.example") == "discard:2"
    assert compile_rules([RouteSettings(then="hold")]).place_released(message(), recipient("x@a.example")) is None
    assert rules.place_released(message(), Recipient(Mailbox("postmaster", "postmaster", ""))) is None


def test_egress_rules_choose_the_source_where_the_route_does_not() -> None:
    rules = compile_rules(
        [
            RouteSettings(recipients=("own.example",), next_hops=("mx",), source="mine"),
            RouteSettings(recipients=("kept.example",), next_hops=("capture:",)),
            RouteSettings(next_hops=("mx",), fallback=("smtp://b",)),
        ],
        [
            EgressSettings(senders=("*.news.example", "<>"), source="news"),
            EgressSettings(tags=("bulk",), source="bulk"),
            EgressSettings(recipients=("example.net", "vip@example.com"), source="special"),
        ],
    )

    def source(message: Envelope, address: str = "you@example.com") -> str:
        lane = lane_of(rules, message, address)
        assert lane is not None
        return parse_lane(lane).source

    for _ in range(2):
        assert source(message("a@x.news.example", tags=("bulk",))) == "news"
        assert source(message("")) == "news"
        assert source(message(tags=("bulk",))) == "bulk"
        assert source(message(), "you@example.net") == "special"
        assert source(message(), "vip@example.com") == "special"
        assert source(message()) == ""
        assert source(message(tags=("bulk",)), "x@own.example") == "mine"
        assert lane_of(rules, message(tags=("bulk",)), "x@kept.example") == "capture:"
    placement = rules.place(message(tags=("bulk",)), recipient("you@example.com"))
    assert placement is not None
    assert placement.reason == 'route 3 (recipients = ["*"]); from bulk by egress rule 2'
    fallback = fallback_of(placement.lane)
    assert fallback is not None
    assert parse_lane(fallback.lane).source == "bulk"


def test_the_memory_of_sources_is_bounded() -> None:
    rules = compile_rules([RouteSettings(next_hops=("mx",))], [EgressSettings(source="news")])
    for at in range(25_000):
        assert lane_of(rules, message(), f"a@d{at}.example") == f"mx:d{at}.example?source=news"
    assert len(rules._sourced) <= 10_000


def test_a_route_says_one_thing() -> None:
    for route in (RouteSettings(), RouteSettings(next_hops=("mx",), then="hold")):
        with pytest.raises(ValueError, match="one of the two"):
            compile_rules([route])


def test_every_sender_includes_none() -> None:
    rules = compile_rules([route("mx", senders=("*",))])
    assert rules.place(envelope(""), recipient("you@example.com")) is not None


def test_no_domain_no_match() -> None:
    rules = compile_rules([route("mx")])
    assert rules.place(envelope(), Recipient(Mailbox("postmaster", "postmaster", ""))) is None


def test_internationalised_patterns_match_either_form() -> None:
    rules = compile_rules([route("capture:", recipients=("bücher.example",))])
    for address in ("you@bücher.example", "you@xn--bcher-kva.example"):
        assert rules.place(envelope(), recipient(address)) is not None


def test_bad_patterns_and_next_hops_are_value_errors() -> None:
    with pytest.raises(ValueError, match="next hop"):
        compile_rules([route("nonsense")])


def test_the_memory_of_domains_is_bounded() -> None:
    rules = compile_rules([route("mx")])
    for at in range(25_000):
        rules.place(envelope(), Recipient(Mailbox(f"a@d{at}.example", "a", f"d{at}.example")))
    assert len(rules._by_domain) <= 10_000


PATTERNS = st.sampled_from(
    ["*", "a.example", "*.a.example", "*.example", "x@a.example", "x@b.a.example", "b.a.example"]
)
ADDRESSES = st.sampled_from(["x@a.example", "y@a.example", "x@b.a.example", "y@b.a.example", "z@c.example", "x@other"])


@given(st.lists(st.lists(PATTERNS, min_size=1, max_size=3), min_size=1, max_size=6), st.lists(ADDRESSES, max_size=12))
def test_the_cached_answer_is_the_linear_one(routes: list[list[str]], addresses: list[str]) -> None:
    rules = compile_rules([route(f"smtp://h{at}", recipients=tuple(one)) for at, one in enumerate(routes)])

    def matches(pattern: str, address: str) -> bool:
        domain = address.partition("@")[2]
        return pattern in ("*", address, domain) or (pattern.startswith("*.") and domain.endswith(pattern[1:]))

    for address in addresses:
        expected = next((at for at, one in enumerate(routes) if any(matches(text, address) for text in one)), None)
        placement = rules.place(envelope(), recipient(address))
        if expected is None:
            assert placement is None
        else:
            assert placement is not None
            assert placement.lane == f"smtp://h{expected}:25"


DECIDING = (
    RouteSettings(name="review", recipients=("held.example",), then="hold"),
    RouteSettings(next_hops=("smtp://a",), recipients=("example.com",)),
    RouteSettings(name="dlp", recipients=("nobody.example",), next_hops=("smtp://dlp",)),
)


@pytest.mark.parametrize(
    ("decided", "lane", "reason"),
    [
        ({}, "smtp://a:25", 'route 2 (recipients = ["example.com"])'),
        ({"held": "why"}, "hold:(why)", "held by policy: why"),
        ({"held": "why", "route": "dlp", "tls": "required"}, "hold:(why)", "held by policy: why"),
        ({"route": "dlp"}, "smtp://dlp:25", 'route dlp (recipients = ["nobody.example"]), chosen by policy'),
        (
            {"route": "gone"},
            'hold:(a policy chose the route "gone", which is not there any more)',
            'a policy chose the route "gone", which is not there any more',
        ),
        (
            {"tls": "required"},
            "smtp://a:25?tls=required",
            'route 2 (recipients = ["example.com"]); by TLS alone, by policy',
        ),
        (
            {"route": "dlp", "tls": "required"},
            "smtp://dlp:25?tls=required",
            'route dlp (recipients = ["nobody.example"]), chosen by policy; by TLS alone, by policy',
        ),
        (
            {"route": "review", "tls": "required"},
            "hold:review",
            'route review (recipients = ["held.example"]), chosen by policy',
        ),
    ],
)
def test_what_policies_decided_goes_before_the_routes(decided: dict[str, str], lane: str, reason: str) -> None:
    rules = compile_rules(DECIDING)
    for _ in range(2):
        assert rules.place(replace(envelope(), **decided), recipient("you@example.com")) == Placement(lane, reason)


@pytest.mark.parametrize(
    ("decided", "lane"),
    [
        ({"held": "why"}, "smtp://a:25"),
        ({"held": "why", "tls": "required"}, "smtp://a:25?tls=required"),
        ({"held": "why", "route": "dlp"}, "smtp://dlp:25"),
        ({"route": "review"}, "smtp://a:25"),
        ({"route": "gone", "tls": "required"}, "smtp://a:25?tls=required"),
    ],
)
def test_released_mail_goes_where_it_would_have_gone(decided: dict[str, str], lane: str) -> None:
    placed = compile_rules(DECIDING).place_released(replace(envelope(), **decided), recipient("you@example.com"))
    assert placed is not None
    assert placed.lane == lane


def test_a_chosen_route_leaves_from_the_source_of_the_egress_rules() -> None:
    rules = compile_rules(DECIDING, [EgressSettings(source="news")])
    placed = rules.place(replace(envelope(), route="dlp", tls="required"), recipient("you@example.com"))
    assert placed is not None
    assert placed.lane == "smtp://dlp:25?source=news&tls=required"


def test_mail_no_route_is_for_has_no_place_with_tls_either() -> None:
    rules = compile_rules(DECIDING)
    assert rules.place(replace(envelope(), tls="required"), recipient("you@elsewhere.example")) is None
