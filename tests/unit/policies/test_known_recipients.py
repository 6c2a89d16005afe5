"""Unknown names: refused, left to others, or deferred when it cannot be told."""

import pytest

from postroad.model.address import NULL_PATH, Mailbox, parse_mailbox
from postroad.model.envelope import Origin
from postroad.model.errors import TableError
from postroad.policies.known_recipients import KnownRecipients
from postroad.policy.context import Peer, RcptContext
from postroad.policy.facts import Facts
from postroad.policy.verdict import VERDICTS, Accept, Defer, Reject, Verdict
from postroad.smtp import replies

BOB = parse_mailbox("bob@example.com")
CONTEXT = RcptContext(Peer("192.0.2.1", relays=False), Origin(), NULL_PATH, BOB, 0, Facts())


async def decide(policy: KnownRecipients) -> Verdict | None:
    verdict = policy(CONTEXT)
    return verdict if verdict is None or isinstance(verdict, VERDICTS) else await verdict


def knows(answer: bool | str, *, later: bool, verdict: Verdict | None = None) -> KnownRecipients:
    def now(_: Mailbox) -> bool:
        if isinstance(answer, str):
            raise TableError(answer)
        return answer

    async def then(address: Mailbox) -> bool:
        return now(address)

    return KnownRecipients(then if later else now, lambda _: verdict)


@pytest.mark.parametrize("later", [False, True])
async def test_verdicts(later: bool) -> None:
    assert await decide(knows(True, later=later)) is None
    refused = await decide(knows(False, later=later))
    assert isinstance(refused, Reject)
    assert str(refused.reply) == "550 5.1.1 <bob@example.com>: No such recipient"
    assert await decide(knows("down", later=later)) == Defer(replies.ALIASES_UNAVAILABLE, "down")


async def test_what_the_client_may_not_send_is_not_looked_up() -> None:
    reject = Reject(replies.relay_access_denied(BOB), "not here")
    assert await decide(knows("asked", later=False, verdict=reject)) is None
    assert await decide(knows(False, later=False, verdict=Accept("yours"))) is not None
