"""Destinations of sinks and their selection of records, as the configuration writes them."""

import pytest

from postroad.model.records import RecipientDelivered, RecordsDropped
from postroad.observe.destination import Destination, parse_destination
from postroad.observe.selection import RECORD_TYPES, check_pattern, select


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file:/var/log/records.jsonl", Destination("file", path="/var/log/records.jsonl")),
        ("file:///var/log/records.jsonl", Destination("file", path="/var/log/records.jsonl")),
        ("file:records.jsonl", Destination("file", path="records.jsonl")),
        ("journald:", Destination("journald", path="/run/systemd/journal/socket")),
        ("journald:///run/j", Destination("journald", path="/run/j")),
        ("syslog:", Destination("syslog", path="/dev/log")),
        ("syslog:///run/log", Destination("syslog", path="/run/log")),
        ("syslog+udp://loghost", Destination("syslog", "udp", host="loghost", port=514)),
        ("syslog+tcp://[::1]:601", Destination("syslog", "tcp", host="::1", port=601)),
        ("syslog+tls://loghost", Destination("syslog", "tls", host="loghost", port=6514)),
        ("https://hooks.example.com/x?y=1", Destination("webhook", url="https://hooks.example.com/x?y=1")),
        ("http://127.0.0.1:8080", Destination("webhook", url="http://127.0.0.1:8080")),
    ],
)
def test_forms(text: str, expected: Destination) -> None:
    assert parse_destination(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/var/log/x",
        "file:",
        "file:/",
        "syslog://loghost",
        "journald:/",
        "syslog+udp://",
        "syslog+udp://h/path",
        "syslog+quic://h",
        "syslog+tcp://h:99999",
        "https://",
        "https://user:password@h/",
        "https://h:0x1/",
        "https://h/ x",
        "https://h/\n",
        "ftp://h/",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        parse_destination(text)


def test_selection() -> None:
    assert select(()) == frozenset(RECORD_TYPES.values())
    assert select(("RecipientDelivered",)) == {RecipientDelivered}
    chosen = {kind.__name__ for kind in select(("Recipient*", "RecordsDropped"))}
    assert {"RecipientDelivered", "RecipientFailed", RecordsDropped.__name__} <= chosen
    assert "MessageAccepted" not in chosen
    with pytest.raises(ValueError, match="did you mean RecipientDelivered"):
        check_pattern("RecipientDeliverd")
    with pytest.raises(ValueError, match="no type of record$"):
        check_pattern("zzz*")
