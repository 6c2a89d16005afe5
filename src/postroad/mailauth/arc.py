"""Authenticated Received Chain: is what relays before us found out of a message unbroken.

`Chain` works in the three steps of `dkim_verify`: it reads the header section and says which keys it needs, the body
goes through `BodyHashes`, and `result` judges. A chain passes when each instance from 1 up is there whole and once,
all seals fit, and the newest message signature does (RFC 8617 5.2). Whether to believe its sealers is the reader's
choice. What DNS cannot tell makes it fail, and it is said that this may be different later.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from msgspec import Struct

from postroad.mailauth.body_hash import BodyHashes
from postroad.mailauth.dkim_key import KeyProblem, key_in
from postroad.mailauth.dkim_result import FAIL, NONE, PASS, TEMPERROR, DkimResult, Signature
from postroad.mailauth.dkim_signature import read_tags
from postroad.mailauth.dkim_tags import SPACES, Tags, decode_base64, number_of, parse_tags, shown
from postroad.mailauth.dkim_verify import judge
from postroad.mailauth.fields import Fields
from postroad.model.address import parse_domain
from postroad.model.dns import Answer
from postroad.model.errors import AddressError

INSTANCES_LIMIT: Final = 50  # RFC 8617 4.2.1

RESULTS: Final = b"arc-authentication-results"
MESSAGE: Final = b"arc-message-signature"
SEAL: Final = b"arc-seal"

_INSTANCE: Final = re.compile(rb"[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*([0-9]{1,3})[ \t\r\n]*;")
_SEAL_NEEDS: Final = (b"a", b"b", b"cv", b"d", b"s")
_ALGORITHMS: Final = frozenset({b"rsa-sha256", b"ed25519-sha256"})


class ArcResult(Struct, frozen=True, kw_only=True):
    """What a chain comes to: none, pass or fail (RFC 8617 4.4)."""

    result: str
    reason: str
    instances: int = 0  # sets that were found, or the highest number of one
    sealers: tuple[str, ...] = ()  # the domains of the seals, from instance 1 up, when the chain can be read
    claims: tuple[str, ...] = ()  # what each of them found out, as its ARC-Authentication-Results says it
    oldest_pass: int = 0  # the oldest instance since which nothing signed was changed; 0: the first (RFC 8617 5.2)
    is_temporary: bool = False  # DNS could not be asked
    is_over: bool = False  # somebody sealed that it failed, or it is full: nothing may be added (RFC 8617 5.1)

    @property
    def is_pass(self) -> bool:
        """True when nobody tampered with what the sealers say."""
        return self.result == PASS


class _Set(Struct):
    """One instance: places of its three fields in the header section, and the tags of two of them."""

    results: int = -1
    message: int = -1
    seal: int = -1
    message_tags: Tags = {}
    seal_tags: Tags = {}


class Chain:
    """The ARC sets of one message, on their way to a result."""

    __slots__ = ("_body", "_early", "_fields", "_highest", "_messages", "_seals", "_sets", "key_names")

    def __init__(self, fields: Fields, body: BodyHashes, now: int) -> None:
        """`body` is told what is needed; `now` is in seconds."""
        self._fields = fields
        self._body = body
        self._sets: list[_Set] = []
        self._seals: list[Signature] = []
        self._messages: list[Signature | DkimResult] = []
        self._highest = 0
        self.key_names: tuple[str, ...] = ()  # whose TXT records are needed, each once
        self._early = self._read(now)
        if self._early is None:
            newest = self._messages[-1]
            names = [newest.key_name] if isinstance(newest, Signature) else []
            self.key_names = tuple(dict.fromkeys(names + [seal.key_name for seal in self._seals]))
            for message in self._messages:
                if isinstance(message, Signature) and message.key_name in self.key_names:
                    body.want(is_relaxed=message.relaxed_body, length=message.length)

    def result(self, answers: Mapping[str, Answer]) -> ArcResult:
        """The result; the body is finished."""
        if self._early is not None:
            return self._early
        newest = self._judge_message(len(self._sets), answers)
        if newest.result != PASS:
            reason = f"its newest message signature (instance {len(self._sets)}) does not hold: {newest.reason}"
            return self._known(FAIL, reason, is_temporary=newest.result == TEMPERROR)
        fault, is_temporary = self._seal_fault(answers)
        if fault:
            return self._known(FAIL, fault, is_temporary=is_temporary)
        oldest = len(self._sets)
        while oldest > 1 and self._judge_message(oldest - 1, answers).result == PASS:
            oldest -= 1
        sealers = ", ".join(seal.domain for seal in self._seals)
        return self._known(PASS, f"unbroken, sealed by {sealers}", oldest_pass=0 if oldest == 1 else oldest)

    def covered(self) -> bytes:
        """The octets of all sets that the next seal covers too (RFC 8617 5.1.1)."""
        places = (place for one in self._sets for place in (one.results, one.message, one.seal))
        return b"".join([self._fields.canonical(place, is_relaxed=True) for place in places])

    def _read(self, now: int) -> ArcResult | None:
        """Take the sets together (RFC 8617 5.2, steps 1 to 3); a result when that is all."""
        counts = [len(self._fields.places(name)) for name in (RESULTS, MESSAGE, SEAL)]
        if not any(counts):
            return ArcResult(result=NONE, reason="the message has no ARC sets")
        if max(counts) > INSTANCES_LIMIT:
            return self._failed(f"it has more than {INSTANCES_LIMIT} ARC sets", is_over=True)
        sets: dict[int, _Set] = {}
        fault = self._gather(sets)
        self._highest = max(sets, default=0)
        if fault:
            return self._failed(fault)
        if sets[self._highest].seal_tags.get(b"cv", b"").lower() == b"fail":
            return self._failed(f"instance {self._highest} was sealed as failed already", is_over=True)
        if sorted(sets) != list(range(1, len(sets) + 1)):
            return self._failed("an instance is missing between 1 and the highest")
        self._sets = [sets[number] for number in sorted(sets)]
        for number, one in enumerate(self._sets, start=1):
            fault = self._take(one, number, now)
            if fault:
                return self._failed(f"instance {number}: {fault}")
        return None

    def _gather(self, sets: dict[int, _Set]) -> str:
        """Sort all fields into `sets` by their instance; what is wrong, or nothing."""
        for name, part in ((RESULTS, "results"), (MESSAGE, "message"), (SEAL, "seal")):
            for place in self._fields.places(name):
                value = self._fields.value(place)
                tags: Tags | str = {}
                if name == RESULTS:
                    found = _INSTANCE.match(value)
                    text = found[1] if found else b""
                else:
                    tags = parse_tags(value)
                    if isinstance(tags, str):
                        return f"a field {name.decode()} cannot be read: {tags}"
                    text = tags.get(b"i", b"")
                number = number_of(text)
                if number is None or not 1 <= number <= INSTANCES_LIMIT:
                    return f"a field {name.decode()} has no instance from 1 to {INSTANCES_LIMIT}"
                one = sets.setdefault(number, _Set())
                if getattr(one, part) >= 0:
                    return f"instance {number} has two fields {name.decode()}"
                setattr(one, part, place)
                if name != RESULTS:
                    setattr(one, f"{part}_tags", tags)
        return ""

    def _take(self, one: _Set, number: int, now: int) -> str:
        """Read one complete set; what is wrong with it, or nothing."""
        if min(one.results, one.message, one.seal) < 0:
            return "not all three of its fields are there"
        cv = one.seal_tags.get(b"cv", b"").lower()
        wanted = b"none" if number == 1 else b"pass"
        if cv != wanted:
            return f"its seal has cv={shown(cv)} and not {wanted.decode()}"
        seal = read_seal(one.seal_tags, one.seal)
        if isinstance(seal, str):
            return f"its seal cannot be used: {seal}"
        message = read_tags(one.message_tags, one.message, now, is_arc=True)
        if isinstance(message, Signature) and SEAL in message.headers:
            message = DkimResult(result=FAIL, reason="it signs ARC-Seal fields (RFC 8617 4.1.2)")
        self._seals.append(seal)
        self._messages.append(message)
        return ""

    def _judge_message(self, number: int, answers: Mapping[str, Answer]) -> DkimResult:
        message = self._messages[number - 1]
        if isinstance(message, DkimResult):
            return message
        if message.key_name not in self.key_names:
            return DkimResult(result=NONE, reason="its key was not asked for")
        return judge(message, self._fields, self._body, answers)

    def _seal_fault(self, answers: Mapping[str, Answer]) -> tuple[str, bool]:
        """What is wrong with the seals, and whether it may be different later (RFC 8617 5.1.1: what they cover)."""
        running = sha256()
        for number, (one, seal) in enumerate(zip(self._sets, self._seals, strict=True), start=1):
            for place in (one.results, one.message):
                running.update(self._fields.canonical(place, is_relaxed=True))
            covered = running.copy()
            covered.update(self._fields.unsigned(one.seal, is_relaxed=True))
            running.update(self._fields.canonical(one.seal, is_relaxed=True))
            key = key_in(answers.get(seal.key_name), seal.algorithm.partition("-")[0], seal.key_name)
            if isinstance(key, KeyProblem):
                return f"the seal of instance {number} cannot be checked: {key.reason}", key.result == TEMPERROR
            if not key.fits(seal.signature, covered.digest()):
                return f"the seal of instance {number} does not fit", False
        return "", False

    def _failed(self, reason: str, *, is_over: bool = False) -> ArcResult:
        return ArcResult(result=FAIL, reason=reason, instances=self._highest, is_over=is_over)

    def _known(self, result: str, reason: str, *, oldest_pass: int = 0, is_temporary: bool = False) -> ArcResult:
        return ArcResult(
            result=result,
            reason=reason,
            instances=len(self._sets),
            sealers=tuple(seal.domain for seal in self._seals),
            claims=tuple(_claim(self._fields.value(one.results)) for one in self._sets),
            oldest_pass=oldest_pass,
            is_temporary=is_temporary,
            is_over=len(self._sets) >= INSTANCES_LIMIT,
        )


def read_seal(tags: Tags, place: int) -> Signature | str:
    """The ARC-Seal field at `place`, or what is wrong with it (RFC 8617 4.1.3)."""
    missing = [name.decode() for name in _SEAL_NEEDS if name not in tags]
    if missing:
        return f"{missing[0]}= is missing"
    if b"h" in tags:
        return "it has a tag h="
    if tags[b"a"] not in _ALGORITHMS:
        return f"its algorithm {shown(tags[b'a'])} is not accepted"
    if b"t" in tags and number_of(tags[b"t"]) is None:
        return "t= is no number"
    signature = decode_base64(tags[b"b"])
    if not signature:
        return "b= is no signature"
    try:
        domain = parse_domain(tags[b"d"].decode("utf-8", "replace"))
        selector = parse_domain(tags[b"s"].decode("utf-8", "replace"))
    except AddressError as error:
        return f"d= or s= is no domain: {error}"
    return Signature(
        place=place,
        algorithm=tags[b"a"].decode(),
        signature=signature,
        domain=domain,
        selector=selector,
        key_name=f"{selector}._domainkey.{domain}",
    )


def _claim(value: bytes) -> str:
    """What an ARC-Authentication-Results says behind its instance, on one line."""
    found = _INSTANCE.match(value)
    return b" ".join(value[found.end() if found else 0 :].split()).strip(SPACES).decode("utf-8", "replace")
