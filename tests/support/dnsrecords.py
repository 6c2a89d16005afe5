"""Samples of the records about DNS; see tests/support/records.py."""

from postroad.model.records import Record, ValidationProved, ValidationRefuted
from tests.support.shieldrecords import AT

DNS_RECORDS: tuple[Record, ...] = (
    ValidationProved(at=AT, reason="127.0.0.1:53 validates"),
    ValidationRefuted(at=AT, reason="127.0.0.1:53 does not call . authentic, though it is signed"),
)
