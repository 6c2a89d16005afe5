"""Strangers' mail before a relay with `spf`, `dkim` and `dmarc`: what is taken, refused and held, and how it leaves."""

import smtplib
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from postroad.config.load import load_config
from postroad.message.dmarcreportread import report_in_mail
from tests.support.command import run_command
from tests.support.dnsserver import DnsServer
from tests.support.mailauth import chain, check, key, seal, sign, zone
from tests.support.relay import CAPTURE, Relay

POLICIES = "".join(f'\n[[policies]]\nuse = "{name}"\n' for name in ("spf", "dkim", "dmarc"))
TRUSTED = 'fail = "tag"\n\n[[policies]]\nuse = "dkim"\n\n[[policies]]\nuse = "dmarc"\nmailing_lists = ["list.test"]\n'
RSA = key("rsa2048")
OURS = key("ed25519", 5, "ours.example")
ZONES = {
    "com": "",
    "test": "",
    "example.com": '@ TXT "v=spf1 -all"\n_dmarc TXT "v=DMARC1; p=reject"\n',
    "proven.test": '@ TXT "v=spf1 ip4:127.0.0.1 -all"\n_dmarc TXT "v=DMARC1; p=reject"\n',
    "doubted.test": '@ TXT "v=spf1 ?all"\n_dmarc TXT "v=DMARC1; p=quarantine"\n',
    "watched.test": '@ TXT "v=spf1 ?all"\n_dmarc TXT "v=DMARC1; p=none"\n',
    "asking.test": '@ TXT "v=spf1 ip4:127.0.0.1 -all"\n'
    '_dmarc TXT "v=DMARC1; p=reject; rua=mailto:d@asking.test; ruf=mailto:f@asking.test"\n',
    "list.test": '@ TXT "v=spf1 ip4:127.0.0.1 -all"\n',
}
FORGED = (
    b"Authentication-Results: Relay.Example.COM; dmarc=pass\r\n\theader.from=example.com\r\n",
    b"authentication-results: (they say) relay.example.com 1; spf=pass\r\n",
)
KEPT = b"Authentication-Results: elsewhere.example; spf=pass\r\n"


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    record = RSA.record()
    parts = " ".join(f'"{record[at : at + 255]}"' for at in range(0, len(record), 255))
    zones = {**ZONES, "example.com": ZONES["example.com"] + f"{RSA.selector}._domainkey TXT {parts}\n"}
    made = Relay(tmp_path, CAPTURE + POLICIES)
    text = made.config.read_text().replace('relay_networks = ["127.0.0.0/8"]', 'relay_networks = ["127.0.0.9/32"]')
    with DnsServer(zones) as dns:
        text = text.replace("[access]\n", '[access]\nrelay_domains = ["ours.example"]\n')
        made.config.write_text(text.replace('"127.0.0.1:9"', f'"{dns.nameserver}"'))
        yield made


def mail(author: str, subject: str, more: bytes = b"", body: bytes = b"hello\r\n") -> bytes:
    """A message from somebody."""
    return more + f"From: {author}\r\nTo: ann@ours.example\r\nSubject: {subject}\r\n\r\n".encode() + body


def send(relay: Relay, sender: str, message: bytes) -> str:
    """What the message was refused with, "" when it was taken."""
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        try:
            client.sendmail(sender, ["ann@ours.example"], message)
        except smtplib.SMTPDataError as error:
            return f"{error.smtp_code} {error.smtp_error!r}"
        except smtplib.SMTPRecipientsRefused as error:
            return str(error.recipients["ann@ours.example"])
    return ""


def arrived(relay: Relay, subject: str) -> tuple[str, bytes]:
    """The results on top, unfolded, and everything below our own fields."""
    (found,) = relay.wait_captured(f"Subject: {subject}\r\n".encode())
    _, _, left = found.partition(b"Authentication-Results: ")
    results, _, left = left.partition(b"Received: ")
    trace, _, rest = left.partition(b"\r\n")
    while rest[:1] in (b"\t", b" "):
        _, _, rest = rest.partition(b"\r\n")
    assert trace
    return " ".join(results.decode().split()), rest


def test_what_is_proven_is_taken_and_told_to_those_behind_us(relay: Relay) -> None:
    with relay:
        now = int(time.time())
        signed = sign(mail("joe@example.com", "signed"), [RSA], now=now)
        assert send(relay, "joe@proven.test", signed) == ""
        results, rest = arrived(relay, "signed")
        assert rest == signed
        assert results.startswith("relay.example.com;")
        assert "spf=pass smtp.mailfrom=proven.test" in results
        assert f"dkim=pass header.d=example.com header.s={RSA.selector}" in results
        assert "dmarc=pass header.from=example.com policy.dmarc=reject" in results
        assert send(relay, "joe@proven.test", mail("joe@proven.test", "by spf")) == ""
        assert "dmarc=pass" in arrived(relay, "by spf")[0]
        assert send(relay, "joe@watched.test", mail("joe@watched.test", "watched")) == ""
        assert "dmarc=fail" in arrived(relay, "watched")[0]


RULES = """
[[rules]]
name = "forged"
when = { finding = "dmarc:fail" }
then = { quarantine = "nobody proves the author" }

[[rules]]
name = "broken"
when = { finding = ["dkim:fail", "arc:fail"] }
then = { hold = "a signature does not hold" }

[[rules]]
name = "nobody"
when = { finding = "dmarc:permerror" }
then = { reject = "5.6.0 no author" }
"""


def test_rules_about_what_the_content_shows_hold_in_a_session(relay: Relay) -> None:
    text = relay.config.read_text().replace('use = "dmarc"', 'use = "dmarc"\nno_author = "ignore"\nreject = "tag"')
    relay.config.write_text(text + RULES)
    with relay:
        assert send(relay, "joe@proven.test", mail("joe@example.com", "forged")) == ""
        (held,) = relay.wait_for("RecipientHeld", 1)
        assert "nobody proves the author" in held["reason"]
        signed = sign(mail("joe@proven.test", "broken"), [RSA], now=int(time.time()))
        assert send(relay, "joe@proven.test", signed.replace(b"hello", b"Hello")) == ""
        assert "a signature does not hold" in relay.wait_for("RecipientHeld", 2)[1]["reason"]
        assert "no author" in send(relay, "joe@proven.test", b"Subject: nobody\r\n\r\nhello\r\n")
        whole = sign(mail("joe@proven.test", "whole"), [RSA], now=int(time.time()))
        assert send(relay, "joe@proven.test", whole) == ""
        assert arrived(relay, "whole")[1] == whole


def test_what_is_not_proven_is_refused_or_held_as_its_domain_asks(relay: Relay) -> None:
    with relay:
        refusal = send(relay, "joe@proven.test", mail("joe@example.com", "forged"))
        assert "5.7.1 Refused by the DMARC policy" in refusal
        (record,) = relay.wait_for("CommandRefused", 1, stage="message")
        assert record["detail"].startswith("dmarc: ")
        assert "example.com" in record["detail"]
        assert send(relay, "joe@doubted.test", mail("joe@doubted.test", "doubted")) == ""
        (held,) = relay.wait_for("RecipientHeld", 1)
        assert "doubted.test" in held["reason"]
        assert "5.7.23" in send(relay, "joe@example.com", mail("joe@example.com", "by spf"))


def test_results_that_claim_to_be_ours_are_not_sent_on_and_all_else_is_as_it_came(relay: Relay) -> None:
    with relay:
        for subject, body in (("small", b"hello\r\n"), ("large", b"a line of a large message \r\n" * 20_000)):
            one, two = FORGED
            pieces = (b"X-One: 1\r\n", one, KEPT, two)
            text = mail("joe@proven.test", subject, b"".join(pieces), body)
            assert send(relay, "joe@proven.test", text) == ""
            results, rest = arrived(relay, subject)
            assert rest == text.replace(one, b"").replace(two, b"")
            assert "dmarc=pass header.from=proven.test" in results
        told = relay.wait_for("MessageAdjusted", 2)
        count = sum(map(len, FORGED))
        assert {one["reason"] for one in told} == {
            f"results: {count} octets of Authentication-Results in our name are not sent on"
        }


def test_a_list_may_break_what_proves_the_author(relay: Relay) -> None:
    text = relay.config.read_text()
    first = text.index("[[policies]]")
    relay.config.write_text(text[:first] + '[[policies]]\nuse = "spf"\n' + TRUSTED)
    with relay:
        assert send(relay, "news@list.test", mail("joe@example.com", "[list] hello")) == ""
        results, _ = arrived(relay, "[list] hello")
        assert "dmarc=fail" in results
        assert send(relay, "joe@proven.test", mail("joe@example.com", "forged")).startswith("550")


def test_what_strangers_bring_is_sealed_for_those_behind_us(relay: Relay) -> None:
    sealer, other = key("rsa2048", 3, "ours.example"), key("rsa2048", 4, "before.test")
    (relay.folder / "seal.pem").write_bytes(sealer.pem())
    section = f'\n[dkim.seal]\ndomain = "ours.example"\nselector = "{sealer.selector}"\n'
    section += f'key = {{ file = "{relay.folder / "seal.pem"}" }}\n'
    relay.config.write_text(relay.config.read_text() + section)
    known = zone(sealer, other)
    with relay:
        now = int(time.time())
        for subject, body in (("small", b"hello\r\n"), ("large", b"a line of a large message \r\n" * 20_000)):
            text = mail("joe@proven.test", f"sealed {subject}", FORGED[0], body)
            assert send(relay, "joe@proven.test", text) == ""
            found = chain(whole(relay, f"sealed {subject}"), known, now=now)
            assert (found.result, found.instances, found.sealers) == ("pass", 1, ("ours.example",))
            assert "dmarc=pass" in found.claims[0]
        for by, result, subject in ((RSA, "pass", "passed on"), (other, "fail", "its key is gone")):
            earlier, fault = seal(mail("joe@proven.test", subject), by, zone(RSA, other), now=now)
            assert fault == ""
            assert send(relay, "joe@proven.test", earlier) == ""
            twice = whole(relay, subject)
            assert f"i=2; cv={result};".encode() in twice.replace(b"\r\n\t", b" ")
            if result == "pass":
                found = chain(twice, {**known, **zone(RSA)}, now=now)
                assert (found.result, found.sealers) == ("pass", ("example.com", "ours.example"))
        assert len(relay.wait_for("MessageSigned", 4, reason="sealed for those behind us")) == 4


def whole(relay: Relay, subject: str) -> bytes:
    """The message as it left."""
    (found,) = relay.wait_captured(f"Subject: {subject}\r\n".encode())
    return found.partition(b"X-Envelope-To: ")[2].partition(b"\r\n")[2]


def test_whoever_asks_for_it_gets_received_spf_under_the_seal(relay: Relay) -> None:
    sealer, other = key("rsa2048", 3, "ours.example"), b"Received-SPF: pass receiver=other.example\r\n"
    (relay.folder / "seal.pem").write_bytes(sealer.pem())
    section = f'\n[dkim.seal]\ndomain = "ours.example"\nselector = "{sealer.selector}"\n'
    section += f'key = {{ file = "{relay.folder / "seal.pem"}" }}\n'
    text = relay.config.read_text().replace('use = "spf"\n', 'use = "spf"\nsoftfail = "ignore"\nreceived_spf = true\n')
    relay.config.write_text(text + section)
    with relay:
        forged = b"Received-SPF: pass (relay.example.com: trust me)\r\n\treceiver=Relay.example.com; helo=x\r\n"
        come = mail("joe@proven.test", "told", forged + other)
        with smtplib.SMTP("127.0.0.1", relay.port, "[127.0.0.1]", timeout=60) as client:
            client.sendmail('"joe\\" x;"@proven.test', ["ann@ours.example"], come)
            client.sendmail("", ["ann@ours.example"], mail("joe@watched.test", "a report"))
        results, rest = arrived(relay, "told")
        assert rest == come.replace(forged, b"")
        left = whole(relay, "told")
        fields = [line.partition(b":")[0] for line in left.split(b"\r\n") if line[:1] not in b"\t "]
        assert fields[:6] == [
            *(b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"),
            *(b"Authentication-Results", b"Received-SPF", b"Received"),
        ]
        assert results.endswith(
            "Received-SPF: pass (relay.example.com: proven.test says ip4:127.0.0.1) receiver=relay.example.com;"
            ' identity=mailfrom; client-ip=127.0.0.1; envelope-from="\\"joe\\\\\\" x;\\"@proven.test";'
            ' helo="[127.0.0.1]"; mechanism="ip4:127.0.0.1"'
        )
        assert chain(left, zone(sealer), now=int(time.time())).result == "pass"
        report, _ = arrived(relay, "a report")
        assert "Received-SPF: none (relay.example.com: the domain has no SPF record)" in report
        assert 'identity=helo; client-ip=127.0.0.1; envelope-from="<>"; helo="[127.0.0.1]"' in report
        (told, *_) = relay.wait_for("MessageAdjusted", 1)
        assert told["reason"] == f"results: {len(forged)} octets of Received-SPF in our name are not sent on"


def test_two_edges_count_for_one_report_and_tell_of_failures(relay: Relay) -> None:
    more = '\n[process]\nedges = 2\n[dmarc_reports]\nfrom = "dmarc@ours.example"\nfailures = 2\n'
    more += f'[[dkim.keys]]\ndomain = "ours.example"\nselector = "{OURS.selector}"\n'
    more += f'key = {{ file = "{relay.folder}/key" }}\n'
    (relay.folder / "key").write_bytes(OURS.pem())
    relay.config.write_text(relay.config.read_text() + more)
    with relay:
        for number in range(6):
            assert send(relay, "joe@asking.test", mail("joe@asking.test", f"proven {number}")) == ""
        for _ in range(3):
            assert "550" in send(relay, "joe@list.test", mail("joe@asking.test", "forged"))
        reports = relay.wait_captured(b"Feedback-Type: auth-failure\r\n", 2)
        for report in reports:
            assert b"To: <f@asking.test>\r\n" in report
            assert b"\r\nSource-IP: 127.0.0.1\r\n" in report
            assert b"\r\nSubject: forged\r\n" in report
            assert b"ann@ours.example" not in report
            assert _is_signed(report)
        assert send(relay, "joe@watched.test", mail("joe@watched.test", "of somebody who asks for no reports")) == ""
        assert relay.stop() == 0  # what was counted is written at the end
        assert len([one for one in relay.captured() if b"Feedback-Type" in one]) == 2  # and no third
        said = run_command("dmarc", "reports", "--sent", "-c", relay.config).out.splitlines()
        assert [line.partition(" ")[2] for line in said] == [
            "asking.test: 6 passed, 3 failed",
            " 3 from 127.0.0.1: reject; SPF pass of list.test",
        ]
        (one,) = run_command("dmarc", "reports", "--sent", "--sources", "-c", relay.config).out.splitlines()
        assert one.startswith("asking.test 127.0.0.1: 9 messages, 0 by DKIM, 6 by SPF, 3 not proven, 3 refused")
        _let_a_day_pass(load_config(relay.config).dmarc_reports_file)
        relay.start()
        (letter,) = relay.wait_captured(b"Subject: Report Domain: asking.test\r\n")
        assert b"X-Envelope-To: d@asking.test\r\n" in letter
        assert _is_signed(letter)
        told = report_in_mail(letter)
        assert (told.published.domain, told.passed, told.total) == ("asking.test", 6, 9)
        assert relay.stop() == 0
        relay.start()
        assert len([one for one in relay.captured() if b"Subject: Report Domain:" in one]) == 1


def _is_signed(captured: bytes) -> bool:
    mail = captured.partition(b"X-Envelope-To: ")[2].partition(b"\r\n")[2]
    return [one.result for one in check(mail, zone(OURS), now=int(time.time()))] == ["pass"]


def _let_a_day_pass(file: Path) -> None:
    """What was counted is of yesterday, and its report is due."""
    with closing(apsw.Connection(str(file))) as db:
        db.execute("UPDATE seen SET day = day - 1; UPDATE subject SET day = day - 1")
        db.execute("INSERT INTO job (day, domain, uri, at) SELECT day, domain, '', 0 FROM subject")
