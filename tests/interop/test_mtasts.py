"""Whole servers and MTA-STS: mail goes where the policy that is kept lets it; TLS reports count what became of it."""

import json
import smtplib
import time
from pathlib import Path

from postroad.model.sts import StsKept, StsPolicy
from postroad.store.stspolicies import StsStore
from tests.support.authority import Authority
from tests.support.command import run_command
from tests.support.dnsserver import DnsServer
from tests.support.relay import CAPTURE, Relay, route, wait_until

DOMAINS = ("good.example", "other.example", "testing.example")
MORE = """
[tls_out]
mta_sts = true
ca = "{ca}"
[tls_reports]
from = "tlsrpt@relay.example.com"
"""


def keep(file: Path, domain: str, mode: str, mx: str) -> None:
    store, now = StsStore(file), time.time_ns() // 1000
    lines = ("version: STSv1", f"mode: {mode}", f"mx: {mx}", "max_age: 86400")
    store.put(StsKept(domain, "1", StsPolicy(mode, 86400, (mx,), lines), now, now, now))
    store.close()


def test_mail_goes_where_the_policy_lets_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    issued = authority.issue("good", ["good.example"])
    zones = dict.fromkeys(DOMAINS, "@ A 127.0.0.1")
    with DnsServer(zones) as dns, Relay(tmp_path / "mx", f"[tls]\n{issued.options}\n{CAPTURE}") as receiver:
        data = tmp_path / "data"
        data.mkdir()
        keep(data / "mta-sts.db", "good.example", "enforce", "good.example")
        keep(data / "mta-sts.db", "other.example", "enforce", "other.example")  # the certificate has another name
        keep(data / "mta-sts.db", "testing.example", "testing", "testing.example")
        routes = "".join(route(f"smtp://{name}:{receiver.port}", recipients=[name]) for name in DOMAINS)
        sender = Relay(tmp_path / "sender", MORE.format(ca=authority.file) + routes, data=data)
        text = sender.config.read_text().replace('nameservers = ["127.0.0.1:9"]', f'nameservers = ["{dns.nameserver}"]')
        sender.config.write_text(text)
        with sender:
            with smtplib.SMTP("127.0.0.1", sender.port, timeout=60) as client:
                for name in DOMAINS:
                    client.sendmail("a@example.com", [f"b@{name}"], "Subject: x\r\n\r\ntext\r\n")
            wait_until(lambda: len(sender.records("RecipientDelivered")) == 2, "two deliveries")
            wait_until(lambda: sender.records("RecipientDeferred"), "a deferral")
        (deferred,) = {one["recipient"] for one in sender.records("RecipientDeferred")}
        assert deferred == "b@other.example"
        found = run_command("tls", "reports", "-c", sender.config, "--json")
    reports = [json.loads(line) for line in found.out.splitlines()]
    told = {one["policies"][0]["policy"]["policy-domain"]: one["policies"][0] for one in reports}
    assert set(told) == set(DOMAINS)
    assert told["good.example"]["summary"]["total-successful-session-count"] >= 1
    assert told["good.example"]["summary"]["total-failure-session-count"] == 0
    assert told["good.example"]["policy"]["mx-host"] == ["good.example"]
    for name in ("other.example", "testing.example"):
        assert told[name]["failure-details"][0]["result-type"] == "certificate-host-mismatch", name
        assert told[name]["failure-details"][0]["receiving-ip"] == "127.0.0.1"
