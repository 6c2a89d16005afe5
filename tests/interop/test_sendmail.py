"""Programs that call sendmail and read mailq: the same mail through Postfix's tools and ours, side by side.

Also: an unprivileged user sends while the server is down, Python's and swaks' ways of calling sendmail work, and the
tools that read Postfix's queue and log read ours.
"""

import contextlib
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port
from tests.support.postfix import Postfix, program, smtp_to
from tests.support.relay import CAPTURE, Relay, route, wait_until

PROGRAMS = {"sendmail": "sendmail", "mailq": "postqueue:main_mailq", "postqueue": "postqueue", "postsuper": "postsuper"}
MESSAGES: tuple[tuple[tuple[str, ...], bytes], ...] = (
    (("-f", "joe@x.example", "-F", "Joe Doe", "bob@y.example"), b"Subject: one\nBcc: z@y.example\n\nhello\n.\nmore\n"),
    (
        ("-t",),
        b"To: a@c.example, (x) b@c.example\nCc: Friends: c@c.example;\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n\nx\n",
    ),
    (
        ("-t", "-i", "k@c.example"),
        b"From root Mon\nTo: no@c.example\nResent-To: k@l.example\nFrom: q@x.example\n\n.\n..\n",
    ),
    (("-f", "", '"q r"@z.example, w@y.example (c)'), b"no header here\n"),
    (("-oi", "-oem", "-om", "-G", "u@y.example"), b"Subject: four\n folded\n\n"),
)


def ours(name: str, *arguments: str, stdin: bytes = b"", user: int | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run one of our programs."""
    module, _, function = PROGRAMS[name].partition(":")
    code = f"from postroad.cli.postfix.{module} import {function or 'main'} as main; main()"
    ids: dict[str, Any] = {} if user is None else {"user": user, "group": pwd.getpwuid(user).pw_gid, "extra_groups": ()}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False, cwd="/", **ids)


@pytest.fixture(scope="module")
def reachable() -> Iterator[Path]:
    """A folder that every user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="drops-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def drops_in(folder: Path) -> str:
    return f'\n[drops]\nfolder = "{folder}"\npoll = "100ms"\n'


def parsed(content: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """The fields without what must differ (trace, ids, dates, our names), and the body."""
    head, _, body = content.replace(b"\r\n", b"\n").partition(b"\n\n")
    fields = re.sub(rb"\n[ \t]+", b" ", head).decode().split("\n")
    found = []
    for line in fields:
        name, _, value = line.partition(":")
        if name in {"Received", "Return-Path", "X-Envelope-To"}:
            continue
        if name.endswith("Message-Id") or (name.endswith("Date") and "2024" not in value):
            value = "x"
        found.append(
            (
                name,
                value.strip().replace("MAILER-DAEMON@relay.example.com", "MAILER-DAEMON").replace("postfix.", "relay."),
            )
        )
    return found, body


def test_the_same_mail_through_postfix_and_through_us(tmp_path: Path) -> None:
    """Envelopes and content agree for every way of calling sendmail."""
    with Postfix(smtp_to(free_port()), settings={"enable_long_queue_ids": "yes"}) as postfix:
        theirs = []
        for arguments, text in MESSAGES:
            command = [program("sendmail"), "-C", str(postfix.config), *arguments]
            subprocess.run(command, input=text, check=True, timeout=60)
            wait_until(lambda: any(q["queue_name"] == "deferred" for q in postfix.queued()), "postfix has the mail")
            queued: dict[str, Any] = postfix.queued()[0]
            content = postfix.command("postcat", "-bhq", str(queued["queue_id"])).encode()
            theirs.append((queued["sender"], [one["address"] for one in queued["recipients"]], parsed(content)))
            postfix.command("postsuper", "-d", "ALL")
    with Relay(tmp_path / "relay", f"{drops_in(tmp_path / 'drops')}{route('smtp://127.0.0.1:9')}") as relay:
        for (arguments, text), (sender, recipients, (fields, body)) in zip(MESSAGES, theirs, strict=True):
            done = ours("sendmail", "-C", str(relay.config), *arguments, stdin=text)
            assert (done.returncode, done.stderr) == (0, b"")
            wait_until(lambda: queue_of(relay), "the drop is taken")
            (queued,) = queue_of(relay)
            show = [sys.executable, "-m", "postroad", "queue", "content", str(queued["queue_id"])]
            content = subprocess.run(
                [*show, "-c", str(relay.config)], check=True, capture_output=True, timeout=60
            ).stdout
            mine, my_body = parsed(content)
            assert queued["sender"] == str(sender).replace("postfix.example.com", "relay.example.com")
            assert sorted(one["address"] for one in queued["recipients"]) == sorted(recipients)
            assert sorted(mine) == sorted(fields)
            assert my_body == body
            assert ours("postsuper", "-c", str(relay.config), "-d", "ALL").returncode == 0


def queue_of(relay: Relay) -> list[dict[str, Any]]:
    done = ours("postqueue", "-c", str(relay.config), "-j")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_queue_looks_as_postfix_prints_it(tmp_path: Path) -> None:
    """Headings, columns, marks, JSON keys and their types, last lines: equal but for ids, times, sizes and reasons."""
    port = free_port()
    mails = (("a@example.org", ("b@example.net", "c@example.net")), ("", ("d@example.net",)))
    with Postfix(smtp_to(port), settings={"enable_long_queue_ids": "yes"}) as postfix:
        for number, (sender, to) in enumerate(mails, 1):
            command = [program("sendmail"), "-C", str(postfix.config), "-f", sender, *to]
            subprocess.run(command, input=b"Subject: x\n\nhello\n", check=True, timeout=60)
            wait_until(partial(postfix_has, postfix, number), "postfix deferred it")
        held = next(q["queue_id"] for q in postfix.queued() if q["sender"] == "a@example.org")
        postfix.command("postsuper", "-h", str(held))
        text, lines, empty = postfix.command("postqueue", "-p"), postfix.command("postqueue", "-j"), ""
        postfix.command("postsuper", "-d", "ALL")
        empty = postfix.command("postqueue", "-p")
    with Relay(tmp_path / "relay", f"{drops_in(tmp_path / 'drops')}{route(f'smtp://127.0.0.1:{port}')}") as relay:
        config = ("-c", str(relay.config))
        for number, (sender, to) in enumerate(mails, 1):
            ours("sendmail", "-C", str(relay.config), "-f", sender, *to, stdin=b"Subject: x\n\nhello\n")
            wait_until(partial(relay_has, relay, number), "we deferred it")
        mine = next(q["queue_id"] for q in queue_of(relay) if q["sender"] == "a@example.org")
        held_by = ours("postsuper", *config, "-h", "-", stdin=f"{mine}\n".encode())
        assert held_by.stderr.decode() == f"postsuper: {mine}: placed on hold\npostsuper: Placed on hold: 1 message\n"
        shown = ours("postqueue", *config, "-p").stdout.decode()
        assert sorted(map(shape, shown.splitlines())) == sorted(map(shape, text.splitlines()))
        assert ours("mailq", *config).stdout.decode() == shown
        by_sender = {one["sender"]: one for one in map(json.loads, lines.splitlines())}
        for message in queue_of(relay):
            assert kinds(message) == kinds(by_sender[message["sender"]])
            assert message["queue_name"] == by_sender[message["sender"]]["queue_name"]
        assert ours("postqueue", *config, "-f").returncode == 0
        assert ours("postqueue", *config, "-i", mine).returncode == 0
        assert ours("postqueue", *config, "-s", "example.net").returncode == 0
        assert ours("postsuper", *config, "-H", mine).stderr.startswith(
            f"postsuper: {mine}: released from hold".encode()
        )
        assert ours("postsuper", *config, "-r", "ALL").stderr == b"postsuper: Requeued: 2 messages\n"
        assert ours("postsuper", *config, "-d", "ALL").stderr == b"postsuper: Deleted: 2 messages\n"
        assert ours("postqueue", *config, "-p").stdout.decode() == empty
    assert ours("postqueue", *config, "-f").returncode == 69
    assert ours("postqueue", *config, "-p").stdout.decode() == empty


def postfix_has(postfix: Postfix, number: int) -> bool:
    return sum(one["queue_name"] == "deferred" for one in postfix.queued()) == number


def relay_has(relay: Relay, number: int) -> bool:
    return [one["queue_name"] for one in queue_of(relay)].count("deferred") == number


def kinds(message: dict[str, Any]) -> list[tuple[str, object]]:
    """The keys in their order, with their types."""
    return [
        (key, [kinds(one) for one in value] if isinstance(value, list) else type(value))
        for key, value in message.items()
    ]


def shape(line: str) -> str:
    """A line without what must differ: the id, the size, the time of day, the reason's words."""
    if re.fullmatch(r" *\(.*\)", line):
        return "(reason)" if len(line) == 77 or line.startswith("(") or len(line) <= 78 else line
    line = re.sub(r"^[0-9A-Za-z]{13,17}([*!]?) +\d+ ", lambda m: f"ID{m[1]}".ljust(17) + " " * 7 + "N ", line)
    return re.sub(r"\d\d:\d\d:\d\d", "00:00:00", line)


def test_an_unprivileged_user_sends_while_the_server_is_down(reachable: Path) -> None:
    """Nobody can drop, cannot read what others dropped, and its mail arrives when the server starts, once."""
    nobody = pwd.getpwnam("nobody").pw_uid
    folder = reachable / "relay"
    relay = Relay(folder, f"{drops_in(reachable / 'drops')}{CAPTURE}")
    with relay:
        pass
    folder.chmod(0o755)
    relay.config.chmod(0o644)
    sent = ours(
        "sendmail", "-C", str(relay.config), "-v", "bob@example.net", stdin=b"Subject: down\n\nhi\n", user=nobody
    )
    assert sent.returncode == 0, sent.stderr
    name = sent.stderr.split()[-1].decode()
    dropped = reachable / "drops" / "new" / name
    assert dropped.stat().st_uid == nobody
    assert dropped.stat().st_mode & 0o777 == 0o640
    assert dropped.stat().st_gid == os.getgid()
    for command in (("ls", str(dropped.parent)), ("ls", str(reachable / "drops" / "taken"))):
        assert subprocess.run(command, user=nobody, capture_output=True, check=False).returncode != 0
    with relay:
        (mail,) = relay.wait_captured(b"Subject: down")
        assert mail.startswith(b"Return-Path: <nobody@relay.example.com>")
        assert f"(Postroad, from userid {nobody})".encode() in mail
        ours("sendmail", "-C", str(relay.config), "bob@example.net", stdin=b"Subject: up\n\nhi\n", user=nobody)
        relay.wait_captured(b"Subject: up")
        (reachable / "drops" / "new" / "drop-x").write_bytes(b"junk")
        relay.wait_for("DropSetAside")
        assert ours("postqueue", "-c", str(relay.config), "-f", user=nobody).returncode == 77
    assert len(relay.captured()) == 2


def test_pflogsumm_counts_mail_from_drops(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "relay", f"{drops_in(tmp_path / 'drops')}{CAPTURE}", log="postfix")
    with relay:
        for number in range(3):
            ours("sendmail", "-C", str(relay.config), f"u{number}@example.net", stdin=b"Subject: p\n\nhi\n")
        relay.wait_captured(b"Subject: p", 3)
        wait_until(lambda: relay.log_file.read_text().count(": removed") == 3, "the log tells of all three")
    pflogsumm = shutil.which("pflogsumm", path="/usr/sbin:/usr/bin")
    assert pflogsumm
    out = subprocess.run([pflogsumm, str(relay.log_file)], capture_output=True, check=True, timeout=60).stdout.decode()
    assert re.search(r"^ +3 +received$", out, re.MULTILINE)
    assert re.search(r"^ +3 +delivered$", out, re.MULTILINE)


class Showq(threading.Thread):
    """A Unix socket that answers with our list of the queue, as Postfix's showq does."""

    def __init__(self, path: Path, relay: Relay) -> None:
        super().__init__(daemon=True)
        self.relay = relay
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()

    def run(self) -> None:
        while True:
            try:
                peer, _ = self.listening.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                peer.sendall(ours("mailq", "-c", str(self.relay.config)).stdout)

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.join(60)
        self.listening.close()


def test_a_prometheus_exporter_for_postfix_reads_queue_and_log(tmp_path: Path, reachable: Path) -> None:
    """Debian's exporter counts what drops brought. Its pattern for the queue's text takes hexadecimal ids alone."""
    exporter = shutil.which("prometheus-postfix-exporter")
    assert exporter, "install the Debian package prometheus-postfix-exporter"
    relay = Relay(tmp_path / "relay", f"{drops_in(tmp_path / 'drops')}{CAPTURE}", log="postfix")
    port = free_port()
    with relay:
        showq = Showq(reachable / "showq", relay)
        showq.start()
        command = [exporter, f"--web.listen-address=127.0.0.1:{port}", f"--postfix.showq_path={reachable / 'showq'}"]
        with subprocess.Popen(
            [*command, f"--postfix.logfile_path={relay.log_file}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as running:
            try:
                wait_until(lambda: "postfix_up" in metrics(port), "the exporter answers")
                for number in range(3):
                    ours("sendmail", "-C", str(relay.config), f"u{number}@example.net", stdin=b"Subject: e\n\nhi\n")
                wait_until(lambda: metrics(port).get("postfix_qmgr_messages_removed_total") == 3, "it counts all three")
                found = metrics(port)
            finally:
                running.kill()
                showq.close()
    assert found["postfix_cleanup_messages_processed_total"] == 3
    assert found["postfix_qmgr_messages_inserted_receipients_sum"] == 3
    assert found["postfix_up"] == 1


def metrics(port: int) -> dict[str, float]:
    """What an exporter shows, by name without labels; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return {}
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name.partition("{")[0]: float(value) for name, _, value in pairs}


def test_a_server_that_gave_up_root_takes_drops_of_everybody(reachable: Path) -> None:
    """Its group may read them, whose they are stays known over a start as root, and the folders are its own."""
    server, user = pwd.getpwnam("nobody"), pwd.getpwnam("daemon").pw_uid
    folder = reachable / "nobody"
    relay = Relay(folder, f'{drops_in(folder / "data" / "drops")}{CAPTURE}\n[process]\nuser = "nobody"\n')
    with relay:
        pass
    for path in (folder, folder / "data"):
        path.chmod(0o755)
    relay.config.chmod(0o644)
    new = folder / "data" / "drops" / "new"
    assert (new.stat().st_uid, new.stat().st_gid) == (server.pw_uid, server.pw_gid)
    for sender in (user, 0):
        sent = ours("sendmail", "-C", str(relay.config), f"u{sender}@example.net", stdin=b"Subject: s\n\n", user=sender)
        assert sent.returncode == 0, sent.stderr
    assert {path.stat().st_gid for path in new.iterdir()} == {server.pw_gid}
    with relay:
        mails = relay.wait_captured(b"Subject: s", 2)
        assert {int(re.findall(rb"from userid (\d+)", mail)[0]) for mail in mails} == {user, 0}
    assert relay.records("DropSetAside") == []
