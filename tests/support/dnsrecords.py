"""Samples of the records about DNS and directories; see tests/support/records.py."""

from postroad.model.records import DirectoryFaulted, DirectoryRecovered, Record, ValidationProved, ValidationRefuted
from tests.support.shieldrecords import AT

DNS_RECORDS: tuple[Record, ...] = (
    DirectoryFaulted(
        at=AT, directory="ad", server="ldaps://dc1.example.com:636", reason="connection refused", pause=2.0
    ),
    DirectoryRecovered(at=AT, directory="ad", server="ldaps://dc1.example.com:636"),
    ValidationProved(at=AT, reason="127.0.0.1:53 validates"),
    ValidationRefuted(at=AT, reason="127.0.0.1:53 does not call . authentic, though it is signed"),
)
