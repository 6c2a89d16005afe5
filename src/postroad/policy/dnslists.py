"""DNS block and allow lists: how they are asked, what their answers mean, what several of them weigh (*pure*).

A list answers with addresses in 127.0.0.0/8 (RFC 5782 2.1). What lies outside, 127.0.0.1, and the codes of
127.255.255.0/24, by which lists say that they do not answer us, are never a listing.
The absence of an answer proves that the subject is not listed; a fault of DNS proves nothing and weighs nothing.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Final, Literal

from msgspec import Struct
from pydantic import AfterValidator, Field

from postroad.model.address import parse_domain
from postroad.model.dns import Answer, DnsStatus
from postroad.model.errors import AddressError
from postroad.model.option import Duration, Settings
from postroad.model.reverse import Address, reversed_labels
from postroad.policy.findings import DnsListHit

LISTED: Final = IPv4Network("127.0.0.0/8")
ERRORS: Final = IPv4Network("127.255.255.0/24")
NEVER_LISTED: Final = IPv4Address("127.0.0.1")
NAME_LIMIT: Final = 253  # of a question
_HELP_LIMIT: Final = 200
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")  # names go into replies


def _zone(text: str) -> str:
    try:
        zone = parse_domain(text)
    except AddressError as error:
        raise ValueError(f"not a zone of DNS: {error}") from None
    if zone.startswith("["):
        raise ValueError("not a zone of DNS: an address literal")
    return zone


def parse_codes(text: str) -> tuple[int, int]:
    """The first and last address in "127.0.0.2", "127.0.0.2-11", "127.0.0.2-127.0.0.11" or "127.0.1.0/24"."""
    try:
        if "/" in text:
            network = IPv4Network(text)
            first, last = network.network_address, network.broadcast_address
        else:
            low, dash, high = text.partition("-")
            first = last = IPv4Address(low.strip())
            if dash:
                high = high.strip()
                last = IPv4Address(high if "." in high else f"{str(first).rpartition('.')[0]}.{high}")
    except ValueError:
        raise ValueError(f'"{text}" is no code; write one like "127.0.0.2", "127.0.0.2-11" or "127.0.1.0/24"') from None
    if first not in LISTED or last not in LISTED or first > last:
        raise ValueError(f'"{text}": codes lie in 127.0.0.0/8, the lower one first')
    return int(first), int(last)


def _codes(text: str) -> str:
    parse_codes(text)
    return text


def _printable(text: str) -> str:
    if not text.isascii() or not text.isprintable() or len(text) > _HELP_LIMIT:
        raise ValueError(f"goes into a reply: at most {_HELP_LIMIT} printable ASCII characters")
    return text


Zone = Annotated[str, AfterValidator(_zone)]
Codes = Annotated[str, AfterValidator(_codes)]
ReplyText = Annotated[str, AfterValidator(_printable)]
Of = Literal["client", "helo", "sender", "ptr"]


class DnsListSettings(Settings):
    """One list."""

    zone: Zone = Field(description="Where the list is asked, a domain.")
    name: ReplyText = Field(
        "",
        description="What records and replies call it; the zone unless given. Give one when the zone holds a key.",
        json_schema_extra={"default": "the zone"},
    )
    of: Of = Field(
        "client",
        description="What is looked up: the client's address, or a name: that of HELO, the sender's domain, the "
        "confirmed names of the client's address.",
    )
    weight: float = Field(
        1.0, description="What being listed adds; a negative number is for lists of the well known.", ge=-1000, le=1000
    )
    codes: tuple[Codes, ...] = Field(
        (),
        description='Answers that count: "127.0.0.2", "127.0.0.2-11", "127.0.1.0/24"; none given: all but errors.',
    )
    timeout: Duration = Field(5.0, description="How long its answer is waited for.", ge=0.1, le=20)
    help: ReplyText = Field(
        "", description='Added to the reply when the list decides, like "see https://list.example/?q={subject}".'
    )

    @property
    def shown(self) -> str:
        """Its name for people."""
        return self.name or self.zone


class Question(Struct, frozen=True):
    """One look-up: `name` in DNS asks the list `list` about `subject`."""

    list: DnsListSettings
    subject: str
    name: str

    @property
    def key(self) -> str:
        """What tells it from other questions, whichever policy asks: the same list may weigh otherwise elsewhere."""
        return f"{self.name} {','.join(self.list.codes)} {self.list.weight:g}"


def question_of(settings: DnsListSettings, subject: str | Address) -> Question | None:
    """The question about an address or a name; None when there is nothing to ask."""
    if isinstance(subject, str):
        labels = subject.lower().removesuffix(".")
        if "." not in labels or set(labels) - _LETTERS or labels.replace(".", "").isdigit():
            return None  # lists of domains have neither addresses nor what is no name at all
    else:
        labels = reversed_labels(subject)
    name = f"{labels}.{settings.zone}"
    return Question(settings, str(subject), name) if len(name) <= NAME_LIMIT else None


def read(question: Question, answer: Answer) -> tuple[DnsListHit | None, str]:
    """The hit, if it is one, and what is wrong with the list, in words, if anything is."""
    if answer.status is not DnsStatus.FOUND:
        return None, f"no answer: {answer.status.value}" if answer.is_temporary else ""
    texts = [text for text in answer.records if isinstance(text, str)]
    codes = [IPv4Address(text) for text in texts]
    refused = [str(code) for code in codes if code in ERRORS]
    if refused:
        return None, f"it refuses to answer us: {', '.join(refused)}"
    stray = [str(code) for code in codes if code not in LISTED or code == NEVER_LISTED]
    if stray:
        return None, f"its answer is none of a list: {', '.join(stray)}"
    ranges = [parse_codes(text) for text in question.list.codes]
    counted = tuple(str(code) for code in codes if not ranges or any(low <= int(code) <= high for low, high in ranges))
    if not counted:
        return None, ""
    return DnsListHit(question.list.shown, question.subject, counted, question.list.weight), ""


def score_of(hits: Sequence[DnsListHit]) -> float:
    """What `hits` weigh together, without the noise of fractions."""
    return round(sum(hit.weight for hit in hits), 6)


def words(hits: Sequence[DnsListHit]) -> str:
    """`hits` for a record: `zen (127.0.0.2) +3, wl (127.0.5.1) -2`."""
    return ", ".join(f"{hit.list} has {hit.subject} ({' '.join(hit.codes)}) {hit.weight:+g}" for hit in hits)
