"""What is said on the control socket: requests and answers, as values.

One request a connection, one JSON object a line. An answer may be preceded by others that tell of progress; the last
one has `done`, or `error` in words for people. Who asks is known from the socket, never from the request. Pure.
"""

from typing import Final

import msgspec
from msgspec import Struct

from postroad.desk.guardprotocol import AccountAsked, AccountNow, BanNow, BansAsked
from postroad.model.option import OptionChange
from postroad.model.suspension import Suspension
from postroad.queue.operator import Tally
from postroad.spool.filters import Query
from postroad.spool.listing import Count


class Request(Struct, frozen=True, tag_field="do", kw_only=True, omit_defaults=True):
    """Base of all requests."""


class CountAsked(Request, frozen=True, tag="count"):
    """How much `query` asks for."""

    query: Query


class ActAsked(Request, frozen=True, tag="act"):
    """Carry `action` out on what `query` asks for; `selection` is the query in words, `lane` where a reroute leads."""

    action: str
    query: Query
    selection: str
    reason: str = ""
    lane: str = ""


class SuspendAsked(Request, frozen=True, tag="suspend"):
    """Try no mail of this next hop, site or route for some `seconds`; 0: until it is resumed."""

    kind: str
    name: str
    seconds: float
    reason: str = ""


class ResumeAsked(Request, frozen=True, tag="resume"):
    """End the suspensions of this kind whose name fits the pattern."""

    kind: str
    name: str


class SiteAsked(Request, frozen=True, tag="site"):
    """Which lanes lead to sites that fit the pattern."""

    pattern: str


class LanesAsked(Request, frozen=True, tag="lanes"):
    """Which lanes have work in memory or are known to fail, and which suspensions are in force.

    `names` asks about these lanes alone, and not about suspensions; without any, about all. With `ids`, also which
    recipients of these messages are being delivered. Many lanes come in several answers. With `plain`, also which
    targets of `names` get plain text for a while; that may take look-ups.
    """

    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    plain: bool = False


class WatchAsked(Request, frozen=True, tag="watch"):
    """Tell every `seconds` what happens, until the connection is closed."""

    seconds: float = 1.0


class ReloadAsked(Request, frozen=True, tag="reload"):
    """Read the configuration anew, and go on by it."""


class UpgradeAsked(Request, frozen=True, tag="upgrade"):
    """Make way for the program as it is now on disk.

    The answer has what speaks against it, or who makes way; then the connection lasts until that is done.
    """


class RunningAsked(Request, frozen=True, tag="running"):
    """Who answers here."""


class CompareAsked(Request, frozen=True, tag="compare"):
    """Tell what a reload from `file`, an absolute path, would change."""

    file: str


class RatesAsked(Request, frozen=True, tag="rates"):
    """How full accounts of `[[rates]]` are, the fullest first, at most `most`; with `reset` they are begun anew.

    Those of a rate, of a login, or called `account`; "" for all. With `reset` one of the three is given.
    """

    rate: str = ""
    login: str = ""
    account: str = ""
    most: int = 50
    reset: bool = False
    reason: str = ""


class CertificateAsked(Request, frozen=True, tag="certificate"):
    """Ask the CA of `[acme]` for a new certificate now."""


Asked = (
    CountAsked
    | ActAsked
    | SuspendAsked
    | ResumeAsked
    | SiteAsked
    | LanesAsked
    | WatchAsked
    | ReloadAsked
    | UpgradeAsked
    | RunningAsked
    | CompareAsked
    | RatesAsked
    | CertificateAsked
    | BansAsked
    | AccountAsked
)


class LaneNow(Struct, frozen=True, omit_defaults=True):
    """A lane as it is now: recipients in memory, deliveries running and allowed, until when and why it is suspended.

    `wait` says why nothing more of it is delivered right now. The counts are of recipients since the last answer to a
    watch. `plain` are its targets that get plain text for a while, because opportunistic TLS failed with them.
    """

    name: str
    waiting: int = 0
    running: int = 0
    allowed: int = 0
    until: int = 0
    reason: str = ""
    wait: str = ""
    delivered: int = 0
    deferred: int = 0
    failed: int = 0
    plain: tuple[str, ...] = ()


class Activity(Struct, frozen=True, omit_defaults=True):
    """What happened in the last `seconds`: messages taken in, recipients by outcome; `messages` and `octets` wait."""

    seconds: float
    accepted: int = 0
    delivered: int = 0
    deferred: int = 0
    failed: int = 0
    messages: int = 0
    octets: int = 0


class Reloaded(Struct, frozen=True, omit_defaults=True):
    """What a reload of `file` changed, or would change; with `problems` it changed nothing."""

    file: str
    changes: tuple[OptionChange, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Running(Struct, frozen=True):
    """A server: its version, its process, and when it began, in microseconds since 1970."""

    version: str
    pid: int
    started: int


class RateNow(Struct, frozen=True, omit_defaults=True):
    """An account of the rate called `rate`: `used` of `count` in the time called `label`; `per` says what names it."""

    rate: str
    counted: str
    account: str
    used: int
    count: int
    label: str
    per: tuple[str, ...] = ()


class Answer(Struct, frozen=True, omit_defaults=True):
    """One line of an answer; only what was asked for is set."""

    done: bool = False
    error: str = ""
    usage: bool = False  # the error is in what was asked
    progress: int = 0
    count: Count | None = None
    tally: Tally | None = None
    names: tuple[str, ...] = ()
    lanes: tuple[LaneNow, ...] = ()
    suspensions: tuple[Suspension, ...] = ()
    delivering: tuple[tuple[str, int], ...] = ()  # queue id and recipient
    activity: Activity | None = None
    reloaded: Reloaded | None = None
    problems: tuple[str, ...] = ()
    running: Running | None = None
    rates: tuple[RateNow, ...] = ()
    begun_anew: int = 0  # accounts of rates
    bans: tuple[BanNow, ...] = ()
    accounts: tuple[AccountNow, ...] = ()


decode_request: Final = msgspec.json.Decoder(Asked).decode
decode_answer: Final = msgspec.json.Decoder(Answer).decode
encode: Final = msgspec.json.Encoder().encode
