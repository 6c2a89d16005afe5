"""Mail that we make is signed before it is put, and nothing waits without keys."""

import asyncio

from msgspec.structs import replace

from postroad.model.address import parse_mailbox
from postroad.model.envelope import Envelope
from postroad.model.policyrecords import MessageUnsigned
from postroad.model.queueid import QueueIds
from postroad.model.record import Record
from postroad.model.records import Emit
from postroad.model.work import Stored, Work
from postroad.queue.notice import Notices
from postroad.queue.own import OwnSigning, SignedPutting
from tests.support.conversation import InstantSpool

NOW = 1_700_000_000_000_000
TO = parse_mailbox("postmaster@example.com")


def notices(spool: InstantSpool, own: OwnSigning, emit: Emit, admitted: list[str]) -> Notices:
    def admit(stored: Stored, _: list[Work]) -> None:
        admitted.append(stored.id)

    return Notices(spool=SignedPutting(spool, own), admit=admit, emit=emit, queue_ids=QueueIds(1))


def test_without_keys_it_is_put_at_once() -> None:
    spool, records, admitted = InstantSpool(), list[Record](), list[str]()
    notices(spool, OwnSigning(records.append), records.append, admitted).tell("a.example", TO, "x", "y", NOW)
    assert len(spool.messages) == len(admitted) == 1
    assert records == []


async def test_with_keys_it_is_put_once_it_is_signed_and_an_end_waits_for_it() -> None:
    spool, records, admitted = InstantSpool(), list[Record](), list[str]()
    own, may_sign = OwnSigning(records.append), asyncio.Event()

    async def sign(envelope: Envelope, content: bytes) -> tuple[Envelope, Record]:
        assert b"Subject: x\r\n" in content
        await may_sign.wait()
        prefix = "DKIM-Signature: z\r\n" + envelope.prefix
        return replace(envelope, prefix=prefix), MessageUnsigned(at=NOW, id=envelope.id, reason="told")

    own.signer = sign
    notices(spool, own, records.append, admitted).tell("a.example", TO, "x", "y", NOW)
    closing = asyncio.create_task(own.close())
    await asyncio.sleep(0)
    assert spool.messages == []
    assert not closing.done()
    may_sign.set()
    await closing
    ((envelope, _),) = spool.messages
    assert envelope.prefix.startswith("DKIM-Signature: z\r\nReceived: ")
    assert admitted == [envelope.id]
    assert [type(one) for one in records] == [MessageUnsigned]
