"""Aggregate reports of others: as several generators write them, our own form, and what strangers may send instead."""

import gzip
import tracemalloc
import zipfile
import zlib
from contextlib import suppress
from email.message import EmailMessage
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.dmarcreport import DkimResult, DmarcReport, Override, Published, Row, Seen, SpfResult
from postroad.message.dmarcreportread import REPORT_LIMIT, ROWS, read_report, report_in_mail
from postroad.message.dmarcreportwrite import compose, report_xml
from postroad.message.reportmail import MAIL_LIMIT, Author, ReportError, packed
from postroad.model.address import parse_mailbox

# Without a version, as a large mailbox provider writes it: lists in one line each, a reason, two signatures.
LARGE = """<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <report_metadata>
    <org_name>big.example</org_name><email>noreply-dmarc@big.example</email>
    <extra_contact_info>https://big.example/dmarc</extra_contact_info>
    <report_id>4711</report_id>
    <date_range><begin>1790000000</begin><end>1790086399</end></date_range>
  </report_metadata>
  <policy_published>
    <domain>Ours.Example</domain><adkim>r</adkim><aspf>r</aspf><p>reject</p><sp>reject</sp><pct>100</pct><np>none</np>
  </policy_published>
  <record>
    <row><source_ip>192.0.2.1</source_ip><count>12</count>
      <policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
    <identifiers><header_from>ours.example</header_from></identifiers>
    <auth_results>
      <dkim><domain>ours.example</domain><result>pass</result><selector>s1</selector></dkim>
      <dkim><domain>esp.example</domain><result>pass</result><selector>x</selector></dkim>
      <spf><domain>esp.example</domain><result>pass</result></spf>
    </auth_results>
  </record>
  <record>
    <row><source_ip>2001:DB8::1</source_ip><count>3</count>
      <policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf>
        <reason><type>local_policy</type><comment>arc=pass</comment></reason></policy_evaluated></row>
    <identifiers><header_from>ours.example</header_from></identifiers>
    <auth_results><spf><domain>list.example</domain><result>pass</result></spf></auth_results>
  </record>
</feedback>"""
# With a name space and a schema, words in capitals, elements of their own, and what other reports do not have.
OFFICE = """<?xml version="1.0"?>
<feedback xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns="urn:ietf:params:xml:ns:dmarc-2.0">
  <version>1.0</version>
  <report_metadata><org_name>Office Inc.</org_name><email>dmarc@office.example</email><report_id>abc@x</report_id>
    <date_range><begin>1790000000</begin><end>1790086400</end></date_range><generator>Office 3</generator>
    <error>DNS was slow</error></report_metadata>
  <policy_published><domain>ours.example</domain><discovery_method>treewalk</discovery_method><p>none</p><fo>1</fo>
    <testing>y</testing></policy_published>
  <record><row><source_ip>203.0.113.5</source_ip><count>0</count><policy_evaluated><disposition>None</disposition>
    <dkim>Fail</dkim><spf>Pass</spf></policy_evaluated></row>
    <identifiers><envelope_to>office.example</envelope_to><envelope_from>ours.example</envelope_from>
      <header_from>ours.example</header_from></identifiers>
    <auth_results><spf><domain>ours.example</domain><scope>mfrom</scope><result>Pass</result></spf></auth_results>
  </record>
</feedback>"""


def zipped(*files: tuple[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, text in files:
            archive.writestr(name, text)
    return out.getvalue()


def mail(body: bytes, maintype: str, subtype: str, name: str, *, alone: bool = False) -> bytes:
    """A mail with `body`, by itself or behind a text."""
    message = EmailMessage()
    message["Subject"] = "Report domain: ours.example"
    if not alone:
        message.set_content("a report")
        message.add_attachment(body, maintype=maintype, subtype=subtype, filename=name)
    else:
        message.set_content(body, maintype=maintype, subtype=subtype, filename=name)
    return message.as_bytes()


def test_a_large_provider() -> None:
    report = read_report(LARGE.encode())
    assert (report.organization, report.email, report.id) == ("big.example", "noreply-dmarc@big.example", "4711")
    assert (report.begin, report.end, report.contact) == (1_790_000_000, 1_790_086_399, "https://big.example/dmarc")
    assert report.published == Published("ours.example", "reject", "reject", "none", "r", "r", "100")
    signatures = (DkimResult("ours.example", "s1", "pass"), DkimResult("esp.example", "x", "pass"))
    senders = (SpfResult("esp.example", "mfrom", "pass"),)
    first, second = report.rows
    seen = Seen("192.0.2.1", "none", "pass", "fail", "ours.example", signatures=signatures, senders=senders)
    assert first == Row(seen, 12)
    assert second.seen.source_ip == "2001:db8::1"
    assert second.seen.overrides == (Override("local_policy", "arc=pass"),)
    assert second.seen.signatures == ()
    assert (report.total, report.passed) == (15, 12)


def test_a_name_space_and_words_in_capitals() -> None:
    report = read_report(OFFICE.encode("utf-16"))
    assert report.errors == ("DNS was slow",)
    assert (report.published.testing, report.published.failures) == ("y", "1")
    (row,) = report.rows
    assert (row.count, row.seen.disposition, row.seen.dkim, row.seen.spf) == (0, "none", "fail", "pass")
    assert (row.seen.envelope_to, row.seen.envelope_from) == ("office.example", "ours.example")


# As small generators write it: white space before all, prefixes that nobody declares, a name of an early draft, tabs
# and lines around values, nothing about the mail's envelope, an attribute, a comment, a section left empty.
SMALL_ONE = b"""

<?xml version="1.0" encoding="us-ascii"?>
<!-- made by a script -->
<d:feedback xsi:schemaLocation="x.xsd">
\t<d:report_metadata><d:report_id>
\t\t7 &amp; 8
\t</d:report_id>
\t\t<d:date_range><d:begin> 1790000000 </d:begin><d:end>1790000001</d:end></d:date_range></d:report_metadata>
\t<d:policy_published lang="en"><d:domain>ours.example</d:domain><d:sp></d:sp></d:policy_published>
\t<d:record><d:row><d:source_ip> ::ffff:192.0.2.7
\t</d:source_ip><d:count>9007199254740991</d:count><d:policy_evaluated/></d:row>
\t<d:identities><d:header_from>Ours.Example</d:header_from></d:identities><d:auth_results/></d:record>
</d:feedback>
"""


def test_a_small_generator() -> None:
    report = read_report(SMALL_ONE)
    assert (report.organization, report.id, report.begin, report.end) == ("", "7 & 8", 1_790_000_000, 1_790_000_001)
    assert report.rows == (Row(Seen("192.0.2.7", "none", "fail", "fail", "ours.example"), 9_007_199_254_740_991),)
    assert report.published == Published("ours.example", "")


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    ("body", "kind", "name"),
    [
        (LARGE.encode(), "text/xml", "big.xml"),
        (LARGE.encode(), "application/octet-stream", "BIG.XML"),
        (LARGE.encode(), "text/plain", "big.xml"),
        (gzip.compress(LARGE.encode()), "application/gzip", "big.xml.gz"),
        (gzip.compress(LARGE.encode()), "application/octet-stream", "big.xml.gz"),
        (zipped(("a.txt", b"x"), ("big.xml", LARGE.encode())), "application/zip", "big.zip"),
        (zipped(("report", LARGE.encode()), kind=zipfile.ZIP_STORED), "application/x-zip-compressed", "big"),
        (zipped(("big.xml", LARGE.encode())), "application/gzip", "wrongly-called.gz"),
    ],
)
def test_however_it_is_packed(body: bytes, kind: str, name: str, alone: bool) -> None:
    maintype, subtype = kind.split("/")
    assert report_in_mail(mail(body, maintype, subtype, name, alone=alone)).id == "4711"


BOMB = '<!DOCTYPE f [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><feedback><version>&b;</version></feedback>'
HEAD, TAIL = LARGE.split("  <record>", maxsplit=1)[0], "</feedback>"
SMALL = "<record><row><source_ip>192.0.2.1</source_ip><count>1</count></row></record>"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no XML"),
        (b"<feedback>", "no XML"),
        (b"<feedback/>", "no id"),
        (BOMB.encode(), "document type"),
        (b'<!DOCTYPE f SYSTEM "file:///etc/passwd"><feedback/>', "document type"),
        (b"<a>" * 40, "nested too deep"),
        (LARGE.replace("192.0.2.1", "192.0.2.256").encode(), "address that is none"),
        (LARGE.replace(">12<", ">-12<").encode(), "count that is none"),
        (LARGE.replace(">12<", f">{'9' * 400}<").encode(), "count that is none"),
        (LARGE.replace("1790000000", "yesterday").encode(), "time that is none"),
        ((HEAD + SMALL * (ROWS + 1) + TAIL).encode(), "more than"),
        ((HEAD + "<record><row>" + "<count>1</count>" * 1000 + "</row></record>" + TAIL).encode(), "too many elements"),
        (LARGE.encode() + b" " * REPORT_LIMIT, "larger than"),
        (gzip.compress(LARGE.encode())[:-9], "too early"),
        (gzip.compress(b"<" * (REPORT_LIMIT + 1)), "larger than"),
        (b"\x1f\x8b" + b"x" * 100, "no gzip"),
        (b"PK\x03\x04" + b"x" * 100, "too early"),
        (zipped(), "empty"),
        (zipped(("folder/", b"")), "empty"),
        (zipped(*((f"{at}.xml", b"") for at in range(2000))), "too many files"),
        (zipped(("r.xml", b"<" * (REPORT_LIMIT + 1))), "larger than"),
        (zipped(("r.xml", LARGE.encode()), kind=zipfile.ZIP_BZIP2), "unusual way"),
        (zipped(("r.xml", LARGE.encode())).replace(b"PK\x03\x04", b"PK\x03\x05"), "no zip"),
    ],
)
def test_what_strangers_may_send_instead(body: bytes, words: str) -> None:
    with pytest.raises(ReportError, match=words):
        read_report(body)


def test_an_encrypted_archive() -> None:
    body = bytearray(zipped(("r.xml", LARGE.encode())))
    body[body.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ReportError, match="encrypted"):
        read_report(bytes(body))


def test_an_archive_with_two_directories() -> None:
    body = zipped(("r.xml", LARGE.encode()))
    end = body.index(b"PK\x05\x06")
    vast = b"PK\x06\x07" + bytes(4) + (end).to_bytes(8, "little") + bytes([1, 0, 0, 0])
    with pytest.raises(ReportError, match="too many files"):
        read_report(body[:end] + vast + body[end:])


def test_memory_stays_bounded_whatever_a_bomb_unpacks_to() -> None:
    bomb = zlib.compressobj(9, wbits=31)
    blocks = [bomb.compress(bytes(1 << 20)) for _ in range(400)]
    body = b"".join(blocks) + bomb.flush()
    tracemalloc.start()
    try:
        with pytest.raises(ReportError, match="larger than"):
            read_report(body)
        assert tracemalloc.get_traced_memory()[1] < 2 * REPORT_LIMIT
    finally:
        tracemalloc.stop()


def test_no_mail_of_a_report() -> None:
    for content in (b"", b"Subject: x\r\n\r\nhello", mail(b"x", "image", "png", "report.xml")):
        with pytest.raises(ReportError, match="no part"):
            report_in_mail(content)
    with pytest.raises(ReportError, match="larger"):
        report_in_mail(b"x" * (MAIL_LIMIT + 1))


def test_long_and_unprintable_texts_are_cut() -> None:
    text = LARGE.replace("big.example</org_name>", "a\x85\u202eb" + "x" * 10_000 + "</org_name>")
    report = read_report(text.encode())
    assert report.organization.startswith("a??bxxx")
    assert len(report.organization) == 300


signs = st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" ")
words = st.text(signs, max_size=20).map(str.strip)
names = words.map(str.lower)
numbers = st.integers(0, (1 << 53) - 1)
signatures = st.builds(DkimResult, names, words, st.sampled_from(["pass", "fail", "temperror"]))
senders = st.builds(SpfResult, names, st.sampled_from(["mfrom", "helo"]), st.sampled_from(["pass", "softfail"]))
seens = st.builds(
    Seen,
    (st.ip_addresses(v=4) | st.ip_addresses(v=6, network="2001:db8::/32")).map(str),
    st.sampled_from(["none", "quarantine", "reject"]),
    st.sampled_from(["pass", "fail"]),
    st.sampled_from(["pass", "fail"]),
    names,
    names,
    names,
    st.lists(st.builds(Override, st.sampled_from(["forwarded", "other"]), words), max_size=3).map(tuple),
    st.lists(signatures, max_size=3).map(tuple),
    st.lists(senders, max_size=2).map(tuple),
)
reports = st.builds(
    DmarcReport,
    words,
    words,
    words.filter(bool),
    numbers,
    numbers,
    st.builds(
        Published, names.filter(bool), st.sampled_from(["", "none", "reject"]), names, names, names, names, words
    ),
    st.lists(st.builds(Row, seens, numbers), max_size=3).map(tuple),
    words,
    st.lists(words, max_size=3).map(tuple),
)


@given(reports)
def test_ours_is_read_as_it_was(report: DmarcReport) -> None:
    assert read_report(packed(report_xml(report))) == report
    to = parse_mailbox("dmarc@ours.example")
    by = Author("Sender Inc.", "", "dmarc@sender.example")
    assert report_in_mail(compose(report, by, to, packed(report_xml(report)), 1)) == report


@given(st.data())
def test_whatever_comes_is_a_report_or_an_error(data: st.DataObject) -> None:
    bodies = (LARGE.encode(), gzip.compress(LARGE.encode(), mtime=0), zipped(("r.xml", LARGE.encode())))
    body = bytearray(data.draw(st.sampled_from(bodies)))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=30))
        body = body or bytearray(b"x")
    with suppress(ReportError):
        assert read_report(bytes(body)).id
