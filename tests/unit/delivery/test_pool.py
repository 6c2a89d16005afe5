"""Idle connections: newest first, gone with age, none kept after the end."""

import contextlib
from pathlib import Path

from postroad.model.outcome import Delivered
from tests.support.clock import ManualClock
from tests.support.delivering import Sender, to
from tests.support.peer import Peer


async def test_idle_connections_go_after_their_time(tmp_path: Path) -> None:
    clock = ManualClock()
    async with Peer() as peer, Sender(clock=clock, connection_idle="2s") as sender:
        pool = sender.deliverer._pool
        await sender.send(to(peer))
        clock.advance(1.9)
        await sender.send(to(peer))
        clock.advance(1.9)
        assert len(pool) == 1
        clock.advance(0.2)
        assert len(pool) == 0
        assert len(peer.raw) == 1


async def test_old_connections_take_no_more() -> None:
    clock = ManualClock()
    async with Peer() as peer, Sender(clock=clock, connection_lifetime="5s", connection_idle="60s") as sender:
        await sender.send(to(peer))
        clock.advance(4.9)
        await sender.send(to(peer))
        assert len(sender.deliverer._pool) == 1
        clock.advance(0.2)
        await sender.send(to(peer))
        assert len(sender.deliverer._pool) == 0
        await sender.send(to(peer))
        assert [taken.session for taken in peer.taken] == [0, 0, 0, 1]


async def test_targets_are_apart() -> None:
    async with Peer() as one, Peer() as two, Sender() as sender:
        await sender.send(to(one))
        await sender.send(to(two))
        await sender.send(to(one))
        assert len(sender.deliverer._pool) == 2
    assert len(one.raw) == 1
    assert len(one.taken) == 2


async def test_nothing_is_kept_after_the_end() -> None:
    async with Peer() as peer, Sender() as sender:
        await sender.send(to(peer))
        await sender.deliverer.close()
        (outcome,) = await sender.send(to(peer))
        assert type(outcome) is Delivered
        assert len(sender.deliverer._pool) == 0


async def test_mail_for_many_places_holds_few_connections() -> None:
    async with contextlib.AsyncExitStack() as stack, Sender(connection_idle="60s") as sender:
        peers = [await stack.enter_async_context(Peer()) for _ in range(120)]
        for peer in peers:
            await sender.send(to(peer))
        assert len(sender.deliverer._pool) == 100
        await sender.send(to(peers[0]))
        await sender.send(to(peers[119]))
        assert len(sender.deliverer._pool) == 100
        assert [len(peers[0].raw), len(peers[119].raw)] == [1, 2]
