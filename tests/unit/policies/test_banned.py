"""Banned clients get what `bans.answer` says, before anything else; others notice nothing."""

from ipaddress import ip_network

import pytest

from postroad.model.records import CommandRefused, ConnectionClosed
from postroad.policies.banned import Banned
from postroad.policy.chain import Chain
from postroad.policy.context import ConnectContext
from postroad.policy.shield.bans import Ban
from postroad.policy.stages import Stages
from tests.support.conversation import NOW, Desk, converse

BAN = Ban(ip_network("192.0.2.0/24"), 2_000_000_000, 1, "auth_failed")


def desk_of(answer: str) -> Desk:
    desk = Desk()
    policy = Banned(lambda ip: BAN if ip.startswith("192.0.2.") else None, answer)
    connect = Chain[ConnectContext]("connect", (policy,), timeout=5, emit=desk.records.append, now=lambda: NOW)
    desk.stages = Stages(rcpt=desk.stages.rcpt, connect=connect)
    return desk


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("defer", b"421 4.7.0 Too many offences from your network, try again later\r\n"),
        ("reject", b"554 5.7.1 Too many offences from your network\r\n"),
        ("silence", b""),
    ],
)
def test_what_is_said(answer: str, said: bytes) -> None:
    desk = desk_of(answer)
    conversation, transport = desk.connect("192.0.2.7")
    assert transport.written == said
    assert transport.closed
    conversation.connection_lost(None)
    (refused,) = [record for record in desk.records if isinstance(record, CommandRefused)]
    assert refused.detail == "192.0.2.0/24 is banned: auth_failed"
    assert any(isinstance(record, ConnectionClosed) for record in desk.records)
    assert converse(desk, [b"QUIT\r\n"], ip="198.51.100.1").startswith(b"220 ")
