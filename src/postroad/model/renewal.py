"""When a certificate that is had by ACME is asked for anew: decided here, over values and a given `now` (pure).

Invariant: a failure never shortens a pause that the CA asked for, and never lets more than one attempt be made in ten
minutes. Whoever renews does so in the last third of a certificate's life at the earliest, also when it lives for days
alone. RFC 8555 6.6 (Retry-After of rate limits), RFC 9773 4.2 (a time that the CA suggests).
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

SECOND: Final = 1_000_000  # microseconds
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
FIRST_PAUSE: Final = 600 * SECOND
LONGEST_PAUSE: Final = 12 * HOUR
LONGEST_WISH: Final = 8 * DAY  # of a CA: the longest rate limits of public ones are a week
SUGGESTION_EVERY: Final = 6 * HOUR
_EARLIER: Final = 0.1  # of that time, by which servers differ


class RenewalState(Struct, frozen=True, omit_defaults=True):
    """What outlives a restart, times in microseconds since 1970.

    `plan` says what was asked for, `failures` how often in vain since then, `reason` why; no try comes before `next`.
    `suggested` is when the CA would have it renewed, 0 when it does not say; it is asked again from `ask` on.
    """

    plan: str = ""
    failures: int = 0
    tried: int = 0
    next: int = 0
    reason: str = ""
    suggested: int = 0
    ask: int = 0


class Life(Struct, frozen=True):
    """Of the certificate that is there: names, first and last instant, and a number from 0 to 1 of its own."""

    names: tuple[str, ...]
    starts: int
    expires: int
    spread: float


def renewal_at(life: Life, renew_before: float) -> int:
    """When it is to be renewed: before its last `renew_before` seconds, or its last third if that is shorter."""
    before = min(renew_before * SECOND, (life.expires - life.starts) / 3)
    return life.expires - round(before * (1 + _EARLIER * life.spread))


def due_at(life: Life | None, names: Sequence[str], renew_before: float, state: RenewalState) -> int:
    """When the next attempt is to be made; 0 for at once."""
    if life is None or set(names) - set(life.names):
        wanted = 0
    else:
        wanted = renewal_at(life, renew_before)
        if state.suggested:
            wanted = min(wanted, state.suggested)
    return max(wanted, state.next)


def failed(state: RenewalState, now: int, reason: str, *, wish: float = 0.0, spread: float = 0.0) -> RenewalState:
    """The state after an attempt in vain: the CA asked for `wish` seconds of peace, `spread` is from 0 to 1."""
    failures = state.failures + 1
    pause = min(FIRST_PAUSE << min(failures - 1, 20), LONGEST_PAUSE)
    pause = max(round(pause * (1 + spread / 4)), min(round(wish * SECOND), LONGEST_WISH))
    return RenewalState(state.plan, failures, now, now + pause, reason, state.suggested, state.ask)


def planned(state: RenewalState, plan: str) -> RenewalState:
    """The state when `plan` is wanted: what failed of another plan says nothing about it."""
    return state if state.plan == plan else RenewalState(plan=plan)
