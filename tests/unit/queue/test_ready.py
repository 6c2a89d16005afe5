"""The window, its lanes and its accounts."""

from hypothesis import given
from hypothesis import strategies as st

from postroad.model.work import Work
from postroad.queue.lane import Batch, Lane, WaitReason, by_lane, by_message
from postroad.queue.ready import BATCH_LIMIT, Ready
from postroad.queue.settings import QueueSettings
from postroad.queue.times import NEVER
from tests.unit.queue.builders import NOW, message


def push(ready: Ready, lane: str, works: list[Work]) -> Lane:
    found = ready.lane(lane)
    ready.push(found, works[0].stored, works)
    return found


def lease(ready: Ready, lane: Lane) -> Batch:
    assert ready.begin(lane, NOW) is None
    batch = ready.lease(lane, NOW)
    assert isinstance(batch, Batch)
    return batch


def test_a_batch_is_one_message_on_one_lane_in_order() -> None:
    ready = Ready(QueueSettings())
    first, second = message("a@example.org", "b@example.org"), message("c@example.org", queue_id="q2")
    lane = push(ready, "one", first)
    push(ready, "one", second)
    assert (ready.used, lane.waiting) == (3, 3)
    assert lease(ready, lane).works == first
    assert lease(ready, lane).works == second
    assert (ready.used, lane.waiting, ready.running) == (3, 0, 2)
    ready.finish(3)
    assert ready.used == 0


def test_very_many_recipients_are_several_batches() -> None:
    ready = Ready(QueueSettings())
    lane = push(ready, "one", message(*(f"u{number}@example.org" for number in range(BATCH_LIMIT + 1))))
    assert [len(batch.works) for batch in lane.batches] == [BATCH_LIMIT, 1]


def test_every_wait_has_its_reason() -> None:
    ready = Ready(QueueSettings(concurrency=1, deliveries=2))
    one = push(ready, "one", message())
    assert ready.begin(one, NOW) is None
    assert ready.begin(one, NOW) is WaitReason.LANE_BUSY
    assert isinstance(ready.lease(one, NOW), Batch)
    assert ready.lease(one, NOW) is WaitReason.NOTHING
    two, three = push(ready, "two", message(queue_id="q2")), push(ready, "three", message(queue_id="q3"))
    assert ready.begin(two, NOW) is None
    assert ready.begin(three, NOW) is WaitReason.GLOBAL_LIMIT
    while not three.throttle.fail(NOW, "down", 0.0):
        pass
    assert ready.begin(three, NOW) is WaitReason.LANE_SUSPENDED
    assert {state.name: state.wait for state in ready.states(NOW)} == {
        "one": WaitReason.NOTHING,
        "two": WaitReason.LANE_BUSY,
        "three": WaitReason.LANE_SUSPENDED,
    }
    ready.draining = True
    assert ready.lease(two, NOW) is WaitReason.DRAINING
    ready.end(two)
    assert ready.begin(two, NOW) is WaitReason.DRAINING


def test_a_slot_that_others_wait_for_is_handed_on_after_one_batch() -> None:
    ready = Ready(QueueSettings(deliveries=1))
    one, two = push(ready, "one", message()), push(ready, "two", message(queue_id="q2"))
    push(ready, "one", message(queue_id="q3"))
    assert ready.begin(one, NOW) is None
    assert ready.begin(two, NOW) is WaitReason.GLOBAL_LIMIT
    assert isinstance(ready.lease(one, NOW), Batch)
    assert ready.lease(one, NOW, again=True) is WaitReason.GLOBAL_LIMIT
    assert ready.next_in_line(NOW) is None  # no slot is free
    ready.end(one)
    assert ready.next_in_line(NOW) is two
    assert ready.next_in_line(NOW) is one


def test_a_lane_alone_in_line_keeps_its_slot() -> None:
    ready = Ready(QueueSettings(deliveries=1))
    one = push(ready, "one", message())
    push(ready, "one", message(queue_id="q2"))
    assert ready.begin(one, NOW) is None
    assert ready.begin(one, NOW) is WaitReason.GLOBAL_LIMIT
    assert isinstance(ready.lease(one, NOW, again=True), Batch)


def test_a_lane_may_hold_as_much_as_is_left_for_others() -> None:
    ready = Ready(QueueSettings(window=100))
    lane = ready.lane("one")
    held = 0
    while ready.has_place(lane, 1, NOW):
        push(ready, "one", message(queue_id=f"q{held}"))
        held += 1
    assert held == 50
    assert ready.has_place(ready.lane("two"), 50, NOW)
    assert ready.closed(NOW) == {"one"}
    assert not ready.hungry
    while lane.waiting > 25:
        assert not ready.hungry
        lane.running = 0
        lease(ready, lane)
    assert ready.hungry


def test_a_full_window_is_hungry_again_when_half_is_free() -> None:
    ready = Ready(QueueSettings(window=100))
    ready.take(100)
    assert ready.room == 0
    ready.mark_full()
    ready.finish(49)
    assert not ready.hungry
    ready.finish(1)
    assert ready.hungry


def test_content_counts_once_and_leaves_with_its_last_batch() -> None:
    ready = Ready(QueueSettings())
    works = message("a@example.org", "b@example.net", content=b"x" * 1000)
    stored = works[0].stored
    push(ready, "one", works[:1])
    push(ready, "two", works[1:])
    assert ready.octets == 1000
    ready.leave(stored)
    assert (ready.octets, stored.content) == (1000, b"x" * 1000)
    ready.leave(stored)
    assert (ready.octets, stored.content) == (0, None)
    ready.leave(stored)  # harmless


def test_content_beyond_the_limit_is_left_in_the_spool() -> None:
    ready = Ready(QueueSettings(window_content=1500))
    first, second = message(content=b"x" * 1000), message(content=b"y" * 1000, queue_id="q2")
    push(ready, "one", first)
    push(ready, "one", second)
    assert (ready.octets, second[0].stored.content) == (1000, None)


def test_unloading_gives_back_all_that_waits() -> None:
    ready = Ready(QueueSettings())
    works = message("a@example.org", "b@example.org")
    push(ready, "one", works[:1])
    push(ready, "two", works[1:])
    assert ready.unload(ready.lane("one")) == works[:1]
    assert (ready.used, ready.lane("one").waiting) == (1, 0)
    assert ready.unload_all() == works[1:]
    assert (ready.used, ready.octets, works[0].stored.content) == (0, 0, None)


def test_a_suspended_lane_is_closed_and_a_probed_one_while_it_has_work() -> None:
    ready = Ready(QueueSettings())
    lane = ready.lane("one")
    while not lane.throttle.fail(NOW, "down", 0.0):
        pass
    until = lane.throttle.until
    assert ready.closed(NOW) == {"one"}
    assert ready.next_resume(NOW) == until
    assert ready.closed(until) == set()
    assert ready.next_resume(until) == NEVER
    push(ready, "one", message())
    assert ready.closed(until) == {"one"}


def test_lanes_that_tell_nothing_are_forgotten() -> None:
    ready = Ready(QueueSettings())
    ready.lane("idle")
    push(ready, "waiting", message())
    failing = ready.lane("failing")
    failing.throttle.fail(NOW, "down", 0.0)
    ready.forget_idle(NOW)
    assert {state.name for state in ready.states(NOW)} == {"waiting", "failing"}


def test_grouping_keeps_the_order() -> None:
    one, two = message("a@example.org", "b@example.org"), message(queue_id="q2")
    assert by_message([one[0], two[0], one[1]]) == [one, two]
    one[1].lane = "other"
    assert by_lane(one) == [[one[0]], [one[1]]]


actions = st.lists(
    st.tuples(st.sampled_from(["push", "begin", "lease", "end", "finish", "unload"]), st.integers(0, 3)), max_size=120
)


@given(actions)
def test_the_accounts_are_right_whatever_happens(events: list[tuple[str, int]]) -> None:
    ready = Ready(QueueSettings(window=100, deliveries=3, concurrency=2, window_content=2000))
    leased: list[Batch] = []
    for number, (action, index) in enumerate(events):
        lane = ready.lane(f"lane{index}")
        match action:
            case "push" if ready.has_place(lane, 2, NOW):
                push(
                    ready,
                    lane.name,
                    message("a@example.org", "b@example.org", queue_id=f"q{number}", content=b"x" * 300),
                )
            case "begin":
                ready.begin(lane, NOW)
            case "lease" if lane.running:
                batch = ready.lease(lane, NOW, again=True)
                if isinstance(batch, Batch):
                    leased.append(batch)
            case "end" if lane.running:
                ready.end(lane)
            case "finish" if leased:
                batch = leased.pop()
                ready.leave(batch.stored)
                ready.finish(len(batch.works))
            case "unload":
                ready.unload(lane)
            case _:
                pass
        states = ready.states(NOW)
        assert ready.used == sum(state.waiting for state in states) + sum(len(batch.works) for batch in leased)
        assert ready.running == sum(state.running for state in states) <= 3
        assert all(state.running <= 2 for state in states)
        assert 0 <= ready.octets <= 2000
        assert 0 <= ready.used <= 100
