"""The spool's promises, through its door: what is durable, what is leased, what comes back after a crash."""

import asyncio
from pathlib import Path

import pytest

from postroad.model.errors import SpoolError
from postroad.model.records import SpoolRecovered
from postroad.model.work import Change, Status
from postroad.spool.query import Query
from tests.support.clock import START, ManualClock
from tests.unit.spool.building import (
    HOUR,
    Bench,
    content_of,
    deferred,
    delivered,
    envelope,
    lease_all,
    put,
    queue_id,
    settle,
    start_put,
    start_settle,
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "spool")


async def test_what_was_put_comes_back_after_a_crash_octet_for_octet(bench: Bench) -> None:
    spool = await bench.open()
    content = bytes(range(256)) * 20
    works = await put(spool, envelope(1, "a@example.org", "b@example.net", prefix="Received: x\r\n"), content)
    assert [work.lane for work in works] == ["mx:example.org", "mx:example.net"]
    assert [(work.due, work.deadline) for work in works] == [(START, START + 4 * HOUR)] * 2
    assert works[0].stored.open == 2
    await bench.crash(spool)
    spool = await bench.open()
    again = await lease_all(spool)
    assert [work.recipient for work in again] == [work.recipient for work in works]
    assert again[0].stored is again[1].stored
    assert again[0].stored.envelope == works[0].stored.envelope
    assert again[0].stored.content is None
    assert await content_of(spool, again[0]) == content
    await spool.close()


async def test_callbacks_come_in_the_order_of_puts(bench: Bench) -> None:
    spool = await bench.open()
    order: list[str] = []
    for number in range(50):
        spool.put(envelope(number), b"x", lambda stored, works: order.append(stored.id), lambda error: None)
    await spool.flush()
    assert order == [queue_id(number) for number in range(50)]
    await spool.close()


async def test_a_message_is_gone_with_its_last_recipient(bench: Bench) -> None:
    spool = await bench.open()
    works = await put(spool, envelope(1, "a@example.org", "b@example.org"))
    await settle(spool, delivered(works[0]))
    assert works[0].status is Status.DELIVERED
    assert works[0].stored.open == 1
    await bench.crash(spool)
    spool = await bench.open()
    (left,) = await lease_all(spool)
    assert left.recipient.address.text == "b@example.org"
    assert left.stored.open == 1
    await settle(spool, [Change(left, Status.FAILED, reply="550 no")])
    await bench.crash(spool)
    spool = await bench.open()
    assert await lease_all(spool) == []
    assert (await spool.desk.stats()).messages == 0
    await spool.close()


async def test_a_message_settled_soon_never_reaches_the_index(bench: Bench) -> None:
    spool = await bench.open()
    assert isinstance(bench.clock, ManualClock)
    for number in range(20):
        works = await put(spool, envelope(number))
        await settle(spool, delivered(*works))
        await bench.clock.run(0.5)
    await spool._catalog.worker.call(lambda: None)
    changed = spool._catalog.index.db.total_changes()
    works = await put(spool, envelope(100))
    await bench.clock.run(2)
    await spool.flush()
    assert spool._catalog.index.db.total_changes() > changed
    assert changed < 20
    await spool.close()


async def test_a_deferral_survives_with_all_it_says(bench: Bench) -> None:
    spool = await bench.open()
    (work,) = await put(spool, envelope(1))
    change = deferred(work, START + HOUR, "451 4.7.1 später")
    change.warned, change.deadline = True, START + 100 * HOUR
    await settle(spool, [change])
    assert (work.due, work.attempts, work.warned, work.status) == (START + HOUR, 1, True, Status.PENDING)
    for _ in range(2):
        await bench.crash(spool)
        spool = await bench.open()
        assert await spool.lease(10, START + HOUR - 1, ()) == []
        assert await spool.next_due(()) == START + HOUR
        (again,) = await spool.lease(10, START + HOUR, ())
        assert again.reply == "451 4.7.1 später"
        assert (again.attempts, again.warned, again.deadline) == (1, True, START + 100 * HOUR)
    await spool.close()


async def test_leased_work_is_not_leased_twice_until_it_is_released(bench: Bench) -> None:
    spool = await bench.open()
    works = await put(spool, envelope(1, "a@example.org", "b@example.org"))
    assert await lease_all(spool) == []
    await spool.flush()
    assert await lease_all(spool) == []
    spool.release(works[:1])
    spool.release(works[:1])
    (again,) = await lease_all(spool)
    assert again.stored is works[1].stored
    assert again.index == 0
    assert await lease_all(spool) == []
    await settle(spool, [deferred(works[1], START + HOUR)])
    assert await lease_all(spool) == []
    spool.release([again, works[1]])
    assert await spool.next_due(()) == START
    assert [work.index for work in await lease_all(spool)] == [0, 1]
    await spool.close()


async def test_release_before_its_settlement_is_durable_loses_nothing(bench: Bench) -> None:
    spool = await bench.open()
    (work,) = await put(spool, envelope(1))
    await spool.flush()
    done = start_settle(spool, [deferred(work, START + HOUR)])
    spool.release([work])
    await done
    (again,) = await spool.lease(5, START + HOUR, ())
    assert (again.due, again.attempts) == (START + HOUR, 1)
    await settle(spool, delivered(again))
    assert (await spool.desk.stats()).messages == 0
    await spool.close()


async def test_leases_are_fair_over_lanes_and_skip_closed_ones(bench: Bench) -> None:
    spool = await bench.open()
    for number in range(60):
        domain = "big.example" if number < 50 else f"small{number % 2}.example"
        spool.release(await put(spool, envelope(number, f"u@{domain}", arrived=START + number)))
    first = await spool.lease(9, START + HOUR, ())
    assert sorted(work.lane for work in first) == sorted(
        3 * ["mx:big.example", "mx:small0.example", "mx:small1.example"]
    )
    assert [work.due for work in first] == sorted(work.due for work in first)
    rest = await spool.lease(100, START + HOUR, {"mx:big.example"})
    assert {work.lane for work in rest} == {"mx:small0.example", "mx:small1.example"}
    assert len(rest) == 4
    assert await spool.lease(100, START + HOUR, {"mx:big.example"}) == []
    assert await spool.next_due({"mx:big.example"}) is None
    assert await spool.next_due(()) == START + 3
    assert len(await spool.lease(100, START + HOUR, ())) == 47
    await spool.close()


async def test_lapsed_gives_what_nobody_holds_and_is_late(bench: Bench) -> None:
    spool = await bench.open()
    (held,) = await put(spool, envelope(1))
    (late,) = await put(spool, envelope(2))
    (later,) = await put(spool, envelope(3, arrived=START + HOUR))
    await settle(spool, [deferred(late, START + 90 * HOUR), deferred(later, START + 90 * HOUR)])
    spool.release([late, later])
    (found,) = await spool.lapsed(10, START + 4 * HOUR)
    assert found.stored.id == queue_id(2)
    assert found.due == START + 90 * HOUR
    assert await spool.lapsed(10, START + 4 * HOUR) == []
    assert held.status is Status.PENDING
    await spool.close()


async def test_reports_are_durable_with_their_outcome_and_leased(bench: Bench) -> None:
    spool = await bench.open()
    (work,) = await put(spool, envelope(1))
    ((stored, works),) = await settle(spool, [Change(work, Status.FAILED)], [(envelope(2), b"the report")])
    assert stored.content == b"the report"
    await bench.crash(spool)
    spool = await bench.open()
    (again,) = await lease_all(spool)
    assert again.recipient == works[0].recipient
    assert await content_of(spool, again) == b"the report"
    await spool.close()


async def test_settling_what_nobody_holds_is_left_alone(bench: Bench) -> None:
    spool = await bench.open()
    (work,) = await put(spool, envelope(1))
    await settle(spool, delivered(work))
    assert await settle(spool, delivered(work)) == []
    assert work.stored.open == 0
    spool.release([work])
    assert await lease_all(spool) == []
    assert await settle(spool, []) == []
    await spool.close()


async def test_held_recipients_wait_and_are_listed(bench: Bench) -> None:
    spool = await bench.open()
    (work,) = await put(spool, envelope(1))
    await settle(spool, [Change(work, Status.HELD, START, START + HOUR, reply="held by an operator")])
    spool.release([work])
    assert await lease_all(spool) == []
    (listed,) = await spool.desk.find(Query(status=Status.HELD))
    assert listed.recipients[0].reply == "held by an operator"
    await bench.crash(spool)
    spool = await bench.open()
    assert (
        len(await spool.desk.find(Query(status=Status.HELD, recipient="USER1*", sender="sender@*", next_hop="mx:*")))
        == 1
    )
    assert await spool.desk.find(Query(recipient="nobody")) == []
    await spool.close()


async def test_changed_routes_move_waiting_mail(bench: Bench) -> None:
    spool = await bench.open()
    spool.release(await put(spool, envelope(1)))
    spool.release(await put(spool, envelope(2)))
    await spool.close()
    bench.lane_of = lambda one, recipient: f"smtp://new{one.id[-1]}.example:25"
    spool = await bench.open()
    assert await spool.lease(1, START, {"smtp://new1.example:25"}) == []
    assert await spool.next_due({"mx:example.org"}) == START
    (second,) = await spool.lease(5, START, {"smtp://new1.example:25"})
    assert second.lane == "smtp://new2.example:25"
    (first,) = await spool.lease(5, START, ())
    assert first.lane == "smtp://new1.example:25"
    await spool.close()


async def test_a_second_process_is_told_who_has_the_spool(bench: Bench) -> None:
    spool = await bench.open()
    with pytest.raises(SpoolError, match=r"in use by another process \(pid \d+\)"):
        await bench.make().open()
    await spool.close()
    await (await bench.open()).close()


async def test_a_cancelled_lease_gives_its_work_back(bench: Bench) -> None:
    spool = await bench.open()
    spool.release(await put(spool, envelope(1)))
    task = asyncio.ensure_future(lease_all(spool))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await spool.flush()
    await asyncio.sleep(0)
    await spool.flush()
    assert len(await lease_all(spool)) == 1
    await spool.close()


async def test_an_envelope_that_is_no_utf8_fails_alone(bench: Bench) -> None:
    spool = await bench.open()
    good = start_put(spool, envelope(1), b"x")
    bad = start_put(spool, envelope(2, prefix="\udc80"), b"x")
    await good
    with pytest.raises(SpoolError, match="UTF-8"):
        await bad
    await spool.close()


async def test_a_raising_callback_does_not_stop_the_others(bench: Bench) -> None:
    spool = await bench.open()
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))

    def bad(*_: object) -> None:
        raise ValueError("a bug of the caller")

    spool.put(envelope(1), b"x", bad, bad)
    works = await put(spool, envelope(2))
    assert works[0].stored.id == queue_id(2)
    assert len(faults) == 1
    await bench.crash(spool)
    spool = await bench.open()
    assert len(await lease_all(spool)) == 2
    await spool.close()


async def test_opening_tells_what_it_found(bench: Bench) -> None:
    spool = await bench.open()
    await put(spool, envelope(1))
    await bench.crash(spool)
    (bench.folder / "drafts" / "draft-7").write_bytes(b"half a message")
    spool = await bench.open()
    record = bench.kinds(SpoolRecovered)[-1]
    assert isinstance(record, SpoolRecovered)
    assert (record.messages, record.drafts_swept, record.damaged) == (1, 1, 0)
    assert record.replayed >= 1
    assert list((bench.folder / "drafts").iterdir()) == []
    await spool.close()
    spool = await bench.open()
    assert bench.kinds(SpoolRecovered)[-1].replayed == 0  # type: ignore[attr-defined]
    await spool.close()


async def test_files_are_closed_to_others(bench: Bench) -> None:
    spool = await bench.open()
    await put(spool, envelope(1))
    await spool.flush()
    for path in [bench.folder, *bench.folder.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    await spool.close()
