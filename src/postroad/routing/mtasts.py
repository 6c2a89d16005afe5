"""*pure*: MTA-STS (RFC 8461): reads records and policies, tells what a host must have, and when to look again.

Whatever a record or a policy holds, it is a value or a fault in words, never an exception; what is longer than 64 KiB
is no policy. A policy in force never gives way to trouble: while it holds, only another valid one takes its place
(RFC 8461 5.1). In force `enforce`, a host that the policy does not name gets no mail (RFC 8461 5).
"""

import re
from collections.abc import Sequence
from typing import Final

from postroad.model.outcome import Deferred, Scope
from postroad.model.reply import Reply
from postroad.model.security import BY_STS, OPPORTUNISTIC, VERIFIED, Security
from postroad.model.sts import ENFORCE, INVALID, MODES, NO_POLICY, TESTING, StsFault, StsKept, StsPolicy

SIZE_LIMIT: Final = 64 << 10  # octets of a policy (RFC 8461 3.3)
LONGEST: Final = 31_557_600  # seconds, about a year (RFC 8461 3.2)
MX_LIMIT: Final = 1000  # patterns of one policy
_LINES_KEPT: Final = 100  # of the text, for reports
LOOK_EVERY: Final = 3600.0  # seconds after which the record is asked for again while mail goes there
REFRESH_EVERY: Final = 86_400.0  # seconds after which a policy is fetched again though its id is the same
BACK_OFF: Final = 300.0  # seconds between two fetches of which the first one failed (RFC 8461 3.3)
_SECOND: Final = 1_000_000
_VERSION: Final = "v=STSv1"
_DELIMITER: Final = re.compile(r"[ \t]*;[ \t]*")
_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_VALUE: Final = re.compile(r"[\x21-\x3a\x3c\x3e-\x7e]+")
_AGE: Final = re.compile(r"[0-9]{1,10}")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_HOST_SIZE: Final = 253


def parse_records(texts: Sequence[str]) -> str | None:
    """The id of the one valid record among the TXT records `texts`; None: no policy is announced (RFC 8461 3.1)."""
    candidates = [text for text in texts if _DELIMITER.split(text, 1)[0] == _VERSION and text != _VERSION]
    if len(candidates) != 1:
        return None
    found = ""
    fields = _DELIMITER.split(candidates[0].rstrip(" \t"))[1:]
    if fields and not fields[-1]:
        fields.pop()
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return None
        if name == "id" and not found:
            if not _ID.fullmatch(value):
                return None
            found = value
    return found or None


def parse_policy(octets: bytes) -> StsPolicy | StsFault:
    """The policy that `octets` are (RFC 8461 3.2)."""
    if len(octets) > SIZE_LIMIT:
        return StsFault(INVALID, f"the policy has more than {SIZE_LIMIT} octets")
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return StsFault(INVALID, "the policy is not text in UTF-8")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1].strip(" \t"):
        lines.pop()
    fields: dict[str, str] = {}
    patterns: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        name, value = name.rstrip(" \t"), value.strip(" \t")
        if not colon or not _NAME.fullmatch(name) or not value.isprintable() or not value:
            return StsFault(INVALID, f'line {number} of the policy is not "name: value"')
        if name == "mx":
            patterns[value.lower().removesuffix(".")] = None
        else:
            fields.setdefault(name, value)  # what is repeated counts once (RFC 8461 3.2)
    words = _wrong(fields, patterns)
    if words:
        return StsFault(INVALID, words)
    max_age = min(int(fields["max_age"]), LONGEST)
    return StsPolicy(fields["mode"], max_age, tuple(patterns), tuple(lines[:_LINES_KEPT]))


def _wrong(fields: dict[str, str], patterns: dict[str, None]) -> str:
    if fields.get("version") != "STSv1":
        return "the policy does not say version: STSv1"
    if fields.get("mode") not in MODES:
        return (
            f"the policy says mode: {fields.get('mode', '')[:40] or '(nothing)'}, which is none of {', '.join(MODES)}"
        )
    if not _AGE.fullmatch(fields.get("max_age", "")):
        return "the policy has no max_age in seconds"
    if not patterns and fields["mode"] != NO_POLICY:
        return "the policy names no mx"
    if len(patterns) > MX_LIMIT:
        return f"the policy names more than {MX_LIMIT} mx"
    broken = next((pattern for pattern in patterns if not _is_pattern(pattern)), "")
    return f"the policy has an mx that is no host name: {broken[:80]}" if broken else ""


def _is_pattern(pattern: str) -> bool:
    labels = pattern.removeprefix("*.").split(".")
    return len(pattern) <= _HOST_SIZE and all(map(_LABEL.fullmatch, labels))


def names_host(policy: StsPolicy, host: str) -> bool:
    """True when `host` is among the MX hosts of `policy`; a wildcard stands for one label (RFC 8461 4.1)."""
    host = host.lower().removesuffix(".")
    first, dot, rest = host.partition(".")
    wildcard = f"*.{rest}" if first and dot and rest else ""
    return any(pattern in (host, wildcard) for pattern in policy.mx if pattern)


def demand(kept: StsKept, host: str) -> Security | Deferred | None:
    """What mail for the domain must have on its way to `host`; a Deferred: it must not go there (RFC 8461 5)."""
    policy = kept.policy
    if policy.mode == NO_POLICY:
        return None
    reason = f"MTA-STS policy of {kept.domain}, mode {policy.mode}, id {kept.id}"
    if names_host(policy, host):
        return Security(
            VERIFIED,
            BY_STS,
            reason,
            names=(host,),
            testing=policy.mode == TESTING,
            domain=kept.domain,
            policy=policy.lines,
        )
    words = f"{reason}, does not name the MX host {host}"
    if policy.mode == ENFORCE:
        return Deferred(Reply(451, "4.7.5", words), Scope.HOST)
    return Security(OPPORTUNISTIC, BY_STS, words)


# -- when to look --------------------------------------------------------------------------------


def holds(kept: StsKept, now: int) -> bool:
    """True while the policy is in force; one from the future, by a clock that was wrong, is not trusted for longer."""
    return now < kept.expires and kept.fetched <= now + REFRESH_EVERY * _SECOND


def next_refresh(kept: StsKept) -> int:
    """When the policy is fetched again without being asked: daily, at half its age at the latest (RFC 8461 10.2)."""
    age = min(REFRESH_EVERY, kept.policy.max_age / 2)
    due = kept.fetched + round(max(age, BACK_OFF) * _SECOND)
    return max(due, kept.tried + round(BACK_OFF * _SECOND)) if kept.fault else due


def wants_look(kept: StsKept, now: int) -> bool:
    """True when the record should be asked for again."""
    if kept.fault:
        return not is_backed_off(kept, now)
    return now >= min(kept.looked + round(LOOK_EVERY * _SECOND), next_refresh(kept))


def wants_fetch(kept: StsKept, record: str | None, now: int) -> bool:
    """True when the policy should be fetched, as the record now says `record`; None: there is none any more."""
    if is_backed_off(kept, now):
        return False
    return (record is not None and record != kept.id) or now >= next_refresh(kept)


def is_backed_off(kept: StsKept, now: int) -> bool:
    """True while the last fetch failed too short a time ago to try it again."""
    return bool(kept.fault) and now < kept.tried + round(BACK_OFF * _SECOND)
