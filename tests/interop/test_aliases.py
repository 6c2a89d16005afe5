"""Aliases in a real relay: to several next hops, through changes of the file, reports to the sender, databases.

The tables are the same files as Postfix has them; tests/interop/test_postmap.py holds the two to each other.
"""

import smtplib
import threading
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from tests.support.command import run_command
from tests.support.postgres import PASSWORD, Postgres
from tests.support.relay import BODY_CANARY, CAPTURE, QUICK_RETRY, Relay, route, wait_until
from tests.support.sink import Sink

SENDER = "alice@example.org"
ALL = "all@example.net"


def content(marker: str = "") -> bytes:
    return f"From: <{SENDER}>\r\nSubject: {marker or 'A test'}\r\n\r\n{BODY_CANARY}\r\n".encode()


def send(relay: Relay, *recipients: str, rcpt: Sequence[str] = (), marker: str = "") -> dict[str, tuple[int, bytes]]:
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example.org", timeout=60) as client:
        return client.sendmail(SENDER, list(recipients), content(marker), rcpt_options=list(rcpt))


def table(folder: Path, text: str, options: str = "") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "virtual").write_text(text)
    return f'\n[[aliases]]\nfile = "virtual"\n{options}\n'


def test_one_alias_to_several_next_hops(tmp_path: Path) -> None:
    aliases = table(
        tmp_path,
        f"{ALL}  a@one.example, b@two.example,\n   dev@example.net\ndev@example.net  c@two.example, @one.example\n",
    )
    with Sink() as one, Sink() as two:
        hops = route(f"smtp://127.0.0.1:{one.port}", recipients=["one.example"])
        hops += route(f"smtp://127.0.0.1:{two.port}", recipients=["two.example"]) + CAPTURE
        with Relay(tmp_path, hops + aliases) as relay:
            assert send(relay, ALL, "b@two.example", "other@example.net") == {}
            relay.wait_captured(BODY_CANARY.encode())
            wait_until(relay.is_idle, "all delivered")
            (told,) = relay.wait_for("RecipientExpanded")
            (mail,) = one.mails
            (other,) = two.mails
    assert mail.recipients == [
        f"<a@one.example> ORCPT=rfc822;{ALL}",
        f"<dev@one.example> ORCPT=rfc822;{ALL}",
    ]
    assert other.recipients == [
        f"<b@two.example> ORCPT=rfc822;{ALL}",
        f"<c@two.example> ORCPT=rfc822;{ALL}",
    ]
    assert (told["recipient"], told["count"]) == (ALL, 4)
    assert b"one.example" not in other.content


def test_a_file_that_changes_while_mail_flows(tmp_path: Path) -> None:
    aliases = table(tmp_path, f"{ALL}  box0@one.example, twin0@one.example\n")
    file = tmp_path / "virtual"
    with Sink() as sink, Relay(tmp_path, route(f"smtp://127.0.0.1:{sink.port}") + aliases) as relay:
        (loaded,) = relay.wait_for("TableLoaded")
        assert (loaded["table"], loaded["entries"]) == (str(file), 1)
        stop = threading.Event()
        sent: list[int] = []

        def flow() -> None:
            while not stop.is_set():
                assert send(relay, ALL, marker=f"mail-{len(sent)}-") == {}
                sent.append(1)

        sender = threading.Thread(target=flow)
        sender.start()
        try:
            replace(file, f"{ALL}  box1@one.example, twin1@one.example\n")
            relay.wait_for("TableLoaded", 2)
            replace(file, f"# half\n{ALL}  box2@one.example, twin2\n")
            (refused,) = relay.wait_for("TableRefused")
            before = len(sent)
            wait_until(lambda: len(sent) > before + 3, "mail flows on with the old table")
            replace(file, f"{ALL}  box3@one.example, twin3@one.example\n")
            relay.wait_for("TableLoaded", 3)
            before = len(sent)
            wait_until(lambda: len(sent) > before + 3, "mail flows with the new table")
        finally:
            stop.set()
            sender.join(60)
        assert (refused["line"], refused["problems"]) == (2, 1)
        wait_until(relay.is_idle, "all delivered")
        mails = sink.mails
    boxes = [sorted(address.partition(">")[0].removeprefix("<") for address in mail.recipients) for mail in mails]
    assert len(mails) == len(sent)
    versions = {number: [f"box{number}@one.example", f"twin{number}@one.example"] for number in (0, 1, 3)}
    assert all(box in versions.values() for box in boxes)
    assert versions[1] in boxes
    assert versions[3] in boxes


def replace(file: Path, text: str) -> None:
    new = file.with_name("new")
    new.write_text(text)
    new.replace(file)


def test_a_report_names_the_address_the_sender_wrote_to(tmp_path: Path) -> None:
    aliases = table(tmp_path, f"{ALL}  a@one.example, b@one.example\n")
    refuse = {"b@one.example": "550 5.1.1 no such user"}
    with Sink(refuse=refuse) as sink:
        hops = route(f"smtp://127.0.0.1:{sink.port}", recipients=["one.example"]) + CAPTURE
        with Relay(tmp_path, hops + QUICK_RETRY + aliases) as relay:
            assert send(relay, ALL, rcpt=["NOTIFY=SUCCESS,FAILURE"]) == {}
            (expanded,) = relay.wait_captured(b"Action: expanded")
            (failed,) = relay.wait_captured(b"Action: failed")
            wait_until(relay.is_idle, "all settled")
            assert len(relay.captured()) == 2
        (mail,) = sink.mails
    assert mail.recipients == [f"<a@one.example> NOTIFY=FAILURE ORCPT=rfc822;{ALL}"]
    assert f"\r\nFinal-Recipient: rfc822; {ALL}\r\nAction: expanded\r\n".encode() in expanded
    assert BODY_CANARY.encode() not in expanded
    assert f"Original-Recipient: rfc822; {ALL}\r\nFinal-Recipient: rfc822; b@one.example\r\n".encode() in failed
    assert f"<b@one.example> (sent to <{ALL}>): ".encode() in failed


def test_unknown_names_are_refused_before_the_content(tmp_path: Path) -> None:
    aliases = table(
        tmp_path, f"{ALL}  a@one.example\n@catch.example  a@one.example\n", 'domains = ["example.net"]\nstrict = true'
    )
    with Relay(tmp_path, CAPTURE + aliases) as relay:
        refused = send(
            relay, ALL, "all+detail@example.net", "nobody@example.net", "any@catch.example", "x@else.example"
        )
        assert refused == {"nobody@example.net": (550, b"5.1.1 <nobody@example.net>: No such recipient")}
        relay.wait_captured(BODY_CANARY.encode())
        (told,) = relay.wait_for("CommandRefused")
    assert (told["stage"], told["recipient"]) == ("rcpt", "nobody@example.net")


def test_a_loop_defers_and_harms_nobody_else(tmp_path: Path) -> None:
    aliases = table(tmp_path, "a@example.net b@example.net\nb@example.net a@example.net\nc@example.net d@example.net\n")
    with Relay(tmp_path, CAPTURE + aliases) as relay:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            send(relay, "c@example.net", "a@example.net")
        assert caught.value.smtp_code == 451
        assert caught.value.smtp_error == b"4.3.5 Error in the aliases of a recipient, try again later"
        assert send(relay, "c@example.net") == {}
        relay.wait_captured(BODY_CANARY.encode())
        (told,) = relay.wait_for("CommandRefused")
    assert told["detail"] == "alias loop: a@example.net -> b@example.net -> a@example.net"


def test_a_database_that_comes_and_goes(tmp_path: Path) -> None:
    file = tmp_path / "aliases.db"
    aliases = f"""
[[aliases]]
sql = {{ database = "sqlite://{file}", query = "SELECT target FROM alias WHERE address = ?", timeout = "5s" }}
domains = ["example.net"]
strict = true
"""
    with Relay(tmp_path / "relay", CAPTURE + aliases) as relay:
        assert send(relay, "bob@example.com") == {}  # not its business
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            send(relay, ALL)
        assert caught.value.recipients == {ALL: (451, b"4.3.0 Recipients cannot be looked up now, try again later")}
        db = apsw.Connection(str(file))
        db.execute("CREATE TABLE alias (address TEXT, target TEXT)")
        db.execute("INSERT INTO alias VALUES (?, 'a@one.example, b@one.example')", (ALL,))
        assert send(relay, ALL) == {}
        db.execute("UPDATE alias SET target = 'c@one.example'")
        assert send(relay, ALL, "all+detail@example.net") == {}
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            send(relay, "nobody@example.net")
        assert caught.value.recipients["nobody@example.net"][0] == 550
        db.close()
        wait_until(lambda: len(relay.records("RecipientDelivered")) >= 5, "five deliveries")
        delivered = sorted(entry["recipient"] for entry in relay.records("RecipientDelivered"))
    assert delivered == ["a@one.example", "b@one.example", "bob@example.com", "c+detail@one.example", "c@one.example"]


def test_a_postgresql_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    with Postgres() as server:
        server.run("CREATE TABLE alias (address text, target text)")
        server.run(f"INSERT INTO alias VALUES ('{ALL}', 'a@one.example, b@one.example'), ('@other.example', '{ALL}')")
        (tmp_path / "password").write_text(f"{PASSWORD}\n")
        query = "SELECT target FROM alias WHERE address = $1"
        aliases = f"""
[[aliases]]
sql = {{ database = "{server.url}", query = "{query}", password = {{ file = "{tmp_path}/password" }}, timeout = "5s" }}
domains = ["example.net", "other.example"]
strict = true
"""
        with Relay(tmp_path / "relay", CAPTURE + aliases) as relay:
            refused = send(relay, ALL, "nobody@example.net", "any@other.example", "bob@example.com")
            assert refused == {"nobody@example.net": (550, b"5.1.1 <nobody@example.net>: No such recipient")}
            server.kill()
            with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
                send(relay, ALL)
            later = (451, b"4.3.0 Recipients cannot be looked up now, try again later")
            assert caught.value.recipients == {ALL: later}
            assert send(relay, "bob@example.com") == {}  # not its business
            told = run_command("explain", "--to", ALL, "-c", relay.config).out
            assert "451 4.3.0" in told
            server.start()
            server.run("UPDATE alias SET target = 'c@one.example' WHERE target LIKE 'a@%'")
            assert send(relay, ALL) == {}
            assert run_command("map", "0", ALL, "-c", relay.config).out == "c@one.example\n"
            wait_until(lambda: len(relay.records("RecipientDelivered")) >= 5, "five deliveries")
            delivered = sorted(entry["recipient"] for entry in relay.records("RecipientDelivered"))
            assert PASSWORD not in str(relay.records())
    assert delivered == ["a@one.example", "b@one.example", "bob@example.com", "bob@example.com", "c@one.example"]
