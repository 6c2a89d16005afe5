"""Retry rules: whom they cover, and how they merge."""

import pytest

from postroad.model.outcome import Deferred, Scope
from postroad.model.reply import Reply
from postroad.queue.retry import RetrySchedule
from postroad.queue.retryrules import RetryPolicy, answer_of, matches_error, retries_of
from postroad.queue.settings import QueueSettings, RetrySettings
from tests.unit.queue.builders import NOW, SECOND, TARGET, message

SETTINGS = QueueSettings(retry=("1m", "5m"), expire_after="5d", warn_after="4h")
HOUR = 3600 * SECOND


def policy(*rules: dict[str, object]) -> RetryPolicy:
    made = retries_of(SETTINGS, [RetrySettings.model_validate(rule) for rule in rules])
    assert isinstance(made, RetryPolicy)
    return made


def test_without_rules_there_is_one_schedule_for_all() -> None:
    assert isinstance(retries_of(SETTINGS, []), RetrySchedule)


def test_rules_merge_and_the_last_wins_for_each_option() -> None:
    rules = policy(
        {"domains": ["example.org"], "retry": ["2m"], "expire_after": "1d"}, {"lanes": ["mx:*"], "expire_after": "2d"}
    )
    (work,) = message("a@example.org")
    schedule = rules.schedule_for(work, None, "")
    assert (schedule.pauses, schedule.expire_after, schedule.warn_after) == ((120 * SECOND,), 48 * HOUR, 4 * HOUR)
    assert rules.schedule_for(work, None, "") is schedule
    (other,) = message("a@example.net", lane="smtp://mail:25")
    assert rules.schedule_for(other, None, "").pauses == (60 * SECOND, 300 * SECOND)


@pytest.mark.parametrize(
    ("criteria", "covered"),
    [
        ({"domains": ["*.org"]}, True),
        ({"domains": ["example.net"]}, False),
        ({"sites": ["google"]}, True),
        ({"sites": ["other"]}, False),
        ({"lanes": ["MX:example.*"]}, True),
        ({"tags": ["bulk", "x"]}, False),
        ({"errors": ["4.2."]}, True),
        ({"errors": ["4.2.2"]}, True),
        ({"errors": ["4.2.22", "4.7.*"]}, False),
        ({"errors": ["452 *FULL*"]}, True),
        ({"errors": ["4.2.2"], "sites": ["other"]}, False),
    ],
)
def test_a_rule_covers_what_all_its_criteria_cover(criteria: dict[str, object], *, covered: bool) -> None:
    rules = policy({**criteria, "retry": ["9m"]})
    (work,) = message("a@example.org")
    outcome = Deferred(Reply(452, "4.2.2", "mailbox full"), Scope.RECIPIENT, TARGET, "RCPT TO")
    assert (rules.schedule_for(work, outcome, "google").pauses == (540 * SECOND,)) is covered


def test_what_a_row_says_is_read_back() -> None:
    said = "host mx.example.org[192.0.2.1] said: 452 4.2.2 box is full (really) (in reply to RCPT TO)"
    assert answer_of(said).forms == ("452 4.2.2 box is full (really)", "452 box is full (really)")
    assert answer_of("451 4.4.1 connection refused").enhanced == "4.4.1"
    assert answer_of("").enhanced == ""
    assert matches_error("4.4", answer_of("451 4.4.1 connection refused"))
    assert not matches_error("4.4", answer_of("451 connection refused"))


def test_a_message_is_looked_at_when_the_first_rule_that_may_cover_it_says() -> None:
    rules = policy({"domains": ["quick.example"], "expire_after": "1h", "warn_after": "never"})
    (slow,) = message("a@example.org")
    assert rules.deadline_of(slow.stored.envelope) == NOW + 4 * HOUR
    quick = message("a@example.org", "b@quick.example")
    assert rules.deadline_of(quick[0].stored.envelope) == NOW + HOUR


def test_a_peers_wish_comes_before_the_curve_and_within_bounds() -> None:
    schedule = retries_of(SETTINGS, [])
    assert isinstance(schedule, RetrySchedule)
    (work,) = message()

    def due(text: str, attempts: int = 2, *, code: int = 450, pause: float = 0.0) -> float:
        outcome = Deferred(Reply(code, "4.2.0", text), Scope.RECIPIENT, TARGET, "RCPT TO", pause=pause)
        return (schedule.due_after(outcome, work, attempts, NOW, 0.0) - NOW) / SECOND

    assert due("busy") == 300
    assert due("try again in 20 minutes") == 1200
    assert due("try again in 2 seconds") == 10
    assert due("try again in 3 hours") == 300
    assert due("try again in 20 minutes", pause=42) == 42
    slow = RetrySchedule((HOUR,), 120 * HOUR, HOUR, 300 * SECOND, HOUR)
    grey = Deferred(Reply(450, "4.2.0", "greylisted"), Scope.RECIPIENT, TARGET, "RCPT TO")
    assert slow.due_after(grey, work, 3, NOW, 0.0) == NOW + 300 * SECOND
    assert slow.due_after(grey, work, 9, NOW, 0.0) == NOW + HOUR
