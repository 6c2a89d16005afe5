"""What all conversations of one listener share: its name, limits, policies and the way to the spool.

Built once by listener/server.py; conversations read it and never change it.
"""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from postroad.auth.logins import Logins
from postroad.listener.handshakes import Tls
from postroad.listener.intake import Intake
from postroad.listener.settings import LimitsSettings
from postroad.listener.tarpit import Tarpit
from postroad.model.address import Mailbox
from postroad.model.records import Emit
from postroad.model.reply import Reply
from postroad.policy.shield.conduct import Conduct
from postroad.policy.stages import Stages
from postroad.smtp.extensions import Offer


class Guest(Protocol):
    """A conversation as its listener sees it; see listener/session.py."""

    last_seen: float
    phase_began: float

    @property
    def ip(self) -> str:
        """The peer's address."""

    @property
    def terms(self) -> "Terms":
        """The terms it began with."""

    @property
    def in_content(self) -> bool:
        """True while the peer sends content."""

    @property
    def is_waiting(self) -> bool:
        """True while the peer waits for us."""

    @property
    def has_timed_out(self) -> bool:
        """True once the session is over, though the connection may linger."""

    def doubt(self) -> None:
        """It has not brought its message in the moment in which it was expected."""

    def time_out(self) -> None:
        """Say 421 and close."""

    def drain(self, *, at_once: bool = True) -> None:
        """Leave as soon as the transaction allows; when idle at once, or after the answer to the next command."""

    def abort(self) -> None:
        """Cut the connection."""


def nobody(_: str) -> bool:
    """No address at all."""
    return False


class Terms(Struct, frozen=True, kw_only=True):
    """The terms of one listener.

    `trusts_proxy` tells whose PROXY header is believed, when one is expected; `trusts_client` who may use XCLIENT,
    where anybody may, and is then offered what `trusted` has. `watch`, when there is one, is told how peers behave;
    `tarpit`, when there is one, slows those that err; `relays` tells of an address whether it may send anywhere,
    `skips_greeting_delay` of one that need not wait for the banner; `enter` admits a conversation or says why not, and
    is asked again when it goes on for another client; `now` is in microseconds since 1970, `monotonic` and
    `greeting_delay` in seconds; `at_turn_end` runs a callback at the end of the event loop's turn. `logins` knows who
    may log in, None where nobody can, and `is_locked`, when there is one, who may not after all. `tls` is None where
    there is none, and `secured` what is offered under it.
    """

    name: str
    limits: LimitsSettings
    offer: Offer
    trusted: Offer
    trusts_proxy: Callable[[str], bool] | None
    trusts_client: Callable[[str], bool] | None
    banner: Reply
    greeting_delay: float
    postmaster: Mailbox
    stages: Stages
    watch: Callable[[Conduct], None] | None
    tarpit: Tarpit | None
    relays: Callable[[str], bool]
    logins: Logins | None
    is_locked: Callable[[str], bool] | None
    intake: Intake
    emit: Emit
    now: Callable[[], int]
    monotonic: Callable[[], float]
    call_later: Callable[[float, Callable[[], None]], object]
    at_turn_end: Callable[[Callable[[], None]], object]
    enter: Callable[[Guest], Reply | None]
    leave: Callable[[Guest], None]
    skips_greeting_delay: Callable[[str], bool] = nobody
    tls: Tls | None = None
    secured: Offer | None = None
