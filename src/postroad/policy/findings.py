"""Facts about strangers that the built-in policies find out, for rules and for other policies (*pure*).

Each is put once for a transaction, whatever the policy that found it makes of it. `SpfResult` is for whoever checks
SPF (RFC 7208 2.6): greylisting lets a sender pass that is proven.
"""

from msgspec import Struct


class DnsListHit(Struct, frozen=True):
    """The list `list` has `subject`: its answers `codes`, and what that weighs."""

    list: str
    subject: str
    codes: tuple[str, ...]
    weight: float


class DnsListResult(Struct, frozen=True):
    """What all lists that were asked say; `score` is the sum of the weights, negative for who is well known.

    `asked` has the key of each question that got an answer, a list that could not be asked is not in it.
    """

    score: float = 0.0
    hits: tuple[DnsListHit, ...] = ()
    asked: frozenset[str] = frozenset()


class HeloResult(Struct, frozen=True):
    """What is wrong with the name a client gave itself: `own`, `invalid`, `unqualified`, `literal`, `unresolvable`."""

    name: str
    findings: tuple[str, ...] = ()


class PtrResult(Struct, frozen=True):
    """The names of a client's address that lead back to it, and what is wrong: `missing`, `unconfirmed`, `generic`.

    `is_known` is False when DNS gave no answer; nothing is wrong then.
    """

    names: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    is_known: bool = True


class SenderDomainResult(Struct, frozen=True):
    """What is wrong with a sender's domain: `unknown`, `null_mx`, `private`, `literal`.

    `is_known` is False when DNS gave no answer; nothing is wrong then.
    """

    domain: str
    findings: tuple[str, ...] = ()
    is_known: bool = True


class GreylistResult(Struct, frozen=True):
    """What greylisting made of a recipient: `passed`, `waits`, or `proven` for a client that has passed often."""

    state: str
    seconds: int = 0


class SpfResult(Struct, frozen=True):
    """What SPF says of a sender (RFC 7208 2.6): `result` is pass, fail, softfail, neutral, none, ... of `domain`.

    `identity` is "mailfrom", or "helo" where there is no sender; `reason` is for people. `term` of the record decided,
    "" when none did; `explanation` is the domain's own text for a fail, of a stranger, so to be told with care.
    """

    result: str
    domain: str
    identity: str = "mailfrom"
    reason: str = ""
    term: str = ""
    explanation: str = ""


class SignatureResult(Struct, frozen=True):
    """What all signatures of a message come to, each in a word.

    `dkim` is "pass" when one holds, "none" without any, "temperror" when none holds and DNS did not answer for one,
    else "fail"; `arc` is what the chain of seals comes to: none, pass or fail (RFC 8617 4.4).
    """

    dkim: str
    arc: str


class DmarcResult(Struct, frozen=True):
    """What DMARC says of the author's `domain`: `result` is pass, fail, none, temperror or permerror, and why.

    `policy` is what the domain asks for, `disposition` what is to be done ("none", "quarantine", "reject"), and
    `override` why that is not done here, "" when it is.
    """

    result: str
    domain: str = ""
    policy: str = ""
    disposition: str = "none"
    reason: str = ""
    override: str = ""
