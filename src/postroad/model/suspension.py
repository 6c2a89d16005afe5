"""An operator's word that some mail is not to be tried for a while.

It stops lanes: those whose next hop fits a pattern, those of a site, those that a route sends mail to. It ends at
`until` or when an operator ends it, and outlives a restart.
"""

from typing import Final

from msgspec import Struct

NEXT_HOP: Final = "next-hop"
SITE: Final = "site"
ROUTE: Final = "route"
KINDS: Final = (NEXT_HOP, SITE, ROUTE)


class Suspension(Struct, frozen=True, gc=False):
    """`name` is a pattern of next hops, a site's name, or a route's name or number.

    Times in microseconds since 1970; `by` is the user who said so, `reason` in words, `lanes` those known to be meant,
    where the name alone does not tell.
    """

    kind: str
    name: str
    until: int
    by: str
    at: int
    reason: str = ""
    lanes: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Who suspended what, and why, in words for people."""
        why = f": {self.reason}" if self.reason else ""
        return f"{self.kind} {self.name} suspended by {self.by}{why}"
