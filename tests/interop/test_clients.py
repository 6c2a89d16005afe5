"""Real mail clients send through a real relay, and what lands in the capture folder is what they sent, octet for octet.

swaks, curl, msmtp, smtplib and nodemailer, and a raw socket for what they do not do: everything in one write
(RFC 2920), chunks (RFC 3030), binary content.
"""

import itertools
import shutil
import smtplib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.relay import BODY_CANARY, Relay, wait_until

SENDER = "alice@example.org"
RECIPIENT = "bob@example.net"
NODE = Path(__file__).parent / "node"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with Relay(tmp_path_factory.mktemp("relay")) as running:
        yield running


def message(body: bytes = b"", *, headers: bytes = b"") -> tuple[bytes, bytes]:
    """(a marker found in no other message, a message with it) in CRLF form."""
    marker = f"marker-{next(numbers):06d}-{BODY_CANARY}".encode()
    head = b"From: <alice@example.org>\r\nTo: <bob@example.net>\r\nSubject: A test\r\nMessage-ID: <1@example.org>\r\n"
    date = b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n"
    return marker, head + date + headers + b"\r\n" + marker + b"\r\n.\r\n..two dots\r\n" + body


def run(command: list[str], content: bytes = b"") -> str:
    assert shutil.which(command[0]), f"{command[0]} not found: install the Debian package of that name"
    done = subprocess.run(command, input=content, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout!r} {done.stderr!r}"
    return done.stdout.decode()


def expect_captured(relay: Relay, marker: bytes, content: bytes) -> bytes:
    """The one captured message with `marker` ends in exactly `content`; what stands before it."""
    (mail,) = relay.wait_captured(marker)
    assert mail.endswith(content), f"captured: {mail[:600]!r}"
    head = mail[: len(mail) - len(content)]
    assert b"\r\nReceived: from " in b"\r\n" + head
    assert b" by relay.example.com " in head.replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ")
    return head


# -- swaks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--pipeline",), ("--protocol", "SMTP"), ("--body-8bit",)])
def test_swaks(relay: Relay, tmp_path: Path, options: tuple[str, ...]) -> None:
    marker, content = message("Grüße\r\n".encode() if "--body-8bit" in options else b"")
    options = tuple(option for option in options if option != "--body-8bit")
    file = tmp_path / "message"
    file.write_bytes(stuffed(content) + b".\r\n")
    server = ["--server", "127.0.0.1", "--port", str(relay.port), "--helo", "client.example.org"]
    envelope = ["--from", SENDER, "--to", RECIPIENT]
    said = run(["swaks", *server, *envelope, *options, "--data", f"@{file}", "--no-data-fixup"])
    assert "Ok: queued as" in said
    head = expect_captured(relay, marker, content)
    assert (b"with SMTP " if "SMTP" in options else b"with ESMTP ") in head


# -- curl ------------------------------------------------------------------------------------------


def curl(relay: Relay, file: Path, *recipients: str, sender: str = SENDER) -> None:
    rcpt = [word for recipient in recipients for word in ("--mail-rcpt", recipient)]
    url = f"smtp://127.0.0.1:{relay.port}/client.example.org"
    run(["curl", "--silent", "--show-error", url, "--mail-from", sender, *rcpt, "--upload-file", str(file)])


def test_curl(relay: Relay, tmp_path: Path) -> None:
    marker, content = message()
    (tmp_path / "mail").write_bytes(content)
    curl(relay, tmp_path / "mail", RECIPIENT)
    expect_captured(relay, marker, content)


def test_curl_sends_5_mib(relay: Relay, tmp_path: Path) -> None:
    marker, content = message(b"".join(b"%07d ............................\r\n" % n for n in range(140_000)))
    assert len(content) > 5 << 20
    (tmp_path / "mail").write_bytes(content)
    curl(relay, tmp_path / "mail", RECIPIENT)
    expect_captured(relay, marker, content)


# -- msmtp -----------------------------------------------------------------------------------------


def test_msmtp(relay: Relay) -> None:
    marker, content = message("Grüße aus Köln\r\n".encode())
    server = ["--host=127.0.0.1", f"--port={relay.port}", "--auth=off", "--tls=off", "--domain=client.example.org"]
    dsn = ["--dsn-notify=failure,delay", "--dsn-return=headers"]
    run(["msmtp", *server, *dsn, f"--from={SENDER}", RECIPIENT], content.replace(b"\r\n", b"\n"))
    expect_captured(relay, marker, content)


# -- smtplib ---------------------------------------------------------------------------------------


def test_smtplib(relay: Relay) -> None:
    marker, content = message()
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example.org", timeout=30) as client:
        assert client.sendmail(SENDER, RECIPIENT, content) == {}
    head = expect_captured(relay, marker, content)
    assert b"client.example.org" in head


def test_smtplib_8bit_and_long_lines(relay: Relay) -> None:
    marker, content = message("Übergröße\r\n".encode("latin-1") + b"x" * 5000 + b"\r\n")
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example.org", timeout=30) as client:
        client.sendmail(SENDER, RECIPIENT, content, mail_options=["BODY=8BITMIME"])
    expect_captured(relay, marker, content)


def test_smtplib_internationalised_addresses(relay: Relay) -> None:
    marker, content = message("日本語\r\n".encode(), headers="X-Name: 用户\r\n".encode())
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example.org", timeout=30) as client:
        client.ehlo()
        client.sendmail("用户@example.org", "χρήστης@παράδειγμα.example", content, mail_options=["SMTPUTF8"])
    head = expect_captured(relay, marker, content)
    assert b"with UTF8SMTP " in head
    assert relay.wait_for("MessageAccepted", sender="用户@example.org")


def test_smtplib_many_recipients(relay: Relay) -> None:
    marker, content = message()
    recipients = [f"user{number}@example.net" for number in range(1000)]
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example.org", timeout=60) as client:
        assert client.sendmail(SENDER, recipients, content) == {}
    head = expect_captured(relay, marker, content)
    assert b"for <" not in head
    delivered = relay.wait_for("RecipientDelivered", 1000, id=queue_id_of(head))
    assert sorted(entry["recipient"] for entry in delivered) == sorted(recipients)


def queue_id_of(head: bytes) -> str:
    """The id in the Received field at the top of `head`."""
    return head.split(b" id ")[1].split()[0].rstrip(b";").decode()


def test_many_messages_in_one_session(relay: Relay) -> None:
    sent = [message(b"%d\r\n" % number) for number in range(200)]
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example.org", timeout=60) as client:
        for _, content in sent:
            client.sendmail(SENDER, RECIPIENT, content)
    for marker, content in sent:
        expect_captured(relay, marker, content)


# -- nodemailer ------------------------------------------------------------------------------------


def test_nodemailer(relay: Relay) -> None:
    assert (NODE / "node_modules" / "nodemailer").is_dir(), f"run: npm ci --prefix {NODE}"
    marker, content = message("Grüße\r\n".encode())
    said = run(["node", str(NODE / "send.mjs"), str(relay.port), SENDER, f"{RECIPIENT},carol@example.net"], content)
    assert "Ok: queued as" in said
    expect_captured(relay, marker, content)


# -- a raw socket ----------------------------------------------------------------------------------


def stuffed(content: bytes) -> bytes:
    """The content with its dots doubled, as DATA wants it (RFC 5321 4.5.2)."""
    return b"".join(b"." + line if line[:1] == b"." else line for line in content.splitlines(keepends=True))


def converse(relay: Relay, octets: bytes) -> list[str]:
    """Send everything at once, QUIT last, and return the replies' last lines."""
    with socket.create_connection(("127.0.0.1", relay.port), timeout=30) as peer:
        peer.sendall(octets)
        said = b""
        while piece := peer.recv(65536):
            said += piece
    return [line for line in said.decode().splitlines() if line[3:4] == " "]


ENVELOPE = b"EHLO client.example.org\r\nMAIL FROM:<alice@example.org>%b\r\nRCPT TO:<bob@example.net>\r\n"


def test_everything_in_one_write(relay: Relay) -> None:
    one, first = message()
    two, second = message()
    again = ENVELOPE.partition(b"\r\n")[2]
    octets = b"".join(
        (ENVELOPE % b"", b"DATA\r\n", stuffed(first), b".\r\n", again % b"", b"DATA\r\n", stuffed(second), b".\r\n")
    )
    codes = [reply[:3] for reply in converse(relay, octets + b"QUIT\r\n")]
    assert codes == ["220", "250", "250", "250", "354", "250", "250", "250", "354", "250", "221"]
    expect_captured(relay, one, first)
    expect_captured(relay, two, second)


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
def test_chunks_of_any_size(relay: Relay, size: int) -> None:
    marker, content = message(b"x\r\n")
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    chunks = b"".join(b"BDAT %d\r\n%b" % (len(piece), piece) for piece in pieces)
    replies = converse(relay, ENVELOPE % b"" + chunks + b"BDAT 0 LAST\r\nQUIT\r\n")
    assert [reply[:3] for reply in replies] == ["220", "250", "250", "250", *["250"] * (len(pieces) + 1), "221"]
    expect_captured(relay, marker, content)


def test_binary_content(relay: Relay) -> None:
    marker, content = message(b"\x00\x01\r\nbare\nline\rfeeds\xff\r\n" * 100)
    chunk = b"BDAT %d LAST\r\n%b" % (len(content), content)
    replies = converse(relay, ENVELOPE % b" BODY=BINARYMIME" + chunk + b"QUIT\r\n")
    assert [reply[:3] for reply in replies] == ["220", "250", "250", "250", "250", "221"]
    expect_captured(relay, marker, content)


def test_a_client_that_dies_in_the_content_leaves_nothing(relay: Relay) -> None:
    marker, content = message(b"y" * 1_000_000)
    with socket.create_connection(("127.0.0.1", relay.port), timeout=30) as peer:
        peer.sendall(ENVELOPE % b"" + b"DATA\r\n" + stuffed(content))
    wait_until(lambda: broken_off(relay), "the end of the broken connection")
    after, other = message()
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example.org", timeout=30) as client:
        client.sendmail(SENDER, RECIPIENT, other)
    expect_captured(relay, after, other)
    assert not [mail for mail in relay.captured() if marker in mail]
    wait_until(lambda: not list((relay.data / "spool").rglob("drafts/*")), "no draft")


def broken_off(relay: Relay) -> bool:
    """True when a connection was lost inside content."""
    return any(entry["reason"].endswith("while receiving content") for entry in relay.records("ConnectionClosed"))
