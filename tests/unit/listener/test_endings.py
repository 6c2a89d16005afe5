"""What a policy set aside for a transaction is told how it ended: once, whichever way that was."""

import pytest

from postroad.listener.session import Conversation
from postroad.model.errors import SpoolError
from postroad.policy.chain import Chain
from postroad.policy.context import ConnectContext, MailContext, RcptContext
from postroad.policy.stages import Stages
from postroad.policy.verdict import Verdict
from tests.support.conversation import NOW, Desk, MemoryTransport

MAIL = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n"
CONTENT = b"DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n"


class World:
    """A conversation whose transactions and connection are watched."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.ends: list[bool] = []
        self.connections: list[bool] = []
        self.desk.stages = Stages(
            connect=Chain("connect", (self._connect,), timeout=5, emit=self.desk.records.append, now=lambda: NOW),
            mail=Chain("mail", (self._mail,), timeout=5, emit=self.desk.records.append, now=lambda: NOW),
            rcpt=Chain[RcptContext](
                "rcpt", (self.desk.control,), timeout=5, emit=self.desk.records.append, now=lambda: NOW
            ),
        )
        self.conversation: Conversation
        self.transport: MemoryTransport
        self.conversation, self.transport = self.desk.connect()
        self.conversation.data_received(b"EHLO client\r\n")

    def _connect(self, ctx: ConnectContext) -> Verdict | None:
        ctx.facts.at_end(self.connections.append)
        return None

    def _mail(self, ctx: MailContext) -> Verdict | None:
        ctx.facts.at_end(self.ends.append)
        return None

    def say(self, octets: bytes) -> None:
        self.conversation.data_received(octets)

    def leave(self) -> None:
        self.conversation.connection_lost(None)


def test_a_message_that_is_taken() -> None:
    world = World()
    world.say(MAIL + CONTENT)
    assert world.ends == [True]
    world.say(b"QUIT\r\n")
    assert world.connections == []
    world.leave()
    assert (world.ends, world.connections) == ([True], [True])


@pytest.mark.parametrize("instead", [b"RSET\r\n", b"EHLO again\r\n", b""])
def test_a_transaction_that_is_given_up_ends_with_the_next_one_or_with_the_connection(instead: bytes) -> None:
    world = World()
    world.say(MAIL + instead)
    if instead:
        world.say(MAIL)
        assert world.ends == [False]
    world.leave()
    assert world.ends == [False] * (2 if instead else 1)


def test_content_that_is_refused_and_content_that_breaks_off() -> None:
    world = World()
    world.say(MAIL + b"DATA\r\nSubject: x\r\n\r\nbare\nnewline\r\n.\r\n")
    assert world.ends == [False]
    world.say(MAIL + b"DATA\r\nSubject: x\r\n")
    world.leave()
    assert world.ends == [False, False]


def test_a_spool_that_fails() -> None:
    world = World()
    world.desk.spool.fault = SpoolError("the disk is gone")
    world.say(MAIL + CONTENT)
    assert world.ends == [False]


def test_who_leaves_while_the_spool_writes_has_sent_it_all_the_same() -> None:
    world = World()
    world.desk.spool.late = []
    world.say(MAIL + CONTENT)
    world.leave()
    assert (world.ends, world.connections) == ([], [True])
    world.desk.spool.release()
    assert world.ends == [True]
