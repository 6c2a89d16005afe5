"""Replies that rules give another meaning."""

import pytest

from postroad.model.outcome import Deferred, Delivered, Failed, Outcome, Scope
from postroad.model.reply import Reply
from postroad.queue.remap import ReplyRule, Suspension, forms_of, parse_action, remap
from tests.unit.queue.builders import TARGET


def rule(match: str, action: str) -> ReplyRule:
    word, seconds = parse_action(action)
    return ReplyRule(match.casefold(), word, seconds)


def said(code: int, enhanced: str, text: str, command: str = "RCPT") -> Outcome:
    kind = Deferred if code < 500 else Failed
    return kind(Reply(code, enhanced, text), Scope.RECIPIENT, TARGET, command)


def test_actions_as_written() -> None:
    assert parse_action("defer") == ("defer", 0)
    assert parse_action("suspend 10m") == ("suspend", 600)
    assert parse_action("retry 90s") == ("retry", 90)


@pytest.mark.parametrize(
    "text", ["", "drop", "fail 5m", "suspend", "retry never", "retry 0s", "suspend 31d", "retry soon"]
)
def test_other_texts_are_no_actions(text: str) -> None:
    with pytest.raises(ValueError, match="write|must be"):
        parse_action(text)


def test_meanings_change_and_the_original_is_kept() -> None:
    rules = [rule("450 *", "fail"), rule("550 5.7.1 *", "defer"), rule("451 *", "retry 5m")]
    changed, pause = remap(
        [said(450, "4.2.1", "off"), said(550, "5.7.1", "no"), said(451, "4.3.0", "hm"), said(452, "4.2.2", "full")],
        rules,
    )
    assert pause is None
    assert changed == [
        Failed(Reply(554, "5.2.1", "off"), Scope.RECIPIENT, TARGET, "RCPT", original="450 4.2.1 off"),
        Deferred(Reply(451, "4.7.1", "no"), Scope.RECIPIENT, TARGET, "RCPT", original="550 5.7.1 no"),
        Deferred(Reply(451, "4.3.0", "hm"), Scope.RECIPIENT, TARGET, "RCPT", pause=300),
        said(452, "4.2.2", "full"),
    ]


def test_the_last_rule_that_matches_wins() -> None:
    changed, _ = remap([said(450, "4.2.0", "x")], [rule("450 *", "fail"), rule("450 4.2.0*", "defer")])
    assert changed == [said(450, "4.2.0", "x")]


def test_a_pause_is_for_the_next_hop() -> None:
    changed, pause = remap([said(554, "5.7.1", "blocked")], [rule("554*", "fail"), rule("*blocked*", "suspend 1h")])
    assert isinstance(changed[0], Deferred)
    assert pause == Suspension(1, 3600, "554 5.7.1 blocked")


def test_our_own_words_and_deliveries_are_not_looked_at() -> None:
    ours = Deferred(Reply(451, "4.4.1", "connection refused"), Scope.HOST, TARGET)
    done = Delivered(Reply(250, "2.0.0", "Ok"), TARGET)
    assert remap([ours, done], [rule("*", "fail")]) == ([ours, done], None)


def test_patterns_see_a_reply_as_the_peer_sent_it() -> None:
    assert forms_of(Reply(554, "4.7.1", "no\nway")) == ("554 4.7.1 no way", "554 no way", "554 5.7.1 no way")
    assert forms_of(Reply(421, "", "busy")) == ("421 busy",)
