"""Traces of a real relay, at a real collector: one a message, over a deferral and a restart.

Without a collector mail flows as before.
"""

import os
import signal
import smtplib
import subprocess
import sys
from pathlib import Path

import pytest

from postroad.observe.spans import is_kept, root_of
from tests.support.collector import KEY, SECRET, Collector
from tests.support.relay import CAPTURE, QUICK_RETRY, Relay, route, wait_until
from tests.support.sink import Sink


def send(relay: Relay, count: int = 1) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        for _ in range(count):
            client.sendmail("alice@example.org", ["bob@example.net"], b"Subject: x\r\n\r\nx\r\n")


def traces(collector: Collector, more: str = "") -> str:
    return f"""
[sinks.traces]
to = "{collector.place}"
delay = "50ms"
headers = {{ {KEY} = "{SECRET}" }}
{more}
"""


def test_one_trace_over_a_deferral_and_a_restart(tmp_path: Path) -> None:
    with Sink(refuse={"bob@example.net": "450 4.2.0 Greylisted"}) as sink, Collector() as collector:
        more = route(f"smtp://127.0.0.1:{sink.port}") + QUICK_RETRY + traces(collector)
        with Relay(tmp_path / "relay", more) as relay:
            send(relay)
            relay.wait_for("RecipientDeferred")
            relay.stop()
            assert collector.named("receive"), "sent before the end"
            sink.refuse.clear()
            relay.start()
            relay.wait_for("MessageRemoved")
            wait_until(lambda: collector.named("message"), "the root")
            relay.stop()
            tries = relay.records("RecipientDeferred") + relay.records("RecipientDelivered")
            queue_id = relay.records("MessageAccepted")[0]["id"]
            opened = next(entry["at"] for entry in relay.records("ConnectionOpened") if entry["at"] > 0)
            assert SECRET not in relay.log_file.read_text()
        assert {seen[KEY] for seen in collector.seen} == {SECRET}
    root = root_of(queue_id)
    found = collector.spans
    assert {got.span.trace_id for got in found} == {root.trace}, "one trace"
    assert {got.name for got in found} == {"session", "receive", "deliver", "message"}
    assert {got.span.parent_span_id for got in found if got.name != "message"} == {root.span}
    (message,) = collector.named("message")
    assert (message.span.span_id, message.span.parent_span_id) == (root.span, b"")
    assert len({got.resource["process.pid"] for got in found}) == 2, "of both processes"
    (session,) = collector.named("session")
    (receive,) = collector.named("receive")
    assert session.attributes["client.address"] == receive.attributes["client.address"] == "127.0.0.1"
    assert opened * 1000 <= session.span.start_time_unix_nano == receive.span.start_time_unix_nano
    delivers = collector.named("deliver")
    assert sorted(got.span.end_time_unix_nano for got in delivers) == sorted(entry["at"] * 1000 for entry in tries)
    *before, last = sorted(delivers, key=lambda got: got.span.end_time_unix_nano)
    assert before
    for got in before:
        assert got.attributes["error.type"] == "450 4.2.0"
        assert "deferred" in [event.name for event in got.span.events]
        assert got.span.status.code == 2
    assert last.attributes["postroad.reply.code"] == 250
    assert last.attributes["server.port"] == sink.port
    assert last.attributes["network.peer.address"] == "127.0.0.1"
    assert last.attributes["postroad.attempt"] == len(delivers)
    assert last.span.status.code == 0
    assert message.span.end_time_unix_nano >= last.span.end_time_unix_nano


def test_the_ratio_chooses_whole_messages(tmp_path: Path) -> None:
    with Collector() as collector, Relay(tmp_path / "relay", CAPTURE + traces(collector, "ratio = 0.5")) as relay:
        send(relay, 60)
        relay.wait_for("MessageRemoved", 60)
        relay.stop()
        names = [entry["id"] for entry in relay.records("MessageAccepted")]
        kept = {root_of(name).trace for name in names if is_kept(root_of(name).trace, 0.5)}
        assert 0 < len(kept) < 60
        for name in ("receive", "deliver", "session", "message"):
            assert sorted(got.span.trace_id for got in collector.named(name)) == sorted(kept)


def test_a_dead_collector_costs_no_mail(tmp_path: Path) -> None:
    collector = Collector()
    relay = Relay(tmp_path / "relay", CAPTURE + traces(collector, "buffer = 100\nbatch = 50"))
    relay.start()
    send(relay, 300)
    relay.wait_for("MessageRemoved", 300)
    relay.wait_for("SinkFaulted", sink="traces")
    relay.wait_for("RecordsDropped", sink="traces")
    assert relay.stop() == 0
    assert SECRET not in relay.log_file.read_text()


def test_a_collector_that_hangs_keeps_neither_mail_nor_the_end(tmp_path: Path) -> None:
    with Collector() as collector:
        collector.hangs = True
        relay = Relay(tmp_path / "relay", CAPTURE + traces(collector, 'timeout = "2m"'))
        relay.start()
        send(relay, 20)
        relay.wait_for("MessageRemoved", 20)
        wait_until(lambda: collector.bodies, "a request that hangs")
        assert relay.stop() == 0
        told = relay.records("RecordsDropped", sink="traces")
        assert told, "what was not sent is counted"
        assert "Traceback" not in relay.log_file.read_text()


def test_a_reload_begins_to_trace_and_ends_it(tmp_path: Path) -> None:
    with Collector() as collector:
        relay = Relay(tmp_path / "relay", CAPTURE)
        plain = relay.config.read_text()
        relay.start()
        send(relay)
        relay.config.write_text(plain + traces(collector))
        reload(relay, 1)
        send(relay)
        wait_until(lambda: len(collector.named("message")) == 1, "the second message")
        relay.config.write_text(plain + traces(collector).replace(SECRET, "another"))
        reload(relay, 2)
        send(relay)
        wait_until(lambda: len(collector.named("message")) == 2, "the third message")
        assert [seen[KEY] for seen in collector.seen][-1] == "another"
        relay.config.write_text(plain)
        reload(relay, 3)
        send(relay)
        relay.wait_for("MessageRemoved", 4)
        relay.stop()
        assert len(collector.named("message")) == 2
        assert SECRET not in relay.log_file.read_text()


def reload(relay: Relay, count: int) -> None:
    os.kill(relay.pid, signal.SIGHUP)
    relay.wait_for("ConfigReloaded", count)


def test_without_the_extra_the_server_says_what_to_install(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "relay", CAPTURE + traces(Collector()))
    code = "import sys; sys.modules['opentelemetry'] = None; from postroad.cli.main import main; main()"
    command = [sys.executable, "-c", code, "serve", "-c", str(relay.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    assert 'the Python package opentelemetry is not installed: pip install "postroad[otel]"' in done.stderr
    assert "sinks.traces.to" in done.stderr


@pytest.mark.parametrize("value", ["", "not a ratio"])
def test_secrets_of_headers_are_not_shown(tmp_path: Path, value: str) -> None:
    relay = Relay(tmp_path / "relay", CAPTURE + traces(Collector(), f'ratio = "{value}"'))
    command = [sys.executable, "-m", "postroad", "check", "-c", str(relay.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    assert "sinks.traces.ratio" in done.stderr
    assert SECRET not in done.stdout + done.stderr
