"""The format "postfix": the lines of Postfix, for the tools that read its log.

Grammar: `Nov 23 23:36:40 host postfix/daemon[pid]: QUEUEID: key=value, ...`, local time. Program names are
Postfix's, because pflogsumm and fail2ban's filter take no other. Facts that Postfix has no line for become
`warning:` lines when somebody should act on them. Of the enhanced code only the class is corrected
(RFC 3463 2), so that `dsn=` and `status=` agree.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from postroad.model import records as r
from postroad.model.records import Record
from postroad.model.reply import Reply
from postroad.observe.formats.lines import Encode, Stamp, printable, seconds
from postroad.observe.formats.postfix_smtpd import auth_failed, closed, opened, refused, secured, session_pid

_DSN_KINDS: Final = MappingProxyType({"failed": "non-delivery", "delayed": "delay"})
_DAEMONS: Final = MappingProxyType({"lmtp": "lmtp", "capt": "virtual"})  # by the first letters of the lane
_ANSWERED: Final = MappingProxyType(
    {"MAIL": "MAIL FROM", "RCPT": "RCPT TO", ".": "end of DATA", "END OF DATA": "end of DATA", "BDAT": "end of DATA"}
)

_Outcome = r.RecipientDelivered | r.RecipientDeferred | r.RecipientFailed


def make_postfix(hostname: str, pid: int) -> Encode:
    """The encoder of this format: `hostname` and `pid` as every line of ours shall have them."""
    host = "".join(hostname.split()) or "localhost"
    stamp = Stamp(lambda moment: f"{moment:%b} {moment.day:2d} {moment:%H:%M:%S} {host} postfix/")
    known = _WORDS
    expired = ""

    def lines(record: Record) -> bytes:
        nonlocal expired
        words = known.get(type(record))
        if words is None:
            return b""
        prefix = stamp(record.at)
        text = ""
        for line in words(record, pid):
            text += f"{prefix}{printable(line)}\n"
        if type(record) is r.RecipientFailed and record.expired and record.sender and record.id != expired:
            # Once a message, as Postfix's queue manager has it; recipients of one message expire together.
            expired = record.id
            text += f"{prefix}{printable(_returned(record, pid))}\n"
        return text.encode()

    return lines


def _outcome(e: _Outcome, pid: int, digit: int, words: str) -> str:
    a, b, c, d = e.delays
    enhanced = e.reply.enhanced
    return (
        f"{_DAEMONS.get(e.lane[:4], 'smtp')}[{pid}]: {e.id}: to=<{e.recipient}>, relay={e.target or 'none'}, "
        f"delay={seconds(e.delay)}, delays={seconds(a)}/{seconds(b)}/{seconds(c)}/{seconds(d)}, "
        f"dsn={digit}{enhanced[1:] or '.0.0'}, status={words}"
    )


def _said(target: str, reply: Reply, command: str) -> str:
    if not command:
        return reply.text or str(reply)
    host = target.rpartition("]")[0] + "]" if "]" in target else target
    return f"host {host} said: {reply} (in reply to {_ANSWERED.get(command.upper(), command)} command)"


def _accepted(e: r.MessageAccepted, pid: int) -> tuple[str, ...]:
    login = f", sasl_username={e.origin.login}" if e.origin.login else ""
    user = e.origin.helo.removeprefix("userid ")
    return (
        f"smtpd[{session_pid(e.origin.session)}]: {e.id}: client=unknown[{e.origin.ip}]{login}"
        if e.origin.ip
        else f"pickup[{pid}]: {e.id}: uid={user} from=<{e.sender}>",
        f"cleanup[{pid}]: {e.id}: message-id={e.message_id or '<>'}",
        f"qmgr[{pid}]: {e.id}: from=<{e.sender}>, size={e.size}, nrcpt={e.recipients} (queue active)",
    )


def _delivered(e: r.RecipientDelivered, pid: int) -> tuple[str, ...]:
    return (_outcome(e, pid, 2, f"sent ({e.reply})"),)


def _deferred(e: r.RecipientDeferred, pid: int) -> tuple[str, ...]:
    return (_outcome(e, pid, 4, f"deferred ({_said(e.target, e.reply, e.command)})"),)


def _failed(e: r.RecipientFailed, pid: int) -> tuple[str, ...]:
    return (_outcome(e, pid, 5, f"bounced ({_said(e.target, e.reply, e.command)})"),)


def _returned(e: r.RecipientFailed, pid: int) -> str:
    return f"qmgr[{pid}]: {e.id}: from=<{e.sender}>, status=expired, returned to sender"


def _reported(e: r.DsnQueued, pid: int) -> tuple[str, ...]:
    kind = _DSN_KINDS.get(e.kind, "delivery status")
    return (
        f"bounce[{pid}]: {e.id}: sender {kind} notification: {e.report}",
        f"qmgr[{pid}]: {e.report}: from=<>, size={e.size}, nrcpt=1 (queue active)",
    )


def _damaged(e: r.SpoolDamaged, pid: int) -> tuple[str, ...]:
    place = f"{e.journal}/{e.segment} at {e.offset}"
    return (f"qmgr[{pid}]: warning: damaged queue segment {place}: {e.reason}; set aside at {e.aside}",)


def _full(e: r.SpoolFull, pid: int) -> tuple[str, ...]:
    room = f"{e.free} bytes < {e.floor}"
    return (f"smtpd[{pid}]: warning: not enough free space in mail queue: {room} ({e.reason})",)


def _recovered(e: r.SpoolRecovered, pid: int) -> tuple[str, ...]:
    found = f"{e.messages} messages, {e.replayed} replayed, {e.damaged} damaged"
    return (f"qmgr[{pid}]: queue opened with {found}",)


# The type of each function's first parameter is its key; a mapping cannot say so.
_WORDS: Final[MappingProxyType[type[Record], Callable[[Any, int], tuple[str, ...]]]] = MappingProxyType(
    {
        r.ServerStarted: lambda e, p: (
            f"master[{p}]: daemon started -- version {e.version}, Postroad on {e.hostname}",
        ),
        r.ConfigReloaded: lambda e, p: tuple(f"master[{p}]: reload: {line}" for line in (e.by, *e.changes)),
        r.ConfigRefused: lambda e, p: tuple(f"master[{p}]: warning: reload refused: {line}" for line in e.problems),
        r.ServerStopping: lambda e, p: (f"master[{p}]: terminating on {e.reason}",),
        r.ConnectionOpened: opened,
        r.ConnectionClosed: closed,
        r.ConnectionSecured: secured,
        r.HandshakeFailed: lambda e, _: (
            f"smtpd[{session_pid(e.session)}]: SSL_accept error from unknown[{e.ip}]: {e.reason}",
        ),
        r.CertificateRefused: lambda e, p: (
            f"smtpd[{p}]: warning: {e.certificate}: {e.reason}; the certificate before stays in force",
        ),
        r.CertificateExpiring: lambda e, p: (f"smtpd[{p}]: warning: {e.certificate} expires in {e.days} days",),
        r.CertificateNotObtained: lambda e, p: (
            f"smtpd[{p}]: warning: no certificate of {e.directory} for {', '.join(e.names)}: {e.reason}",
        ),
        r.CommandRefused: refused,
        r.MessageAccepted: _accepted,
        r.MessageDiscarded: lambda e, p: (f"cleanup[{p}]: {e.id}: milter-discard: from=<{e.sender}>: {e.reason}",),
        r.RecipientRewritten: lambda e, p: (
            f"cleanup[{p}]: {e.id}: redirect: to=<{e.recipient}>: {e.to} ({e.reason})",
        ),
        r.RecipientDelivered: _delivered,
        r.RecipientDeferred: _deferred,
        r.RecipientFailed: _failed,
        r.RecipientHeld: lambda e, p: (f"qmgr[{p}]: {e.id}: to=<{e.recipient}>, status=hold ({e.reason})",),
        r.DsnQueued: _reported,
        r.DsnSuppressed: lambda e, p: (
            f"bounce[{p}]: {e.id}: no {e.kind} notification for <{e.recipient}>: {e.reason}",
        ),
        r.MessageRemoved: lambda e, p: (f"qmgr[{p}]: {e.id}: removed",),
        r.LaneSuspended: lambda e, p: (f"qmgr[{p}]: warning: next hop {e.lane or '(none)'} suspended: {e.reason}",),
        r.LaneResumed: lambda e, p: (f"qmgr[{p}]: next hop {e.lane} resumed",),
        r.TargetSuspended: lambda e, p: (f"qmgr[{p}]: warning: host {e.target} suspended: {e.reason}",),
        r.TargetResumed: lambda e, p: (f"qmgr[{p}]: host {e.target} resumed",),
        r.SourceSuspended: lambda e, p: (f"qmgr[{p}]: warning: egress source {e.source} suspended: {e.reason}",),
        r.SourceResumed: lambda e, p: (f"qmgr[{p}]: egress source {e.source} resumed",),
        r.ProcessLost: lambda e, p: (f"master[{p}]: warning: process {e.name} pid {e.pid} {e.reason}",),
        r.SpoolRecovered: _recovered,
        r.SpoolDamaged: _damaged,
        r.SpoolFull: _full,
        r.SpoolHasRoom: lambda e, p: (f"smtpd[{p}]: free space in mail queue again, {e.free} bytes",),
        r.SpoolFaulted: lambda e, p: (f"cleanup[{p}]: warning: mail queue write error: {e.reason}",),
        r.SpoolMended: lambda _, p: (f"qmgr[{p}]: mail queue is read again",),
        r.OperatorActed: lambda e, p: (
            f"postsuper[{p}]: {e.action} by {e.by}: {e.selection}: {e.recipients} recipients",
        ),
        r.RecipientHandled: lambda e, p: (f"postsuper[{p}]: {e.id}: {e.action} of <{e.recipient}> by {e.by}",),
        r.ProxyRefused: lambda e, p: (f"smtpd[{p}]: warning: haproxy protocol: [{e.ip}]: {e.reason}",),
        r.NetworkBanned: lambda e, p: (
            f"anvil[{p}]: banned: network={e.network} seconds={e.seconds} kind={e.kind} times={e.times}",
        ),
        r.NetworkUnbanned: lambda e, p: (f"anvil[{p}]: unbanned: network={e.network} by {e.by}",),
        r.AccountHeld: lambda e, p: (f"anvil[{p}]: warning: account held: sasl_username={e.login}: {e.reason}",),
        r.AccountHandled: lambda e, p: (f"postsuper[{p}]: account {e.login}: {e.action} by {e.by}",),
        r.DropSetAside: lambda e, p: (
            f"pickup[{p}]: warning: {e.drop} of uid {e.uid} is no mail: {e.reason}; set aside at {e.aside}",
        ),
        r.DropsFaulted: lambda e, p: (f"pickup[{p}]: warning: {e.reason}",),
        r.CheckFaulted: lambda e, p: (f"smtpd[{p}]: warning: policy {e.policy}: {e.check}: {e.reason}",),
        r.PolicyFaulted: lambda e, p: (f"smtpd[{p}]: warning: policy {e.policy} at {e.stage}: {e.reason}",),
        r.RateReached: lambda e, p: (
            f"anvil[{p}]: warning: rate {e.rate}: {e.limit} {e.counted} reached{f' by {e.account}' * bool(e.account)}",
        ),
        r.CountsLost: lambda e, p: (f"anvil[{p}]: warning: {e.server}: {e.reason}",),
        r.CountsFound: lambda e, p: (f"anvil[{p}]: {e.server} answers again",),
        r.AuthFailed: auth_failed,
        r.UserLineIgnored: lambda e, p: (f"smtpd[{p}]: warning: {e.table}, line {e.line}: {e.reason}; skipping it",),
        r.TableRefused: lambda e, p: (
            f"cleanup[{p}]: warning: {e.table}, line {e.line}: {e.reason}; the table before stays in force",
        ),
        r.RecipientAsked: lambda e, p: (f"verify[{p}]: to=<{e.recipient}>, relay={e.target}, {e.answer} ({e.reply})",),
        r.CatchAllFound: lambda e, p: (f"verify[{p}]: warning: {e.target} takes mail for any name in {e.domain}",),
        r.DirectoryFaulted: lambda e, p: (f"smtpd[{p}]: warning: directory {e.directory}: {e.server}: {e.reason}",),
        r.DeliveryFaulted: lambda e, p: (f"qmgr[{p}]: warning: delivery to {e.lane} failed by a bug: {e.detail}",),
        r.DeskFaulted: lambda e, p: (f"master[{p}]: warning: desk page {e.page} failed by a bug: {e.detail}",),
        r.RecordsDropped: lambda e, p: (
            f"postlogd[{p}]: warning: {e.count} records left out{f' of sink {e.sink}' if e.sink else ''}",
        ),
        r.SinkFaulted: lambda e, p: (f"postlogd[{p}]: warning: sink {e.sink} does not work: {e.reason}",),
        r.SinkRecovered: lambda e, p: (f"postlogd[{p}]: sink {e.sink} works again",),
    }
)
