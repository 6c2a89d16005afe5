"""`postroad-sendmail`: its command line, what becomes of a message, and its exit codes."""

import contextlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.cli.postfix.options import OPTIONS, Mode, UsageError, understand
from postroad.cli.postfix.sendmail import input_lines, run
from postroad.model.address import NULL_PATH
from postroad.store.drops import Drop, DropFolder

CONFIG = """\
hostname = "relay.example.com"
[drops]
folder = "d"
[listeners.mx]
bind = ["127.0.0.1:2525"]
[[routes]]
recipients = ["example.net"]
next_hops = ["smtp://192.0.2.1:25"]
"""


class Bench:
    """A configuration, its folder, and one run of sendmail."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.config = folder / "postroad.toml"
        self.config.write_text(CONFIG + more)
        self.folder = DropFolder(folder / "data" / "d")
        self.folder.prepare()
        self.out = b""

    def send(self, *arguments: str, stdin: bytes = b"Subject: x\n\nhello\n") -> int:
        out = io.BytesIO()
        code = run(["-C", str(self.config), *arguments], io.BytesIO(stdin), out)
        self.out = out.getvalue()
        return code

    def drops(self) -> list[tuple[Drop, bytes]]:
        """Every drop, opened, with its content."""
        found = []
        for number, name in enumerate(self.folder.arrivals(2e9)):
            self.folder.take(name, f"{number:013}")
            drop = self.folder.open(f"{number:013}")
            drop.close()
            content = (self.folder.path / "taken" / f"{number:013}").read_bytes()
            found.append((drop, content.partition(b"\n\n")[2].rpartition(b"\nend ")[0]))
        return found

    def one(self) -> tuple[str, list[str], bytes]:
        """(sender, recipients, content) of the only drop."""
        ((drop, content),) = self.drops()
        return drop.letter.mail.path.text, [rcpt.path.text for rcpt in drop.letter.recipients], content


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.delenv("NAME", raising=False)
    return Bench(tmp_path)


def fields(content: bytes) -> list[bytes]:
    return [line.partition(b":")[0] for line in content.partition(b"\r\n\r\n")[0].split(b"\r\n")]


def test_a_message_from_a_program(bench: Bench) -> None:
    assert bench.send("-F", "Joe, of all", "-f", "joe@x.example", "bob", "Ann <ann@y.example>, bob") == 0
    sender, recipients, content = bench.one()
    assert (sender, recipients) == ("joe@x.example", ["bob@relay.example.com", "ann@y.example"])
    assert fields(content) == [b"Subject", b"Message-Id", b"Date", b"From"]
    assert b'\r\nFrom: "Joe, of all" <joe@x.example>\r\n\r\nhello\r\n' in content
    assert content.startswith(b"Subject: x\r\nMessage-Id: <")


def test_what_is_there_is_not_added(bench: Bench) -> None:
    message = b"from: a@x.example\nDATE: today\nMessage-ID : <1@x>\n\n"
    assert bench.send("b@y.example", stdin=message) == 0
    assert bench.one()[2] == message.replace(b"\n", b"\r\n")


def test_recipients_of_the_header(bench: Bench) -> None:
    message = b"To: a@x.example,\n  b@y.example\nCc: c@z.example\nBcc: hidden@z.example\n\n.x\n..\n"
    assert bench.send("-t", "-oi", "d@x.example", stdin=message) == 0
    _, recipients, content = bench.one()
    assert recipients == ["d@x.example", "a@x.example", "b@y.example", "c@z.example", "hidden@z.example"]
    assert b"hidden" not in content
    assert content.startswith(b"To: a@x.example,\r\n  b@y.example\r\nCc: c@z.example\r\n")
    assert content.endswith(b"\r\n\r\n.x\r\n..\r\n")


def test_a_resent_message_goes_to_whom_it_is_resent(bench: Bench) -> None:
    message = b"From joe Mon\nFrom: f@x.example\nTo: a@x.example\nResent-To: k@l.example\nResent-Bcc: h@l.example\n\n"
    assert bench.send("-ti", stdin=message) == 0
    _, recipients, content = bench.one()
    assert recipients == ["k@l.example", "h@l.example"]
    names = [b"From", b"To", b"Resent-To", b"Resent-Message-Id", b"Resent-Date", b"Resent-From"]
    assert fields(content) == names


@pytest.mark.parametrize("sender", ["", "<>"])
def test_the_null_sender(bench: Bench, sender: str) -> None:
    assert bench.send("-f", sender, "b@y.example") == 0
    ((drop, content),) = bench.drops()
    assert drop.letter.mail.path == NULL_PATH
    assert b"\r\nFrom: MAILER-DAEMON@relay.example.com\r\n" in content


def test_notification_options(bench: Bench) -> None:
    options = ("-N", "success,delay", "-R", "hdrs", "-V", "a b", "-B8BITMIME")
    assert (
        bench.send(*options, "-om", "-oem", "-odi", "-O", "x=y", "-G", "-h", "5", "-L", "tag", "-U", "b@y.example") == 0
    )
    ((drop, _),) = bench.drops()
    mail, (rcpt,) = drop.letter.mail, drop.letter.recipients
    assert (rcpt.notify, mail.ret, mail.envid, mail.body) == (10, "HDRS", "a+20b", "8BITMIME")


def test_text_without_a_header(bench: Bench) -> None:
    assert bench.send("b@y.example", stdin=b"hello you\nb: c\n") == 0
    assert bench.one()[2].endswith(b"\r\n\r\nhello you\r\nb: c\r\n")


def test_a_lone_dot_ends_the_message(bench: Bench) -> None:
    assert bench.send("b@y.example", stdin=b"A: b\n\none\n.\ntwo\n") == 0
    assert bench.one()[2].endswith(b"\r\n\r\none\r\n")


def test_more_recipients_than_one_transaction_may_have(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "[limits]\nrecipients_per_message = 100\n")
    assert bench.send(*(f"u{number}@y.example" for number in range(250))) == 0
    assert sorted(len(drop.letter.recipients) for drop, _ in bench.drops()) == [50, 100, 100]


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        ((), b"", 64),
        (("-t",), b"Subject: x\n\n", 64),
        (("-Z", "b@y.example"), b"", 64),
        (("-bd",), b"", 64),
        (("-bz",), b"", 64),
        (("-N", "sometimes", "b@y.example"), b"", 64),
        (("-R", "all", "b@y.example"), b"", 64),
        (("-qx",), b"", 64),
        (("b@@y",), b"", 65),
        (("-t",), b"To: b@@y\n\n", 65),
        (("-f", "x@-", "b@y.example"), b"", 65),
        (("-C", "/nonexistent/postroad.toml", "b@y.example"), b"", 78),
        (("b@y.example",), b"x" * 70_000, 69),
        (("-bi",), b"", 0),
        (("-I",), b"", 0),
        (("-bv", "b@example.net"), b"", 0),
        (("-bv", "b@example.net", "b@nowhere.example"), b"", 68),
        (("-q",), b"", 69),
        (("-qIbad",), b"", 64),
        (("-bp",), b"", 69),
    ],
)
def test_exit_codes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], stdin: bytes, code: int
) -> None:
    bench = Bench(tmp_path, '[limits]\nmessage_size = "64KiB"\nheader_size = "64KiB"\n')
    assert bench.send(*arguments, stdin=stdin) == code
    assert list(bench.folder.new.iterdir()) == []
    assert "Traceback" not in capfd.readouterr().err


def test_without_a_folder_the_caller_tries_again(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.folder.new.rmdir()
    assert bench.send("b@y.example") == 75
    words = capfd.readouterr().err
    assert str(bench.folder.new) in words
    assert "the server makes the folder" in words


@pytest.mark.parametrize(
    ("option", "mode"),
    [("-bm", Mode.MAIL), ("-bs", Mode.SMTP), ("-bp", Mode.LIST), ("-q", Mode.FLUSH), ("-q30m", Mode.FLUSH)],
)
def test_modes(option: str, mode: Mode) -> None:
    assert understand([option]).mode is mode


def test_every_documented_option_is_understood() -> None:
    values = {"-N": "never", "-R": "full", "-B": "7BIT", "-q": "I3Pt2mN2VXxznj"}
    for spelling, _ in OPTIONS:
        for part in spelling.split(", "):
            option, has_value, _ = part.partition(" ")
            if option.startswith("-q") and len(option) > 2:
                option = {"-qTIME": "-q30m"}.get(option, f"{option[:3]}x")
            if option[:2] in ["-A", "-L", "-O", "-X", "-h", "-p", "-e", "-o"] and len(option) == 2:
                option += "x"
            understand([option, values.get(option, "x")] if has_value else [option])


@given(st.lists(st.text(st.sampled_from("-tifFNRVbqosmv x@.,"), max_size=6), max_size=5))
def test_any_command_line_is_understood_or_refused(arguments: list[str]) -> None:
    with contextlib.suppress(UsageError):
        understand(arguments)


@given(st.lists(st.sampled_from((b"a", b"\n", b"\r", b"\0", b".", b"\r\n", b"b" * 70_000)), max_size=12), st.booleans())
def test_lines_are_lines(pieces: list[bytes], dots: bool) -> None:
    text = b"".join(input_lines(io.BytesIO(b"".join(pieces)), dots=dots))
    rest = text.replace(b"\r\n", b"")
    assert not set(rest) & set(b"\r\n\0")
    assert text == b"" or text.endswith(b"\r\n")
    assert text.count(b"\r\n") <= b"".join(pieces).count(b"\n") + 1


DIALOG = (
    b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example> NOTIFY=NEVER\r\nDATA\r\nSubject: s\r\n\r\n..\r\n.\r\n"
    b"MAIL FROM:<a@b.example>\r\nRCPT TO:<>\r\nRCPT TO:<e@d.example>\r\nDATA\r\nbare\nline\r\n.\r\n"
    b"MAIL FROM:<>\r\nRCPT TO:<f@d.example>\r\nBDAT 3\r\nabcRSET\r\nQUIT\r\n"
)


def test_smtp_on_standard_input(bench: Bench) -> None:
    assert bench.send("-bs", stdin=DIALOG) == 0
    lines = bench.out.split(b"\r\n")
    assert [line[:4] for line in lines if line[3:4] == b" "][:5] == [b"220 ", b"250 ", b"250 ", b"250 ", b"354 "]
    assert bench.out.count(b"queued as drop-") == 1
    assert b"554 5.6.0" in bench.out
    sender, recipients, content = bench.one()
    assert (sender, recipients, content) == ("a@b.example", ["c@d.example"], b"Subject: s\r\n\r\n.\r\n")


def test_smtp_that_breaks_off_leaves_nothing(bench: Bench) -> None:
    assert bench.send("-bs", stdin=DIALOG[:90]) == 74
    assert bench.drops() == []


def test_smtp_without_a_folder_defers(bench: Bench) -> None:
    bench.folder.new.rmdir()
    assert bench.send("-bs", stdin=DIALOG) == 0
    assert b"451 4.3.0" in bench.out


def test_the_users_own_name_is_the_sender(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", "Ümit")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert bench.send("b@y.example") == 0
    sender, _, content = bench.one()
    assert sender == "root@relay.example.com"
    assert b"From: =?utf-8?" in content
