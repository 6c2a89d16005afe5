"""DMARC policy records: what a domain asks to be done with mail that it did not send (RFC 7489 6.3, RFC 9989).

A record is never an error: tags that nobody knows or that are broken count as if they were not there, and what does
not begin with the version is no record. One without a usable policy but with an address for reports asks for nothing
but reports; without one it asks for nothing at all.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from msgspec import Struct

REJECT: Final = "reject"
QUARANTINE: Final = "quarantine"
NOTHING: Final = "none"
_POLICIES: Final = frozenset({REJECT, QUARANTINE, NOTHING})

TEXT_LIMIT: Final = 4096  # characters of a record that are read
ADDRESSES_LIMIT: Final = 20  # of a tag rua= or ruf=
_VERSION: Final = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_SIZE: Final = re.compile(r"([0-9]{1,15})([kmgt]?)")
_UNITS: Final = MappingProxyType({"": 0, "k": 10, "m": 20, "g": 30, "t": 40})
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]+", re.IGNORECASE)


class DmarcRecord(Struct, frozen=True, gc=False):
    """One record: policies are "none", "quarantine" or "reject", `policy` is "" when the record asks for nothing.

    `sub_policy` is for domains below, `missing_policy` for those of them that do not exist.
    """

    policy: str
    sub_policy: str
    missing_policy: str
    is_dkim_strict: bool = False
    is_spf_strict: bool = False
    percent: int = 100  # of the mail that the policy is for (RFC 7489 6.6.4)
    is_testing: bool = False  # t=y: one step milder than what is asked for (RFC 9989)
    psd: str = "u"  # "y": a public suffix; "n": an organisation of its own; "u": not said
    rua: tuple[str, ...] = ()
    ruf: tuple[str, ...] = ()
    fo: tuple[str, ...] = ("0",)

    def disposition(self, policy: str, roll: int) -> str:
        """What is to be done where `policy` is asked for; `roll` from 0 to 99 chooses the share pct= speaks of."""
        if not (self.is_testing or roll >= self.percent):
            return policy
        return QUARANTINE if policy == REJECT else NOTHING


def record_in(texts: Sequence[object]) -> DmarcRecord | None:
    """The record among the TXT records of a name; several are none (RFC 7489 6.6.3)."""
    found = [text for text in texts if isinstance(text, str) and _VERSION.match(text)]
    return parse_record(found[0]) if len(found) == 1 else None


@lru_cache(1024)  # a pure function of its arguments; few domains make most of the mail
def parse_record(text: str) -> DmarcRecord | None:
    """The record in `text`, None when it is none."""
    if not _VERSION.match(text):
        return None
    tags: dict[str, str] = {}
    for spec in text[:TEXT_LIMIT].split(";")[1:]:
        name, _, value = spec.partition("=")
        tags.setdefault(name.strip().lower(), value.strip())
    rua = _addresses(tags.get("rua", ""))
    policy = _policies(tags, is_reporting=bool(rua))
    percent = tags.get("pct", "")
    return DmarcRecord(
        *policy,
        is_dkim_strict=tags.get("adkim", "").lower() == "s",
        is_spf_strict=tags.get("aspf", "").lower() == "s",
        percent=int(percent)
        if percent.isascii() and percent.isdigit() and len(percent) < 4 and int(percent) < 100
        else 100,
        is_testing=tags.get("t", "").lower() == "y",
        psd=psd if (psd := tags.get("psd", "").lower()) in {"y", "n"} else "u",
        rua=rua,
        ruf=_addresses(tags.get("ruf", "")),
        fo=tuple(dict.fromkeys(one for one in _options(tags.get("fo", "")) if one in {"0", "1", "d", "s"})) or ("0",),
    )


def _policies(tags: dict[str, str], *, is_reporting: bool) -> tuple[str, str, str]:
    """p=, sp= and np=; a broken one of them makes all "none", or nothing without an address for reports."""
    given = {name: tags[name].lower() for name in ("p", "sp", "np") if name in tags}
    if "p" not in given or not _POLICIES.issuperset(given.values()):
        return (NOTHING,) * 3 if is_reporting else ("",) * 3
    sub = given.get("sp", given["p"])
    return given["p"], sub, given.get("np", sub)


def _addresses(text: str) -> tuple[str, ...]:
    """The addresses that reports are to go to, with the sizes behind exclamation marks."""
    found = (part.strip() for part in text.split(",")[:ADDRESSES_LIMIT])
    return tuple(part for part in found if _ADDRESS.fullmatch(part))


def split_size(address: str) -> tuple[str, int | None]:
    """An address of rua= or ruf=, and how many octets a report may have that goes there (RFC 7489 6.2); None: any."""
    uri, mark, text = address.partition("!")
    size = _SIZE.fullmatch(text.lower())
    if not mark or size is None:
        return uri, None
    return uri, int(size[1]) << _UNITS[size[2]]


def _options(text: str) -> list[str]:
    return [part.strip().lower() for part in text.split(":")]
