"""One listener whose mail is limited, as the listener asks: real stages and transactions, a clock driven by hand.

`World.send` takes a whole message through and tells the codes that a client would hear.
"""

import asyncio
from collections.abc import Awaitable, Sequence

from postroad.house.counting.table import table_of
from postroad.listener.transaction import Transaction
from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.counts import Counts, Judged, Take
from postroad.model.envelope import Origin, Recipient
from postroad.model.identity import Identity
from postroad.model.records import Record
from postroad.policies.relay_control import RelayControl
from postroad.policy.context import ConnectContext, Peer
from postroad.policy.facts import Facts
from postroad.policy.settings import AccessSettings
from postroad.policy.verdict import VERDICTS, Accept, Defer, Reject, Verdict
from postroad.smtp.events import MailFrom
from tests.support.clock import ManualClock
from tests.support.limiting import limiting

HOUR = 3600.0


class Slow(Counts):
    """Counts that answer later, as those of another node do."""

    def __init__(self, table: Counts) -> None:
        self.table = table

    def take(self, takes: Sequence[Take], now: int) -> Awaitable[Judged]:
        async def later() -> Judged:
            await asyncio.sleep(0)
            judged = self.table.take(takes, now)
            assert isinstance(judged, tuple)
            return judged

        return later()

    def give_back(self, takes: Sequence[Take], at: int, now: int) -> None:
        self.table.give_back(takes, at, now)

    def count(self, takes: Sequence[Take], now: int) -> None:
        self.table.count(takes, now)


class World:
    """A listener's policies over one table."""

    def __init__(self, *rates: dict[str, object], is_slow: bool = False) -> None:
        self.clock = ManualClock()
        self.records: list[Record] = []
        self.table = table_of(256, is_shared=False)
        counts = Slow(self.table) if is_slow else self.table
        control = RelayControl(AccessSettings(relay_networks=("127.0.0.0/8", "192.0.2.0/24")))
        self.policing = limiting(control, rates, self.records.append, self.clock, counts)
        self.connections: list[Facts] = []

    def connect(self, ip: str = "192.0.2.1", listener: str = "mx") -> Verdict | None:
        chain = self.policing.stages_of(listener).connect
        self.connections.append(Facts())
        if chain is None:
            return None
        origin = Origin(ip, 1, "", "SMTP", listener, "s")
        return ruled(chain.decide(ConnectContext(Peer(ip, relays=True), origin, self.connections[-1]), []))

    def begin(
        self,
        sender: str = "a@example.com",
        *,
        login: str = "",
        ip: str = "192.0.2.1",
        listener: str = "mx",
        groups: tuple[str, ...] = (),
        size: int = 0,
        relays: bool = True,
    ) -> Transaction:
        identity = Identity(login, "users", groups=frozenset(groups)) if login else None
        peer = Peer(ip, relays=relays, identity=identity)
        mail = MailFrom(address(sender), size=size)
        return Transaction(
            self.policing.stages_of(listener), peer, Origin(ip, 1, "c", "ESMTP", listener, "s", login), mail
        )

    def send(self, *recipients: str, size: int = 100, **more: object) -> list[int]:
        """The codes of a whole message: of MAIL, of each RCPT, of its end; what is refused ends it."""
        transaction = self.begin(**more)  # type: ignore[arg-type]
        codes = [code(ruled(transaction.ask_mail()))]
        if codes == [250]:
            codes += [self.rcpt(transaction, to) for to in recipients]
        if 250 in codes[1:]:
            codes.append(code(ruled(transaction.ask_message(b"", size))))
        transaction.facts.end(is_taken=250 in codes[1:] and codes[-1] == 250)
        self.last = transaction
        return codes

    def rcpt(self, transaction: Transaction, to: str) -> int:
        verdict = ruled(transaction.ask(address(to)))
        refused = transaction.settle(Recipient(address(to)), verdict)
        return 250 if refused is None else refused.reply.code


def address(text: str) -> Mailbox:
    return parse_mailbox(text) if text else Mailbox()


def ruled(pending: Verdict | Awaitable[Verdict | None] | None) -> Verdict | None:
    if pending is None or isinstance(pending, VERDICTS):
        return pending

    async def wait() -> Verdict | None:
        return await pending

    with asyncio.Runner() as runner:
        return runner.run(wait())


def code(verdict: Verdict | None) -> int:
    assert verdict is None or isinstance(verdict, Accept | Defer | Reject)
    return 250 if verdict is None or isinstance(verdict, Accept) else verdict.reply.code
