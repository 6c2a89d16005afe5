"""Outcomes become changes, notices and records."""

import pytest

from postroad.message.dsn import DELAYED, DELIVERED, FAILED, RELAYED
from postroad.model.address import parse_mailbox
from postroad.model.envelope import NOTIFY_DELAY, NOTIFY_NEVER, NOTIFY_SUCCESS, Recipient
from postroad.model.outcome import Deferred, Delivered, Failed, Held, Scope
from postroad.model.records import (
    DsnSuppressed,
    MessageRemoved,
    RecipientDeferred,
    RecipientDelivered,
    RecipientFailed,
    RecipientHeld,
    Record,
)
from postroad.model.reply import Reply
from postroad.model.route import Target
from postroad.model.work import Status
from postroad.queue.retry import schedule_of
from postroad.queue.settings import QueueSettings
from postroad.queue.settle import Moment, lapse, park, reason_of, settle
from postroad.queue.telling import Settlement
from postroad.queue.throttle import new_throttle, rules_of
from tests.unit.queue.builders import NOW, SECOND, TARGET, message

SETTINGS = QueueSettings(retry=("1m", "5m"), expire_after="1h", warn_after="10m")
SCHEDULE = schedule_of(SETTINGS)
OK = Delivered(Reply(250, "2.0.0", "Ok"), TARGET)
BUSY = Deferred(Reply(451, "4.7.1", "greylisted"), Scope.RECIPIENT, TARGET, "RCPT TO")
GONE = Failed(Reply(550, "5.1.1", "no such user"), Scope.RECIPIENT, TARGET, "RCPT TO")
SOON = Moment(NOW + SECOND)


def kinds(settlement: Settlement) -> list[type[Record]]:
    return [type(record) for record in settlement.records]


def test_delivered_is_final_and_the_last_one_removes_the_message() -> None:
    works = message("a@example.org", "b@example.org")
    settlement = settle(works, [OK, OK], Moment(NOW + 3 * SECOND, 0.5, 0.25, 1.25), SCHEDULE)
    assert [change.status for change in settlement.changes] == [Status.DELIVERED] * 2
    assert kinds(settlement) == [RecipientDelivered, RecipientDelivered, MessageRemoved]
    record = settlement.records[0]
    assert isinstance(record, RecipientDelivered)
    assert (record.delay, record.delays) == (3.0, (1.0, 0.5, 0.25, 1.25))
    assert (record.target, record.attempts) == ("mx.example.org[192.0.2.1]:25", 1)
    assert not settlement.notices
    assert not settlement.pending


def test_every_recipient_is_settled_by_its_own_outcome() -> None:
    works = message("a@example.org", "b@example.org", "c@example.org")
    settlement = settle(works, [OK, BUSY, GONE], SOON, SCHEDULE)
    assert [change.status for change in settlement.changes] == [Status.DELIVERED, Status.PENDING, Status.FAILED]
    assert kinds(settlement) == [RecipientDelivered, RecipientDeferred, RecipientFailed]
    assert settlement.pending == [works[1]]
    deferred = settlement.changes[1]
    assert (deferred.due, deferred.attempts) == (NOW + 61 * SECOND, 1)
    assert deferred.deadline == NOW + 600 * SECOND
    assert deferred.reply == "host mx.example.org[192.0.2.1] said: 451 4.7.1 greylisted (in reply to RCPT TO)"
    (notice,) = settlement.notices
    assert (notice.action, notice.status, notice.remote) == (FAILED, "5.1.1", "mx.example.org")


def test_the_message_stays_while_others_are_open() -> None:
    works = message("a@example.org", "b@example.org")
    works[0].stored.open = 2
    assert MessageRemoved not in kinds(settle(works[:1], [OK], SOON, SCHEDULE))
    works[0].stored.open = 1
    assert MessageRemoved in kinds(settle(works[1:], [OK], SOON, SCHEDULE))


def test_a_deferral_past_the_expiry_is_a_failure() -> None:
    works = message()
    settlement = settle(works, [BUSY], Moment(NOW + 3600 * SECOND), SCHEDULE)
    (failed, removed) = settlement.records
    assert isinstance(failed, RecipientFailed)
    assert isinstance(removed, MessageRemoved)
    assert (failed.expired, failed.reply.enhanced) == (True, "4.4.7")
    (notice,) = settlement.notices
    assert (notice.action, notice.status, notice.expired) == (FAILED, "4.4.7", True)
    assert notice.diagnostic == "451 4.7.1 greylisted"


def test_a_late_deferral_warns_once() -> None:
    works = message()
    settlement = settle(works, [BUSY], Moment(NOW + 600 * SECOND), SCHEDULE)
    (notice,) = settlement.notices
    assert (notice.action, notice.status, notice.retry_until) == (DELAYED, "4.7.1", NOW + 3600 * SECOND)
    (change,) = settlement.changes
    assert (change.warned, change.deadline) == (True, NOW + 3600 * SECOND)
    works[0].warned = True
    assert not settle(works, [BUSY], Moment(NOW + 700 * SECOND), SCHEDULE).notices


@pytest.mark.parametrize(
    ("scheme", "dsn", "actions"),
    [("smtp", False, [RELAYED]), ("smtp", True, []), ("lmtp", False, [DELIVERED]), ("capture", False, [DELIVERED])],
)
def test_success_is_reported_where_nobody_else_will(scheme: str, dsn: bool, actions: list[str]) -> None:
    works = message(Recipient(parse_mailbox("bob@example.org"), NOTIFY_SUCCESS))
    outcome = Delivered(Reply(250, "2.0.0", "Ok"), Target(scheme, "mx.example.org", "192.0.2.1", 25), dsn_passed=dsn)
    assert [notice.action for notice in settle(works, [outcome], SOON, SCHEDULE).notices] == actions


@pytest.mark.parametrize(
    ("sender", "notify", "reason"),
    [("", 0, "null reverse-path"), ("alice@example.com", NOTIFY_NEVER, "NOTIFY without FAILURE")],
)
def test_unwanted_reports_are_suppressed_with_a_reason(sender: str, notify: int, reason: str) -> None:
    works = message(Recipient(parse_mailbox("bob@example.org"), notify), sender=sender)
    settlement = settle(works, [GONE], SOON, SCHEDULE)
    assert not settlement.notices
    suppressed = [record for record in settlement.records if isinstance(record, DsnSuppressed)]
    assert [record.reason for record in suppressed] == [reason]


def test_a_null_reverse_path_hears_of_no_success() -> None:
    works = message(Recipient(parse_mailbox("bob@example.org"), NOTIFY_SUCCESS), sender="")
    assert not settle(works, [OK], SOON, SCHEDULE).notices


def test_lapsed_works_are_warned_about_and_stay_where_they_are() -> None:
    delayed = Recipient(parse_mailbox("a@example.org"), NOTIFY_DELAY)
    never = Recipient(parse_mailbox("b@example.org"), NOTIFY_NEVER)
    works = message(delayed, never)
    for work in works:
        work.due, work.attempts, work.reply = NOW + 900 * SECOND, 3, "451 4.4.1 connection refused"
    settlement = lapse(works, NOW + 601 * SECOND, SCHEDULE)
    for change in settlement.changes:
        assert (change.status, change.due, change.attempts) == (Status.PENDING, NOW + 900 * SECOND, 3)
        assert (change.warned, change.deadline) == (True, NOW + 3600 * SECOND)
    (notice,) = settlement.notices
    assert (notice.recipient, notice.action, notice.remote) == (delayed, DELAYED, "")
    assert settlement.pending == works
    assert not settlement.records


def test_lapsed_works_expire_with_what_was_said_last() -> None:
    works = message("a@example.org", "b@example.org")
    works[0].reply = "host mx.example.org[192.0.2.1] said: 451 4.7.1 greylisted (in reply to RCPT TO)"
    settlement = lapse(works, NOW + 3600 * SECOND, SCHEDULE)
    assert kinds(settlement) == [RecipientFailed, RecipientFailed, MessageRemoved]
    first, second = settlement.notices
    assert "greylisted" in first.diagnostic
    assert (first.remote, first.expired) == ("", True)
    assert second.diagnostic == ""
    assert settlement.changes[1].reply == "delivery time expired before any try"


def test_a_held_recipient_stays_held() -> None:
    works = message()
    works[0].status = Status.HELD
    assert lapse(works, NOW + 601 * SECOND, SCHEDULE).changes[0].status is Status.HELD


def test_a_route_that_holds_keeps_the_recipient_without_an_attempt() -> None:
    works = message("bob@example.org", "carol@example.org", lane="hold:review")
    works[0].attempts = 2
    settlement = settle(works, [Held("held by route review"), OK], Moment(NOW + 86_400 * SECOND), SCHEDULE)
    held, _ = settlement.changes
    assert (held.status, held.attempts, held.reply) == (Status.HELD, 2, "held by route review")
    assert held.due == works[0].due
    assert settlement.pending == [works[0]]
    assert [type(record) for record in settlement.records] == [RecipientHeld, RecipientDelivered]
    assert not settlement.notices


def test_parking_counts_no_attempt_and_keeps_the_due_time() -> None:
    works = message()
    throttle = new_throttle(rules_of(SETTINGS))
    while not throttle.fail(NOW, "451 4.4.1 connection refused", 0.0):
        pass
    (record,) = park(works, throttle, NOW + SECOND)
    assert isinstance(record, RecipientDeferred)
    assert (record.due, record.attempts) == (throttle.until, 0)
    assert works[0].reply == "451 4.4.1 next hop suspended: 451 4.4.1 connection refused"
    assert works[0].due == NOW


def test_a_reason_says_who_said_it() -> None:
    assert reason_of(Deferred(Reply(451, "4.4.1", "timed out"), Scope.HOST, TARGET)) == "451 4.4.1 timed out"
    assert reason_of(GONE).startswith("host mx.example.org[192.0.2.1] said: 550 5.1.1")


def test_a_reply_without_enhanced_code_gets_its_class() -> None:
    bare = Failed(Reply(554, "", "go away"), Scope.RECIPIENT, TARGET, "DATA")
    assert settle(message(), [bare], SOON, SCHEDULE).notices[0].status == "5.0.0"
