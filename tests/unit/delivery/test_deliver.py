"""Delivery over real sockets to a scripted peer: every stage granted, refused, broken and silent."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.envelope import NOTIFY_SUCCESS, Recipient
from postroad.model.outcome import Deferred, Delivered, Failed, Scope
from postroad.model.records import TargetSuspended
from postroad.model.reply import Reply
from postroad.model.route import SMTP, SMTPS, Target
from postroad.model.security import BY_DEFAULT, NONE, Secured
from tests.support.delivering import CONTENT, PREFIX, SENT, Large, Sender, make_works, to
from tests.support.peer import Drop, Hang, Peer, Raw, Step, certificate

NOBODY = Target(SMTP, "nobody.example.net", "127.0.0.1", 1)
LARGE = CONTENT + b".line of text that is somewhat long\r\n" * 40_000


async def test_delivered_octet_for_octet() -> None:
    async with Peer() as peer, Sender() as sender:
        (outcome,) = await sender.send(to(peer))
    target = to(peer).targets[0]
    how = Secured(NONE, BY_DEFAULT, 'delivery.tls = "off"')
    assert outcome == Delivered(Reply(250, "2.0.0", "Ok: taken as 0"), target, dsn_passed=True, secured=how)
    assert peer.taken[0].content == SENT
    assert peer.commands[:3] == [
        "EHLO relay.example.com",
        f"MAIL FROM:<alice@example.org> SIZE={len(SENT)}",
        "RCPT TO:<bob@example.net>",
    ]


async def test_connection_is_used_again() -> None:
    async with Peer() as peer, Sender() as sender:
        for _ in range(3):
            await sender.send(to(peer))
    assert peer.verbs() == ["EHLO", *["MAIL", "RCPT", "DATA"] * 3, "QUIT"]


async def test_without_pipelining_and_esmtp() -> None:
    async with Peer(script={"EHLO": ["502 no"]}) as peer, Sender() as sender:
        outcomes = await sender.send(to(peer), make_works("a@example.net", "b@example.net"))
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 2
    assert peer.verbs() == ["EHLO", "HELO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]
    assert peer.taken[0].content == SENT


async def test_each_recipient_by_its_own_reply() -> None:
    refuse = {"b@example.net": "550 5.1.1 unknown", "c@example.net": "450 4.2.0 later"}
    async with Peer(refuse=refuse) as peer, Sender() as sender:
        outcomes = await sender.send(to(peer), make_works("a@example.net", "b@example.net", "c@example.net"))
        again = await sender.send(to(peer))
    assert [type(outcome) for outcome in outcomes] == [Delivered, Failed, Deferred]
    assert type(again[0]) is Delivered
    assert len(peer.raw) == 1


async def test_all_refused_then_reset_and_used_again() -> None:
    async with Peer(refuse={"bob@example.net": "550 5.1.1 unknown"}) as peer, Sender() as sender:
        (outcome,) = await sender.send(to(peer))
        (again,) = await sender.send(to(peer), make_works("carol@example.net"))
    assert type(outcome) is Failed
    assert type(again) is Delivered
    assert "RSET" in peer.verbs()
    assert len(peer.raw) == 1


async def test_split_at_the_peers_limit() -> None:
    addresses = [f"u{number}@example.net" for number in range(10)]
    async with Peer(most=4) as peer, Sender() as sender:
        outcomes = await sender.send(to(peer), make_works(*addresses))
        await sender.send(to(peer), make_works(*addresses))
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 10
    assert [len(taken.recipients) for taken in peer.taken] == [4, 4, 2, 4, 4, 2]
    assert len(peer.raw) == 1
    assert peer.verbs().count("RCPT") == 10 + 4 + 2 + 10  # the limit is learned at once


async def test_announced_limits() -> None:
    addresses = [f"u{number}@example.net" for number in range(5)]
    async with Peer(extensions=["PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=2"]) as peer, Sender() as sender:
        outcomes = await sender.send(to(peer), make_works(*addresses))
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 5
    assert [(len(taken.recipients), taken.session) for taken in peer.taken] == [(2, 0), (2, 0), (1, 1)]


async def test_too_many_without_any_taken_fails() -> None:
    async with Peer(refuse={"bob@example.net": "552 full"}) as peer, Sender() as sender:
        (outcome,) = await sender.send(to(peer))
    assert outcome == Failed(Reply(552, "5.2.2", "full"), Scope.RECIPIENT, to(peer).targets[0], "RCPT TO")


@pytest.mark.parametrize(
    ("verb", "step"),
    [
        ("connect", "554 no mail here"),
        ("connect", "421 busy"),
        ("connect", Drop()),
        ("connect", Raw(b"HTTP/1.0 400 Bad\r\n")),
        ("EHLO", "450 later"),
        ("EHLO", Drop()),
        ("MAIL", "421 bye"),
        ("MAIL", "452 4.3.1 full"),
        ("MAIL", Drop()),
        ("RCPT", Drop("421 bye")),
        ("RCPT", Drop()),
        ("DATA", Drop()),
        ("DATA", "250 what"),
        ("content", Drop("421 4.3.0 bye")),
    ],
)
async def test_failing_host_sends_the_mail_to_the_next_target(verb: str, step: Step) -> None:
    async with Peer(script={verb: [step]}) as bad, Peer() as good, Sender() as sender:
        (outcome,) = await sender.send(to(NOBODY, bad, good))
        (alone,) = await sender.send(to(NOBODY))
    assert type(outcome) is Delivered
    assert len(bad.raw) == 1
    assert len(good.taken) == 1
    assert alone == Deferred(
        Reply(451, "4.4.1", "connect to nobody.example.net[127.0.0.1]:1: connection refused"), Scope.HOST, NOBODY
    )


async def test_settled_recipients_are_not_sent_to_the_next_target() -> None:
    script: dict[str, list[Step]] = {"RCPT": ["250 Ok", "550 5.1.1 no", Drop("421 bye")]}
    async with Peer(script=script) as bad, Peer() as good, Sender() as sender:
        outcomes = await sender.send(to(bad, good), make_works("a@example.net", "b@example.net", "c@example.net"))
    assert [type(outcome) for outcome in outcomes] == [Delivered, Failed, Delivered]
    assert good.taken[0].recipients == ["RCPT TO:<a@example.net>", "RCPT TO:<c@example.net>"]


async def test_lost_after_the_end_of_the_content_is_not_sent_twice_at_once() -> None:
    async with Peer(script={"content": [Drop()]}) as bad, Peer() as good, Sender() as sender:
        (outcome,) = await sender.send(to(bad, good))
    assert isinstance(outcome, Deferred)
    assert outcome.scope is Scope.MESSAGE
    assert "may arrive twice" in outcome.reply.text
    assert not good.raw


@pytest.mark.parametrize("verb", ["connect", "EHLO", "MAIL", "DATA", "content"])
async def test_silent_peer_runs_into_the_time_of_its_phase(verb: str) -> None:
    timeouts: dict[str, Any] = dict.fromkeys(
        ("greeting_timeout", "command_timeout", "data_timeout", "done_timeout"), "200ms"
    )
    async with Peer(script={verb: [Hang()]}) as peer, Sender(**timeouts) as sender:
        (outcome,) = await sender.send(to(peer))
    assert isinstance(outcome, Deferred)
    assert "timed out after 0.2s" in outcome.reply.text
    assert outcome.scope is (Scope.MESSAGE if verb == "content" else Scope.HOST)


async def test_kept_connection_that_died_is_replaced_at_once() -> None:
    script: dict[str, list[Step]] = {"MAIL": ["250 Ok", Drop("421 4.4.2 idle"), "250 Ok", Drop(), "250 Ok"]}
    async with Peer(script=script) as peer, Sender() as sender:
        outcomes = [(await sender.send(to(peer)))[0] for _ in range(3)]
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 3
    assert len(peer.raw) == 3


async def test_fresh_connection_that_fails_is_not_tried_again() -> None:
    async with Peer(script={"MAIL": [Drop()]}) as peer, Sender() as sender:
        (outcome,) = await sender.send(to(peer))
    assert type(outcome) is Deferred
    assert len(peer.raw) == 1


async def test_limits_of_a_connection() -> None:
    async with Peer() as peer, Sender(connection_messages=2) as sender:
        for _ in range(3):
            await sender.send(to(peer))
    assert [taken.session for taken in peer.taken] == [0, 0, 1]
    async with Peer() as peer, Sender(connection_idle="0s") as sender:
        for _ in range(2):
            await sender.send(to(peer))
    assert [taken.session for taken in peer.taken] == [0, 1]


async def test_unreachable_target_is_left_out() -> None:
    async with Peer() as peer, Peer(script={"MAIL": ["421 later"] * 2}) as busy, Sender() as sender:
        await sender.send(to(NOBODY, peer))
        (outcome,) = await sender.send(to(NOBODY, busy))
    assert outcome.target == to(busy).targets[0]  # nobody waits for a host that is known to be dead
    (record,) = sender.records
    assert isinstance(record, TargetSuspended)
    assert record.target == str(NOBODY)
    assert "connection refused" in record.reason


@pytest.mark.parametrize("extensions", [["PIPELINING"], ["CHUNKING"], ["PIPELINING", "CHUNKING"], []])
@pytest.mark.parametrize("tail", [b"", b"no newline at the end", b"\r\n.\r\n"])
async def test_large_content_octet_for_octet(extensions: list[str], tail: bytes) -> None:
    content = LARGE + tail
    async with Peer(extensions=extensions) as peer, Sender() as sender:
        works = make_works(content=Large(content))
        (outcome,) = await sender.send(to(peer), works)
        (again,) = await sender.send(to(peer))
    assert type(outcome) is Delivered
    assert type(again) is Delivered
    expected = PREFIX.encode() + content
    if "CHUNKING" not in extensions and not expected.endswith(b"\r\n"):
        expected += b"\r\n"
    assert peer.taken[0].content == expected
    assert ("BDAT" in peer.verbs()) == ("CHUNKING" in extensions)


async def test_content_without_a_last_newline_stays_so_by_bdat() -> None:
    async with Peer(extensions=["PIPELINING", "CHUNKING"]) as peer, Sender() as sender:
        await sender.send(to(peer), make_works(content=b"Subject: x\r\n\r\nend"))
        await sender.send(to(peer))
    assert peer.taken[0].content == PREFIX.encode() + b"Subject: x\r\n\r\nend"
    assert "DATA" in peer.verbs()


@pytest.mark.parametrize("extensions", [["PIPELINING"], ["PIPELINING", "CHUNKING"]])
async def test_unreadable_content_sends_no_end(extensions: list[str]) -> None:
    async with Peer(extensions=extensions) as peer, Sender() as sender:
        (outcome,) = await sender.send(to(peer), make_works(content=Large(LARGE, broken=600_000)))
    assert isinstance(outcome, Deferred)
    assert outcome.scope is Scope.MESSAGE
    assert "disk error" in outcome.reply.text
    assert not peer.taken


async def test_refused_chunk_stops_the_content() -> None:
    script: dict[str, list[Step]] = {"BDAT": ["552 5.3.4 too big"]}
    async with Peer(extensions=["CHUNKING"], script=script) as peer, Sender() as sender:
        (outcome,) = await sender.send(to(peer), make_works(content=Large(LARGE)))
    assert type(outcome) is Failed
    assert peer.verbs().count("BDAT") == 1


async def test_refusal_while_content_flows_is_heard() -> None:
    # It refuses right behind 354 and closes without reading the rest.
    script: dict[str, list[Step]] = {"DATA": [Drop("354 Go\r\n552 5.3.4 too big")]}
    async with Peer(script=script) as peer, Sender() as sender:
        (outcome,) = await sender.send(to(peer), make_works(content=Large(LARGE)))
    assert type(outcome) is Failed
    assert outcome.reply.enhanced == "5.3.4"


async def test_lmtp_over_a_socket(tmp_path: Path) -> None:
    script: dict[str, list[Step]] = {"content": ["250 2.0.0 Ok", "452 4.2.2 over quota"]}
    async with Peer(lmtp=True, path=tmp_path / "lmtp", script=script) as peer, Sender() as sender:
        outcomes = await sender.send(to(peer), make_works("a@example.net", "b@example.net", "c@example.net"))
    assert [type(outcome) for outcome in outcomes] == [Delivered, Deferred, Delivered]
    assert peer.commands[0] == "LHLO relay.example.com"
    assert str(outcomes[1].reply) == "452 4.2.2 over quota"


async def test_dsn_parameters_are_passed_on() -> None:
    works = make_works(Recipient(parse_mailbox("bob@example.net"), NOTIFY_SUCCESS), ret="HDRS", envid="X1")
    async with Peer() as peer, Peer(extensions=["PIPELINING"]) as plain, Sender() as sender:
        (with_dsn,) = await sender.send(to(peer), works)
        (without,) = await sender.send(to(plain), works)
    assert peer.commands[1].endswith(" RET=HDRS ENVID=X1")
    assert peer.commands[2] == "RCPT TO:<bob@example.net> NOTIFY=SUCCESS ORCPT=rfc822;bob@example.net"
    assert plain.commands[1:3] == ["MAIL FROM:<alice@example.org>", "RCPT TO:<bob@example.net>"]
    assert isinstance(with_dsn, Delivered)
    assert isinstance(without, Delivered)
    assert with_dsn.dsn_passed
    assert not without.dsn_passed


async def test_too_large_for_the_peer_is_not_sent() -> None:
    async with Peer(extensions=["SIZE 20"]) as peer, Sender() as sender:
        (outcome,) = await sender.send(to(peer))
    assert isinstance(outcome, Failed)
    assert outcome.reply.enhanced == "5.3.4"
    assert peer.verbs() == ["EHLO", "QUIT"]


async def test_internationalised_recipient_fails_alone() -> None:
    async with Peer(extensions=["PIPELINING", "8BITMIME"]) as peer, Sender() as sender:
        outcomes = await sender.send(to(peer), make_works("jörg@example.net", "bob@example.net", smtputf8=True))
    assert isinstance(outcomes[0], Failed)
    assert outcomes[0].reply.enhanced == "5.6.7"
    assert type(outcomes[1]) is Delivered
    assert peer.taken[0].recipients == ["RCPT TO:<bob@example.net>"]


async def test_starttls(tmp_path: Path) -> None:
    context = certificate(tmp_path)
    async with Peer(extensions=["PIPELINING", "STARTTLS"], tls=context) as peer, Sender(tls="opportunistic") as sender:
        for _ in range(2):
            (outcome,) = await sender.send(to(peer))
            assert isinstance(outcome, Delivered)
            assert outcome.tls.startswith("TLSv1.3")
    assert peer.verbs() == ["EHLO", "STARTTLS", "EHLO", *["MAIL", "RCPT", "DATA"] * 2, "QUIT"]
    assert peer.taken[0].content == SENT


async def test_failed_handshake_falls_back_to_plain_text_and_is_remembered() -> None:
    script: dict[str, list[Step]] = {"STARTTLS": [Raw(b"220 go\r\n"), "454 must not be asked again"]}
    settings: dict[str, Any] = {"tls": "opportunistic", "connection_messages": 1, "command_timeout": "500ms"}
    async with Peer(extensions=["STARTTLS"], script=script) as peer, Sender(**settings) as sender:
        outcomes = [(await sender.send(to(peer)))[0] for _ in range(2)]
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 2
    assert isinstance(outcomes[0], Delivered)
    assert outcomes[0].tls == ""
    assert peer.verbs().count("STARTTLS") == 1
    assert len(peer.raw) == 3


async def test_octets_behind_the_reply_to_starttls_are_an_attack() -> None:
    script: dict[str, list[Step]] = {"STARTTLS": [Raw(b"220 go\r\n250 injected\r\n")]}
    async with Peer(extensions=["STARTTLS"], script=script) as peer, Sender(tls="opportunistic") as sender:
        (outcome,) = await sender.send(to(peer))
    assert type(outcome) is Deferred
    assert not peer.taken


async def test_implicit_tls(tmp_path: Path) -> None:
    async with Peer(tls=certificate(tmp_path), implicit_tls=True) as peer, Sender(tls="opportunistic") as sender:
        target = Target(SMTPS, "peer.example.net", "127.0.0.1", peer.port)
        (outcome,) = await sender.send(to(target))
    assert isinstance(outcome, Delivered)
    assert outcome.tls


async def test_address_that_would_be_a_command_is_never_sent() -> None:
    works = make_works(Recipient(Mailbox("x>\r\nRCPT TO:<victim@example.net", "x", "example.net")))
    async with Peer() as peer, Sender() as sender:
        (outcome,) = await sender.send(to(peer), works)
    assert type(outcome) is Failed
    assert peer.verbs() == ["EHLO", "QUIT"]


async def test_cancelled_delivery_leaves_no_connection() -> None:
    async with Peer(script={"content": [Hang()]}) as peer, Sender() as sender:
        task = asyncio.create_task(sender.send(to(peer)))
        await peer.hung.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(sender.deliverer._pool) == 0
        (outcome,) = await sender.send(to(peer))
    assert type(outcome) is Delivered
    assert len(peer.raw) == 2


async def test_many_at_once() -> None:
    async with Peer() as peer, Sender() as sender:
        outcomes = await asyncio.gather(*(sender.send(to(peer)) for _ in range(20)))
        assert len(sender.deliverer._pool) == 20
    assert all(type(outcome) is Delivered for (outcome,) in outcomes)
    assert len(peer.taken) == 20


async def test_route_without_targets() -> None:
    async with Sender() as sender:
        (outcome,) = await sender.send(to())
    assert isinstance(outcome, Deferred)
    assert outcome.scope is Scope.NEXT_HOP
