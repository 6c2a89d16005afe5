"""The format "postfix", receiving side: connect, disconnect, reject, too many errors, lost connection.

A client's lines carry a number made from its session in the place of the process id, so that tools which
pair lines by it stay right although one process serves all. Host names are always "unknown": the peer is
known by its address alone.
"""

from types import MappingProxyType
from typing import Final
from zlib import crc32

from postroad.model import records as r
from postroad.model.envelope import Origin
from postroad.smtp import replies

_PIDS: Final = 4_194_304  # one more than the largest process id of Linux
_COMMANDS: Final = MappingProxyType(
    {
        "connect": "CONNECT",
        "hello": "EHLO",
        "ehlo": "EHLO",
        "helo": "HELO",
        "mail": "MAIL",
        "rcpt": "RCPT",
        "data": "DATA",
        "bdat": "BDAT",
        "message": "END-OF-MESSAGE",
    }
)
# First words of the ends that we chose or the client announced; any other end is the connection's.
_CHOSEN: Final = frozenset(("quit", "refused", "talked", "spoke", "command", "too", "shutting"))


def session_pid(session: str) -> int:
    """The number that stands for `session` in the place of a process id."""
    return crc32(session.encode(errors="replace")) % _PIDS


def opened(record: r.ConnectionOpened, _pid: int) -> tuple[str, ...]:
    """`connect from`."""
    return (f"smtpd[{session_pid(record.session)}]: connect from unknown[{record.ip}]",)


def closed(record: r.ConnectionClosed, _pid: int) -> tuple[str, ...]:
    """`disconnect from`, and before it how the session ended when it did not end well."""
    daemon = f"smtpd[{session_pid(record.session)}]"
    gone = f"{daemon}: disconnect from unknown[{record.ip}] {record.commands}"
    ending = _ending(record.reason)
    if not ending:
        return (gone,)
    return (f"{daemon}: {ending} after {_last_command(record)} from unknown[{record.ip}]", gone)


def secured(record: r.ConnectionSecured, _pid: int) -> tuple[str, ...]:
    """`TLS connection established from`, with the word for what is known of the client."""
    who = "Trusted" if record.fingerprint else "Anonymous"
    what = f"{record.version} with cipher {record.cipher} ({record.bits}/{record.bits} bits)"
    daemon = f"smtpd[{session_pid(record.session)}]"
    return (f"{daemon}: {who} TLS connection established from unknown[{record.ip}]: {what}",)


def refused(record: r.CommandRefused, _pid: int) -> tuple[str, ...]:
    """`NOQUEUE: reject:`; other words where Postfix has other ones."""
    origin, reply = record.origin, record.reply
    daemon = f"smtpd[{session_pid(origin.session)}]"
    if reply == replies.TOO_MANY_ERRORS:
        return ()  # told when the connection is closed
    if reply == replies.TALKED_FIRST:
        return (f"{daemon}: improper command pipelining after CONNECT from unknown[{origin.ip}]: {record.detail}",)
    if reply == replies.NOT_SMTP:
        return (f"{daemon}: warning: non-SMTP command from unknown[{origin.ip}]: {record.detail}",)
    command = _COMMANDS.get(record.stage)
    if command is None:
        return (f"{daemon}: warning: command refused from unknown[{origin.ip}]: {reply} ({record.detail})",)
    return (f"{daemon}: NOQUEUE: reject: {command} from unknown[{origin.ip}]: {reply};{_who(record, origin)}",)


def auth_failed(record: r.AuthFailed, _pid: int) -> tuple[str, ...]:
    """`SASL PLAIN authentication failed`, which fail2ban's filters know: they must not ban who was only unlucky."""
    daemon, who = f"smtpd[{session_pid(record.origin.session)}]", f"unknown[{record.origin.ip}]"
    login = f", sasl_username={record.login}" if record.login else ""
    what = "failed: "
    if record.code == replies.AUTH_UNAVAILABLE.code:
        what = "failed: Connection lost to authentication server: "
    elif record.code != replies.BAD_CREDENTIALS.code:
        what = f"not done ({record.code}): "
    return (f"{daemon}: warning: {who}: SASL {record.mechanism} authentication {what}{record.reason}{login}",)


def _ending(reason: str) -> str:
    if reason.startswith("timeout"):
        return "timeout"
    if reason.startswith("too many errors"):
        return "too many errors"
    return "" if reason.partition(" ")[0] in _CHOSEN else "lost connection"


def _last_command(record: r.ConnectionClosed) -> str:
    if record.reason.endswith("receiving content"):
        return "DATA"
    verbs = record.commands.split()[:-1]
    last = verbs[-1].partition("=")[0].upper() if verbs else "CONNECT"
    return "END-OF-MESSAGE" if last in {"DATA", "BDAT"} else last


def _who(record: r.CommandRefused, origin: Origin) -> str:
    sender = f" from=<{record.sender}>" if record.sender or record.stage in {"rcpt", "data", "message"} else ""
    recipient = f" to=<{record.recipient}>" if record.recipient else ""
    hello = f" helo=<{origin.helo}>" if origin.helo else ""
    return f"{sender}{recipient} proto={origin.protocol or 'SMTP'}{hello}"
