"""A real relay with a desk: what probes and Prometheus get of it, read by Prometheus' own tools.

Mail is sent, deferred and refused; the numbers must be those of the log, promtool must find no fault with the page, and
readiness must follow what the relay does.
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import smtplib
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.meta.source import TOP
from tests.support.ports import free_port
from tests.support.processes import MakeRelay, Processes, keep_records
from tests.support.relay import BODY_CANARY, Relay, route, wait_until

RULES = TOP / "contrib" / "prometheus" / "postroad.rules.yml"
MESSAGE = f"Subject: metrics\r\n\r\n{BODY_CANARY}\r\n"

Key = tuple[str, tuple[tuple[str, str], ...]]


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body of a page."""
    peer = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        peer.request("GET", path)
        answer = peer.getresponse()
        return answer.status, answer.read().decode()
    finally:
        peer.close()


def values(page: str) -> dict[Key, float]:
    """Every sample of a page, as the official parser reads it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def desk(port: int) -> str:
    return f'\n[desk]\nbind = ["127.0.0.1:{port}"]\n'


def promtool() -> str:
    found = shutil.which("promtool")
    assert found, "promtool (Debian's package prometheus) is missing; `make test` installs it"
    return found


def check_page(page: str) -> None:
    done = subprocess.run(
        [promtool(), "check", "metrics"], input=page, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stdout + done.stderr


def test_the_numbers_are_those_of_the_log(tmp_path: Path, make_relay: MakeRelay) -> None:
    port = free_port()
    dead = free_port()
    more = desk(port) + route("capture:", recipients=["ok.example"]) + route(f"smtp://127.0.0.1:{dead}")
    with make_relay(tmp_path, more) as relay:
        assert get(port, "/healthz") == (200, "alive\n")
        wait_until(lambda: get(port, "/readyz")[0] == 200, "ready")
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
            for number in range(3):
                client.sendmail("a@example.com", [f"r{number}@ok.example"], MESSAGE)
            client.sendmail("a@example.com", ["x@dead.example", "y@dead.example"], MESSAGE)
            assert client.docmd("MAIL FROM:<broken")[0] == 501
            relay.wait_for("RecipientDelivered", 3)
            relay.wait_for("RecipientDeferred", 2)
            found = values(get(port, "/metrics")[1])
            assert found["postroad_sessions", ()] == 1
        relay.wait_for("ConnectionClosed", 2)  # ours, and the one that waited for the greeting
        page = get(port, "/metrics")[1]
        check_page(page)
        found = values(page)
        listener = ("listener", "test")
        assert found["postroad_message_accepted_total", (listener,)] == len(relay.records("MessageAccepted")) == 4
        assert found["postroad_message_size_bytes_count", ()] == 4
        assert found["postroad_message_recipients_sum", ()] == 5
        assert found["postroad_recipient_delivered_total", (("source", ""),)] == 3
        assert found["postroad_delivery_delay_seconds_count", ()] == 3
        assert sum(value for key, value in found.items() if key[0] == "postroad_recipient_deferred_total") == 2
        assert sum(value for key, value in found.items() if key[0] == "postroad_command_refused_total") == 1
        assert found["postroad_message_removed_total", ()] == 3
        assert found["postroad_queue_messages", ()] == 1
        assert found["postroad_ready", ()] == 1
        assert found["postroad_sessions", ()] == 0
        assert found["postroad_spool_sync_seconds_count", ()] >= 1
        assert found["postroad_spool_free_bytes", ()] > 0
        assert found["process_resident_memory_bytes", ()] > 10e6
        assert found["process_open_fds", ()] > 5


def test_the_queue_is_told_by_next_hop_and_age(tmp_path: Path) -> None:
    port = free_port()
    dead = free_port()
    with Relay(tmp_path, desk(port) + route(f"smtp://127.0.0.1:{dead}")) as relay:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
            client.sendmail("a@example.com", ["x@dead.example", "y@dead.example"], MESSAGE)
        relay.wait_for("RecipientDeferred", 2)
        found = values(get(port, "/metrics")[1])
        lanes = {key[1]: value for key, value in found.items() if key[0] == "postroad_queue_recipients" and value}
        (labels, count), *more = lanes.items()
        assert not more
        assert count == 2
        assert dict(labels)["age"] == "5m"
        assert str(dead) in dict(labels)["lane"]


def test_look_ups_are_counted(tmp_path: Path) -> None:
    port = free_port()
    with Relay(tmp_path, desk(port) + route("mx")) as relay:  # its name server is a port where nobody is
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
            client.sendmail("a@example.com", ["x@dead.example"], MESSAGE)
        relay.wait_for("RecipientDeferred")
        found = values(get(port, "/metrics")[1])
        assert found["postroad_dns_lookups_total", (("result", "unreachable"), ("type", "MX"))] >= 1
        assert found["postroad_dns_lookup_seconds_count", ()] >= 1


def test_without_room_it_is_not_ready_but_alive(tmp_path: Path, make_relay: MakeRelay) -> None:
    port = free_port()
    with make_relay(tmp_path, desk(port) + '\n[spool]\nfree_space = "1000TiB"\n' + route("capture:")):
        wait_until(lambda: "no room" in get(port, "/readyz")[1], "no room is told")
        assert get(port, "/readyz")[0] == 503
        assert get(port, "/healthz")[0] == 200
        assert values(get(port, "/metrics")[1])["postroad_ready", ()] == 0


def test_while_it_drains_it_is_not_ready_but_alive(tmp_path: Path, make_relay: MakeRelay) -> None:
    port = free_port()
    relay = make_relay(tmp_path, desk(port) + route("capture:"))
    with relay, contextlib.closing(smtplib.SMTP("127.0.0.1", relay.port, timeout=20)) as client:
        client.ehlo()
        client.mail("a@example.com")
        client.rcpt("x@ok.example")
        assert client.docmd("DATA")[0] == 354  # a transaction that runs holds the drain up
        os.kill(relay.pid, signal.SIGTERM)
        wait_until(lambda: get(port, "/readyz") == (503, "the server is being stopped\n"), "the drain is told")
        assert get(port, "/healthz")[0] == 200
        client.send(f"{MESSAGE}.\r\n".encode())
        assert client.getreply()[0] == 250
        assert relay.stop() == 0
        with pytest.raises(OSError, match="refused"):
            get(port, "/healthz")


def test_sums_over_processes_never_sink_and_a_missing_one_is_told(tmp_path: Path) -> None:
    port = free_port()
    accepted = ("postroad_message_accepted_total", (("listener", "test"),))
    delivered = ("postroad_recipient_delivered_total", (("source", ""),))

    def counts() -> tuple[float, float]:
        page = values(get(port, "/metrics")[1])
        return page.get(accepted, 0), page.get(delivered, 0)

    with Processes(tmp_path, desk(port) + route("capture:")) as relay:

        def send(count: int) -> None:
            for _ in range(count):
                with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
                    client.sendmail("a@example.com", "b@example.net", MESSAGE)

        send(12)
        wait_until(lambda: counts() == (12, 12), "all of it counted")
        page = values(get(port, "/metrics")[1])
        assert page["process_open_fds", ()] > 30  # of all together
        assert page["postroad_sessions", ()] == 0
        assert page["postroad_ready", ()] == 1
        for number, name in enumerate(("edge-1", "courier", "edge-2"), 1):
            relay.hurt_and_wait(name)
            wait_until(lambda: get(port, "/readyz")[0] == 200, "all works again")
            assert counts() == (12 * number, 12 * number)
            send(12)
            wait_until(lambda seen=12 * (number + 1): counts() == (seen, seen), "all of it counted")  # type: ignore[misc]
        lost = {key: value for key, value in values(get(port, "/metrics")[1]).items() if "process_lost_total" in key[0]}
        assert sum(lost.values()) == 3
        place, aside = relay.data / "spool" / "journal" / "edge-1", tmp_path / "aside"
        place.rename(aside)
        place.write_text("no folder")
        relay.hurt("edge-1")
        missing = (503, "of the processes that take mail 1 do not work\n")
        wait_until(lambda: get(port, "/readyz") == missing, "the missing one is told")
        place.unlink()
        aside.rename(place)
        wait_until(lambda: get(port, "/readyz") == (200, "ready\n"), "all works again")
        keep_records(relay)


def test_without_the_section_nobody_listens(tmp_path: Path) -> None:
    with Relay(tmp_path) as relay:
        started = relay.wait_for("ServerStarted")[0]
        assert [line.split()[0] for line in started["listeners"]] == ["test"]


def test_promtool_takes_the_alert_rules() -> None:
    done = subprocess.run(
        [promtool(), "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_promtool_takes_every_query_of_the_dashboard(tmp_path: Path) -> None:
    dashboard = json.loads((TOP / "contrib" / "grafana" / "postroad.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = [
        {"record": f"dashboard:{number}", "expr": re.sub(r"\$__rate_interval", "5m", query)}
        for number, query in enumerate(queries)
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    done = subprocess.run(
        [promtool(), "check", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(queries) > 30


def series(name: str, values: str, /, **labels: str) -> dict[str, str]:
    """A time series as promtool wants it: `0+10x180` begins at 0 and grows by 10 in each of 180 minutes."""
    inside = ",".join(f'{key}="{value}"' for key, value in {"job": "postroad", "instance": "a", **labels}.items())
    return {"series": f"{name}{{{inside}}}", "values": values}


WELL = [
    series("up", "1x180"),
    series("postroad_ready", "1x180"),
    series("postroad_spool_free_bytes", "5e9x180"),
    series("postroad_queue_recipients", "500x180", lane="mx:a", age="5m"),
    series("postroad_recipient_delivered_total", "0+600x180", source=""),
    series("postroad_recipient_failed_total", "0+10x180", source="", scope="recipient", code="550", expired="false"),
    series("postroad_dns_lookups_total", "0+100x180", type="MX", result="found"),
    series("postroad_spool_damaged_total", "0x180"),
    series("postroad_delivery_faulted_total", "0x180"),
    series("postroad_directory_faulted_total", "0x170 3x10", directory="ad", server="ldaps://dc1.example.com:636"),
    series("process_open_fds", "100x180"),
    series("process_max_fds", "1000x180"),
]
ILL = [
    series("up", "0x180"),
    series("postroad_ready", "0x180"),
    series("postroad_spool_free_bytes", "5e9-20e6x180"),
    series("postroad_queue_recipients", "101x180", lane="mx:a", age="1280m"),
    series("postroad_queue_messages", "2000+10x180"),
    series("postroad_recipient_delivered_total", "0+600x180", source=""),
    series("postroad_recipient_failed_total", "0+300x180", source="", scope="recipient", code="550", expired="false"),
    series("postroad_dns_lookups_total", "0+100x180", type="MX", result="timed_out"),
    series("postroad_spool_sync_seconds_bucket", "0x180", le="0.5"),
    series("postroad_spool_sync_seconds_bucket", "0+60x180", le="1"),
    series("postroad_spool_sync_seconds_bucket", "0+60x180", le="+Inf"),
    series("postroad_event_loop_lag_seconds_bucket", "0x180", le="0.25"),
    series("postroad_event_loop_lag_seconds_bucket", "0+60x180", le="0.5"),
    series("postroad_event_loop_lag_seconds_bucket", "0+60x180", le="+Inf"),
    series("postroad_spool_damaged_total", "0x170 1x10"),
    series("postroad_policy_faulted_total", "_x170 1x10", policy="dnsbl", stage="rcpt"),
    series("postroad_log_records_left_out_total", "0x170 12x10"),
    series("postroad_records_dropped_total", "_x170 12x10", sink="siem"),
    series("postroad_work_failed_total", "_x170 1x10", job="message.mime.to_quoted_printable", cause="timeout"),
    series("postroad_process_lost_total", "_x170 1x10", name="edge 1"),
    series("postroad_directory_faulted_total", "0+1x180", directory="ad", server="ldaps://dc1.example.com:636"),
    series("process_open_fds", "900x180"),
    series("process_max_fds", "1000x180"),
]


def test_the_alerts_come_when_they_should_and_not_before(tmp_path: Path) -> None:
    """Played to the rules by promtool: a server that is well, then one in trouble."""
    names = re.findall(r"alert: (\w+)", RULES.read_text())
    groups = [
        {
            "interval": "1m",
            "input_series": given,
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "3h",
                    "exp_samples": [
                        {"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names) if given is ILL
                    ],
                }
            ],
        }
        for given in (WELL, ILL)
    ]
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": groups}))
    done = subprocess.run(
        [promtool(), "test", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(names) == 17


def test_a_port_that_is_taken_is_told_and_nothing_starts(tmp_path: Path) -> None:
    port = free_port()
    with Relay(tmp_path / "one", desk(port)):
        other = Relay(tmp_path / "two", desk(port))
        with pytest.raises(AssertionError, match=rf"\(78\).*desk.bind\[0\]: cannot listen on 127.0.0.1:{port}"):
            other.start()
