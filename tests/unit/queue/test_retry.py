"""The retry schedule."""

from hypothesis import given
from hypothesis import strategies as st

from postroad.model.envelope import NOTIFY_FAILURE, Recipient
from postroad.queue.retry import RetrySchedule, schedule_of
from postroad.queue.settings import QueueSettings
from postroad.queue.times import NEVER, microseconds
from tests.unit.queue.builders import NOW, SECOND, message

SCHEDULE = schedule_of(QueueSettings(retry=("1m", "5m"), expire_after="1h", warn_after="10m"))
ENVELOPE = message()[0].stored.envelope


def test_pauses_grow_and_the_last_repeats() -> None:
    dues = [SCHEDULE.next_due(ENVELOPE, attempts, NOW, 0.0) - NOW for attempts in (1, 2, 3, 9)]
    assert dues == [60 * SECOND, 300 * SECOND, 300 * SECOND, 300 * SECOND]


def test_no_try_is_planned_after_the_expiry() -> None:
    late = NOW + 3590 * SECOND
    assert SCHEDULE.next_due(ENVELOPE, 2, late, 0.0) == SCHEDULE.expiry(ENVELOPE) == NOW + 3600 * SECOND


@given(st.integers(1, 1000), st.floats(0, 1))
def test_jitter_adds_at_most_a_tenth(attempts: int, jitter: float) -> None:
    pause = SCHEDULE.next_due(ENVELOPE, attempts, NOW, 0.0) - NOW
    assert pause <= SCHEDULE.next_due(ENVELOPE, attempts, NOW, jitter) - NOW <= pause * 11 // 10


def test_the_deadline_is_the_warning_and_then_the_expiry() -> None:
    assert SCHEDULE.deadline_of(ENVELOPE) == NOW + 600 * SECOND
    assert SCHEDULE.deadline(ENVELOPE, warned=True) == NOW + 3600 * SECOND


def test_nobody_is_warned_who_cannot_or_will_not_be() -> None:
    reports = message(sender="")[0].stored.envelope
    unwanted = message(Recipient(ENVELOPE.recipients[0].address, NOTIFY_FAILURE))[0].stored.envelope
    for envelope in (reports, unwanted):
        assert SCHEDULE.warning(envelope) == NEVER
        assert SCHEDULE.deadline_of(envelope) == SCHEDULE.expiry(envelope)


def test_never_is_later_than_any_time() -> None:
    eternal = schedule_of(QueueSettings(expire_after="never", warn_after="never"))
    assert isinstance(eternal, RetrySchedule)
    assert eternal.deadline_of(ENVELOPE) == NEVER
    assert microseconds(float("inf")) == NEVER
    assert microseconds(1.5) == 1_500_000
