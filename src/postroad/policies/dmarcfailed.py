"""Which messages the policy `dmarc` has failure reports sent of: those of domains that ask for them, by tag fo=.

Mail without a sender or made by programs is not told of, for it may be such a report itself. RFC 7489 6.3 (fo=), RFC
7489 7.3 (reports).
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from postroad.mailauth.dkim_result import DkimResult, DkimResults
from postroad.mailauth.dmarc import Dmarc
from postroad.mailauth.fields import Fields
from postroad.mailauth.results import AuthenticationResults, results_field
from postroad.message.dmarcfailure import TOLD, Failure
from postroad.message.dmarcreport import Tally
from postroad.policies.dmarcseen import Judged
from postroad.policies.stamp import methods
from postroad.policy.context import MessageContext
from postroad.policy.findings import SpfResult

_FIELDS: Final = 100
_METHODS: Final = 12  # of Authentication-Results
_SPF_FAILED: Final = frozenset({"fail", "softfail"})


def tell(tally: Tally, ctx: MessageContext, judged: Judged, now: int, hostname: str) -> None:
    """Have one message told of."""
    found, fields, record = judged.found, judged.fields, judged.found.record
    if tally.tell is None or record is None or not record.ruf or found.result not in ("pass", "fail"):
        return
    why = _why(found, record.fo, ctx.facts.get(DkimResults), ctx.facts.get(SpfResult))
    if not why or ctx.sender.is_null or tally.is_ignored(one.address.text.lower() for one in ctx.recipients):
        return
    if any(not fields.value(place).strip().lower().startswith(b"no") for place in fields.places(b"auto-submitted")):
        return
    results = tuple(islice(methods(ctx.facts, ctx.peer.ip), _METHODS))
    signature = _signature(ctx.facts.get(DkimResults))
    failure = Failure(
        found.record_domain,
        found.domain,
        now,
        why,
        judged.done,
        ctx.peer.ip.partition("%")[0],
        ctx.sender.text,
        results_field(AuthenticationResults(hostname, results)).partition(":")[2].removesuffix("\r\n"),
        tuple(dict.fromkeys(one.method for one in found.aligned)),
        None if signature is None else (signature.domain, signature.identity, signature.selector),
        tuple(_told(fields)),
    )
    tally.tell(failure)


def _why(found: Dmarc, asked: tuple[str, ...], dkim: DkimResults | None, spf: SpfResult | None) -> str:
    """What failed of what the domain asks to be told of; "" for nothing."""
    aligned = {one.method for one in found.aligned}
    if found.result == "fail" and not {"0", "1"}.isdisjoint(asked):
        return "dmarc"
    if "1" in asked and aligned != {"dkim", "spf"}:
        return "dmarc"
    if "d" in asked and dkim is not None and any(one.result == "fail" for one in dkim.results):
        return "signature"
    return "spf" if "s" in asked and spf is not None and spf.result in _SPF_FAILED else ""


def _signature(known: DkimResults | None) -> DkimResult | None:
    """The one that failed, or else the first."""
    named = [one for one in known.results if one.domain] if known is not None else []
    failed = [one for one in named if one.result == "fail"]
    return next(iter(failed or named), None)


def _told(fields: Fields) -> Iterator[bytes]:
    places = (place for place, name in enumerate(fields.names) if name in TOLD)
    return (fields.raw[place] for place in islice(places, _FIELDS))
