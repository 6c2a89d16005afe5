"""What the configuration says to the queue, as one value: a reload swaps it for another.

A delivery that runs keeps the one that it began with, from its route to what is settled of it; the next batch
sees the new one. What was learned about next hops, and the accounts of limits, outlive the swap.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from postroad.model.route import Fallback
from postroad.queue.books import Reporting
from postroad.queue.settings import QueueSettings
from postroad.queue.settle import Retries
from postroad.queue.shaping import Shaping
from postroad.queue.spooling import CachedPlan, Deliver, Plan

LONGEST_SWEEP: Final = 60.0  # between two looks for deadlines


class Regime(Struct, frozen=True, kw_only=True):
    """How mail is planned, delivered, tried again and reported, and how much at once."""

    settings: QueueSettings
    plan: Plan
    cached_plan: CachedPlan
    deliver: Deliver
    retries: Retries
    reporting: Reporting
    shaping: Shaping | None = None
    fallback_of: Callable[[str], Fallback | None] | None = None

    @property
    def sweep_every(self) -> float:
        """Seconds between two looks for deadlines."""
        settings = self.settings
        return max(0.5, min(LONGEST_SWEEP, settings.expire_after / 10, settings.warn_after / 10))
