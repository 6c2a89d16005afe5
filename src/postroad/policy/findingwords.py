"""What policies have found out about a peer, in words: "dnsbl:zen.example.org", "ptr:missing" (*pure*).

Each fact of `policy.findings` gives its words; a fact that is not there gives none, so that a rule about it does not
hold when the policy that finds it out is not asked.
"""

from collections.abc import Iterator
from typing import Final

from postroad.policy.facts import Facts
from postroad.policy.findings import (
    DmarcResult,
    DnsListResult,
    GreylistResult,
    HeloResult,
    PtrResult,
    SenderDomainResult,
    SignatureResult,
    SpfResult,
)

OF_CONTENT: Final = ("dkim", "arc", "dmarc")  # not known before the content is
KINDS: Final = ("dnsbl", "helo", "ptr", "sender", "greylist", "spf", *OF_CONTENT)


def check_finding(text: str) -> None:
    """ValueError when `text` can be no finding."""
    kind, colon, word = text.partition(":")
    if kind not in (*KINDS, "*") or (colon and not word) or not (colon or kind == "*"):
        raise ValueError(f'"{text}" is no finding; write one like "dnsbl:*" or "ptr:missing", of {", ".join(KINDS)}')


def words_of(facts: Facts) -> frozenset[str]:
    """All that is known."""
    return frozenset(_words(facts))


def _words(facts: Facts) -> Iterator[str]:
    lists = facts.get(DnsListResult)
    if lists is not None:
        yield from (f"dnsbl:{hit.list}" for hit in lists.hits)
    found = (("helo", facts.get(HeloResult)), ("ptr", facts.get(PtrResult)), ("sender", facts.get(SenderDomainResult)))
    for kind, result in found:
        if result is not None:
            yield from (f"{kind}:{word}" for word in result.findings)
    greylist, spf = facts.get(GreylistResult), facts.get(SpfResult)
    if greylist is not None:
        yield f"greylist:{greylist.state}"
    if spf is not None:
        yield f"spf:{spf.result}"
    signatures, dmarc = facts.get(SignatureResult), facts.get(DmarcResult)
    if signatures is not None:
        yield f"dkim:{signatures.dkim}"
        yield f"arc:{signatures.arc}"
    if dmarc is not None:
        yield f"dmarc:{dmarc.result}"
