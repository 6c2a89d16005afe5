"""Real next hops: smtp-sink, Postfix and Dovecot's LMTP take our mail, refuse it, defer it, and hang up."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from postroad.model.outcome import Deferred, Delivered, Failed
from postroad.model.route import LMTP, SMTP, Target
from tests.support.delivering import CONTENT, PREFIX, Large, Sender, make_works, to
from tests.support.dovecot import Dovecot
from tests.support.ports import free_port
from tests.support.postfix import MAILDIR, Postfix, program

EIGHT_BIT = CONTENT + "Grüße\r\n".encode() + b"x" * 990 + b"\r\n"


@contextmanager
def smtp_sink(*options: str) -> Iterator[Target]:
    """The program smtp-sink with `options`, ready."""
    port = free_port()
    command = [program("smtp-sink"), "-4", "-u", "nobody", *options, f"127.0.0.1:{port}", "100"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield Target(LMTP if "-L" in options else SMTP, "sink.example.net", "127.0.0.1", port)
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("options", [(), ("-p",), ("-e",), ("-8",), ("-L",), ("-a", "-C")])
async def test_smtp_sink_takes_mail(options: tuple[str, ...]) -> None:
    """-p: no pipelining, -e: no ESMTP, -8: no 8BITMIME, -L: LMTP."""
    with smtp_sink(*options) as target:
        async with Sender() as sender:
            addresses = [f"u{number}@example.net" for number in range(50)]
            outcomes = await sender.send(to(target), make_works(*addresses, content=EIGHT_BIT, eight_bit=True))
            outcomes += await sender.send(to(target), make_works(content=Large(CONTENT * 20_000)))
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 51


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (("-r", "connect"), Deferred),
        (("-f", "ehlo,helo"), Deferred),
        (("-r", "mail"), Deferred),
        (("-f", "mail"), Failed),
        (("-r", "rcpt"), Deferred),
        (("-f", "rcpt"), Failed),
        (("-f", "data"), Failed),
        (("-r", "."), Deferred),
        (("-f", "."), Failed),
        (("-q", "ehlo"), Deferred),
        (("-q", "mail"), Deferred),
        (("-q", "data"), Deferred),
        (("-q", "."), Deferred),
        (("-A", "0"), Failed),
    ],
)
async def test_smtp_sink_refuses(options: tuple[str, ...], kind: type) -> None:
    """-r: soft, -f: hard, -q: hangs up, -A: refuses while the content flows."""
    with smtp_sink(*options) as target:
        async with Sender() as sender:
            outcomes = await sender.send(to(target), make_works("a@example.net", "b@example.net"))
    assert [type(outcome) for outcome in outcomes] == [kind] * 2


def stored(mail: bytes) -> bytes:
    """The content as it came: what the last hop put before it cut off, and lines ended as on the wire."""
    octets = mail.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return octets[octets.index(PREFIX.encode()) :]


async def test_postfix_takes_mail_octet_for_octet() -> None:
    large = CONTENT + b".a line of text\r\n" * 100_000
    with Postfix(MAILDIR, settings={"local_header_rewrite_clients": ""}) as postfix:
        target = Target(SMTP, "postfix.example.com", "127.0.0.1", postfix.port)
        async with Sender() as sender:
            outcomes = await sender.send(to(target), make_works(content=EIGHT_BIT, eight_bit=True, body="8BITMIME"))
            outcomes += await sender.send(to(target), make_works(content=Large(large)))
        mails = sorted((stored(mail) for mail in wait_for_mail(postfix, 2)), key=len)
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 2
    assert all(isinstance(outcome, Delivered) and outcome.dsn_passed for outcome in outcomes)
    assert mails == [PREFIX.encode() + EIGHT_BIT, PREFIX.encode() + large]


def wait_for_mail(postfix: Postfix, count: int) -> list[bytes]:
    folder = postfix.maildir / "new"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        paths = list(folder.iterdir()) if folder.is_dir() else []
        if len(paths) >= count:
            return [path.read_bytes() for path in paths]
        time.sleep(0.05)
    raise AssertionError(postfix.log)


async def test_postfix_limits_are_kept() -> None:
    settings = {"smtpd_recipient_limit": "7", "smtpd_recipient_overshoot_limit": "1000", "message_size_limit": "5000"}
    with Postfix("discard:", settings=settings) as postfix:
        target = Target(SMTP, "postfix.example.com", "127.0.0.1", postfix.port)
        async with Sender() as sender:
            addresses = [f"u{number}@example.net" for number in range(20)]
            outcomes = await sender.send(to(target), make_works(*addresses))
            (large,) = await sender.send(to(target), make_works(content=CONTENT * 200))
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 20
    assert isinstance(large, Failed)
    assert large.reply.enhanced == "5.3.4"


async def test_postfix_refuses_by_recipient() -> None:
    settings = {"smtpd_recipient_restrictions": "check_recipient_access inline:{b@example.net=reject}, permit"}
    with Postfix("discard:", settings=settings) as postfix:
        target = Target(SMTP, "postfix.example.com", "127.0.0.1", postfix.port)
        async with Sender() as sender:
            outcomes = await sender.send(to(target), make_works("a@example.net", "b@example.net", "c@example.net"))
            (alone,) = await sender.send(to(target), make_works("b@example.net"))
            (again,) = await sender.send(to(target))
    assert [type(outcome) for outcome in outcomes] == [Delivered, Failed, Delivered]
    assert "Access denied" in outcomes[1].reply.text
    assert type(alone) is Failed
    assert type(again) is Delivered


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with Dovecot({"bob@example.net": 0, "carol@example.net": 0, "full@example.net": 1}) as server:
        yield server


@pytest.mark.parametrize("over", ["tcp", "socket"])
async def test_dovecot_lmtp(dovecot: Dovecot, over: str) -> None:
    tcp = Target(LMTP, "dovecot.example.net", "127.0.0.1", dovecot.port)
    target = tcp if over == "tcp" else Target(LMTP, "localhost", str(dovecot.socket), 0)
    before = len(dovecot.mails("bob@example.net"))
    addresses = ("bob@example.net", "nobody@example.net", "carol@example.net")
    async with Sender() as sender:
        outcomes = await sender.send(to(target), make_works(*addresses, content=EIGHT_BIT, eight_bit=True))
        large = await sender.send(to(target), make_works(content=Large(CONTENT + b".dots\r\n" * 100_000)))
    assert [type(outcome) for outcome in outcomes] == [Delivered, Failed, Delivered]
    assert outcomes[1].reply.enhanced == "5.1.1"
    assert type(large[0]) is Delivered
    mails = sorted((stored(mail) for mail in dovecot.mails("bob@example.net")[before:]), key=len)
    assert mails == [PREFIX.encode() + EIGHT_BIT, PREFIX.encode() + CONTENT + b".dots\r\n" * 100_000]


async def test_dovecot_over_quota_refuses_one_recipient(dovecot: Dovecot) -> None:
    target = Target(LMTP, "dovecot.example.net", "127.0.0.1", dovecot.port)
    async with Sender() as sender:
        outcomes = await sender.send(to(target), make_works("full@example.net", "carol@example.net"))
    assert type(outcomes[1]) is Delivered
    assert type(outcomes[0]) is not Delivered
    assert outcomes[0].reply.enhanced.endswith("2.2")
