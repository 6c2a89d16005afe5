"""One sample of every type of record, for the sinks' tests.

The instants lie in one second of one day, so that golden files stay small to read. Peers and addresses
are those of the documentation ranges.
"""

import msgspec

from postroad.model.address import Mailbox
from postroad.model.envelope import Origin
from postroad.model.records import (
    Authenticated,
    AuthFailed,
    CatchAllFound,
    CertificateExpiring,
    CertificateLoaded,
    CertificateRefused,
    CheckFaulted,
    CommandRefused,
    ConfigRefused,
    ConfigReloaded,
    ConnectionClosed,
    ConnectionOpened,
    ConnectionSecured,
    DeliveryFaulted,
    DeskFaulted,
    DropSetAside,
    DropsFaulted,
    DsnQueued,
    DsnSuppressed,
    HandshakeFailed,
    LaneResumed,
    LaneSuspended,
    MessageAccepted,
    MessageRemoved,
    OperatorActed,
    PolicyFaulted,
    ProcessEnded,
    ProcessLost,
    ProcessStarted,
    RecipientAsked,
    RecipientDeferred,
    RecipientDelivered,
    RecipientExpanded,
    RecipientFailed,
    RecipientHandled,
    RecipientHeld,
    RecipientRewritten,
    Record,
    RecordsDropped,
    ReportNotSent,
    ReportSent,
    ReportTaken,
    ServerStarted,
    ServerStopping,
    SinkFaulted,
    SinkRecovered,
    SourceResumed,
    SourceSuspended,
    SpoolDamaged,
    SpoolFaulted,
    SpoolFull,
    SpoolHasRoom,
    SpoolMended,
    SpoolRecovered,
    TableLoaded,
    TableRefused,
    TargetResumed,
    TargetSuspended,
    TlsPolicyNotFetched,
    UserLineIgnored,
    WorkFailed,
)
from postroad.model.reply import Reply
from postroad.model.security import Secured
from postroad.smtp import replies
from tests.support.acmerecords import ACME
from tests.support.dnsrecords import DNS_RECORDS
from tests.support.policyrecords import policy_samples
from tests.support.raterecords import rate_samples
from tests.support.shieldrecords import AT as SHIELD_AT
from tests.support.shieldrecords import SHIELD

AT = SHIELD_AT
QUEUE_ID = "3Pt2mN2VXxznj"
ORIGIN = Origin("192.0.2.7", 40000, "client.example.org", "ESMTP", "mx", "s1")
TARGET = "mail.example.net[192.0.2.25]:25"


def closed(reason: str, commands: str, *, session: str = "s1", messages: int = 0, at: int = AT) -> ConnectionClosed:
    return ConnectionClosed(
        at=at,
        session=session,
        listener="mx",
        ip=ORIGIN.ip,
        port=ORIGIN.port,
        reason=reason,
        commands=commands,
        messages=messages,
        seconds=1.234,
    )


def refused(stage: str, reply: Reply, *, recipient: str = "", origin: Origin = ORIGIN, at: int = AT) -> CommandRefused:
    sender = "alice@example.org" if stage in {"rcpt", "data", "message"} else ""
    return CommandRefused(
        at=at,
        origin=origin,
        stage=stage,
        reply=reply,
        detail="the exact reason",
        sender=sender,
        recipient=recipient,
    )


def accepted(*, queue_id: str = QUEUE_ID, recipients: int = 2, size: int = 4096, at: int = AT) -> MessageAccepted:
    return MessageAccepted(
        at=at,
        id=queue_id,
        origin=ORIGIN,
        sender="alice@example.org",
        recipients=recipients,
        size=size,
        message_id="<1@example.org>",
    )


def delivered(
    recipient: str = "bob@example.net", *, queue_id: str = QUEUE_ID, lane: str = "mx:example.net", at: int = AT
) -> RecipientDelivered:
    return RecipientDelivered(
        at=at,
        id=queue_id,
        sender="alice@example.org",
        recipient=recipient,
        lane=lane,
        target=TARGET,
        reply=Reply(250, "2.0.0", "Ok: queued as 12345"),
        attempts=1,
        delay=1.263,
        delays=(0.114, 0.0, 1.1, 0.049),
        size=4096,
        tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
        secured=Secured("verified", "rule", "tls_out.destinations[0]", verified=True, resumed=True),
    )


def deferred(
    recipient: str = "carol@example.net", *, queue_id: str = QUEUE_ID, command: str = "RCPT", at: int = AT
) -> RecipientDeferred:
    said = Reply(450, "4.2.0", "Greylisted,\ncome again")
    ours = Reply(451, "4.4.1", "connect to mail.example.net[192.0.2.25]:25: Connection refused")
    return RecipientDeferred(
        at=at,
        id=queue_id,
        sender="alice@example.org",
        recipient=recipient,
        lane="mx:example.net",
        target=TARGET if command else "",
        reply=said if command else ours,
        command=command,
        scope="recipient" if command else "host",
        attempts=1,
        delay=12.3,
        delays=(0.1, 0.0, 12.1, 0.1),
        due=at + 60_000_000,
    )


def failed(
    recipient: str = "dave@example.net", *, queue_id: str = QUEUE_ID, expired: bool = False, at: int = AT
) -> RecipientFailed:
    return RecipientFailed(
        at=at,
        id=queue_id,
        sender="alice@example.org",
        recipient=recipient,
        lane="lmtp:///run/lmtp.sock",
        target="localhost[/run/lmtp.sock]",
        reply=Reply(450, "4.2.2", "Mailbox full") if expired else Reply(550, "5.1.1", "<dave@example.net>: unknown"),
        command="RCPT",
        scope="recipient",
        attempts=7,
        delay=432000.4,
        delays=(0.1, 431999.0, 1.2, 0.1),
        expired=expired,
    )


SAMPLES: tuple[Record, ...] = (
    ServerStarted(at=AT, version="0.1.0", hostname="relay.example.com", listeners=("mx 127.0.0.1:25", "mx [::1]:25")),
    SpoolRecovered(at=AT, messages=3, replayed=2, drafts_swept=1, damaged=0, seconds=0.0123),
    ConnectionOpened(at=AT, session="s1", listener="mx", ip="192.0.2.7", port=40000),
    ConnectionSecured(
        at=AT,
        session="s1",
        listener="mx",
        ip="192.0.2.7",
        port=40000,
        version="TLSv1.3",
        cipher="TLS_AES_256_GCM_SHA384",
        bits=256,
        seconds=0.02,
        sni="relay.example.com",
    ),
    ConnectionSecured(
        at=AT,
        session="s1",
        listener="mx",
        ip="192.0.2.7",
        port=40000,
        version="TLSv1.2",
        cipher="ECDHE-ECDSA-AES128-GCM-SHA256",
        bits=128,
        seconds=0.01,
        resumed=True,
        fingerprint="00ff" * 16,
        subject="commonName=printer",
        names=("DNS:printer.example.com",),
    ),
    HandshakeFailed(
        at=AT,
        session="s1",
        listener="mx",
        ip="192.0.2.7",
        port=40000,
        reason="the client offers no cipher that is allowed here (no shared cipher)",
        seconds=0.01,
    ),
    CertificateLoaded(
        at=AT,
        certificate="/etc/postroad/cert.pem",
        names=("relay.example.com",),
        expires=AT + 90 * 86_400_000_000,
        fingerprint="00ff" * 16,
    ),
    CertificateRefused(
        at=AT,
        certificate="/etc/postroad/cert.pem",
        reason="/etc/postroad/key.pem: the key is that of another certificate",
    ),
    TlsPolicyNotFetched(at=AT, domain="example.net", reason="the policy cannot be fetched: HTTP 503 later"),
    ReportSent(at=AT, kind="tls", domain="example.net", day="2026-03-01", uri="mailto:tlsrpt@example.net"),
    ReportNotSent(
        at=AT,
        kind="dmarc",
        domain="example.net",
        day="2026-03-01",
        uri="mailto:dmarc@example.net!10k",
        reason="it has 20000 octets, more than are wanted there",
        is_over=True,
    ),
    ReportTaken(at=AT, kind="tls", submitter="Example Net", id="2026-03-01_example.com", domains="example.com"),
    CertificateExpiring(
        at=AT, certificate="/etc/postroad/cert.pem", names=("relay.example.com",), expires=AT + 86_400_000_000, days=1
    ),
    *ACME,
    refused("rcpt", replies.relay_access_denied(Mailbox("eve@example.com")), recipient="eve@example.com"),
    refused("mail", replies.STORAGE_FULL),
    refused("ehlo", replies.SYNTAX),
    refused("command", replies.UNKNOWN_COMMAND),
    refused("command", replies.NOT_SMTP),
    refused("command", replies.TOO_MANY_ERRORS),
    refused("connect", replies.TALKED_FIRST, origin=Origin("2001:db8::7", 40001, "", "SMTP", "mx", "s2")),
    refused("message", replies.LOOP),
    accepted(),
    *SHIELD,
    *policy_samples(AT, QUEUE_ID, ORIGIN),
    RecipientRewritten(
        at=AT,
        id=QUEUE_ID,
        recipient="bob@old.example.net",
        to="bob@example.net",
        reason='route 1 (recipients = ["old.example.net"])',
    ),
    RecipientExpanded(at=AT, id=QUEUE_ID, recipient="all@example.com", to=("a@example.net", "b@example.net"), count=2),
    RecipientExpanded(at=AT, id=QUEUE_ID, recipient="all@example.com", to=("a@example.net",), count=21),
    delivered(),
    delivered(lane="capture:"),
    deferred(),
    deferred(command=""),
    failed(),
    failed(expired=True),
    RecipientHeld(
        at=AT,
        id=QUEUE_ID,
        sender="alice@example.org",
        recipient="erin@example.net",
        lane="hold:review",
        reason="held by route review",
    ),
    DsnQueued(at=AT, id=QUEUE_ID, report="3Pt2mN2VXxznk", kind="failed", to="alice@example.org", size=2345),
    DsnSuppressed(at=AT, id=QUEUE_ID, kind="delayed", recipient="carol@example.net", reason="NOTIFY=NEVER"),
    MessageRemoved(at=AT, id=QUEUE_ID),
    closed("quit", "ehlo=1 mail=1 rcpt=2 data=1 quit=1 commands=6", messages=1),
    closed("connection lost while receiving content", "ehlo=1 mail=1 rcpt=1 data=1 commands=4"),
    closed("connection lost", "ehlo=1 mail=1 rcpt=1 data=1 commands=4", messages=1),
    closed("[Errno 104] Connection reset by peer", "commands=0"),
    closed("timeout", "ehlo=1 mail=1 commands=2"),
    closed("too many errors", "ehlo=1 unknown=20 commands=21"),
    LaneSuspended(at=AT, lane="mx:example.net", until=AT + 300_000_000, reason="connection refused"),
    LaneResumed(at=AT, lane="mx:example.net"),
    TargetSuspended(
        at=AT, target=TARGET, until=AT + 5_000_000, reason=f"451 4.4.1 connect to {TARGET}: connection refused"
    ),
    TargetResumed(at=AT, target=TARGET, seconds=5.25, source="news"),
    SourceSuspended(
        at=AT, source="news", until=AT + 5_000_000, reason="sources.news.address: 192.0.2.9 is not on this host"
    ),
    SourceResumed(at=AT, source="news", seconds=5.25),
    SpoolDamaged(at=AT, journal="main", segment=7, offset=512, length=99, reason="checksum", aside="aside/7-512"),
    SpoolFull(at=AT, free=1000, floor=200_000_000, reason="free space below spool.free_space"),
    SpoolHasRoom(at=AT, free=300_000_000),
    SpoolFaulted(at=AT, reason="[Errno 5] Input/output error"),
    SpoolMended(at=AT),
    msgspec.structs.replace(accepted(), origin=Origin("", 0, "userid 1000", "local", "drops", QUEUE_ID)),
    DropSetAside(at=AT, drop=QUEUE_ID, uid=1000, reason="it is not whole", aside=f"drops/aside/{QUEUE_ID}"),
    DropsFaulted(at=AT, reason="drops wait: [Errno 5] Input/output error"),
    RecipientHandled(
        at=AT,
        id=QUEUE_ID,
        sender="alice@example.org",
        recipient="bob@example.net",
        lane="mx:example.net",
        action="hold",
        by="root",
        uid=0,
        reason="spam?",
    ),
    OperatorActed(
        at=AT,
        action="hold",
        by="root",
        uid=0,
        selection="--domain example.net",
        recipients=3,
        messages=2,
        reason="spam?",
    ),
    OperatorActed(at=AT, action="suspend", by="mail", uid=8, selection="next-hop example.net"),
    CheckFaulted(at=AT, check="zen.example.org", reason="it refuses to answer us: 127.255.255.254", policy="dnsbl"),
    PolicyFaulted(at=AT, policy="dnsbl", stage="rcpt", reason="TimeoutError"),
    *rate_samples(AT),
    Authenticated(at=AT, origin=ORIGIN, login="alice", mechanism="SCRAM-SHA-256", source="users", seconds=0.0625),
    AuthFailed(
        at=AT,
        origin=ORIGIN,
        login="alice",
        mechanism="PLAIN",
        source="users",
        reason="wrong password",
        code=535,
        seconds=1.0,
    ),
    UserLineIgnored(at=AT, table="/etc/postroad/users", line=7, reason="has no colon"),
    TableLoaded(at=AT, table="/etc/postroad/virtual", entries=2000, doubts=1),
    RecipientAsked(
        at=AT,
        recipient="who@example.org",
        target="mail.example.org[192.0.2.7]:25",
        answer="unknown",
        reply="550 5.1.1 <who@example.org>: No such user",
        seconds=0.25,
    ),
    CatchAllFound(at=AT, domain="example.org", target="mail.example.org[192.0.2.7]:25"),
    TableRefused(at=AT, table="/etc/postroad/virtual", line=7, reason='"a b": not an address', problems=2),
    *DNS_RECORDS,
    DeliveryFaulted(at=AT, lane="mx:example.net", detail="Traceback:\n  line 1\nValueError: x"),
    WorkFailed(
        at=AT, job="message.mime.to_quoted_printable", cause="timeout", reason="not done within 5 s", seconds=5.1
    ),
    DeskFaulted(at=AT, page="/metrics", detail="Traceback:\n  line 1\nValueError: x"),
    RecordsDropped(at=AT, count=12),
    RecordsDropped(at=AT, count=3, sink="audit"),
    SinkFaulted(at=AT, sink="audit", reason="/var/log/mail.jsonl: No space left on device"),
    SinkRecovered(at=AT, sink="audit", seconds=61.5),
    ConfigReloaded(
        at=AT, by="user root", changes=("limits.hops: 50 -> 40",), kept=("spool.free_space",), warnings=("a doubt",)
    ),
    ConfigRefused(at=AT, by="SIGHUP", problems=("postroad.toml:3: limits.hop: unknown", "another")),
    ProcessStarted(at=AT, name="edge-1", pid=4711, seconds=0.0625),
    ProcessLost(
        at=AT, name="edge-2", pid=4712, reason="killed: it had been silent for 912 ms", seconds=61.5, pause=0.5
    ),
    ProcessEnded(at=AT, name="edge-3", pid=4713, reason="exit code 0", seconds=3.25),
    ServerStopping(at=AT, reason="SIGTERM"),
)
