"""Records reach a real rsyslogd by UDP, TCP and a unix socket, a journal, files and webhooks, from the real daemon.

Dead and slow receivers delay neither mail nor the other sinks, and after kill -9 every batch that was on the disk
arrives.
"""

import json
import smtplib
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from postroad.model.envelope import Origin
from postroad.model.records import CommandRefused, DeliveryFaulted, MessageRemoved
from postroad.model.reply import Reply
from postroad.net.logsocket import LogAddress
from postroad.observe.journald import JournalOutlet, make_entry
from postroad.observe.syslog import MESSAGE_LIMIT, Sender, SyslogOutlet, make_messages
from tests.support.hook import Hook
from tests.support.records import AT, SAMPLES
from tests.support.relay import CAPTURE, Relay, wait_until
from tests.support.syslog import Journal, Rsyslog

SENDER = Sender("relay.example.com", 4242, 2)
KEY = b"a key of tests"


def addresses(daemon: Rsyslog) -> dict[str, LogAddress]:
    return {
        "udp": LogAddress("udp", host="127.0.0.1", port=daemon.udp),
        "tcp": LogAddress("tcp", host="127.0.0.1", port=daemon.tcp),
        "unix": LogAddress("unix", path=str(daemon.socket)),
    }


@pytest.mark.parametrize("transport", ["udp", "tcp", "unix"])
def test_rsyslog_understands_every_record(tmp_path: Path, transport: str) -> None:
    with Rsyslog(tmp_path / "rsyslog") as daemon:
        out = SyslogOutlet(addresses(daemon)[transport], make_messages("json", SENDER))
        assert out.write(SAMPLES) == len(SAMPLES), out.fault
        assert out.fault == ""
        wait_until(lambda: len(daemon.messages()) >= len(SAMPLES), "all messages")
        out.close()
        found = daemon.messages()
    assert [message["msgid"] for message in found] == [type(sample).__name__ for sample in SAMPLES]
    for message in found:
        assert message["app"] == "postroad"
        assert message["pid"] == "4242"
        assert message["host"] == "relay.example.com"
        assert message["facility"] == "mail"
        assert message["version"] == "1"
        assert message["time"] == "2023-11-14T22:13:20.123456Z"
        assert json.loads(message["msg"])["record"] == message["msgid"]
    severities = {message["msgid"]: message["severity"] for message in found}
    assert severities["SpoolFaulted"] == "3"
    assert severities["LaneSuspended"] == "4"
    assert severities["MessageAccepted"] == "6"


def test_rsyslog_has_the_lines_of_postfix_under_their_programs(tmp_path: Path) -> None:
    with Rsyslog(tmp_path / "rsyslog") as daemon:
        out = SyslogOutlet(addresses(daemon)["tcp"], make_messages("postfix", SENDER))
        assert out.write(SAMPLES) == len(SAMPLES)
        wait_until(lambda: daemon.messages() and "terminating" in daemon.messages()[-1]["msg"], "the last")
        out.close()
        found = daemon.messages()
    accepted = [message for message in found if message["msgid"] == "MessageAccepted"]
    ways = [["postfix/smtpd", "postfix/cleanup", "postfix/qmgr"], ["postfix/pickup", "postfix/cleanup", "postfix/qmgr"]]
    apps = [message["app"] for message in accepted]
    assert [apps[:3], apps[3:]] == ways, "by SMTP, and dropped"
    assert accepted[2]["pid"] == "4242"
    assert accepted[2]["msg"].endswith("(queue active)")


def test_what_a_peer_says_stays_one_message(tmp_path: Path) -> None:
    evil = "x\n<1>1 - - - - - - forged\r\x1b[2J\u2028é"
    record = CommandRefused(
        at=AT, origin=Origin(ip="192.0.2.7", helo=evil), stage="rcpt", reply=Reply(550, "5.7.1", "no"), detail=evil
    )
    huge = DeliveryFaulted(at=AT, lane="mx:example.net", detail="é" * 20_000)
    with Rsyslog(tmp_path / "rsyslog") as daemon:
        for address in addresses(daemon).values():
            out = SyslogOutlet(address, make_messages("text", SENDER))
            assert out.write([record, huge, MessageRemoved(at=AT, id="1")]) == 3
            out.close()
        wait_until(lambda: len(daemon.messages()) >= 9, "nine messages")
        found = daemon.messages()
    assert Counter(message["msgid"] for message in found) == {
        "CommandRefused": 3,
        "DeliveryFaulted": 3,
        "MessageRemoved": 3,
    }
    for message in found:
        assert "forged" not in message["msg"].split()[0]
        assert len(message["msg"].encode()) <= MESSAGE_LIMIT


def test_rsyslog_dies_and_comes_back(tmp_path: Path) -> None:
    with Rsyslog(tmp_path / "rsyslog") as daemon:
        out = SyslogOutlet(addresses(daemon)["tcp"], make_messages("text", SENDER))
        assert out.write([MessageRemoved(at=AT, id="1")]) == 1
        wait_until(lambda: len(daemon.messages()) == 1, "the first")
        daemon.kill()
        assert out.write([MessageRemoved(at=AT, id="2")]) == 0  # it was seen that the peer is gone
        assert "Connection refused" in out.fault
        daemon.start()
        assert out.write([MessageRemoved(at=AT, id="2")]) == 1
        assert out.fault == ""
        wait_until(lambda: len(daemon.messages()) == 2, "the second")
        out.close()


def test_the_journal_has_every_record_with_its_fields(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sock") as journal:
        entry = make_entry("text", hostname="relay.example.com", pid=1, facility=2)
        out = JournalOutlet(str(journal.path), entry)
        for sample in SAMPLES:
            assert out.write([sample]) == 1, out.fault
            fields = journal.receive()
            assert fields["POSTROAD_RECORD"] == type(sample).__name__
            assert fields["POSTROAD_AT"] == str(AT)
            assert fields["SYSLOG_IDENTIFIER"] == "postroad"
            assert fields["SYSLOG_FACILITY"] == "2"
            assert fields["PRIORITY"] in "3456"
            assert fields["MESSAGE"]
            for name in ("id", "recipient", "lane", "reason"):
                if value := getattr(sample, name, ""):
                    assert fields[f"POSTROAD_{name.upper()}"] == value
            if isinstance(origin := getattr(sample, "origin", None), Origin):
                assert fields.get("POSTROAD_ORIGIN_IP", "") == origin.ip  # a drop came from no address
            if isinstance(reply := getattr(sample, "reply", None), Reply):
                assert fields["POSTROAD_REPLY"] == str(reply)
        out.close()


def test_the_journal_takes_line_breaks_and_large_entries(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sock") as journal:
        entry = make_entry("text", hostname="relay.example.com", pid=1, facility=2)
        out = JournalOutlet(str(journal.path), entry)
        for detail in ("one\nPRIORITY=0\nMESSAGE=forged", "x\n" * 500_000):
            assert out.write([DeliveryFaulted(at=AT, lane="mx:example.net", detail=detail)]) == 1, out.fault
            fields = journal.receive()
            assert fields["POSTROAD_DETAIL"] == detail
            assert fields["PRIORITY"] == "3"
        out.close()
    assert out.write([MessageRemoved(at=AT, id="1")]) == 0
    assert "journal.sock" in out.fault


# -- the daemon --------------------------------------------------------------------------------


def send(relay: Relay, count: int = 1) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        for _ in range(count):
            client.sendmail("alice@example.org", ["bob@example.net"], b"Subject: x\r\n\r\nx\r\n")


def ids(records: list[dict[str, Any]], kind: str) -> list[str]:
    return [record["id"] for record in records if record["record"] == kind]


def sinks(folder: Path, hook: Hook, daemon: Rsyslog, journal: Journal) -> str:
    return f"""
[sinks.file]
to = "file:{folder}/records.jsonl"
rotate_size = "4KiB"
keep = 1000
compress = false

[sinks.journal]
to = "journald://{journal.path}"
records = ["MessageAccepted"]

[sinks.loghost]
to = "syslog+tcp://127.0.0.1:{daemon.tcp}"
records = ["Recipient*"]
facility = "local3"

[sinks.crm]
to = "{hook.url}"
records = ["RecipientDelivered", "RecipientFailed"]
secret = "{KEY.decode()}"
delay = "100ms"
"""


def test_all_sinks_of_one_relay(tmp_path: Path) -> None:
    with (
        Hook(KEY) as hook,
        Rsyslog(tmp_path / "rsyslog") as daemon,
        Journal(tmp_path / "j.sock") as journal,
        Relay(tmp_path / "relay", CAPTURE + sinks(tmp_path, hook, daemon, journal)) as relay,
    ):
        send(relay, 30)
        taken = ids(relay.wait_for("MessageAccepted", 30), "MessageAccepted")
        relay.wait_for("RecipientDelivered", 30)
        assert [journal.receive()["POSTROAD_ID"] for _ in range(30)] == taken
        wait_until(lambda: len(hook.records()) >= 30, "the webhook has all")
        wait_until(lambda: len(daemon.messages()) >= 30, "rsyslog has all")
        relay.stop()
        assert sorted(ids(hook.records(), "RecipientDelivered")) == sorted(taken)
        assert {message["msgid"] for message in daemon.messages()} == {"RecipientDelivered"}
        assert {message["facility"] for message in daemon.messages()} == {"local3"}
        logged = relay.records()
        assert KEY.decode() not in relay.log_file.read_text()
    files = [*sorted(tmp_path.glob("records.jsonl-*")), tmp_path / "records.jsonl"]
    assert len(files) > 3
    kept = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert kept == logged


def test_dead_sinks_delay_neither_mail_nor_each_other(tmp_path: Path) -> None:
    with Hook(KEY) as hook:
        hook.hang = True
        more = f"""
[sinks.hanging]
to = "{hook.url}"
secret = "{KEY.decode()}"
[sinks.nobody]
to = "syslog+tcp://127.0.0.1:9"
buffer = 100
[sinks.nothing]
to = "journald://{tmp_path}/nothing.sock"
buffer = 100
[sinks.full]
to = "file:/dev/full"
rotate_size = 0
buffer = 100
[sinks.good]
to = "file:{tmp_path}/good.jsonl"
"""
        relay = Relay(tmp_path / "relay", CAPTURE + more)
        relay.start()
        for sink in ("nobody", "nothing", "full"):
            relay.wait_for("SinkFaulted", sink=sink)
        begun = time.monotonic()
        send(relay, 300)
        assert time.monotonic() - begun < 30
        relay.wait_for("MessageRemoved", 300)
        for sink in ("nobody", "nothing", "full"):
            relay.wait_for("RecordsDropped", sink=sink)
        reason = relay.records("SinkFaulted", sink="full")[0]["reason"]
        assert reason == "/dev/full: No space left on device"
        assert relay.stop() == 0
        logged = relay.records()
        hook.unhang.set()
        good = [json.loads(line) for line in (tmp_path / "good.jsonl").read_text().splitlines()]
    # The good sink has all that the log has but for what is told after it was closed.
    assert good == logged[: len(good)]
    assert ids(good, "MessageRemoved") == ids(logged, "MessageRemoved")
    assert not [entry for entry in logged if entry.get("sink") == "good"]
    # Every record of a dead sink is counted, to the last.
    for sink in ("nobody", "nothing", "full"):
        about = [entry for entry in logged if entry["record"] == "RecordsDropped" and entry["sink"] == sink]
        own = [entry for entry in good if entry.get("sink") == sink]  # what is told of a sink is no record for it
        assert sum(entry["count"] for entry in about) == len(good) - len(own)


def test_after_kill_9_every_batch_on_the_disk_arrives(tmp_path: Path) -> None:
    with Hook(KEY) as hook:
        hook.status = 503
        more = f"""
[sinks.crm]
to = "{hook.url}"
records = ["MessageAccepted"]
secret = "{KEY.decode()}"
delay = "50ms"
batch = 7
retry_max = "1s"
"""
        relay = Relay(tmp_path / "relay", CAPTURE + more)
        spool = relay.data / "sinks" / "crm"
        durable: dict[str, list[str]] = {}
        for _ in range(3):
            relay.start()
            send(relay, 40)
            wait_for_more(spool, len(durable))
            relay.kill()
            durable.update((file.name.partition(".")[0], ids_in(file)) for file in spool.glob("*.json"))
        assert len(durable) >= 3
        assert hook.deliveries == []
        assert hook.attempts
        hook.status = 200
        relay.start()
        wait_until(lambda: {delivery.id for delivery in hook.deliveries} >= set(durable), "all that were on the disk")
        wait_until(lambda: not list(spool.glob("*.json")), "nothing waits")
        relay.kill()
        for delivery in hook.deliveries:
            if delivery.id in durable:
                assert ids(delivery.body["records"], "MessageAccepted") == durable[delivery.id]
        order = [delivery.id for delivery in hook.deliveries]
        assert order == sorted(order)


def test_a_record_is_on_the_disk_within_the_delay(tmp_path: Path) -> None:
    """What happened more than `delay` before a kill -9, and the time of one write, is never lost."""
    with Hook(KEY) as hook:
        more = f"""
[sinks.crm]
to = "{hook.url}"
records = ["MessageAccepted"]
secret = "{KEY.decode()}"
delay = "50ms"
"""
        relay = Relay(tmp_path / "relay", CAPTURE + more)
        taken: list[str] = []
        for _ in range(3):
            relay.start()
            send(relay, 20)
            settled = ids(relay.wait_for("MessageAccepted", len(taken) + 20), "MessageAccepted")
            wait_for_all(settled, hook, relay.data / "sinks" / "crm")
            relay.kill()
            taken = [entry["id"] for entry in relay.records("MessageAccepted")]
        relay.start()
        wait_until(lambda: set(taken) <= set(ids(hook.records(), "MessageAccepted")), "all arrived")
        relay.kill()


def wait_for_more(spool: Path, count: int) -> None:
    wait_until(lambda: len(list(spool.glob("*.json"))) > count, "a batch on the disk")


def wait_for_all(wanted: list[str], hook: Hook, spool: Path) -> None:
    wait_until(lambda: set(wanted) <= kept(hook, spool), "delivered or on the disk")


def kept(hook: Hook, spool: Path) -> set[str]:
    found = set(ids(hook.records(), "MessageAccepted"))
    for file in spool.glob("*.json"):
        found |= set(ids_in(file))
    return found


def ids_in(file: Path) -> list[str]:
    try:
        return ids(json.loads(file.read_bytes())["records"], "MessageAccepted")
    except FileNotFoundError:  # delivered meanwhile
        return []


def test_logrotate_may_rename_the_file(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with Relay(tmp_path / "relay", f'{CAPTURE}\n[sinks.file]\nto = "file:{path}"\n') as relay:
        send(relay)
        wait_until(lambda: "MessageRemoved" in path.read_text(), "written")
        path.rename(tmp_path / "records.jsonl.1")
        wait_until(path.exists, "made anew")
        send(relay)
        wait_until(lambda: "MessageRemoved" in path.read_text(), "written to the new file")
        relay.stop()
        logged = relay.records()
    kept_lines = (tmp_path / "records.jsonl.1").read_text() + path.read_text()
    assert [json.loads(line) for line in kept_lines.splitlines()] == logged
