"""Sender rewriting, and tagged senders: reverse-paths of ours that only we can have made (*pure*).

SRS lets mail be forwarded for senders of other domains without failing SPF there: the reverse-path becomes one of ours
that holds theirs, and reports that come to it find their way back (`SRS0=hash=day=domain=local`, and `SRS1=` for what
another forwarder has made, as the Sender Rewriting Scheme of 2004 has it). A tag of BATV (`prvs=KDDDhhhhhh=local`)
proves that a report is about mail that we sent (draft-levine-smtp-batv-01). Both are signed, and end after some days,
so that nobody relays by an address that was made up, or found in an archive. RFC 7208 D.3 (forwarding).
"""

import hmac
from base64 import b32encode
from typing import Final

from postroad.model.address import LOCAL_LIMIT, Mailbox, parse_mailbox
from postroad.model.errors import AddressError

_SRS0: Final = "srs0"
_SRS1: Final = "srs1"
_SEPARATORS: Final = "=+-"  # behind the first word; inside it is always "="
_HASH: Final = 6  # characters of base32: 30 bits
_DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CYCLE: Final = 1024  # days until a day's two digits come again
_PRVS: Final = "prvs"
_BATV_CYCLE: Final = 1000
DAY: Final = 86_400_000_000  # microseconds


class Signer:
    """Signs by the first of some keys, and knows what was signed by any of them."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        """At least one of `keys`, the one in use first."""
        self._keys = keys

    def sign(self, text: str) -> str:
        """The signature of `text`, whose letters' case is lost on the way."""
        return _signature(self._keys[0], text)

    def knows(self, text: str, signature: str) -> bool:
        """True when `signature` is that of `text`."""
        given = signature.upper().encode()
        return any(hmac.compare_digest(_signature(key, text).encode(), given) for key in self._keys)


class Srs:
    """Reverse-paths in one domain that stand for those of others."""

    def __init__(self, domain: str, signer: Signer, days: int) -> None:
        """Those of `domain`, lower-case, hold for `days`."""
        self.domain = domain
        self._signer = signer
        self._days = days

    def is_ours(self, mailbox: Mailbox) -> bool:
        """True when `mailbox` looks like one that was made here."""
        return mailbox.domain == self.domain and mailbox.local[:4].lower() in (_SRS0, _SRS1)

    def forward(self, sender: Mailbox, now: int) -> Mailbox | None:
        """What stands for `sender`; None when it would be longer than an address may be (RFC 5321 4.5.3.1.1)."""
        kind = sender.local[:4].lower() if sender.local[4:5] and sender.local[4] in _SEPARATORS else ""
        rest = sender.local[4:]
        if kind == _SRS1 and rest.count("=", 1) > 1:
            _, host, inner = rest[1:].split("=", 2)
            local = f"SRS1={self._signer.sign(host + inner)}={host}={inner}"
        elif kind == _SRS0:
            local = f"SRS1={self._signer.sign(sender.domain + rest)}={sender.domain}={rest}"
        else:
            day = _day_of(now)
            signature = self._signer.sign(day + sender.domain + sender.local)
            local = f"SRS0={signature}={day}={sender.domain}={sender.local}"
        return made(local, self.domain)

    def back(self, mailbox: Mailbox, now: int) -> Mailbox | str:
        """Whom `mailbox` stands for, or why it stands for nobody."""
        rest = mailbox.local[5:]
        is_first = mailbox.local[:4].lower() == _SRS0
        parts = rest.split("=", 3 if is_first else 2)
        if mailbox.local[4:5] not in tuple(_SEPARATORS) or len(parts) < (4 if is_first else 3):
            return "it is no address of SRS"
        if is_first:
            signature, day, domain, local = parts
            signed = day.upper() + domain.lower() + local
        else:
            signature, domain, local = parts
            signed = domain.lower() + local
        if not self._signer.knows(signed, signature):
            return "its signature is not ours"
        if is_first:
            age = _age_of(day, now)
            if age is None or age > self._days:
                return f"it is older than {self._days} days"
        return _parsed(local if is_first else f"SRS0{local}", domain)


class Batv:
    """Tags on our own senders."""

    def __init__(self, signer: Signer, days: int) -> None:
        """Tags hold for `days`."""
        self._signer = signer
        self._days = days

    def is_tagged(self, mailbox: Mailbox) -> bool:
        """True when `mailbox` has what looks like a tag."""
        return mailbox.local[:5].lower() == f"{_PRVS}=" and "=" in mailbox.local[5:]

    def tag(self, sender: Mailbox, now: int) -> Mailbox | None:
        """`sender` with a tag; None when it would be longer than an address may be."""
        day = f"0{_batv_day(now):03}"
        signature = self._signer.sign(f"{day}{sender.local}@{sender.domain}")
        return made(f"{_PRVS}={day}{signature}={sender.local}", sender.domain)

    def untag(self, mailbox: Mailbox, now: int) -> Mailbox | str:
        """`mailbox` without its tag, or why that is none of ours."""
        tag, _, local = mailbox.local[5:].partition("=")
        day, signature = tag[:4], tag[4:]
        if not self._signer.knows(f"{day}{local}@{mailbox.domain}", signature):
            return "its tag is not ours"
        if (_batv_day(now) - int(day[1:])) % _BATV_CYCLE > self._days:
            return f"its tag is older than {self._days} days"
        return _parsed(local, mailbox.domain)


def _signature(key: bytes, text: str) -> str:
    return b32encode(hmac.digest(key, text.lower().encode(), "sha256"))[:_HASH].decode()


def _day_of(now: int) -> str:
    day = now // DAY % _CYCLE
    return _DIGITS[day >> 5] + _DIGITS[day & 31]


def _age_of(day: str, now: int) -> int | None:
    """Days since `day`; None when it is no day."""
    digits = [_DIGITS.find(digit) for digit in day.upper()]
    if len(digits) != 2 or min(digits) < 0:
        return None
    return (now // DAY - (digits[0] << 5 | digits[1])) % _CYCLE


def _batv_day(now: int) -> int:
    return now // DAY % _BATV_CYCLE


def made(local: str, domain: str) -> Mailbox | None:
    """The address with `local`, quoted where need be; None when it would be none, or too long (RFC 5321 4.5.3.1.1)."""
    found = _parsed(local, domain)
    return None if isinstance(found, str) or len(local.encode()) > LOCAL_LIMIT else found


def _parsed(local: str, domain: str) -> Mailbox | str:
    is_plain = all(local.split(".")) and not set(local) & set(' "(),:;<>@[\\]')
    quoted = local if is_plain else '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    try:
        return parse_mailbox(f"{quoted}@{domain}")
    except AddressError as error:
        return f"it holds no address: {error}"
