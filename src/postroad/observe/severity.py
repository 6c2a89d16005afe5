"""How much a record matters, in the numbers that syslog and the journal share (pure).

RFC 5424 6.2.1: 3 error, 4 warning, 5 notice, 6 informational. Errors are ours to mend; warnings are what somebody
should look at; mail that a peer refuses is no more than information.
"""

from types import MappingProxyType
from typing import Final

from postroad.model import records as r
from postroad.model.records import Record

ERROR: Final = 3
WARNING: Final = 4
NOTICE: Final = 5
INFO: Final = 6

_SEVERITIES: Final[MappingProxyType[type[Record], int]] = MappingProxyType(
    {
        r.SpoolDamaged: ERROR,
        r.SpoolFaulted: ERROR,
        r.SpoolFull: ERROR,
        r.DeliveryFaulted: ERROR,
        r.DeskFaulted: ERROR,
        r.ProcessLost: WARNING,
        r.PolicyFaulted: WARNING,
        r.CheckFaulted: WARNING,
        r.TableRefused: WARNING,
        r.CountsLost: WARNING,
        r.RateReached: WARNING,
        r.CatchAllFound: WARNING,
        r.CertificateRefused: WARNING,
        r.CertificateExpiring: WARNING,
        r.CertificateNotObtained: WARNING,
        r.TlsPolicyNotFetched: WARNING,
        r.ReportNotSent: WARNING,
        r.UserLineIgnored: WARNING,
        r.DirectoryFaulted: WARNING,
        r.ValidationRefuted: WARNING,
        r.LaneSuspended: WARNING,
        r.TargetSuspended: WARNING,
        r.SourceSuspended: WARNING,
        r.RecordsDropped: WARNING,
        r.AccountHeld: WARNING,
        r.ProxyRefused: WARNING,
        r.SinkFaulted: WARNING,
        r.ServerStarted: NOTICE,
        r.ServerStopping: NOTICE,
        r.OperatorActed: NOTICE,
        r.CertificateObtained: NOTICE,
        r.CountsFound: NOTICE,
        r.AccountHandled: NOTICE,
        r.NetworkBanned: NOTICE,
        r.NetworkUnbanned: NOTICE,
        r.SpoolHasRoom: NOTICE,
        r.SpoolMended: NOTICE,
        r.RecipientFailed: NOTICE,
    }
)


def severity_of(record: Record) -> int:
    """The severity of `record`."""
    return _SEVERITIES.get(type(record), INFO)
