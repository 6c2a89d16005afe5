"""Recipients replaced at acceptance: which, once each, and what reports will call them."""

import pytest

from postroad.model.address import NULL_PATH, Mailbox, parse_mailbox
from postroad.model.envelope import NOTIFY_SUCCESS, Envelope, Origin, Recipient
from postroad.model.records import RecipientRewritten
from postroad.routing.rewrite import Rewriter, compile_rewriter, rewritten
from postroad.routing.rules import compile_rules
from postroad.routing.settings import RouteSettings, ThenSettings


def rewrite(pattern: str, *recipients: str, **conditions: tuple[str, ...] | int) -> RouteSettings:
    return RouteSettings.model_validate({"recipients": recipients, "then": ThenSettings(rewrite=pattern), **conditions})


def rewriter(*routes: RouteSettings) -> Rewriter:
    made = compile_rewriter([*routes, RouteSettings(next_hops=("mx",))])
    assert made is not None
    return made


def envelope(*recipients: str | Recipient, sender: str = "me@example.org", size: int = 10) -> Envelope:
    taken = tuple(item if isinstance(item, Recipient) else Recipient(parse_mailbox(item)) for item in recipients)
    path = parse_mailbox(sender) if sender else NULL_PATH
    return Envelope("1", path, taken, arrived=7, size=size, origin=Origin(listener="mx"))


def addresses(made: Rewriter, *recipients: str, sender: str = "me@example.org", size: int = 10) -> list[str]:
    return [one.address.text for one in made(envelope(*recipients, sender=sender, size=size))[0].recipients]


@pytest.mark.parametrize(
    ("pattern", "before", "after"),
    [
        ("*@new.example", "You@old.example", "You@new.example"),
        ("*@new.example", '"a b@c"@old.example', '"a b@c"@new.example'),
        ("*@new.example", "ü@old.example", "ü@new.example"),
        ("*@bücher.example", "you@old.example", "you@xn--bcher-kva.example"),
        ("boss@New.example", "you@old.example", "boss@new.example"),
        ('"the boss"@new.example', "you@old.example", '"the boss"@new.example'),
    ],
)
def test_patterns(pattern: str, before: str, after: str) -> None:
    mailbox = rewritten(pattern, parse_mailbox(before))
    assert mailbox == parse_mailbox(after)


def test_without_rewriting_there_is_nothing_to_call() -> None:
    assert compile_rewriter([RouteSettings(next_hops=("mx",)), RouteSettings(then="hold")]) is None
    assert compile_rewriter([]) is None


def test_the_original_goes_along_for_reports() -> None:
    made = rewriter(rewrite("*@new.example", "old.example"))
    given = Recipient(parse_mailbox("a+b@old.example"), NOTIFY_SUCCESS)
    kept = Recipient(parse_mailbox("c@old.example"), 0, "rfc822;first@elsewhere.example")
    found, records = made(envelope(given, kept, "d@other.example"))
    assert found.recipients == (
        Recipient(Mailbox("a+b@new.example", "a+b", "new.example"), NOTIFY_SUCCESS, "rfc822;a+2Bb@old.example"),
        Recipient(Mailbox("c@new.example", "c", "new.example"), 0, "rfc822;first@elsewhere.example"),
        Recipient(parse_mailbox("d@other.example")),
    )
    reason = 'route 1 (recipients = ["old.example"])'
    assert records == [
        RecipientRewritten(at=7, id="1", recipient="a+b@old.example", to="a+b@new.example", reason=reason),
        RecipientRewritten(at=7, id="1", recipient="c@old.example", to="c@new.example", reason=reason),
    ]


def test_what_is_not_concerned_stays_the_same_value() -> None:
    made = rewriter(rewrite("*@new.example", "old.example"))
    message = envelope("d@other.example")
    assert made(message) == (message, [])


def test_the_first_match_counts_and_conditions_hold() -> None:
    made = rewriter(
        RouteSettings(recipients=("vip@old.example",), next_hops=("mx",)),
        rewrite("*@bounces.example", "old.example", senders=("<>",)),
        rewrite("*@large.example", "old.example", larger_than=1000),
        rewrite("*@new.example", "old.example"),
    )
    assert addresses(made, "vip@old.example", "a@old.example") == ["vip@old.example", "a@new.example"]
    assert addresses(made, "a@old.example", sender="") == ["a@bounces.example"]
    assert addresses(made, "a@old.example", size=1001) == ["a@large.example"]


def test_rewriting_goes_on_from_the_first_route_and_ends() -> None:
    made = rewriter(
        rewrite("*@c.example", "b.example"), rewrite("*@b.example", "a.example"), rewrite("*@a.example", "c.example")
    )
    assert addresses(made, "x@a.example") == ["x@a.example"]  # round once and no further
    assert len(list(made.steps(Recipient(parse_mailbox("x@a.example")), envelope()))) == 3
    assert addresses(rewriter(rewrite("all@one.example", "*")), "x@a.example", "y@b.example") == ["all@one.example"]


def test_each_address_comes_once() -> None:
    made = rewriter(rewrite("*@new.example", "old.example"))
    assert addresses(made, "a@new.example", "a@old.example", "b@old.example") == ["a@new.example", "b@new.example"]


def test_a_route_that_rewrites_places_nothing() -> None:
    rules = compile_rules([rewrite("*@new.example", "*"), RouteSettings(next_hops=("mx",))])
    placement = rules.place(envelope(), Recipient(parse_mailbox("a@old.example")))
    assert placement is not None
    assert placement.lane == "mx:old.example"
