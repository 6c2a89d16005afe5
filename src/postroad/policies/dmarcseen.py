"""What aggregate reports about DMARC tell of one message: how it was judged, what was done with it, and why.

Only domains that ask for reports are counted. RFC 7489 7.2.1.1 (subjects of reports), RFC 7489 appendix C (the words
for reasons).
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from postroad.mailauth.dkim_result import DkimResults
from postroad.mailauth.dmarc import Dmarc
from postroad.mailauth.dmarc_record import DmarcRecord
from postroad.mailauth.fields import Fields
from postroad.message.dmarcreport import DkimResult, Override, Published, Seen, SpfResult, Tally
from postroad.policy import findings
from postroad.policy.context import MessageContext

FORWARDER: Final = "trusted_forwarder"
MAILING_LIST: Final = "mailing_list"
LOCAL: Final = "local_policy"
_SAMPLED: Final = "sampled_out"
_TESTING: Final = "policy_test_mode"
_REPORT: Final = re.compile(rb"[ \t\r\n]*Report[ \t]+Domain:", re.IGNORECASE)
_SIGNATURES: Final = 10
_WORDS: Final = 100  # characters of names that strangers chose


class Judged(Struct, frozen=True):
    """One message that was judged, with the fields of its header; `done` is "none", "quarantine" or "reject"."""

    found: Dmarc
    fields: Fields
    done: str


def count(tally: Tally, ctx: MessageContext, judged: Judged, overrides: Sequence[Override]) -> None:
    """Count one message."""
    found, record = judged.found, judged.found.record
    if not tally.is_on or record is None or not record.rua or found.result not in ("pass", "fail"):
        return
    if tally.is_ignored(one.address.text.lower() for one in ctx.recipients) or _is_report(judged):
        return
    why = [*_milder(found, record), *overrides]
    methods = {one.method for one in found.aligned}
    seen = Seen(
        ctx.peer.ip.partition("%")[0],
        judged.done,
        "pass" if "dkim" in methods else "fail",
        "pass" if "spf" in methods else "fail",
        found.domain,
        "" if ctx.sender.is_null else ctx.sender.domain,
        overrides=tuple(why),
        signatures=_signatures(ctx.facts.get(DkimResults)),
        senders=_senders(ctx.facts.get(findings.SpfResult)),
    )
    tally.add(_published(found.record_domain, record), seen)


def _is_report(judged: Judged) -> bool:
    """Whether the author's domain tells us of our mail: two who report of each other's reports would never end."""
    fields = judged.fields
    return judged.found.result == "pass" and any(
        _REPORT.match(fields.value(place)) for place in fields.places(b"subject")
    )


def _milder(found: Dmarc, record: DmarcRecord) -> list[Override]:
    if found.result != "fail" or found.disposition == found.policy:
        return []
    return [Override(_TESTING if record.is_testing else _SAMPLED)]


def _published(domain: str, record: DmarcRecord) -> Published:
    """What RFC 9989 added is told only where it matters, for readers that know RFC 7489 alone."""
    return Published(
        domain,
        record.policy,
        record.sub_policy,
        record.missing_policy if record.missing_policy != record.sub_policy else "",
        "s" if record.is_dkim_strict else "r",
        "s" if record.is_spf_strict else "r",
        str(record.percent),
        "y" if record.is_testing else "",
        ":".join(record.fo),
    )


def _signatures(known: DkimResults | None) -> tuple[DkimResult, ...]:
    results = () if known is None else known.results
    named = [one for one in results if one.domain][:_SIGNATURES]
    return tuple(DkimResult(one.domain[:_WORDS], one.selector[:_WORDS], one.result) for one in named)


def _senders(known: findings.SpfResult | None) -> tuple[SpfResult, ...]:
    if known is None:
        return ()
    return (SpfResult(known.domain[:_WORDS], "helo" if known.identity == "helo" else "mfrom", known.result),)
