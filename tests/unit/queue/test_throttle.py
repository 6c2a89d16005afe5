"""Windows that adapt, and suspensions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.model.outcome import Deferred, Delivered, Failed, Outcome, Scope
from postroad.model.reply import Reply
from postroad.queue.settings import QueueSettings
from postroad.queue.throttle import (
    MEMORY,
    PATIENCE,
    START,
    Throttle,
    ThrottleRules,
    crowding,
    host_failure,
    new_throttle,
    rules_of,
)
from tests.unit.queue.builders import NOW, SECOND

RULES = rules_of(QueueSettings(concurrency=20, suspend=("10s", "1m")))


def suspended() -> Throttle:
    throttle = new_throttle(RULES)
    while not throttle.fail(NOW, "down", 0.0):
        pass
    return throttle


def test_the_window_starts_small_and_grows_to_the_limit() -> None:
    throttle = new_throttle(RULES)
    assert throttle.allowed(NOW) == START
    for _ in range(100):
        assert not throttle.succeed()
    assert throttle.allowed(NOW) == 20


def test_failures_halve_the_window_and_then_suspend() -> None:
    throttle = new_throttle(RULES)
    windows = []
    while not throttle.fail(NOW, "down", 0.0):
        windows.append(throttle.allowed(NOW))
    assert windows == [2, 1]
    assert throttle.allowed(NOW) == 0
    assert throttle.is_suspended(NOW)
    assert throttle.until == NOW + 10 * SECOND


def test_above_the_window_that_failed_it_grows_slowly() -> None:
    throttle = new_throttle(RULES)
    for _ in range(15):
        throttle.succeed()
    throttle.fail(NOW, "busy", 0.0)
    assert throttle.window == 10
    for _ in range(PATIENCE - 1):
        throttle.succeed()
    assert throttle.window == 10
    throttle.succeed()
    assert throttle.window == 11


def test_after_the_pause_one_message_probes() -> None:
    throttle = suspended()
    after = throttle.until
    assert throttle.is_probing(after)
    assert throttle.allowed(after) == 1
    assert throttle.fail(after, "still down", 1.0)
    assert throttle.until == after + 66 * SECOND  # the next pause, with all its jitter
    assert throttle.reason == "still down"
    last = throttle.until
    assert throttle.fail(last, "still down", 0.0)
    assert throttle.until == last + 60 * SECOND  # the last pause repeats


def test_late_failures_do_not_prolong_a_suspension() -> None:
    throttle = suspended()
    until = throttle.until
    assert not throttle.fail(NOW + SECOND, "down", 0.0)
    assert throttle.until == until


def test_a_success_ends_a_suspension_and_its_history() -> None:
    throttle = suspended()
    assert throttle.succeed()
    assert (throttle.until, throttle.reason, throttle.window) == (0, "", START)
    assert throttle.is_neutral(NOW)
    assert not throttle.succeed()


def test_a_failure_is_forgotten_after_a_while() -> None:
    throttle = suspended()
    assert not throttle.is_neutral(NOW)
    assert throttle.is_neutral(NOW + MEMORY)


def test_only_the_host_can_fail() -> None:
    reply = Reply(451, "4.4.1", "down")
    host: Outcome = Deferred(reply, Scope.HOST)
    hop: Outcome = Deferred(reply, Scope.NEXT_HOP)
    assert host_failure([host]) is host
    assert host_failure([host, hop]) is hop
    others: list[Outcome] = [
        Delivered(Reply(250)),
        Failed(Reply(550), Scope.NEXT_HOP),
        Deferred(reply, Scope.RECIPIENT),
        Deferred(reply, Scope.MESSAGE),
    ]
    for other in others:
        assert host_failure([host, other]) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 90)), max_size=200), st.integers(1, 30))
def test_the_window_stays_within_its_bounds(events: list[tuple[bool, int]], limit: int) -> None:
    throttle = new_throttle(rules_of(QueueSettings(concurrency=limit)))
    now = NOW
    for success, seconds in events:
        now += seconds * SECOND
        if success:
            throttle.succeed()
        else:
            throttle.fail(now, "down", 0.5)
        assert 1 <= throttle.window <= limit
        assert 0 <= throttle.allowed(now) <= limit
        assert throttle.is_suspended(now) == (throttle.allowed(now) == 0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("too many connections from your host", 0),
        ("Too many concurrent SMTP connections from this IP address; please try again later", 0),
        ("too many connections (limit 4)", 4),
        ("Maximum of 20 connections reached for 192.0.2.1", 20),
        ("you have exceeded your limit of 7 sessions", 7),
        ("connection limit is 99999999999999", 0),
        ("connection rate limit exceeded", None),
        ("try again later", None),
        ("too many recipients", None),
    ],
)
def test_hosts_that_name_their_limit(text: str, named: int | None) -> None:
    assert crowding(Deferred(Reply(421, "4.3.2", text), Scope.HOST, None, "connect")) == named
    assert crowding(Deferred(Reply(421, "4.3.2", text), Scope.HOST)) is None


def test_too_many_connections_are_one_less_or_as_many_as_the_host_says() -> None:
    throttle = new_throttle(RULES)
    throttle.window = 10
    assert not throttle.crowd(NOW, 9, 0, "too many", 0.0)
    assert throttle.window == 8
    assert not throttle.crowd(NOW, 8, 3, "too many", 0.0)
    assert throttle.window == 3
    throttle.window = 1
    assert throttle.crowd(NOW, 1, 0, "too many", 0.0), "it does not even take one"
    assert throttle.is_suspended(NOW + 1)


def test_other_rules_move_the_bounds() -> None:
    throttle = new_throttle(RULES)
    throttle.obey(ThrottleRules(2, RULES.pauses))
    assert (throttle.window, throttle.brisk) == (2, 2)
    throttle.obey(ThrottleRules(40, RULES.pauses))
    for _ in range(50):
        throttle.succeed()
    assert throttle.window == 40


def test_a_pause_by_rule_is_never_shortened() -> None:
    throttle = new_throttle(RULES)
    assert throttle.suspend(NOW + 100, NOW, "asked for")
    assert not throttle.suspend(NOW + 50, NOW, "less")
    assert throttle.is_fixed
    assert (throttle.until, throttle.reason) == (NOW + 100, "asked for")
