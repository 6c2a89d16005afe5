"""The operator's rules: who may send what to whom, and what becomes of it.

`[[rules]]` are asked at each stage of a session for which they have something to say, those of `[senders]` and
`[devices]` before them. The HTTP API and drops have no stage connect: what belongs there is asked at their stage mail.
"""

from collections.abc import Callable

from msgspec import Struct

from postroad.policy.context import ConnectContext, MailContext, MessageContext, RcptContext
from postroad.policy.rates.names import RatesWanted
from postroad.policy.rules.book import Rulebook
from postroad.policy.rules.course import Course
from postroad.policy.rules.situation import CONNECT, MESSAGE, Situation
from postroad.policy.verdict import Answer, Defer, Discard, Reject


class Greeted(Struct, frozen=True):
    """What came of the rules of stage connect for the client at `ip`."""

    ip: str
    limit: int
    accepted: str


class Rules:
    """The rules as policies, one a stage."""

    def __init__(self, rulebook: Rulebook, now: Callable[[], int], look: Callable[[int], None] | None = None) -> None:
        """`now` gives microseconds since 1970; `look` is called with it so that files are looked after."""
        self._rulebook = rulebook
        self._now = now
        self._look = look
        self.has_connect = rulebook.has(CONNECT)
        self.has_message = rulebook.has(MESSAGE)

    def _course(self, ctx: ConnectContext | MailContext) -> Course:
        now = self._now()
        if self._look is not None:
            self._look(now)
        return Course(self._rulebook, Situation(ctx.peer, ctx.origin, now, ctx.facts))

    def rules_at_connect(self, ctx: ConnectContext) -> Answer | None:
        """Rules about clients alone."""
        course = self._course(ctx)
        answer = course.connect()
        ctx.facts.put(Greeted(ctx.peer.ip, course.limit, course.accepted))
        return answer

    def rules_at_mail(self, ctx: MailContext) -> Answer | None:
        """Rules about senders."""
        course = self._course(ctx)
        if self.has_connect:
            greeted = ctx.facts.get(Greeted)
            if greeted is None or greeted.ip != ctx.peer.ip:
                answer = course.connect()
                if isinstance(answer, Reject | Defer | Discard):
                    return answer
            else:
                course.limit, course.accepted = greeted.limit, greeted.accepted
        ctx.facts.put(course)
        answer = course.mail(ctx.sender)
        if course.rates:
            ctx.facts.put(RatesWanted(course.rates))
        return answer

    def rules_at_rcpt(self, ctx: RcptContext) -> Answer | None:
        """Rules about one recipient."""
        course = ctx.facts.get(Course)
        assert course is not None, "a recipient before its sender"
        answer = course.rcpt(ctx.recipient)
        if course.rates:
            ctx.facts.put(RatesWanted(course.rates, ctx.recipient))
        return answer

    def rules_at_message(self, ctx: MessageContext) -> Answer | None:
        """Rules about the content."""
        course = ctx.facts.get(Course)
        assert course is not None, "content before its sender"
        answer = course.message([one.address for one in ctx.recipients], ctx.head, ctx.size)
        if course.rates:
            ctx.facts.put(RatesWanted(course.rates))
        return answer
