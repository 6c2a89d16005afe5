"""Rules about routes beyond what tests/bad_configs shows: doubts, and what is no mistake."""

from postroad.config.check import check
from postroad.config.problem import path_text
from postroad.config.schema import Config

MX: dict[str, object] = {"next_hops": ["mx"]}


def _config(**sections: object) -> Config:
    base: dict[str, object] = {"hostname": "relay.example.com", "listeners": {"mx": {"bind": ["127.0.0.1:2525"]}}}
    return Config.model_validate(base | sections)


def _warnings(*routes: dict[str, object], **sections: object) -> list[str]:
    found = check(_config(routes=routes, **sections))
    assert found.problems == []
    return [f"{path_text(problem.path)}: {problem.text}" for problem in found.warnings]


def test_a_weight_that_nothing_looks_at_is_doubtful() -> None:
    hops = [{"hop": "smtp://a.example.com", "weight": 3}, {"hop": "smtp://b.example.com"}]
    assert _warnings({"next_hops": hops}) == [
        'routes[0].next_hops[0]: weight = 3: has no effect: routes[0].balance is "failover", not "weighted"'
    ]
    assert _warnings({"next_hops": ["mx"], "fallback": hops, "balance": "round-robin"}) == [
        'routes[0].fallback[0]: weight = 3: has no effect: routes[0].balance is "round-robin", not "weighted"'
    ]
    assert _warnings({"next_hops": hops, "balance": "weighted"}) == []


def test_nothing_to_balance_is_doubtful() -> None:
    assert _warnings({"next_hops": ["lmtp:///run/lmtp"], "balance": "round-robin"}) == [
        'routes[0].balance: "round-robin": has no effect with one next hop of one host'
    ]
    for hop in ("mx", "smtp://a.example.com", "smtp+srv://example.com"):
        assert _warnings({"next_hops": [hop], "balance": "round-robin"}) == []


def test_a_fallback_after_the_expiry_is_doubtful() -> None:
    (warning,) = _warnings({"next_hops": ["mx"], "fallback": ["smtp://b.example.com"], "fallback_after": "5d"})
    assert (
        warning
        == "routes[0].fallback_after: the fallback comes too late: mail has expired by then (queue.expire_after)"
    )
    assert _warnings({"next_hops": ["mx"], "fallback": ["smtp://b.example.com"], "fallback_after": "0s"}) == []
    on_errors = {"fallback_after": "never", "fallback_on": ["4."]}
    assert _warnings({"next_hops": ["mx"], "fallback": ["smtp://b.example.com"], **on_errors}) == []


def test_a_route_that_rewrites_lets_all_mail_go_on() -> None:
    assert _warnings({"then": {"rewrite": "all@example.com"}}, MX) == []
    assert _warnings({"then": "hold"}, MX) == [
        'routes[1]: is never reached: routes[0] takes all mail before it (recipients "*")'
    ]
    assert _warnings({"then": {"rewrite": "all@example.com"}}) == [
        'routes: no route takes all mail: what matches none waits until it expires; end with recipients = ["*"]'
    ]


def test_egress_rules_behind_one_for_all_mail_are_never_reached() -> None:
    egress = [{"source": "a", "senders": ["*"]}, {"source": "b", "tags": ["x"]}]
    sources = {"a": {"address": "127.0.0.1"}, "b": {"address": "127.0.0.2"}}
    found = _warnings(MX, egress=egress, sources=sources)
    assert found == ["egress[1]: is never reached: egress[0] is for all mail"]
    assert _warnings(MX, egress=egress[::-1], sources=sources) == []


def test_a_name_without_a_domain_is_no_matter_where_nothing_is_sent() -> None:
    assert _warnings({"then": "hold"}, hostname="relay") == []
    assert len(_warnings({"next_hops": ["capture:"], "fallback": ["mx"]}, hostname="relay")) == 1


def test_sources_that_do_not_exist_are_found_with_their_place() -> None:
    rules = {"routes": [MX, {**MX, "source": "a"}], "egress": [{"source": "b", "senders": ["x@example.com"]}]}
    sources = {"b": {"address": "192.0.2.1"}}
    config = _config(**rules, sources=sources, pools={"c": {"sources": {"b": 1}}})
    assert [(path_text(one.path), one.text) for one in check(config).problems] == [
        ("routes[1].source", '"a": no such egress source or pool; there are: b, c'),
    ]
    config = _config(**rules)
    assert [path_text(one.path) for one in check(config).problems] == ["routes[1].source", "egress[0].source"]
