"""One transaction as policies see it, whichever way it comes in: by SMTP, by the HTTP API, or as a drop.

`ask_mail`, then for each recipient `ask` and `settle`, then `ask_data`; intake asks the policies of the whole message.
What policies want done to the message adds up in `adjustments`; of a recipient that is refused nothing stays.
"""

from collections.abc import Awaitable, Iterable

from msgspec.structs import replace

from postroad.model.address import Mailbox
from postroad.model.content import Content
from postroad.model.envelope import Origin, Recipient
from postroad.model.route import TLS_REQUIRETLS
from postroad.policy.context import DataContext, MailContext, MessageContext, Peer, RcptContext
from postroad.policy.facts import Facts
from postroad.policy.stages import Stages
from postroad.policy.verdict import VERDICTS, Accept, Adjust, Defer, Discard, Reject, Verdict
from postroad.smtp import replies
from postroad.smtp.events import MailFrom, Refused

Pending = Verdict | Awaitable[Verdict | None] | None


class Transaction:
    """From MAIL to the end of the content."""

    __slots__ = (
        "_before",
        "adjustments",
        "discarded",
        "facts",
        "left_out",
        "mail",
        "origin",
        "peer",
        "recipients",
        "stages",
        "tls",
    )

    def __init__(self, stages: Stages, peer: Peer, origin: Origin, mail: MailFrom, ground: Facts | None = None) -> None:
        """Begun by `mail`; `ground` is what is known of the connection."""
        self.stages = stages
        self.peer = peer
        self.origin = origin
        self.mail = mail
        self.facts = Facts(ground)
        self.recipients: list[Recipient] = []
        self.adjustments: list[Adjust] = []
        self.tls = TLS_REQUIRETLS if mail.requiretls else ""  # what the sender asks for, as envelopes have it
        self.discarded = ""  # why, when a policy said yes to throw the message away
        self.left_out: list[tuple[Recipient, str]] = []  # recipients that were taken to be thrown away, and why
        self._before = 0

    async def judge(self, recipients: Iterable[Recipient]) -> list[tuple[Recipient, Refused]]:
        """For what comes in whole: ask of the sender, of each of `recipients`, and before the content.

        Those that are not taken, each with why.
        """
        against = self._refusal("mail", await _verdict(self.ask_mail()))
        refused: list[tuple[Recipient, Refused]] = []
        for recipient in recipients:
            notice = against or self.settle(recipient, await _verdict(self.ask(recipient.address)))
            if notice is not None:
                refused.append((recipient, notice))
        if self.recipients and (against := self._refusal("data", await _verdict(self.ask_data()))) is not None:
            refused += [(recipient, against) for recipient in self.recipients]
            self.recipients.clear()
        return refused

    def _refusal(self, stage: str, verdict: Verdict | None) -> Refused | None:
        if isinstance(verdict, Discard):
            self.discarded = verdict.reason
        return Refused(stage, verdict.reply, verdict.reason) if isinstance(verdict, Reject | Defer) else None

    def ask_mail(self) -> Pending:
        """What policies say of the sender."""
        chain = self.stages.mail
        if chain is None:
            return None
        mail = self.mail
        return chain.decide(MailContext(self.peer, self.origin, mail.path, mail.size, self.facts), self.adjustments)

    def ask(self, recipient: Mailbox) -> Pending:
        """What policies say of one more recipient; its verdict goes to `settle` before the next one is asked for."""
        self._before = len(self.adjustments)
        context = RcptContext(self.peer, self.origin, self.mail.path, recipient, len(self.recipients), self.facts)
        return self.stages.rcpt.decide(context, self.adjustments)

    def settle(self, recipient: Recipient, verdict: Verdict | None) -> Refused | None:
        """Take `recipient` as the verdict on it has it; or why it is not taken, None when it is."""
        if isinstance(verdict, Accept):
            if len(self.adjustments) > self._before:
                self._take_adjusted(recipient)
            else:
                self.recipients.append(recipient)
            return None
        del self.adjustments[self._before :]
        if isinstance(verdict, Discard):
            self.left_out.append((recipient, verdict.reason))
            return None
        if verdict is None:
            return Refused("rcpt", replies.relay_access_denied(recipient.address), "no policy accepted the recipient")
        return Refused("rcpt", verdict.reply, verdict.reason)

    def _take_adjusted(self, recipient: Recipient) -> None:
        """Redirections of this stage stand for this recipient alone, so they must not be seen again."""
        mine = self.adjustments[self._before :]
        instead = next((one.redirect for one in mine if one.redirect), ())
        for mailbox in instead or (recipient.address,):
            self.recipients.append(Recipient(mailbox, recipient.notify, recipient.orcpt) if instead else recipient)
        self.adjustments[self._before :] = [replace(one, redirect=()) for one in mine]

    def ask_data(self) -> Pending:
        """What policies say before the content comes."""
        chain = self.stages.data
        if chain is None:
            return None
        context = DataContext(self.peer, self.origin, self.mail.path, tuple(self.recipients), self.facts)
        return chain.decide(context, self.adjustments)

    def ask_message(self, head: bytes, size: int, content: Content = b"") -> Pending:
        """What policies say of the whole message; `head` has its header section, `size` is that of all `content`."""
        chain = self.stages.message
        if chain is None:
            return None
        recipients = tuple(self.recipients)
        context = MessageContext(self.peer, self.origin, self.mail.path, recipients, head, size, self.facts, content)
        return chain.decide(context, self.adjustments)


async def _verdict(pending: Pending) -> Verdict | None:
    return pending if pending is None or isinstance(pending, VERDICTS) else await pending
