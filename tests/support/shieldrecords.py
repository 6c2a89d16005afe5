"""Samples of the records about who is believed, banned, held or locked; see tests/support/records.py."""

from postroad.model.records import (
    AccountHandled,
    AccountHeld,
    ClientChanged,
    NetworkBanned,
    NetworkUnbanned,
    ProxyRefused,
    Record,
)

AT = 1_700_000_000_123_456  # 2023-11-14 22:13:20.123456 UTC

SHIELD: tuple[Record, ...] = (
    ProxyRefused(at=AT, listener="mx", ip="192.0.2.7", port=40000, reason="no PROXY header: b'EHLO'"),
    ClientChanged(at=AT, session="s1", listener="mx", proxy="192.0.2.9", ip="192.0.2.7", port=40000, login="ann"),
    NetworkBanned(at=AT, network="192.0.2.7/32", seconds=600, kind="auth_failed", times=1),
    NetworkBanned(at=AT, network="2001:db8::/32", seconds=0, kind="order", by="root"),
    NetworkUnbanned(at=AT, network="2001:db8::/32", by="root"),
    AccountHeld(at=AT, login="ann", reason="812 recipients; usual are 40, allowed 500"),
    AccountHandled(at=AT, login="ann", action="release", by="root", uid=0, recipients=312, reason="she was asked"),
)
