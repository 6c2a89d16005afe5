"""The format "text": short lines for people who watch.

Local time, what happened in one word, then the facts. Every type of record has its line; a type
without words of its own is told by its fields.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import msgspec

from postroad.model import records as r
from postroad.model.records import Record
from postroad.model.security import BY_DEFAULT, Secured
from postroad.observe.formats.lines import Encode, Stamp, plural, printable, seconds


def make_text() -> Encode:
    """The encoder of this format."""
    stamp = Stamp(lambda moment: f"{moment:%Y-%m-%d %H:%M:%S}.")
    known = _WORDS

    def lines(record: Record) -> bytes:
        at = record.at
        words = known.get(type(record), _fields)(record)
        return f"{printable(f'{stamp(at)}{at // 1000 % 1000:03d} {words}')}\n".encode()

    return lines


def _fields(record: Record) -> str:
    facts = " ".join(f"{name}={value}" for name, value in msgspec.structs.asdict(record).items() if name != "at")
    return f"{type(record).__name__} {facts}"


def _outcome(word: str, record: r.RecipientDelivered | r.RecipientDeferred | r.RecipientFailed) -> str:
    by = f"{f' by {record.target}' if record.target else ''}{_from(record.source)}"
    return f"{word:9} {record.id} to <{record.recipient}>{by} after {seconds(record.delay)}s: {record.reply}"


def _delivered(record: r.RecipientDelivered) -> str:
    how = _encryption(record.tls, record.secured)
    return _outcome("delivered", record) + (f" ({how})" if how else "")


def _encryption(tls: str, secured: Secured | None) -> str:
    """What TLS there was: version and cipher, whether it was verified, who demanded it, what was not met."""
    if secured is None:
        return tls
    parts = [tls] * bool(tls) + ["verified"] * secured.verified + ["resumed"] * secured.resumed
    parts += [secured.reason] * (secured.source != BY_DEFAULT) + [secured.words] * bool(secured.words)
    return ", ".join(parts)


def _deferred(record: r.RecipientDeferred) -> str:
    wait = max(record.due - record.at, 0) / 1_000_000
    return f"{_outcome('deferred', record)}{_in_reply_to(record.command)}; try {record.attempts + 1} in {wait:.0f}s"


def _failed(record: r.RecipientFailed) -> str:
    expired = "; the time to retry ran out" if record.expired else ""
    return f"{_outcome('FAILED', record)}{_in_reply_to(record.command)}{expired}"


def _in_reply_to(command: str) -> str:
    return f" (to {command})" if command else ""


def _secured(record: r.ConnectionSecured) -> str:
    name = f" for {record.sni}" if record.sni else ""
    client = f"; its certificate: {record.subject or record.fingerprint}" if record.fingerprint else ""
    resumed = ", resumed" if record.resumed else ""
    return f"TLS       {record.session} {record.version} with {record.cipher}{name}{resumed}{client}"


def _refused(record: r.CommandRefused) -> str:
    origin = record.origin
    sender = f" from <{record.sender}>" if record.sender else ""
    recipient = f" to <{record.recipient}>" if record.recipient else ""
    return (
        f"refused   {origin.session} {record.stage} of {origin.helo or '-'}[{origin.ip}]{sender}{recipient}: "
        f"{record.reply} ({record.detail})"
    )


def _accepted(record: r.MessageAccepted) -> str:
    origin = record.origin
    return (
        f"accepted  {record.id} from <{record.sender}>, {plural(record.recipients, 'recipient')}, "
        f"{plural(record.size, 'octet')}, by {origin.helo or '-'}[{origin.ip}] {origin.protocol} {record.message_id}"
    )


def _adjusted(record: r.MessageAdjusted) -> str:
    done = [f"tagged {', '.join(record.tags)}"] if record.tags else []
    done += [f"held: {record.held}"] if record.held else []
    done += [f"by route {record.route}"] if record.route else []
    done += [f"TLS {record.tls}"] if record.tls else []
    done += [f"sent as <{record.sender}>"] if record.sender else []
    done += [f"redirected to {', '.join(record.redirected)}"] if record.redirected else []
    done += [f"also to {', '.join(record.added)}"] if record.added else []
    return f"adjusted  {record.id} {'; '.join(done)} ({record.reason})"


def _expanded(record: r.RecipientExpanded) -> str:
    to = ", ".join(record.to) + (", ..." if record.count > len(record.to) else "")
    return f"expanded  {record.id} <{record.recipient}> to {plural(record.count, 'recipient')}: {to}"


def _by(who: str) -> str:
    return f" by {who}" if who else ""


def _banned_for(record: r.NetworkBanned) -> str:
    time = f"for {record.seconds}s" if record.seconds else "for good"
    return f"{time}: {record.kind}, time {record.times}{_by(record.by)}"


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number} entries"


def _closed(record: r.ConnectionClosed) -> str:
    return (
        f"closed    {record.session} [{record.ip}]:{record.port} {record.reason}, {plural(record.messages, 'message')} "
        f"in {seconds(record.seconds)}s, {record.commands}"
    )


def _suspended(record: r.LaneSuspended) -> str:
    wait = max(record.until - record.at, 0) / 1_000_000
    return f"suspended {record.lane} for {wait:.0f}s: {record.reason}"


def _from(source: str) -> str:
    return f" from {source}" if source else ""


def _acted(record: r.OperatorActed) -> str:
    busy = f", {record.busy} busy" if record.busy else ""
    if record.action in ("suspend", "resume", "reset"):
        return f"operator  {record.by} ({record.uid}): {record.action} {record.selection}{_because(record.reason)}"
    count = f"{plural(record.recipients, 'recipient')} of {plural(record.messages, 'message')}"
    who = f"operator  {record.by} ({record.uid})"
    return f"{who}: {record.action} {record.selection}: {count}{busy}{_because(record.reason)}"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _recovered(record: r.SpoolRecovered) -> str:
    return (
        f"spool     open: {record.messages} messages, {record.replayed} replayed, {record.drafts_swept} drafts swept, "
        f"{record.damaged} damaged, {seconds(record.seconds)}s"
    )


def _damaged(record: r.SpoolDamaged) -> str:
    return (
        f"spool     DAMAGED: {record.length} octets at {record.offset} of segment {record.segment} of "
        f"{record.journal}: {record.reason}; set aside at {record.aside}"
    )


# The type of each function's parameter is its key; a mapping cannot say so.
_WORDS: MappingProxyType[type[Record], Callable[[Any], str]] = MappingProxyType(
    {
        r.ServerStarted: lambda e: f"started   Postroad {e.version} as {e.hostname} on {', '.join(e.listeners)}",
        r.ProcessStarted: lambda e: f"process   {e.name} ({e.pid}) works after {seconds(e.seconds)}s",
        r.ProcessLost: lambda e: (
            f"process   LOST {e.name} ({e.pid}) after {seconds(e.seconds)}s: {e.reason}; next in {seconds(e.pause)}s"
        ),
        r.ProcessEnded: lambda e: f"process   {e.name} ({e.pid}) ended after {seconds(e.seconds)}s: {e.reason}",
        r.ConfigReloaded: lambda e: f"reloaded  by {e.by}: {'; '.join(e.changes) or 'nothing has changed'}",
        r.ConfigRefused: lambda e: f"refused   the reload by {e.by}: {'; '.join(e.problems)}",
        r.ServerStopping: lambda e: f"stopping  {e.reason}",
        r.ConnectionOpened: lambda e: f"connected {e.session} [{e.ip}]:{e.port} to {e.listener}",
        r.ConnectionClosed: _closed,
        r.ConnectionSecured: _secured,
        r.HandshakeFailed: lambda e: f"TLS fails {e.session} from [{e.ip}] after {seconds(e.seconds)}s: {e.reason}",
        r.CommandRefused: _refused,
        r.NetworkBanned: lambda e: f"banned    {e.network} {_banned_for(e)}",
        r.NetworkUnbanned: lambda e: f"unbanned  {e.network} by {e.by}",
        r.AccountHeld: lambda e: f"account   {e.login} HELD{_by(e.by)}: {e.reason}",
        r.AccountHandled: lambda e: (
            f"account   {e.login}: {e.action} by {e.by} ({e.uid}), {plural(e.recipients, 'recipient')}"
            f"{_because(e.reason)}"
        ),
        r.ProxyRefused: lambda e: f"refused   [{e.ip}]:{e.port} at {e.listener}: {e.reason}",
        r.ClientChanged: lambda e: (
            f"client    {e.session} [{e.proxy}] speaks for [{e.ip}]:{e.port}{f' as {e.login}' if e.login else ''}"
        ),
        r.MessageAccepted: _accepted,
        r.MessageAdjusted: _adjusted,
        r.MessageDiscarded: lambda e: (
            f"discarded {e.id} from <{e.sender}>, {plural(e.recipients, 'recipient')} {e.message_id}: {e.reason}"
        ),
        r.RecipientDiscarded: lambda e: f"discarded {e.id} to <{e.recipient}>: {e.reason}",
        r.RecipientRewritten: lambda e: f"rewritten {e.id} to <{e.recipient}> is now to <{e.to}>: {e.reason}",
        r.RecipientExpanded: _expanded,
        r.RecipientDelivered: _delivered,
        r.RecipientDeferred: _deferred,
        r.RecipientFailed: _failed,
        r.RecipientHeld: lambda e: f"held      {e.id} to <{e.recipient}>: {e.reason}",
        r.DsnQueued: lambda e: f"reported  {e.id} {e.kind} to <{e.to}> as {e.report}",
        r.DsnSuppressed: lambda e: f"silent    {e.id} {e.kind} of <{e.recipient}> not reported: {e.reason}",
        r.MessageRemoved: lambda e: f"removed   {e.id}",
        r.LaneSuspended: _suspended,
        r.LaneResumed: lambda e: f"resumed   {e.lane}",
        r.TargetSuspended: lambda e: f"left out  {e.target}{_from(e.source)}: {e.reason}",
        r.TargetResumed: lambda e: f"back      {e.target}{_from(e.source)} after {seconds(e.seconds)}s",
        r.SourceSuspended: lambda e: f"left out  source {e.source}: {e.reason}",
        r.SourceResumed: lambda e: f"back      source {e.source} after {seconds(e.seconds)}s",
        r.SpoolRecovered: _recovered,
        r.SpoolDamaged: _damaged,
        r.SpoolFull: lambda e: f"spool     FULL: {e.free} octets free of {e.floor}: {e.reason}",
        r.SpoolHasRoom: lambda e: f"spool     has room: {e.free} octets free",
        r.SpoolFaulted: lambda e: f"spool     FAULT: {e.reason}",
        r.SpoolMended: lambda _: "spool     mail is fetched again",
        r.DropSetAside: lambda e: f"drop      {e.drop} of uid {e.uid} SET ASIDE at {e.aside}: {e.reason}",
        r.DropsFaulted: lambda e: f"drops     FAULT: {e.reason}",
        r.CheckFaulted: lambda e: f"policy    {e.policy}: {e.check} cannot be asked: {e.reason}",
        r.PolicyFaulted: lambda e: f"policy    FAULT: {e.policy} at {e.stage}: {e.reason}",
        r.RateReached: lambda e: (
            f"rate      REACHED {e.rate} {e.limit} {e.counted}{f' of {e.account}' if e.account else ''}: "
            f"{e.used} used, {e.wanted} more {'held' if e.action == 'hold' else 'deferred'}"
        ),
        r.CountsLost: lambda e: f"rates     {e.server} does not answer: {e.reason}; counted here meanwhile",
        r.CountsFound: lambda e: f"rates     {e.server} answers again after {seconds(e.seconds)}s",
        r.Authenticated: lambda e: f"login     {e.login} by {e.mechanism} from {e.origin.ip}, known to {e.source}",
        r.AuthFailed: lambda e: (
            f"login     FAILED {e.login} by {e.mechanism} from {e.origin.ip}: {e.reason} ({e.code})"
        ),
        r.UserLineIgnored: lambda e: f"table     {e.table}:{e.line} is left out: {e.reason}",
        r.TableLoaded: lambda e: f"table     {e.table}: {_entries(e.entries)}, {plural(e.doubts, 'doubt')}",
        r.TableRefused: lambda e: (
            f"table     REFUSED {e.table}:{e.line}: {e.reason} ({plural(e.problems, 'problem')}); the old one stays"
        ),
        r.RecipientAsked: lambda e: (
            f"asked     {e.target} for <{e.recipient}>: {e.answer} in {seconds(e.seconds)}s: {e.reply}"
        ),
        r.CatchAllFound: lambda e: (
            f"asked     {e.target} takes ANY name in {e.domain}, an invented one too: asking it tells nothing"
        ),
        r.DirectoryFaulted: lambda e: (
            f"directory {e.directory}: {e.server} does not work: {e.reason}; not asked for {seconds(e.pause)}s"
        ),
        r.DirectoryRecovered: lambda e: f"directory {e.directory}: {e.server} works again",
        r.ValidationProved: lambda e: f"dns       DANE counts: {e.reason}",
        r.ValidationRefuted: lambda e: f"dns       NO DANE: {e.reason}",
        r.OperatorActed: _acted,
        r.RecipientHandled: lambda e: (
            f"operator  {e.id} {e.action} of <{e.recipient}> for {e.lane} by {e.by}{_because(e.reason)}"
        ),
        r.DeliveryFaulted: lambda e: f"delivery  FAULT: {e.lane}: {e.detail}",
        r.DeskFaulted: lambda e: f"desk      FAULT: {e.page}: {e.detail}",
        r.RecordsDropped: lambda e: f"{e.sink or 'log':9} {e.count} records left out",
        r.SinkFaulted: lambda e: f"sink      {e.sink} does not work: {e.reason}",
        r.SinkRecovered: lambda e: f"sink      {e.sink} works again after {seconds(e.seconds)}s",
    }
)
