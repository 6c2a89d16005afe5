"""The limits, asked as the listener does: through real stages and transactions, with a clock driven by hand."""

from postroad.model.records import RateReached
from postroad.policies.relay_control import RelayControl
from postroad.policies.rules import Rules
from postroad.policy.rates.names import RatesWanted
from postroad.policy.settings import AccessSettings
from postroad.policy.shield.conduct import Conduct
from postroad.policy.verdict import Defer
from postroad.smtp import replies
from tests.support.limitedworld import HOUR, World, address, code, ruled
from tests.support.limiting import limiting
from tests.support.ruling import config_of, rulebook_of


def test_recipients_of_a_login_are_limited_and_given_room_again() -> None:
    world = World({"per": "login", "limits": ["3/1h"]})
    assert world.send("a@x.example", "b@x.example", login="Bob") == [250, 250, 250, 250]
    assert world.send("c@x.example", "d@x.example", login="bob") == [250, 250, 450, 250]
    assert world.send("e@x.example", login="eve") == [250, 250, 250]
    assert world.send("f@x.example") == [250, 250, 250]
    world.clock.advance(HOUR + 240)
    assert world.send("f@x.example", login="bob") == [250, 250, 250]
    (reached,) = [one for one in world.records if isinstance(one, RateReached)]
    assert (reached.rate, reached.limit, reached.account, reached.used, reached.wanted) == ("r0", "3/1h", "bob", 3, 1)


def test_the_reason_is_exact() -> None:
    world = World({"per": ["login", "recipient_domain"], "limits": ["1/1h", "5/day"]})
    world.send("a@x.example", login="bob")
    verdict = ruled(world.begin(login="bob").ask(address("b@X.example")))
    assert isinstance(verdict, Defer)
    assert verdict.reply == replies.RATE_OF_RECIPIENTS
    assert (
        verdict.reason
        == "rate r0: 1/1h recipients for login, recipient_domain bob x.example, 1 used; room again in 63m"
    )


def test_what_a_transaction_took_is_given_back_when_it_fails() -> None:
    world = World({"per": "login", "limits": ["2/1h"]}, {"count": "messages", "per": "login", "limits": ["1/1h"]})
    for _ in range(5):
        failing = world.begin(login="bob")
        assert code(ruled(failing.ask_mail())) == 250
        assert [world.rcpt(failing, to) for to in ("a@x.example", "b@x.example", "c@x.example")] == [250, 250, 450]
        failing.facts.end()
    assert world.send("a@x.example", "b@x.example", login="bob") == [250, 250, 250, 250]
    assert world.send("a@x.example", login="bob") == [451]


def test_nothing_is_counted_of_what_the_relay_refuses() -> None:
    world = World({"per": "ip", "limits": ["2/1h"]})
    stranger = world.begin(ip="203.0.113.1", relays=False)
    assert [world.rcpt(stranger, "a@x.example") for _ in range(5)] == [554] * 5
    friend = world.begin(ip="203.0.113.1")
    assert [world.rcpt(friend, to) for to in ("a@x.example", "b@x.example", "c@x.example")] == [250, 250, 450]


def test_nothing_is_counted_of_what_another_limit_refuses() -> None:
    world = World({"per": "login", "limits": ["2/1h"]}, {"limits": ["4/1h"]})
    for _ in range(6):
        world.send("a@x.example", login="bob")
    assert world.send("a@x.example", "b@x.example", login="eve") == [250, 250, 250, 250]
    assert world.send("a@x.example", login="ann") == [250, 450]


def test_prefixes_listeners_and_all_together() -> None:
    world = World({"count": "messages", "per": "prefix", "limits": ["1/1h"]}, {"count": "messages", "limits": ["4/1h"]})
    assert world.send("a@x.example", ip="192.0.2.1") == [250, 250, 250]
    assert world.send("a@x.example", ip="192.0.2.200") == [451]
    assert world.send("a@x.example", ip="192.0.3.1") == [250, 250, 250]
    assert world.send("a@x.example", ip="2001:db8::1") == [250, 250, 250]
    assert world.send("a@x.example", ip="2001:db8:0:0:ffff::1") == [451]
    assert world.send("a@x.example", ip="2001:db8:0:1::1") == [250, 250, 250]
    assert world.send("a@x.example", ip="198.51.100.1") == [451]


def test_the_null_reverse_path_has_no_account_of_a_sender() -> None:
    world = World({"count": "messages", "per": "sender_domain", "limits": ["1/1h"]})
    assert world.send("a@x.example", sender="x@Example.com") == [250, 250, 250]
    assert world.send("a@x.example", sender="y@example.com") == [451]
    assert [world.send("a@x.example", sender="") for _ in range(3)] == [[250, 250, 250]] * 3


def test_octets_are_looked_at_first_and_counted_at_the_end() -> None:
    world = World({"count": "bytes", "per": "login", "limits": ["1000/1h"]})
    assert world.send("a@x.example", login="bob", size=600) == [250, 250, 250]
    declared = world.begin(login="bob", size=600)
    assert code(ruled(declared.ask_mail())) == 451
    assert world.send("a@x.example", login="bob", size=401) == [250, 250, 451]
    assert world.send("a@x.example", login="bob", size=400) == [250, 250, 250]


def test_octets_by_domain_of_recipients() -> None:
    world = World({"count": "bytes", "per": "recipient_domain", "limits": ["1000/1h"]})
    assert world.send("a@x.example", "b@x.example", "c@y.example", size=600) == [250, 250, 250, 250, 250]
    assert world.send("a@y.example", size=600) == [250, 250, 451]
    assert world.send("a@z.example", size=600) == [250, 250, 250]


def test_messages_by_domain_of_recipients_count_once() -> None:
    world = World({"count": "messages", "per": "recipient_domain", "limits": ["1/1h"]})
    assert world.send("a@x.example", "b@x.example", "c@y.example") == [250, 250, 250, 250, 250]
    assert world.send("a@x.example", "b@z.example") == [250, 450, 250, 250]


def test_more_is_held_where_that_is_wanted() -> None:
    world = World({"per": "login", "limits": ["1/1h"], "then": "hold"}, {"limits": ["3/1h"]})
    assert world.send("a@x.example", login="bob") == [250, 250, 250]
    assert not world.last.adjustments
    assert world.send("b@x.example", login="bob") == [250, 250, 250]
    assert [one.hold for one in world.last.adjustments] == [
        "rate r0: 1/1h recipients for login bob, 1 used; room again in 63m"
    ]
    assert world.send("c@x.example", login="bob") == [250, 250, 250]
    assert world.send("c@x.example", login="bob") == [250, 450]


def test_exemptions_and_conditions() -> None:
    world = World(
        {
            "count": "messages",
            "limits": ["1/1h"],
            "listeners": ["mx"],
            "networks": ["192.0.2.0/24", "2001:db8::/32"],
            "except_networks": ["192.0.2.128/25"],
            "except_logins": ["news*"],
            "groups": ["*,OU=staff"],
        }
    )
    staff = ("CN=a,OU=Staff",)
    assert world.send("a@x.example", login="bob", groups=staff) == [250, 250, 250]
    free = [
        world.send("a@x.example", login="bob", groups=staff, listener="submission"),
        world.send("a@x.example", login="bob", groups=staff, ip="198.51.100.1"),
        world.send("a@x.example", login="bob", groups=staff, ip="192.0.2.129"),
        world.send("a@x.example", login="newsletter", groups=staff),
        world.send("a@x.example", login="bob", groups=("CN=b,OU=guests",)),
        world.send("a@x.example", login="bob"),
    ]
    assert free == [[250, 250, 250]] * 6
    assert world.send("a@x.example", login="eve", groups=staff) == [451]


def test_each_group_has_an_account() -> None:
    world = World({"per": "group", "limits": ["2/1h"], "groups": ["sales", "staff"]})
    assert world.send("a@x.example", login="bob", groups=("staff", "sales", "all")) == [250, 250, 250]
    assert world.send("a@x.example", login="eve", groups=("sales",)) == [250, 250, 250]
    assert world.send("a@x.example", login="bob", groups=("staff", "sales")) == [250, 450]
    assert world.send("a@x.example", login="ann", groups=("staff",)) == [250, 250, 250]
    assert world.send("a@x.example", login="ann", groups=("all",)) == [250, 250, 250]


def test_connections_in_a_time_and_at_once() -> None:
    world = World({"count": "connections", "per": "ip", "limits": ["2", "4/1m"]})
    assert [code(world.connect()) for _ in range(3)] == [250, 250, 421]
    world.connections[0].end(is_taken=True)
    assert [code(world.connect()) for _ in range(2)] == [250, 421]
    for facts in world.connections:
        facts.end(is_taken=True)
    verdicts = [world.connect() for _ in range(2)]
    assert [code(verdict) for verdict in verdicts] == [250, 421]
    assert verdicts[1] == Defer(
        replies.RATE_OF_CONNECTIONS, "rate r0: 4/1m connections for ip 192.0.2.1, 4 used; room again in 64s", leave=True
    )
    assert code(world.connect("192.0.2.2")) == 250
    world.connections[-2].end()
    world.clock.advance(65)
    assert code(world.connect()) == 250


def test_errors_close_the_door_for_a_while() -> None:
    world = World({"count": "errors", "per": "ip", "limits": ["3/10m", "4/1h"]})
    watch = world.policing.watch
    assert watch is not None
    assert code(world.connect()) == 250
    for kind in ("auth_failed", "refused", "unknown_recipient", "talked_first", "accepted", "auth_done"):
        watch(Conduct(kind, "192.0.2.1", "mx", "bob"))
    verdict = world.connect()
    assert isinstance(verdict, Defer)
    assert (verdict.reply, verdict.leave) == (replies.RATE_OF_ERRORS, True)
    assert world.send("a@x.example") == [421]
    assert world.send("a@x.example", ip="192.0.2.2") == [250, 250, 250]
    world.clock.advance(11 * 60)
    assert world.send("a@x.example") == [421]  # the hour's limit saw what the shorter one had no room for
    world.clock.advance(HOUR)
    assert world.send("a@x.example") == [250, 250, 250]


def test_a_failed_log_in_is_no_error_of_whose_name_was_tried() -> None:
    world = World({"count": "errors", "per": "login", "limits": ["1/1h"]})
    watch = world.policing.watch
    assert watch is not None
    watch(Conduct("auth_failed", "192.0.2.1", "mx", "bob"))
    assert world.send("a@x.example", login="bob") == [250, 250, 250]
    watch(Conduct("refused", "192.0.2.1", "mx", "bob"))
    assert world.send("a@x.example", login="bob") == [421]


def test_without_rates_nothing_is_asked() -> None:
    policing = World().policing
    stages = policing.stages_of("mx")
    assert (stages.connect, stages.mail, stages.message, policing.watch) == (None, None, None, None)
    assert type(stages.rcpt).__name__ == "Chain"


def test_rates_for_rules_wait_for_a_rule() -> None:
    world = World(
        {"per": "login", "limits": ["1/1h"], "only_rules": True},
        {"count": "messages", "per": "login", "limits": ["1/1h"], "only_rules": True},
        {"count": "bytes", "per": "login", "limits": ["100/1h"], "only_rules": True},
    )
    for _ in range(3):
        assert world.send("a@x.example", login="bob", size=1000) == [250, 250, 250]
    one = world.begin(login="bob")
    one.facts.put(RatesWanted(("r0",), address("b@x.example")))
    assert [world.rcpt(one, to) for to in ("a@x.example", "b@x.example", "c@x.example", "b@x.example")] == [
        250,
        250,
        250,
        450,
    ]
    one.facts.end(is_taken=True)
    two = world.begin(login="bob")
    two.facts.put(RatesWanted(("r1", "r2")))
    assert code(ruled(two.ask_mail())) == 250
    assert [world.rcpt(two, to) for to in ("a@x.example", "b@x.example")] == [250, 250]
    assert code(ruled(two.ask_message(b"", 101))) == 451
    assert code(ruled(two.ask_message(b"", 60))) == 250
    two.facts.end(is_taken=True)
    three = world.begin(login="bob")
    three.facts.put(RatesWanted(("r1",)))
    assert code(ruled(three.ask_mail())) == 451
    four = world.begin(login="eve")
    assert code(ruled(four.ask_mail())) == 250
    four.facts.put(RatesWanted(("r0", "r1", "r2")))
    assert [world.rcpt(four, to) for to in ("a@x.example", "b@x.example")] == [250, 450]
    assert code(ruled(four.ask_message(b"", 101))) == 451


def test_a_rule_may_ask_when_all_is_known() -> None:
    world = World(
        {"limits": ["3/1h"], "only_rules": True}, {"count": "messages", "limits": ["2/1h"], "only_rules": True}
    )
    codes = []
    for _ in range(2):
        one = world.begin()
        assert [world.rcpt(one, to) for to in ("a@x.example", "b@x.example")] == [250, 250]
        one.facts.put(RatesWanted(("r0", "r1")))
        codes.append(code(ruled(one.ask_message(b"", 100))))
        one.facts.end(is_taken=codes[-1] == 250)
    assert codes == [250, 451]


def test_counts_that_answer_later_decide_the_same() -> None:
    world = World(
        {"per": "login", "limits": ["2/1h"]},
        {"count": "messages", "per": "login", "limits": ["2/1h"]},
        {"count": "connections", "limits": ["1/1h"]},
        {"count": "bytes", "limits": ["1000/1h"], "then": "hold"},
        is_slow=True,
    )
    assert [code(world.connect()) for _ in range(2)] == [250, 421]
    assert world.send("a@x.example", login="bob", size=900) == [250, 250, 250]
    assert world.send("a@x.example", "b@x.example", login="bob", size=900) == [250, 250, 450, 250]
    assert [one.hold.partition(",")[0] for one in world.last.adjustments] == ["rate r3: 1000/1h bytes"]
    failing = world.begin(login="eve")
    assert [world.rcpt(failing, to) for to in ("a@x.example", "b@x.example", "c@x.example")] == [250, 250, 450]
    failing.facts.end()
    assert world.send("a@x.example", "b@x.example", login="eve", size=10) == [250, 250, 250, 250]


def test_long_values_have_accounts_of_their_own() -> None:
    world = World({"count": "messages", "per": "sender", "limits": ["1/1h"]})
    local = "x" * 60
    senders = [f"{local}@{'d' * 60}.{'e' * 60}.{name}.example" for name in ("a", "b")]
    for sender in senders:
        assert world.send("a@x.example", sender=sender) == [250, 250, 250]
        assert world.send("a@x.example", sender=sender) == [451]


def test_rules_name_rates_at_every_stage() -> None:
    rates = [
        {"name": "vip", "limits": ["1/1h"], "only_rules": True},
        {"name": "outside", "count": "messages", "limits": ["3/1h"], "only_rules": True},
        {"name": "large", "count": "bytes", "limits": ["1000/1h"], "only_rules": True},
    ]
    config = config_of(
        """
        [[rules]]
        when = { sender = "news@example.com" }
        then = { rate = "outside" }
        continue = true
        [[rules]]
        when = { recipient = "vip@x.example" }
        then = { rate = "vip" }
        continue = true
        [[rules]]
        when = { larger_than = 500 }
        then = { rate = "large" }
        continue = true
        """
    )
    world = World()
    control, now = RelayControl(AccessSettings(relay_networks=("192.0.2.0/24",))), world.clock.now
    rules = Rules(rulebook_of(config), now)
    world.policing = limiting(control, rates, world.records.append, world.clock, world.table, rules)
    assert world.send("vip@x.example", "a@x.example") == [250, 250, 250, 250]
    assert world.send("vip@x.example", "a@x.example", "b@x.example") == [250, 450, 250, 250, 250]
    assert world.send("a@x.example", size=600) == [250, 250, 250]
    assert world.send("a@x.example", size=600) == [250, 250, 451]
    assert world.send("a@x.example", size=400) == [250, 250, 250]
    assert [world.send("a@x.example", sender="news@example.com") for _ in range(4)] == [[250] * 3] * 3 + [[451]]
