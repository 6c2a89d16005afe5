"""Aggregate reports of others about DMARC: found in the mail that brings one, unpacked, and read. Pure.

Strangers write them, so everything is bounded before it is looked at: the mail, the archive's directory, what it
unpacks to, depth, rows and texts of the XML; a document type, which could define entities, is refused. Generators
differ: name spaces, unknown elements and missing ones are taken as they come. Whatever is wrong is a ReportError.
RFC 7489 7.2.1.1 (mail), RFC 7489 appendix C (XML).
"""

import zlib
from collections.abc import Iterable
from email.message import Message
from io import BytesIO
from ipaddress import IPv6Address, ip_address
from typing import Final
from xml.parsers import expat
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

from postroad.message.dmarcreport import (
    DkimResult,
    DmarcReport,
    Override,
    Published,
    Row,
    Seen,
    SpfResult,
)
from postroad.message.reportmail import ReportError, clean, part_of

REPORT_LIMIT: Final = 20 << 20  # octets of an unpacked report
ROWS: Final = 50_000
_DEPTH: Final = 16
_TEXT: Final = 300  # characters that are gathered of each text
_RESULTS: Final = 20  # signatures, senders and overrides of one row; and errors of a report
_COUNT: Final = 1 << 53
_WBITS: Final = 31  # gzip, with its header
_BLOCK: Final = 1 << 16
_DIRECTORY: Final = 1 << 16  # octets of an archive's directory
_END: Final = b"PK\x05\x06"
_END_SIZE: Final = 22
_END_64: Final = b"PK\x06\x07"  # tells of another directory, for archives beyond 4 GiB
_END_64_SIZE: Final = 20
_LEAVES: Final = 200  # of one row
_DIGITS: Final = 18
_ENCRYPTED: Final = 0x1
_ELEMENTS: Final = 1_500_000  # rows have some twenty
_NAMES_KNOWN: Final = 1000
_EQUALS: Final = 500_000  # signs, one in each attribute; a few in the comments of a row
_SPACE: Final = b" \t\r\n"
_OF_ROW: Final = frozenset({"row", "policy_evaluated", "identifiers", "identities"})  # the last as drafts had it
_TYPES: Final = frozenset(
    {
        "application/gzip",
        "application/x-gzip",
        "application/zip",
        "application/x-zip",
        "application/x-zip-compressed",
        "application/xml",
        "text/xml",
    }
)
_NAMES: Final = (".xml", ".xml.gz", ".gz", ".zip")


def report_in_mail(content: bytes) -> DmarcReport:
    """The report that a mail brings; ReportError when it brings none that can be read."""
    body, _ = part_of(content, _may_be_report, "a DMARC report")
    return read_report(body)


def _may_be_report(part: Message) -> bool:
    kind = part.get_content_type()
    is_file = kind.startswith(("application/", "text/"))
    return kind in _TYPES or (is_file and (part.get_filename() or "").lower().endswith(_NAMES))


def read_report(body: bytes) -> DmarcReport:
    """The report in `body`: XML, packed by gzip or zip or not, whatever it is called; else ReportError."""
    size, blocks = 0, []
    for block in _blocks(body):
        size += len(block)
        if size > REPORT_LIMIT:
            raise ReportError(f"the report is larger than {REPORT_LIMIT >> 20} MiB")
        blocks.append(block)
    return _parsed(b"".join(blocks))


def _blocks(body: bytes) -> Iterable[bytes]:
    if body[:2] == b"\x1f\x8b":
        return _gunzipped(body)
    if body[:2] == b"PK":
        return _unzipped(body)
    return (body[at : at + _BLOCK] for at in range(0, len(body), _BLOCK))


def _gunzipped(body: bytes) -> Iterable[bytes]:
    gunzip = zlib.decompressobj(_WBITS)
    try:
        for at in range(0, len(body), _BLOCK):
            rest = body[at : at + _BLOCK]
            while rest and not gunzip.eof:
                yield gunzip.decompress(rest, _BLOCK)
                rest = gunzip.unconsumed_tail
        yield gunzip.flush(_BLOCK)
    except zlib.error as error:
        raise ReportError(f"it is no gzip: {error}") from None
    if not gunzip.eof:
        raise ReportError("the gzip ends too early")


def _unzipped(body: bytes) -> Iterable[bytes]:
    """The first XML of an archive, or its first file; its directory is bounded before it is read."""
    end = body.rfind(_END, max(0, len(body) - _BLOCK - _END_SIZE))
    if end < 0 or len(body) - end < _END_SIZE:
        raise ReportError("the zip ends too early")
    is_vast = end >= _END_64_SIZE and body.startswith(_END_64, end - _END_64_SIZE)
    if is_vast or int.from_bytes(body[end + 12 : end + 16], "little") > _DIRECTORY:
        raise ReportError("the zip has too many files")
    try:
        with ZipFile(BytesIO(body)) as archive:
            files = [one for one in archive.infolist() if not one.is_dir()]
            first = next((one for one in files if one.filename.lower().endswith(".xml")), files[0] if files else None)
            if first is None:
                raise ReportError("the zip is empty")
            if first.flag_bits & _ENCRYPTED or first.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                raise ReportError("the zip is encrypted, or packed in an unusual way")
            with archive.open(first) as opened:
                while block := opened.read(_BLOCK):
                    yield block
    except (BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, zlib.error) as error:
        raise ReportError(f"it is no zip that can be read: {error}") from None


# -- the XML ---------------------------------------------------------------------------------------

Leaf = tuple[str, str]  # its name and its text


class _Reader:
    """Takes elements as they come: leaves are gathered, and made a value when the element around them ends."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.metadata: list[Leaf] = []
        self.published: list[Leaf] = []
        self.rows: list[Row] = []
        self._text: list[str] = []
        self._length = 0
        self._elements = 0
        self._names: dict[str, str] = {}  # as they are written, and as they are known
        self._row: list[Leaf] = []  # of the record: row, policy_evaluated, identifiers
        self._inner: list[Leaf] = []  # of the innermost dkim, spf or reason
        self._overrides: list[Override] = []
        self._signatures: list[DkimResult] = []
        self._senders: list[SpfResult] = []

    def start(self, name: str, _: object) -> None:
        self._elements += 1
        if len(self.path) >= _DEPTH or self._elements > _ELEMENTS:
            raise ReportError("the XML is nested too deep, or has too many elements")
        known = self._names.get(name)
        if known is None:
            if len(self._names) >= _NAMES_KNOWN:
                raise ReportError("the XML has too many names of elements")
            known = self._names[name] = name.rpartition(":")[2].lower()
        self.path.append(known)
        self._text.clear()
        self._length = 0

    def characters(self, text: str) -> None:
        if self._length < _TEXT:
            self._text.append(text)
            self._length += len(text)

    def end(self, _: str) -> None:
        path = self.path
        name = path.pop()
        text = clean("".join(self._text).strip())
        self._text.clear()
        self._length = 0
        inside = path[1] if len(path) > 1 else ""
        if inside in ("report_metadata", "policy_published"):
            leaves = self.metadata if inside == "report_metadata" else self.published
            if len(leaves) < _LEAVES:
                leaves.append((name, text))
        elif inside == "record":
            self._in_record(path, name, text)
        elif name == "record":
            self._end_record()

    def _in_record(self, path: list[str], name: str, text: str) -> None:
        around = path[-1]
        if around in ("dkim", "spf", "reason"):
            self._inner.append((name, text))
        elif around == "auth_results" and name in ("dkim", "spf"):
            self._end_result(name)
        elif name == "reason":
            if len(self._overrides) < _RESULTS:
                self._overrides.append(Override(_of(self._inner, "type").lower(), _of(self._inner, "comment")))
            self._inner.clear()
        elif text and around in _OF_ROW:
            self._row.append((name, text))
        if max(len(self._row), len(self._inner)) > _LEAVES:
            raise ReportError("a row of the report has too many elements")

    def _end_result(self, name: str) -> None:
        leaf, domain, result = self._inner, _of(self._inner, "domain").lower(), _of(self._inner, "result").lower()
        if name == "dkim" and len(self._signatures) < _RESULTS:
            self._signatures.append(DkimResult(domain, _of(leaf, "selector"), result or "none"))
        elif name == "spf" and len(self._senders) < _RESULTS:
            self._senders.append(SpfResult(domain, _of(leaf, "scope").lower() or "mfrom", result or "none"))
        leaf.clear()

    def _end_record(self) -> None:
        if len(self.rows) >= ROWS:
            raise ReportError(f"the report has more than {ROWS} rows")
        row = self._row
        seen = Seen(
            _address(_of(row, "source_ip")),
            _of(row, "disposition").lower() or "none",
            _of(row, "dkim").lower() or "fail",
            _of(row, "spf").lower() or "fail",
            _of(row, "header_from").lower(),
            _of(row, "envelope_from").lower(),
            _of(row, "envelope_to").lower(),
            tuple(self._overrides),
            tuple(self._signatures),
            tuple(self._senders),
        )
        self.rows.append(Row(seen, _number(_of(row, "count"), "count")))
        for part in (row, self._inner, self._overrides, self._signatures, self._senders):
            part.clear()


def _parsed(text: bytes) -> DmarcReport:
    # without name spaces: some use prefixes that they never declare
    reader, parser = _Reader(), expat.ParserCreate()
    parser.buffer_text = True  # else each line is a call
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = _no_doctype
    if text.count(b"=") > _EQUALS:
        raise ReportError("the XML has too many attributes")
    try:
        # all at once: in pieces, one long name would be read anew with each of them
        parser.Parse(text.lstrip(_SPACE), True)
    except (expat.ExpatError, ValueError, LookupError, Warning) as error:  # Warning: of encodings nobody should use
        raise ReportError(f"the report is no XML: {error}") from None
    return _report(reader)


def _no_doctype(*_: object) -> None:
    raise ReportError("the XML has a document type, which no report needs")


def _report(reader: _Reader) -> DmarcReport:
    said, published = reader.metadata, reader.published
    name, domain = _of(said, "report_id"), _of(published, "domain").lower()
    if not name or not domain:
        raise ReportError("the report has no id or no domain")
    policy_words = Published(
        domain,
        _of(published, "p").lower(),
        _of(published, "sp").lower(),
        _of(published, "np").lower(),
        _of(published, "adkim").lower(),
        _of(published, "aspf").lower(),
        _of(published, "pct"),
        _of(published, "testing").lower(),
        _of(published, "fo"),
    )
    return DmarcReport(
        organization=_of(said, "org_name"),
        email=_of(said, "email"),
        id=name,
        begin=_number(_of(said, "begin"), "time"),
        end=_number(_of(said, "end"), "time"),
        published=policy_words,
        rows=tuple(reader.rows),
        contact=_of(said, "extra_contact_info"),
        errors=tuple(text for leaf, text in said if leaf == "error")[:_RESULTS],
    )


def _of(leaves: list[Leaf], name: str) -> str:
    return next((text for leaf, text in leaves if leaf == name), "")


def _number(text: str, what: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else -1
    if not 0 <= number < _COUNT:
        raise ReportError(f"the report has a {what} that is none: {text[:40]!r}")
    return number


def _address(text: str) -> str:
    try:
        address = ip_address(text)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return str(mapped or address)
    except ValueError:
        raise ReportError(f"the report has an address that is none: {text[:60]!r}") from None
