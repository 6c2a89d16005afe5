"""*pure*: what a reply or a broken connection means for a recipient: delivered, deferred or failed, and how far.

421 and whatever happens before MAIL speak of the host: another target may do better (RFC 5321 3.8, 5.1). A
reply to MAIL, DATA or the content speaks of the message, a reply to RCPT of the recipient. A connection that
breaks after the end of the content is a deferral for this message alone: the peer may have it, and at once
would be twice. A peer without enhanced codes gets them from its basic ones (RFC 3463 2).
"""

from types import MappingProxyType
from typing import Final

from postroad.model.outcome import Deferred, Delivered, Failed, Outcome, Scope
from postroad.model.reply import Reply
from postroad.model.route import Target
from postroad.model.security import BY_DEFAULT, BY_REQUIRETLS, DANE, FINGERPRINT, VERIFIED, Secured, Security
from postroad.smtp.client import GREETING
from postroad.smtp.transaction import CONTENT, DATA, MAIL, RCPT, Transaction

CONNECT: Final = "connect"
NO_TLS: Final = "4.7.10"  # of REQUIRETLS: RFC 8689 4.2.1
NO_REQUIRETLS: Final = "4.7.30"

# RFC 3463 3 by basic code, where the stage leaves no doubt; all else is x.0.0.
_CODES: Final = MappingProxyType(
    {
        (MAIL, 450): "4.1.0",
        (MAIL, 452): "4.3.1",
        (MAIL, 550): "5.1.0",
        (MAIL, 552): "5.3.4",
        (MAIL, 553): "5.1.7",
        (RCPT, 450): "4.2.0",
        (RCPT, 550): "5.1.0",
        (RCPT, 551): "5.1.6",
        (RCPT, 552): "5.2.2",
        (RCPT, 553): "5.1.3",
        (DATA, 452): "4.3.1",
        (DATA, 552): "5.3.4",
        (CONTENT, 452): "4.3.1",
        (CONTENT, 552): "5.3.4",
    }
)


def from_reply(reply: Reply, command: str, target: Target) -> Deferred | Failed:
    """What the negative `reply` to a `command` of a transaction means."""
    code = reply.code
    scope = Scope.RECIPIENT if command == RCPT else Scope.MESSAGE
    reply = _with_code(reply, _CODES.get((command, code), f"{code // 100}.0.0"))
    if code >= 500:
        return Failed(reply, scope, target, command)
    if command == MAIL and reply.enhanced.startswith("4.3."):
        scope = Scope.HOST  # RFC 3463 3.4: the mail system, not the message, is the trouble
    return Deferred(reply, scope, target, command)


def from_session_reply(reply: Reply, command: str, target: Target) -> Deferred:
    """What 421 means, and a refusal before any transaction: the host is one of several, the route goes on."""
    code = reply.code
    reply = _with_code(reply, "4.3.2" if code == 421 else f"{code // 100}.0.0")
    if code >= 500:  # class 5 says "never"; this is a deferral, so the same trouble of class 4
        reply = Reply(code, f"4{reply.enhanced[1:]}", reply.text)
    return Deferred(reply, Scope.HOST, target, command)


def from_fault(words: str, command: str, target: Target, *, content_is_sent: bool = False) -> Deferred:
    """What a broken or silent connection means while the reply to `command` was awaited; CONNECT: there was none."""
    if command == CONNECT:
        return Deferred(Reply(451, "4.4.1", f"connect to {target}: {words}"), Scope.HOST, target)
    text = f"{_name(target)}: {words} while {_activity(command, content_is_sent=content_is_sent)}"
    return Deferred(Reply(451, "4.4.2", text), Scope.MESSAGE if content_is_sent else Scope.HOST, target)


def from_missing_tls(words: str, target: Target, demand: Security, *, is_distrusted: bool = False) -> Deferred:
    """What it means that TLS is demanded and there is none, or not such: another target may have it (RFC 3463 3.8).

    4.7.4: there is no TLS; 4.7.5: its certificate is not what was demanded. For REQUIRETLS the codes are those of
    RFC 8689 4.2.1, with which a message that no target takes goes back.
    """
    code = "4.7.5" if is_distrusted else "4.7.4"
    if demand.source == BY_REQUIRETLS:
        code = NO_TLS
    kind = "verified TLS" if demand.level in (VERIFIED, FINGERPRINT, DANE) else "TLS"
    who = "" if demand.source == BY_DEFAULT else f" ({demand.reason})"
    name = f"{_name(target)}:" if is_distrusted else _name(target)  # the words are about its certificate
    return Deferred(Reply(451, code, f"{kind} is required{who}, and {name} {words}"), Scope.HOST, target)


def from_missing_requiretls(target: Target) -> Deferred:
    """What it means that the message has REQUIRETLS and the host does not offer it (RFC 8689 4.2.1)."""
    words = f"the sender requires TLS all the way, and {_name(target)} does not offer REQUIRETLS"
    return Deferred(Reply(451, NO_REQUIRETLS, words), Scope.HOST, target)


def when_no_host_may(failure: Deferred) -> Failed | None:
    """The failure of a message with REQUIRETLS that no host may have because of this, or None (RFC 8689 4.2.1)."""
    reply = failure.reply
    if reply.enhanced not in (NO_TLS, NO_REQUIRETLS):
        return None
    return Failed(Reply(550, f"5{reply.enhanced[1:]}", reply.text), Scope.MESSAGE, failure.target)


def from_egress_fault(words: str) -> Deferred:
    """What it means that we cannot send from where we were told to: no target is to blame, and all have to wait."""
    return Deferred(Reply(451, "4.3.5", words), Scope.NEXT_HOP)


def is_too_many(reply: Reply, command: str) -> bool:
    """True for "too many recipients": the rest goes in another transaction (RFC 5321 4.5.3.1.10).

    Meant for recipients refused after others were taken. 552 without an enhanced code is the old form of 452.
    """
    if command != RCPT:
        return False
    if reply.code == 452:
        return reply.enhanced in ("", "4.5.3")
    return (reply.code == 552 and reply.enhanced in ("", "5.5.3")) or reply.enhanced == "4.5.3"


class Result:
    """One transaction's outcomes: for each recipient one, or None where it is to be sent again at once.

    `host` tells why the host is of no use for those any more; without it they go in another transaction.
    """

    __slots__ = ("fault", "host", "outcomes", "too_many")

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.outcomes: list[Outcome | None] = []
        self.host: Deferred | None = None
        self.too_many = 0


def settle(  # what a connection is and has
    transaction: Transaction, fault: str, target: Target, *, dsn: bool, tls: str, secured: Secured | None = None
) -> Result:
    """The outcomes of `transaction`; `fault` is why it broke off, in words, "" when it did not."""
    result = Result()
    granted = transaction.granted
    if granted is not None:
        result.outcomes = [
            Delivered(_with_code(granted, "2.0.0"), target, dsn, tls, "", secured)
        ] * transaction.recipients
        return result
    outcomes = result.outcomes
    left: Deferred | None = None
    if transaction.closing is not None:
        left = from_session_reply(transaction.closing, transaction.closed_at, target)
    elif fault:
        left = from_fault(fault, transaction.awaiting, target, content_is_sent=transaction.content_is_sent)
    for reply, command in transaction.answers():
        outcome: Outcome | None
        if reply is None:
            outcome = left
        elif reply.code < 400:
            outcome = Delivered(_with_code(reply, "2.0.0"), target, dsn, tls, "", secured)
        elif transaction.accepted and is_too_many(reply, command):
            outcome = None
            result.too_many += 1
        else:
            outcome = from_reply(reply, command, target)
        if type(outcome) is Deferred and outcome.scope is Scope.HOST:
            result.host = outcome
            outcome = None
        outcomes.append(outcome)
    return result


def _with_code(reply: Reply, enhanced: str) -> Reply:
    return reply if reply.enhanced else Reply(reply.code, enhanced, reply.text)


def _name(target: Target) -> str:
    return f"{target.host}[{target.address}]"


def _activity(command: str, *, content_is_sent: bool) -> str:
    if command == GREETING:
        return "waiting for the greeting"
    if command == CONTENT and content_is_sent:
        return "waiting for the reply to the end of the content; the message may arrive twice"
    return "sending the content" if command == CONTENT else f"waiting for the reply to {command}"
