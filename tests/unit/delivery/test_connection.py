"""Time and broken connections: replies that drip, peers that take nothing, replies in the middle of content."""

import pytest

from postroad.model.outcome import Deferred, Delivered, Failed, Scope
from tests.support.delivering import CONTENT, Large, Sender, make_works, to
from tests.support.peer import Drop, Hang, Peer, Raw, Step

HUGE = CONTENT + b"a line of text that is somewhat long\r\n" * 500_000


@pytest.mark.parametrize("verb", ["connect", "EHLO", "MAIL", "content"])
async def test_reply_that_never_ends_runs_into_the_time(verb: str) -> None:
    sender = Sender(greeting_timeout="200ms", command_timeout="200ms", done_timeout="200ms")
    async with Peer(script={verb: [Hang("250-a part")]}) as peer, sender:
        (outcome,) = await sender.send(to(peer))
    assert isinstance(outcome, Deferred)
    assert "timed out after 0.2s" in outcome.reply.text


async def test_dripping_reply_gains_no_time() -> None:
    # Each part comes in time, the whole does not: the deadline is the reply's, not the read's.
    drip: dict[str, list[Step]] = {"EHLO": [Raw(b"250-a\r\n250-b")], "connect": [Raw(b"220-b\r\n220 c\r\n")]}
    async with Peer(script=drip) as peer, Sender(command_timeout="300ms") as sender:
        (outcome,) = await sender.send(to(peer))
    assert isinstance(outcome, Deferred)
    assert "timed out after 0.3s while waiting for the reply to EHLO" in outcome.reply.text


@pytest.mark.parametrize("extensions", [["PIPELINING"], ["PIPELINING", "CHUNKING"]])
async def test_peer_that_takes_nothing_runs_into_the_time_of_a_block(extensions: list[str]) -> None:
    script: dict[str, list[Step]] = {"DATA": [Hang("354 Go")], "BDAT": [Hang()]}
    async with Peer(extensions=extensions, script=script) as peer, Sender(block_timeout="300ms") as sender:
        (outcome,) = await sender.send(to(peer), make_works(content=Large(HUGE)))
    assert isinstance(outcome, Deferred)
    assert outcome.scope is Scope.HOST
    assert "timed out after 0.3s while sending" in outcome.reply.text


@pytest.mark.parametrize("extensions", [["PIPELINING"], ["PIPELINING", "CHUNKING"]])
async def test_peer_that_leaves_while_content_flows(extensions: list[str]) -> None:
    script: dict[str, list[Step]] = {"DATA": [Drop("354 Go")], "BDAT": [Drop()]}
    async with Peer(extensions=extensions, script=script) as peer, Peer() as good, Sender() as sender:
        (outcome,) = await sender.send(to(peer, good), make_works(content=Large(HUGE)))
    assert type(outcome) is Delivered
    assert len(good.taken) == 1


async def test_refusal_is_heard_although_the_peer_reads_nothing_more() -> None:
    script: dict[str, list[Step]] = {"DATA": [Hang("354 Go\r\n552 5.3.4 too big")]}
    async with Peer(script=script) as peer, Sender() as sender:
        (outcome,) = await sender.send(to(peer), make_works(content=Large(HUGE)))
    assert isinstance(outcome, Failed)
    assert str(outcome.reply) == "552 5.3.4 too big"


async def test_second_reply_does_not_serve_the_next_message() -> None:
    script: dict[str, list[Step]] = {"content": ["250 2.0.0 Ok\r\n250 2.0.0 and again"]}
    async with Peer(script=script) as peer, Sender() as sender:
        (one,) = await sender.send(to(peer))
        (two,) = await sender.send(to(peer))
    assert type(one) is Delivered
    assert type(two) is Delivered
    assert len(peer.raw) == 2
