"""Our aggregate reports against the schema of RFC 7489 appendix C: names, order, numbers and words of all elements."""

import random
import re
from xml.etree import ElementTree as ET

import pytest

from postroad.message.dmarcreport import DkimResult, DmarcReport, Override, Published, Row, Seen, SpfResult
from postroad.message.dmarcreportread import read_report
from postroad.message.dmarcreportwrite import report_xml
from postroad.message.reportmail import packed

ANY = "(?s).*"
POLICY = "none|quarantine|reject"
VERDICT = "pass|fail"
DKIM = "none|pass|fail|policy|neutral|temperror|permerror"
SPF = "none|neutral|pass|fail|softfail|temperror|permerror"
WHY = "forwarded|sampled_out|trusted_forwarder|mailing_list|local_policy|other"
MANY = 1_000_000
SCHEMA: dict[str, list[tuple[str, int, int, str]]] = {  # children in order: name, least, most, what a leaf holds
    "feedback": [
        ("version", 0, 1, r"1\.0"),
        ("report_metadata", 1, 1, ""),
        ("policy_published", 1, 1, ""),
        ("record", 1, MANY, ""),
    ],
    "report_metadata": [
        ("org_name", 1, 1, ANY),
        ("email", 1, 1, ANY),
        ("extra_contact_info", 0, 1, ANY),
        ("report_id", 1, 1, ANY),
        ("date_range", 1, 1, ""),
        ("error", 0, MANY, ANY),
    ],
    "date_range": [("begin", 1, 1, r"\d+"), ("end", 1, 1, r"\d+")],
    "policy_published": [
        ("domain", 1, 1, ANY),
        ("adkim", 0, 1, "r|s"),
        ("aspf", 0, 1, "r|s"),
        ("p", 1, 1, POLICY),
        ("sp", 1, 1, POLICY),
        ("pct", 1, 1, r"\d+"),
        ("fo", 1, 1, ANY),
    ],
    "record": [("row", 1, 1, ""), ("identifiers", 1, 1, ""), ("auth_results", 1, 1, "")],
    "row": [("source_ip", 1, 1, ANY), ("count", 1, 1, r"\d+"), ("policy_evaluated", 1, 1, "")],
    "policy_evaluated": [
        ("disposition", 1, 1, POLICY),
        ("dkim", 1, 1, VERDICT),
        ("spf", 1, 1, VERDICT),
        ("reason", 0, MANY, ""),
    ],
    "reason": [("type", 1, 1, WHY), ("comment", 0, 1, ANY)],
    "identifiers": [("envelope_to", 0, 1, ANY), ("envelope_from", 1, 1, ANY), ("header_from", 1, 1, ANY)],
    "auth_results": [("dkim", 0, MANY, ""), ("spf", 1, MANY, "")],
    "auth_results/dkim": [("domain", 1, 1, ANY), ("selector", 0, 1, ANY), ("result", 1, 1, DKIM)],
    "auth_results/spf": [("domain", 1, 1, ANY), ("scope", 1, 1, "helo|mfrom"), ("result", 1, 1, SPF)],
}


def check(element: ET.Element, kind: str) -> None:
    """Every child stands where the schema has it, and holds what it may."""
    left = list(element)
    for name, least, most, words in SCHEMA[kind]:
        count = 0
        while left and left[0].tag == name:
            child, count = left.pop(0), count + 1
            if words:
                assert len(child) == 0
                assert re.fullmatch(words, child.text or ""), (name, child.text)
            else:
                inner = f"{kind}/{name}"
                check(child, inner if inner in SCHEMA else name)
        assert least <= count <= most, (kind, name, count)
    assert left == [], (kind, left[0].tag)


def some_report(seeded: random.Random) -> DmarcReport:
    """One of all that may be counted, with texts as strangers choose them."""

    def text() -> str:
        return "".join(seeded.choices("ab.-<>&'\"é]]>漢", k=seeded.randrange(1, 12))).strip() or "x"

    def word(words: str) -> str:
        return seeded.choice(words.split("|"))

    def row() -> Row:
        return Row(
            Seen(
                seeded.choice(("192.0.2.1", "2001:db8::1")),
                word(POLICY),
                word(VERDICT),
                word(VERDICT),
                text(),
                seeded.choice(("", text())),
                overrides=tuple(Override(word(WHY), text()) for _ in range(seeded.randrange(3))),
                signatures=tuple(DkimResult(text(), text(), word(DKIM)) for _ in range(seeded.randrange(4))),
                senders=(SpfResult(text(), word("helo|mfrom"), word(SPF)),),
            ),
            seeded.randrange(1, 10**6),
        )

    published = Published(text(), word(POLICY), word(POLICY), "", word("r|s"), word("r|s"), "100", "", "1:d")
    rows = tuple(row() for _ in range(seeded.randrange(1, 6)))
    return DmarcReport(text(), "dmarc@example.net", text(), 86_400, 172_799, published, rows, text())


def test_reports_are_as_the_schema_has_them_and_are_read_back() -> None:
    seeded = random.Random(7489)
    for _ in range(300):
        report = some_report(seeded)
        xml = report_xml(report)
        root = ET.fromstring(xml)
        assert root.tag == "feedback"
        check(root, "feedback")
        assert read_report(packed(xml)) == report


def test_the_check_can_fail() -> None:
    xml = report_xml(some_report(random.Random(1)))
    for old, new in ((b"<count>", b"<count>x"), (b"<email>", b"<mail/><email>"), (b"<sp>", b"<sp>bad")):
        with pytest.raises(AssertionError):
            check(ET.fromstring(xml.replace(old, new, 1)), "feedback")
