"""Every fact worth reporting, one frozen type each; logs, metrics and history are sinks of these.

Records only inform: no sink can change a decision. `at` is microseconds since 1970. Each type's
docstring and fields are its reference page (docs/reference/records.md, generated). Secrets and
message bodies never go into a record.
"""

from postroad.model.acmerecords import CertificateNotObtained, CertificateObtained
from postroad.model.authrecords import Authenticated, AuthFailed
from postroad.model.checkrecords import CheckFaulted
from postroad.model.directoryrecords import DirectoryFaulted, DirectoryRecovered
from postroad.model.dnsrecords import ValidationProved, ValidationRefuted
from postroad.model.envelope import Origin
from postroad.model.operatorrecords import OperatorActed, RecipientHandled
from postroad.model.policyrecords import (
    MessageAdjusted,
    MessageDiscarded,
    MessageSigned,
    MessageUnsigned,
    RecipientDiscarded,
)
from postroad.model.processrecords import ProcessEnded, ProcessLost, ProcessStarted, WorkFailed
from postroad.model.raterecords import CountsFound, CountsLost, RateReached
from postroad.model.recipientrecords import CatchAllFound, RecipientAsked
from postroad.model.record import Emit, Record
from postroad.model.reply import Reply
from postroad.model.reportrecords import ReportNotSent, ReportSent, ReportTaken
from postroad.model.security import Secured
from postroad.model.shieldrecords import (
    AccountHandled,
    AccountHeld,
    ClientChanged,
    NetworkBanned,
    NetworkUnbanned,
    ProxyRefused,
)
from postroad.model.sinkrecords import RecordsDropped, SinkFaulted, SinkRecovered
from postroad.model.spoolrecords import (
    SpoolDamaged,
    SpoolFaulted,
    SpoolFull,
    SpoolHasRoom,
    SpoolMended,
    SpoolRecovered,
)
from postroad.model.tablerecords import TableLoaded, TableRefused, UserLineIgnored
from postroad.model.tlsrecords import (
    CertificateExpiring,
    CertificateLoaded,
    CertificateRefused,
    ConnectionSecured,
    HandshakeFailed,
    TlsPolicyNotFetched,
)

# All that follow too.
__all__ = [
    "AccountHandled",
    "AccountHeld",
    "AuthFailed",
    "Authenticated",
    "CatchAllFound",
    "CertificateExpiring",
    "CertificateLoaded",
    "CertificateNotObtained",
    "CertificateObtained",
    "CertificateRefused",
    "CheckFaulted",
    "ClientChanged",
    "ConnectionSecured",
    "CountsFound",
    "CountsLost",
    "DirectoryFaulted",
    "DirectoryRecovered",
    "Emit",
    "HandshakeFailed",
    "MessageAdjusted",
    "MessageDiscarded",
    "MessageSigned",
    "MessageUnsigned",
    "NetworkBanned",
    "NetworkUnbanned",
    "OperatorActed",
    "ProcessEnded",
    "ProcessLost",
    "ProcessStarted",
    "ProxyRefused",
    "RateReached",
    "RecipientAsked",
    "RecipientDiscarded",
    "RecipientHandled",
    "Record",
    "RecordsDropped",
    "ReportNotSent",
    "ReportSent",
    "ReportTaken",
    "SinkFaulted",
    "SinkRecovered",
    "SpoolDamaged",
    "SpoolFaulted",
    "SpoolFull",
    "SpoolHasRoom",
    "SpoolMended",
    "SpoolRecovered",
    "TableLoaded",
    "TableRefused",
    "TlsPolicyNotFetched",
    "UserLineIgnored",
    "ValidationProved",
    "ValidationRefuted",
    "WorkFailed",
]


class ServerStarted(Record, frozen=True, tag="ServerStarted"):
    """The server listens; `listeners` as "name address:port"."""

    version: str
    hostname: str
    listeners: tuple[str, ...]


class ServerStopping(Record, frozen=True, tag="ServerStopping"):
    """The server drains: `reason` is the signal or the fault."""

    reason: str


class ConfigReloaded(Record, frozen=True, tag="ConfigReloaded"):
    """Another configuration is in force, by a signal or a user, with its `changes`; `kept` hold after a restart."""

    by: str
    changes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class ConfigRefused(Record, frozen=True, tag="ConfigRefused"):
    """A reload or an upgrade that `by` asked for came to nothing, for all of `problems`: what runs stays."""

    by: str
    problems: tuple[str, ...]


class ConnectionOpened(Record, frozen=True, tag="ConnectionOpened"):
    """A peer connected to a listener."""

    session: str
    listener: str
    ip: str
    port: int


class ConnectionClosed(Record, frozen=True, tag="ConnectionClosed"):
    """A peer's connection ended; `commands` counts verbs as "ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"."""

    session: str
    listener: str
    ip: str
    port: int
    reason: str
    commands: str
    messages: int
    seconds: float


class CommandRefused(Record, frozen=True, tag="CommandRefused"):
    """A command got a negative reply: `stage` is connect, hello, mail, rcpt, data, ...; `detail` the exact reason."""

    origin: Origin
    stage: str
    reply: Reply
    detail: str
    sender: str = ""
    recipient: str = ""


class MessageAccepted(Record, frozen=True, tag="MessageAccepted"):
    """A message is durable in the spool and got its 250."""

    id: str
    origin: Origin
    sender: str
    recipients: int
    size: int
    message_id: str


class RecipientRewritten(Record, frozen=True, tag="RecipientRewritten"):
    """A route replaced one recipient of an accepted message by `to`; `reason` is the route."""

    id: str
    recipient: str
    to: str
    reason: str


class RecipientExpanded(Record, frozen=True, tag="RecipientExpanded"):
    """Aliases turned one recipient of an accepted message into `count` others; `to` names the first 20."""

    id: str
    recipient: str
    to: tuple[str, ...]
    count: int


class RecipientDelivered(Record, frozen=True, tag="RecipientDelivered"):
    """The next hop took one recipient, sent from the egress `source` if any; the delays as in Postfix's a/b/c/d.

    `tls` is the version and cipher; `secured` what TLS was demanded, by whom and why, and whether it was verified.
    """

    id: str
    sender: str
    recipient: str
    lane: str
    target: str
    reply: Reply
    attempts: int
    delay: float
    delays: tuple[float, float, float, float]
    size: int = 0
    tls: str = ""
    source: str = ""
    secured: Secured | None = None


class RecipientDeferred(Record, frozen=True, tag="RecipientDeferred"):
    """One recipient could not be delivered now; `due` is the next try, `command` what a peer's reply answers.

    `original` is what the peer said where a shaping rule gave it another meaning; `moved_to` the next hop that it
    falls back to.
    """

    id: str
    sender: str
    recipient: str
    lane: str
    target: str
    reply: Reply
    command: str
    scope: str
    attempts: int
    delay: float
    delays: tuple[float, float, float, float]
    due: int
    source: str = ""
    original: str = ""
    moved_to: str = ""


class RecipientFailed(Record, frozen=True, tag="RecipientFailed"):
    """One recipient is final and undelivered; `expired` when the retry time ran out.

    `original` is what the peer said where a shaping rule gave it another meaning.
    """

    id: str
    sender: str
    recipient: str
    lane: str
    target: str
    reply: Reply
    command: str
    scope: str
    attempts: int
    delay: float
    delays: tuple[float, float, float, float]
    expired: bool = False
    source: str = ""
    original: str = ""


class RecipientHeld(Record, frozen=True, tag="RecipientHeld"):
    """One recipient is not tried until somebody releases it, and why."""

    id: str
    sender: str
    recipient: str
    lane: str
    reason: str


class DsnQueued(Record, frozen=True, tag="DsnQueued"):
    """A DSN entered the queue: `kind` is failed, delayed, expanded or relayed, `report` its id, `size` its octets."""

    id: str
    report: str
    kind: str
    to: str
    size: int = 0


class DsnSuppressed(Record, frozen=True, tag="DsnSuppressed"):
    """No notification was sent, and why: null reverse-path, NOTIFY=NEVER, unverified."""

    id: str
    kind: str
    recipient: str
    reason: str


class MessageRemoved(Record, frozen=True, tag="MessageRemoved"):
    """The last recipient of a message became final; the message is gone from the queue."""

    id: str


class LaneSuspended(Record, frozen=True, tag="LaneSuspended"):
    """A next hop is not tried until `until` (microseconds since 1970), and why."""

    lane: str
    until: int
    reason: str


class LaneResumed(Record, frozen=True, tag="LaneResumed"):
    """A suspended next hop took mail again."""

    lane: str


class TargetSuspended(Record, frozen=True, tag="TargetSuspended"):
    """One host of several fails and gets no mail, and why; it is probed from `until` on (microseconds since 1970)."""

    target: str
    until: int
    reason: str
    source: str = ""


class TargetResumed(Record, frozen=True, tag="TargetResumed"):
    """A suspended host answers again after `seconds`; its share of the mail grows from now on."""

    target: str
    seconds: float
    source: str = ""


class SourceSuspended(Record, frozen=True, tag="SourceSuspended"):
    """An egress source cannot be sent from, by itself or by its proxy; pools try it again from `until` on."""

    source: str
    until: int
    reason: str


class SourceResumed(Record, frozen=True, tag="SourceResumed"):
    """A suspended egress source sends again after `seconds`."""

    source: str
    seconds: float


class DropSetAside(Record, frozen=True, tag="DropSetAside"):
    """What the user `uid` left in the folder of drops as `drop` did not become mail; it lies at `aside` now."""

    drop: str
    uid: int
    reason: str
    aside: str


class DropsFaulted(Record, frozen=True, tag="DropsFaulted"):
    """The folder of drops cannot be worked on now; what lies there waits."""

    reason: str


class PolicyFaulted(Record, frozen=True, tag="PolicyFaulted"):
    """A policy raised or ran out of time; the peer got a deferral."""

    policy: str
    stage: str
    reason: str


class DeliveryFaulted(Record, frozen=True, tag="DeliveryFaulted"):
    """A delivery attempt hit a bug of ours; its recipients are deferred. `detail` holds the traceback."""

    lane: str
    detail: str


class DeskFaulted(Record, frozen=True, tag="DeskFaulted"):
    """A page of the desk, or a request of the API, hit a bug of ours; the client got 500. `detail`: the traceback."""

    page: str
    detail: str
