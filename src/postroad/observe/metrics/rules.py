"""What is counted of each type of record: its labels, and the fields that are measured.

Every record type has a rule here, and tests hold this table and `model/records.py` to each other. Labels are only
what has few values (listeners, codes, scopes, names from the configuration): never addresses, queue ids, next hops or
words of a peer. The name of a counter follows from the record's: MessageAccepted is postroad_message_accepted_total.
"""

import re
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.model import records as r
from postroad.model.records import Record
from postroad.observe.metrics.series import Family

SECONDS: Final = (
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    900.0,
    3600.0,
    14400.0,
    86400.0,
)
OCTETS: Final = tuple(float(1 << power) for power in range(10, 27, 2))
RECIPIENTS: Final = (1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0)
MESSAGES: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 100.0, 1000.0)


class Measure(Struct, frozen=True):
    """A histogram of what `of` reads from a record."""

    name: str
    text: str
    of: Callable[[Record], float]
    bounds: tuple[float, ...]


class Rule(Struct, frozen=True):
    """How one type of record is counted. `labels` are paths of its fields, `amount` a field to add instead of 1."""

    labels: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    amount: str = ""


def _field(path: str) -> Callable[[Record], float]:
    return attrgetter(path)


def _attempt(record: Record) -> float:
    return record.delays[2] + record.delays[3] if isinstance(record, r.RecipientDelivered) else 0.0


PLAIN: Final = Rule()
RULES: Final[Mapping[type[Record], Rule]] = MappingProxyType(
    {
        r.ServerStarted: PLAIN,
        r.ServerStopping: PLAIN,
        r.ProcessStarted: Rule(("name",)),
        r.ProcessLost: Rule(("name",)),
        r.ProcessEnded: Rule(("name",)),
        r.ConfigReloaded: PLAIN,
        r.ConfigRefused: PLAIN,
        r.DropSetAside: PLAIN,
        r.DropsFaulted: PLAIN,
        r.ConnectionOpened: Rule(("listener",)),
        r.ConnectionClosed: Rule(
            ("listener",),
            (
                Measure("connection_seconds", "How long clients' connections lasted.", _field("seconds"), SECONDS),
                Measure("connection_messages", "Messages that came in one connection.", _field("messages"), MESSAGES),
            ),
        ),
        r.NetworkBanned: Rule(("kind",)),
        r.NetworkUnbanned: PLAIN,
        r.AccountHeld: PLAIN,
        r.AccountHandled: Rule(("action",)),
        r.ProxyRefused: Rule(("listener",)),
        r.ClientChanged: Rule(("listener",)),
        r.ConnectionSecured: Rule(
            ("listener", "version", "cipher", "resumed"),
            (Measure("handshake_seconds", "How long TLS handshakes of clients took.", _field("seconds"), SECONDS),),
        ),
        r.HandshakeFailed: Rule(("listener",)),
        r.CertificateLoaded: Rule(("certificate",)),
        r.CertificateRefused: Rule(("certificate",)),
        r.TlsPolicyNotFetched: PLAIN,
        r.ReportSent: Rule(("kind",)),
        r.ReportNotSent: Rule(("kind",)),
        r.ReportTaken: Rule(("kind",)),
        r.CertificateExpiring: Rule(("certificate",)),
        r.CertificateObtained: PLAIN,
        r.CertificateNotObtained: PLAIN,
        r.CommandRefused: Rule(("origin.listener", "stage", "reply.code")),
        r.MessageAccepted: Rule(
            ("origin.listener",),
            (
                Measure("message_size_bytes", "Octets of accepted messages.", _field("size"), OCTETS),
                Measure("message_recipients", "Recipients of accepted messages.", _field("recipients"), RECIPIENTS),
            ),
        ),
        r.MessageAdjusted: PLAIN,
        r.MessageDiscarded: Rule(("origin.listener",)),
        r.MessageSigned: PLAIN,
        r.MessageUnsigned: PLAIN,
        r.RecipientDiscarded: PLAIN,
        r.RateReached: Rule(("rate", "action")),
        r.CountsLost: PLAIN,
        r.CountsFound: PLAIN,
        r.RecipientRewritten: PLAIN,
        r.RecipientExpanded: PLAIN,
        r.RecipientDelivered: Rule(
            ("source",),
            (
                Measure("delivery_delay_seconds", "From acceptance to delivery.", _field("delay"), SECONDS),
                Measure(
                    "delivery_attempt_seconds", "Connecting and sending, of what was delivered.", _attempt, SECONDS
                ),
            ),
        ),
        r.RecipientDeferred: Rule(("source", "scope", "reply.code")),
        r.RecipientFailed: Rule(("source", "scope", "reply.code", "expired")),
        r.RecipientHeld: PLAIN,
        r.DsnQueued: Rule(("kind",)),
        r.DsnSuppressed: Rule(("kind",)),
        r.MessageRemoved: PLAIN,
        r.LaneSuspended: PLAIN,
        r.LaneResumed: PLAIN,
        r.TargetSuspended: Rule(("source",)),
        r.TargetResumed: Rule(
            ("source",),
            (Measure("target_suspended_seconds", "How long hosts that failed were out.", _field("seconds"), SECONDS),),
        ),
        r.SourceSuspended: Rule(("source",)),
        r.SourceResumed: Rule(
            ("source",),
            (Measure("source_suspended_seconds", "How long egress sources were out.", _field("seconds"), SECONDS),),
        ),
        r.SpoolRecovered: Rule(
            (), (Measure("spool_recovery_seconds", "How long it took to open the spool.", _field("seconds"), SECONDS),)
        ),
        r.SpoolDamaged: PLAIN,
        r.SpoolFull: PLAIN,
        r.SpoolHasRoom: PLAIN,
        r.SpoolFaulted: PLAIN,
        r.SpoolMended: PLAIN,
        r.CheckFaulted: Rule(("policy", "check")),
        r.PolicyFaulted: Rule(("policy", "stage")),
        r.Authenticated: Rule(("origin.listener", "mechanism", "source")),
        r.AuthFailed: Rule(("origin.listener", "code")),
        r.UserLineIgnored: Rule(("table",)),
        r.TableLoaded: Rule(("table",)),
        r.TableRefused: Rule(("table",)),
        r.RecipientAsked: Rule(
            ("answer",),
            (
                Measure(
                    "recipient_asked_seconds",
                    "How long next hops took to tell of a recipient.",
                    _field("seconds"),
                    SECONDS,
                ),
            ),
        ),
        r.CatchAllFound: PLAIN,
        r.DirectoryFaulted: Rule(("directory", "server")),
        r.DirectoryRecovered: Rule(("directory", "server")),
        r.ValidationProved: PLAIN,
        r.ValidationRefuted: PLAIN,
        r.OperatorActed: Rule(("action",)),
        r.RecipientHandled: Rule(("action",)),
        r.DeliveryFaulted: PLAIN,
        r.WorkFailed: Rule(("job", "cause")),
        r.DeskFaulted: PLAIN,
        r.RecordsDropped: Rule(("sink",), amount="count"),
        r.SinkFaulted: Rule(("sink",)),
        r.SinkRecovered: Rule(
            ("sink",),
            (Measure("sink_faulted_seconds", "How long sinks of records did not work.", _field("seconds"), SECONDS),),
        ),
    }
)


def counter_of(record: type[Record], rule: Rule) -> Family:
    """The counter of a type of record."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", record.__name__).lower()
    labels = tuple(path.rpartition(".")[2] for path in rule.labels)
    return Family(f"postroad_{words}_total", "counter", f"Records {record.__name__}: {_sentence(record)}", labels)


def histogram_of(measure: Measure) -> Family:
    """The histogram of a measure."""
    return Family(f"postroad_{measure.name}", "histogram", measure.text, (), measure.bounds)


def _sentence(record: type[Record]) -> str:
    """The first sentence of its docstring, without marks."""
    first = " ".join((record.__doc__ or "").split("\n\n", maxsplit=1)[0].split())
    return first.replace("`", "")
