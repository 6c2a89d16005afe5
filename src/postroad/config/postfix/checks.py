"""Postfix's checks on strangers as `[[policies]]` of ours (pure): block lists, names, senders, greylisting.

Each restriction that is understood becomes an option, with the code that Postfix would answer by default; what a
restriction does not ask for is left off, though our policy could. Whatever is not understood is handed back.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.policy.dnslists import parse_codes

_LISTS: Final = MappingProxyType(
    {
        "reject_rbl_client": "client",
        "reject_rbl": "client",
        "reject_rhsbl_helo": "helo",
        "reject_rhsbl_sender": "sender",
        "reject_rhsbl_client": "ptr",
        "reject_rhsbl_reverse_client": "ptr",
    }
)
_CHECKS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = MappingProxyType(
    {  # restriction: our policy, and its options
        "reject_invalid_helo_hostname": ("helo", {"invalid": "reject"}),
        "reject_invalid_hostname": ("helo", {"invalid": "reject"}),
        "reject_non_fqdn_helo_hostname": ("helo", {"unqualified": "reject"}),
        "reject_non_fqdn_hostname": ("helo", {"unqualified": "reject"}),
        "reject_unknown_helo_hostname": ("helo", {"unresolvable": "defer"}),
        "reject_unknown_hostname": ("helo", {"unresolvable": "defer"}),
        "reject_unknown_sender_domain": ("sender_domain", {"unknown": "defer", "null_mx": "reject"}),
        "reject_unknown_reverse_client_hostname": ("ptr", {"missing": "defer"}),
        "reject_unknown_client_hostname": ("ptr", {"missing": "defer", "unconfirmed": "defer"}),
        "reject_unknown_client": ("ptr", {"missing": "defer", "unconfirmed": "defer"}),
    }
)
_OFF: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "helo": dict.fromkeys(("own", "invalid", "unqualified", "unresolvable"), "ignore"),
        "sender_domain": dict.fromkeys(("unknown", "null_mx", "private"), "ignore"),
        "ptr": dict.fromkeys(("missing", "unconfirmed", "generic"), "ignore"),
    }
)
_SITE: Final = re.compile(r"(?P<zone>[^=*\s]+)(?:=(?P<codes>[^*\s]+))?(?:\*(?P<weight>-?\d+))?$")
_RANGE: Final = re.compile(r"^(\d+\.\d+\.\d+)\.\[(\d+)\.\.(\d+)\]$")
_POSTGREY: Final = "10023"  # where postgrey listens


class Checks(Struct, frozen=True):
    """Our policies, in order, and the words that became none."""

    policies: list[dict[str, object]]
    left: list[str]


def checks_of(restrictions: Mapping[str, Sequence[str]], sites: Sequence[str] = (), threshold: int = 1) -> Checks:
    """What restrictions, by the parameter that they stand in, and postscreen's lists come to."""
    lists: list[dict[str, object]] = []
    options: dict[str, dict[str, object]] = {}
    left: list[str] = []
    for parameter, words in restrictions.items():
        rest = iter(words)
        for word in rest:
            if word in _LISTS:
                found = _list_of(next(rest, ""), _LISTS[word])
                lists += [found] if found is not None else []
                left += [] if found is not None else [f"{parameter}: {word}"]
            elif word in _CHECKS:
                name, wanted = _CHECKS[word]
                options.setdefault(name, dict(_OFF[name])).update(wanted)
            elif word == "check_policy_service":
                service = next(rest, "")
                if _POSTGREY in service or "postgrey" in service:
                    options["greylist"] = {}
                left.append(f"{parameter}: {word} {service}")
            else:
                left.append(f"{parameter}: {word}")
    weighted = [(site, _list_of(site, "client")) for site in sites]
    left += [f"postscreen_dnsbl_sites: {site}" for site, found in weighted if found is None]
    scored = [found for _, found in weighted if found is not None]
    return Checks(list(_policies(options, lists, scored, threshold)), left)


def _policies(
    options: Mapping[str, dict[str, object]],
    lists: list[dict[str, object]],
    scored: list[dict[str, object]],
    threshold: int,
) -> Iterator[dict[str, object]]:
    """Ours, in the order of what they cost; greylisting last."""
    for name in ("helo", "sender_domain", "ptr"):
        if name in options:
            yield {"use": name, **options[name]}
    if lists:
        yield {"use": "dnsbl", "lists": lists}
    if scored:
        yield {"use": "dnsbl", "reject": threshold, "lists": scored}
    if "greylist" in options:
        yield {"use": "greylist"}


def _list_of(text: str, of: str) -> dict[str, object] | None:
    """A list of ours for `zone=codes*weight`; None when it cannot be read."""
    site = _SITE.match(text)
    if site is None or "$" in text:
        return None
    found: dict[str, object] = {"zone": site["zone"]}
    if of != "client":
        found["of"] = of
    if site["weight"] is not None:
        found["weight"] = int(site["weight"])
    if site["codes"] is not None:
        codes = _RANGE.sub(r"\1.\2-\3", site["codes"])
        try:
            parse_codes(codes)
        except ValueError:
            return None
        found["codes"] = [codes]
    return found
