"""queue and spool commands on a real spool: filled by a real server, read beside it and after it."""

import json
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Done, run_command
from tests.support.ports import free_port
from tests.support.relay import Relay, route, wait_until

_TEXT = "Subject: Hello\r\nMessage-ID: <one@example.com>\r\n\r\nIt waits.\r\n"


def _run(relay: Relay, *arguments: str) -> Done:
    return run_command(*arguments, "-c", relay.config)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A running server whose next hop refuses every connection, with two messages for three recipients."""
    with Relay(tmp_path_factory.mktemp("relay"), route(f"smtp://127.0.0.1:{free_port()}")) as running:
        with smtplib.SMTP("127.0.0.1", running.port) as client:
            client.sendmail("me@example.com", ["a@example.net", "b@example.org"], _TEXT)
            client.sendmail("you@example.com", ["c@example.net"], _TEXT)
        # Next hops are known once the index has the messages, last replies once the first try is over.
        wait_until(lambda: len(_listed(running, "--next-hop", "127.0.0.1")) == 2, "the index")
        wait_until(lambda: _run(running, "queue", "list").out.count("refused") == 3, "the first tries")
        yield running


def _listed(relay: Relay, *arguments: str) -> list[dict[str, Any]]:
    done = _run(relay, "queue", "list", "--json", *arguments)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def test_list_for_people(relay: Relay) -> None:
    lines = _run(relay, "queue", "list").out.splitlines()
    assert lines[0].split() == ["QUEUE", "ID", "SIZE", "ARRIVED", "SENDER"]
    assert lines[1].split() == ["REASON", "RECIPIENT"]
    assert lines[2].endswith("<me@example.com>")
    assert lines[3].startswith("    retry        a@example.net  pending, ")
    assert lines[-1].startswith("2 messages, ")
    assert "3 pending" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "senders"),
    [
        ([], ["me@example.com", "you@example.com"]),
        (["--sender", "YOU@*"], ["you@example.com"]),
        (["--recipient", "b@example.org"], ["me@example.com"]),
        (["--domain", "*.org"], ["me@example.com"]),
        (["--sender", "you@example.com", "--reply", "REFUSED"], ["you@example.com"]),
        (["--older", "1h"], []),
        (["--larger", "10MiB"], []),
        (["--reason", "retry", "--domain", "example.org"], ["me@example.com"]),
        (["--status", "pending", "--limit", "0"], ["me@example.com", "you@example.com"]),
        (["--limit", "1"], ["me@example.com"]),
        (["--status", "held"], []),
        (["--next-hop", "127.0.0.1"], ["me@example.com", "you@example.com"]),
        (["--next-hop", "mx:*"], []),
    ],
)
def test_list_of_some(arguments: list[str], senders: list[str], relay: Relay) -> None:
    assert [message["sender"] for message in _listed(relay, *arguments)] == senders


def test_show(relay: Relay) -> None:
    queue_id = str(_listed(relay)[0]["id"])
    text = _run(relay, "queue", "show", queue_id).out
    assert f"queue id   {queue_id}\n" in text
    assert "came by    test from [127.0.0.1]" in text
    assert "message-id <one@example.com>\n" in text
    assert "recipient  b@example.org\n" in text
    shown = json.loads(_run(relay, "queue", "show", queue_id, "--json").out)
    assert [recipient["status"] for recipient in shown["recipients"]] == ["pending", "pending"]
    assert shown["envelope"]["origin"]["listener"] == "test"


def test_cat_prints_what_would_be_sent(relay: Relay) -> None:
    queue_id = str(_listed(relay)[0]["id"])
    done = subprocess.run(
        [sys.executable, "-m", "postroad", "spool", "cat", queue_id, "-c", str(relay.config)],
        capture_output=True,
        timeout=60,
        check=True,
    )
    head, _, content = done.stdout.partition(b"Subject: ")
    assert head.startswith(b"Received: from ")
    assert queue_id.encode() in head
    assert b"Subject: " + content == _TEXT.encode()


@pytest.mark.parametrize("command", [["queue", "show"], ["queue", "content"], ["spool", "cat"]])
@pytest.mark.parametrize("queue_id", ["0123456789BCD", "../../etc/passwd"])
def test_an_unknown_id_is_66(command: list[str], queue_id: str, relay: Relay) -> None:
    done = _run(relay, *command, queue_id)
    assert (done.code, done.out) == (66, "")
    assert done.err == f"postroad: no message {queue_id} waits; it may be delivered: the log knows\n"


def test_rebuild_is_refused_beside_the_server(relay: Relay) -> None:
    done = _run(relay, "spool", "rebuild")
    assert done.code == 69
    assert done.err.startswith("postroad: ")


def test_everything_works_with_the_server_down(relay: Relay) -> None:
    before = _listed(relay)
    assert relay.stop() == 0
    try:
        assert [message["id"] for message in _listed(relay)] == [message["id"] for message in before]
        causes = {one["wait"]["cause"] for message in _listed(relay) for one in message["recipients"]}
        assert causes <= {"retry", "server"}
        verified = _run(relay, "spool", "verify")
        assert verified.code == 0, verified.out
        assert verified.out.startswith("2 messages wait;")
        assert json.loads(_run(relay, "spool", "verify", "--json").out)["problems"] == []
        rebuilt = _run(relay, "spool", "rebuild")
        assert rebuilt.code == 0, rebuilt.err
        assert rebuilt.out.startswith("2 messages wait; ")
        assert [message["id"] for message in _listed(relay)] == [message["id"] for message in before]
        _damage(relay.data / "spool")
        assert _run(relay, "spool", "verify").code == 65
        assert _run(relay, "spool", "cat", str(before[0]["id"])).code in {65, 66}
    finally:
        relay.start()


def _damage(spool: Path) -> None:
    """Change one octet of the first message's content."""
    for segment in sorted((spool / "journal").rglob("seg-*")):
        octets = segment.read_bytes()
        if (at := octets.find(b"It waits.")) >= 0:
            segment.write_bytes(octets[:at] + b"X" + octets[at + 1 :])
            return
    raise AssertionError("no message found")


def test_no_spool_is_told(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    done = _run(relay, "queue", "list")
    assert done.code == 69
    assert done.err == f"postroad: there is no spool in {tmp_path}/data/spool\n"
