"""Aggregate reports come by swaks as providers send them, through two processes that take mail, and are shown."""

import gzip
import json
import subprocess
import zipfile
from pathlib import Path

from tests.support.command import run_command
from tests.support.processes import Processes
from tests.support.relay import CAPTURE, Relay

TO = "dmarc@ours.example"
SETTINGS = f"""
[dmarc_reports]
received_at = ["{TO}"]
"""
REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<feedback>
  <report_metadata><org_name>{by}</org_name><email>dmarc@{by}</email><report_id>{id}</report_id>
    <date_range><begin>1790000000</begin><end>1790086399</end></date_range></report_metadata>
  <policy_published><domain>ours.example</domain><p>none</p></policy_published>
  <record><row><source_ip>192.0.2.1</source_ip><count>{good}</count>
    <policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>pass</spf></policy_evaluated></row>
    <identifiers><header_from>ours.example</header_from></identifiers>
    <auth_results><dkim><domain>ours.example</domain><result>pass</result></dkim>
      <spf><domain>ours.example</domain><result>pass</result></spf></auth_results></record>
  <record><row><source_ip>2001:db8::bad</source_ip><count>{bad}</count>
    <policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row>
    <identifiers><header_from>ours.example</header_from></identifiers>
    <auth_results><spf><domain>old-shop.example</domain><result>pass</result></spf></auth_results></record>
</feedback>
"""


def swaks(relay: Relay, file: Path, kind: str, *, subject: str = "Report domain: ours.example") -> None:
    """Send `file` as a part of type `kind`."""
    command = ["swaks", "--server", "127.0.0.1", "--port", str(relay.port), "--helo", "mail.big.example"]
    command += ["--from", "dmarc@big.example", "--to", TO, "--header", f"Subject: {subject}"]
    command += ["--attach-type", kind, "--attach-name", file.name, "--attach", f"@{file}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_reports_by_swaks(tmp_path: Path) -> None:
    packed, archive, broken = tmp_path / "a.xml.gz", tmp_path / "b.zip", tmp_path / "c.xml.gz"
    packed.write_bytes(gzip.compress(REPORT.format(by="big.example", id="g1", good=1200, bad=310).encode()))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("../../b.xml", REPORT.format(by="office.example", id="z1", good=4, bad=1))
    broken.write_bytes(gzip.compress(b"<" * (21 << 20)))
    with Processes(tmp_path / "relay", CAPTURE + SETTINGS) as relay:
        for _ in range(4):
            swaks(relay, packed, "application/gzip")
        swaks(relay, archive, "application/octet-stream")
        swaks(relay, broken, "application/gzip", subject="a bomb")
        broken.write_bytes(bytes(11 << 20))
        swaks(relay, broken, "application/gzip", subject="eleven mebibytes")
        relay.wait_for("MessageDiscarded", 5)
        relay.wait_captured(b"a bomb")
        relay.wait_captured(b"eleven mebibytes")
        bomb, large = relay.wait_for("MessageAdjusted", 2)
        assert bomb["reason"].endswith("the report is larger than 20 MiB")
        assert large["reason"] == "not looked at: a mail of a report is at most 10 MiB"
    # the server is gone; what it kept is not
    by_source = run_command("dmarc", "reports", "--sources", "-c", relay.config).out.splitlines()
    assert by_source == [
        "ours.example 2001:db8::bad: 311 messages, 0 by DKIM, 0 by SPF, 311 not proven, 0 refused (old-shop.example)",
        "ours.example 192.0.2.1: 1204 messages, 1204 by DKIM, 1204 by SPF, 0 not proven, 0 refused (ours.example)",
    ]
    lines = run_command("dmarc", "reports", "ours.example", "--json", "-c", relay.config).out.splitlines()
    assert sorted(json.loads(line)["id"] for line in lines) == ["g1", "z1"]
    assert run_command("dmarc", "reports", "other.example", "-c", relay.config).out == ""
