"""Rules through real sessions: the HTTP API's and drops' way included, and files that change while mail flows."""

import asyncio
from pathlib import Path

import pytest

from postroad.config.rulebook import ruling_of
from postroad.listener.transaction import Transaction
from postroad.model.address import parse_mailbox
from postroad.model.envelope import Origin, Recipient
from postroad.model.records import CommandRefused, Record, TableLoaded, TableRefused
from postroad.policies.listfiles import ListFiles
from postroad.policies.rules import Rules
from postroad.policy.context import MailContext, Peer
from postroad.policy.facts import Facts
from postroad.policy.findings import (
    DnsListHit,
    DnsListResult,
    GreylistResult,
    HeloResult,
    PtrResult,
    SenderDomainResult,
    SpfResult,
)
from postroad.policy.findingwords import words_of
from postroad.policy.verdict import Accept, Discard, Reject
from postroad.smtp.events import MailFrom
from tests.support.conversation import NOW, Desk, converse
from tests.support.ruling import config_of, rulebook_of, stages_of

RULES = """
[[rules]]
name = "blocked"
when = { network = "203.0.113.0/24" }
then = { reject = "You are not welcome here" }

[[rules]]
name = "spammer"
when = { sender = "spammer@example.org" }
then = "reject"

[[rules]]
name = "no outside for bob"
when = { sender = "bob@example.org", direction = "outbound" }
then = { defer = "Not today" }

[[rules]]
name = "thrown away"
when = { recipient = "nobody@example.com" }
then = "discard"

[[rules]]
name = "moved"
when = { recipient = "old@example.com" }
then = { redirect = "new@example.com", tag = "moved" }
continue = true

[[rules]]
name = "invoice"
when = { header = { Subject = "*invoice*" }, sender = "!accounts@example.org" }
then = { quarantine = "looks like an invoice", add = "security@example.com" }

[[rules]]
name = "secret"
when = { from = "*@secret.example" }
then = { tls = "required", route = "dlp", tag = "secret" }

[[rules]]
name = "large"
when = { larger_than = 1000 }
then = { reject = "554 5.3.4 Too large for us" }
"""


def desk() -> Desk:
    config = config_of(RULES)
    return Desk(stages=stages_of(config), relay_domains=["example.com"], relay_networks=["10.0.0.0/8"])


def talk(
    desk: Desk, *to: str, ip: str = "192.0.2.1", sender: str = "a@example.org", head: str = "Subject: x", body: str = ""
) -> list[str]:
    """The replies to a session with one message, from that to MAIL on."""
    lines = [f"EHLO c.example\r\nMAIL FROM:<{sender}>\r\n"]
    lines += [f"RCPT TO:<{one}>\r\n" for one in to]
    lines += ["DATA\r\n", f"{head}\r\n\r\n{body}\r\n.\r\n", "QUIT\r\n"]
    said = converse(desk, [line.encode() for line in lines], ip=ip).decode().splitlines()
    return [line for line in said if not line.startswith(("250-", "220 ", "250 HELP"))]


def test_a_client_is_refused_at_once() -> None:
    assert talk(desk(), "b@example.com", ip="203.0.113.9")[0] == "554 5.7.1 You are not welcome here"


def test_a_sender_is_refused_at_mail() -> None:
    assert talk(desk(), "b@example.com", sender="spammer@example.org")[0] == "550 5.7.1 Refused by policy"


def test_one_recipient_is_refused_and_another_taken() -> None:
    parts = desk()
    said = talk(parts, "x@example.net", "b@example.com", sender="bob@example.org", ip="10.1.1.1")
    assert said[1:3] == ["450 4.7.1 Not today", "250 2.1.5 Ok"]
    ((envelope, _),) = parts.spool.messages
    assert [str(one.address) for one in envelope.recipients] == ["b@example.com"]
    (refused,) = [record for record in parts.records if isinstance(record, CommandRefused)]
    assert (refused.stage, refused.detail) == ("rcpt", "rule no outside for bob")


def test_a_recipient_is_thrown_away_with_a_yes() -> None:
    parts = desk()
    assert talk(parts, "nobody@example.com", "b@example.com")[1:3] == ["250 2.1.5 Ok", "250 2.1.5 Ok"]
    ((envelope, _),) = parts.spool.messages
    assert [str(one.address) for one in envelope.recipients] == ["b@example.com"]


def test_a_recipient_is_moved_and_the_others_stay() -> None:
    parts = desk()
    talk(parts, "old@example.com", "b@example.com")
    ((envelope, _),) = parts.spool.messages
    assert [str(one.address) for one in envelope.recipients] == ["new@example.com", "b@example.com"]
    assert envelope.tags == ("moved",)


def test_content_is_held_and_somebody_gets_it_too() -> None:
    parts = desk()
    talk(parts, "b@example.com", head="Subject: =?utf-8?q?Your_inv=6Fice?=")
    ((envelope, _),) = parts.spool.messages
    assert envelope.held == "looks like an invoice (rule invoice)"
    assert envelope.tags == ("quarantine",)
    assert [str(one.address) for one in envelope.recipients] == ["b@example.com", "security@example.com"]
    other = desk()
    talk(other, "b@example.com", head="Subject: invoice", sender="accounts@example.org")
    assert not other.spool.messages[0][0].held


def test_content_takes_a_route_with_tls() -> None:
    parts = desk()
    talk(parts, "b@example.com", head='From: "a@b, c" <boss@secret.example>\r\nSubject: x')
    ((envelope, _),) = parts.spool.messages
    assert (envelope.route, envelope.tls, envelope.tags) == ("dlp", "required", ("secret",))


def test_content_is_refused_for_its_size() -> None:
    parts = desk()
    assert talk(parts, "b@example.com", body="x" * 2000)[-2] == "554 5.3.4 Too large for us"
    assert not parts.spool.messages


def test_a_second_message_begins_anew() -> None:
    parts = desk()
    one = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<%b>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n"
    converse(
        parts, [b"EHLO c.example\r\n", one % b"old@example.com", one % b"b@example.com", b"QUIT\r\n"], ip="192.0.2.1"
    )
    assert [envelope.tags for envelope, _ in parts.spool.messages] == [("moved",), ()]


@pytest.mark.parametrize(
    ("ip", "sender", "to", "refused"),
    [
        ("203.0.113.9", "a@example.org", "b@example.com", "You are not welcome here"),
        ("192.0.2.1", "spammer@example.org", "b@example.com", "Refused by policy"),
        ("10.1.1.1", "bob@example.org", "x@example.net", "Not today"),
        ("10.1.1.1", "a@example.org", "x@example.net", ""),
    ],
)
async def test_what_comes_in_whole_obeys_the_same_rules(ip: str, sender: str, to: str, refused: str) -> None:
    peer, origin = Peer(ip, relays=ip.startswith("10.")), Origin(ip, 0, "key", "HTTP", "api", "s", "key")
    mail = MailFrom(parse_mailbox(sender))
    transaction = Transaction(stages_of(config_of(RULES)), peer, origin, mail)
    notices = await transaction.judge([Recipient(parse_mailbox(to))])
    assert [notice.reply.text for _, notice in notices] == [refused] * bool(refused)
    assert bool(transaction.recipients) != bool(refused)


async def test_rules_ask_for_what_policies_found_out() -> None:
    hit = DnsListHit("zen.example.org", "192.0.2.1", ("127.0.0.2",), 1.0)
    stages = stages_of(
        config_of(
            '[[rules]]\nwhen = { finding = ["dnsbl:zen.*", "ptr:missing"] }\nthen = { reject = "Not from there" }'
        )
    )
    for facts, text in (
        ((), ""),
        ((DnsListResult(1.0, (hit,)),), "Not from there"),
        ((HeloResult("x", ("own",)), PtrResult((), ("missing",))), "Not from there"),
        ((SenderDomainResult("x.example", ("unknown",)), GreylistResult("proven"), SpfResult("fail", "x.example")), ""),
    ):
        transaction = Transaction(
            stages, Peer("192.0.2.1", relays=False), Origin("192.0.2.1"), MailFrom(parse_mailbox("a@x.example"))
        )
        transaction.ask_mail()
        for fact in facts:
            transaction.facts.put(fact)
        recipient = Recipient(parse_mailbox("b@example.com"))
        verdict = transaction.ask(recipient.address)
        assert isinstance(verdict, Reject if text else Accept)
        assert not text or (isinstance(verdict, Reject) and verdict.reply.text == text)


def test_findings_in_words() -> None:
    facts = Facts()
    assert words_of(facts) == frozenset()
    for fact in (SenderDomainResult("x", ("unknown",)), GreylistResult("proven"), SpfResult("fail", "x")):
        facts.put(fact)
    assert words_of(facts) == {"sender:unknown", "greylist:proven", "spf:fail"}


async def test_a_key_of_the_api_stays_as_limited_as_it_is() -> None:
    stages = stages_of(config_of('[[rules]]\nwhen = { login = "*" }\nthen = { accept = true, tag = "api" }'))
    for ip, refused in (("10.1.1.1", 0), ("192.0.2.1", 1)):
        peer = Peer(ip, relays=ip.startswith("10."))
        origin = Origin(ip, 0, "key", "HTTP", "api", "s", "key")
        transaction = Transaction(stages, peer, origin, MailFrom(parse_mailbox("a@example.com")))
        assert len(await transaction.judge([Recipient(parse_mailbox("x@example.net"))])) == refused


def test_rules_about_clients_are_asked_once_where_there_is_a_connection() -> None:
    rules = Rules(rulebook_of(config_of('[[rules]]\nwhen = { listener = "mx" }\nthen = "reject"')), lambda: NOW)
    peer, origin, facts = Peer("192.0.2.1", relays=False), Origin("192.0.2.1", listener="mx"), Facts()
    context = MailContext(peer, origin, parse_mailbox("a@b.example"), 0, Facts(facts))
    assert isinstance(rules.rules_at_mail(context), Reject)  # as for a drop
    assert isinstance(rules.rules_at_connect(context), Reject)  # type: ignore[arg-type]  # has all it looks at


# -- files ---------------------------------------------------------------------------------------------


async def until(holds: object) -> None:
    async with asyncio.timeout(60):
        while not holds():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_a_file_of_entries_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "bad-senders"
    file.write_text("# they know why\nspammer@example.org\n\n*@bad.example\n")
    records: list[Record] = []
    config = config_of(f'[[rules]]\nwhen = {{ sender = ["x@y.example", {{ file = "{file}" }}] }}\nthen = "discard"')
    ruling = ruling_of(config)
    assert ruling.rulebook is not None
    look = ruling.files.watch(records.append)
    clock = [NOW]
    rules = Rules(ruling.rulebook, lambda: clock[0], look)

    def is_bad(sender: str) -> bool:
        clock[0] += 3_000_000
        peer, origin = Peer("192.0.2.1", relays=False), Origin("192.0.2.1", listener="mx")
        return isinstance(rules.rules_at_mail(MailContext(peer, origin, parse_mailbox(sender), 0, Facts())), Discard)

    assert [is_bad(f"{one}.example") for one in ("x@y", "a@bad", "a@good")] == [True, True, False]
    assert is_bad("spammer@example.org")
    file.write_text("good.example\n")
    await until(lambda: is_bad("a@good.example"))
    assert not is_bad("a@bad.example")
    assert is_bad("x@y.example")
    file.write_text("good.example\nnot a domain\n")
    await until(lambda: is_bad("a@good.example") and any(isinstance(one, TableRefused) for one in records))
    assert is_bad("a@good.example")
    file.unlink()
    await until(lambda: is_bad("a@good.example") and sum(isinstance(one, TableRefused) for one in records) == 2)
    assert [type(one) for one in records] == [TableLoaded, TableRefused, TableRefused]
    assert is_bad("a@good.example")


def test_without_files_nobody_looks() -> None:
    assert ListFiles().watch(lambda _: None) is None
