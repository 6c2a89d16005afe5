"""Routes with the terms that shaping rules give them: between the router and the queue.

A route that still holds costs one look-up: its shaped form is kept beside it. Without rules nobody comes here.
"""

from typing import Final

from msgspec.structs import replace

from postroad.model.outcome import Decided
from postroad.model.route import Route
from postroad.queue.shaping import Shaping, terms_of
from postroad.queue.spooling import CachedPlan, Plan

_KEPT: Final = 20_000  # routes


class ShapedPlans:
    """`plan` and `cached_plan` of a router, with terms."""

    def __init__(self, plan: Plan, cached_plan: CachedPlan, shaping: Shaping) -> None:
        """Shape what `plan` and `cached_plan` give."""
        self._plan = plan
        self._cached_plan = cached_plan
        self._shaping = shaping
        self._shaped: dict[str, tuple[Route, Route]] = {}

    def cached_plan(self, lane: str) -> Route | None:
        """The route of `lane` while it still holds."""
        route = self._cached_plan(lane)
        return route if route is None else self._shape(route)

    async def plan(self, lane: str) -> Route | Decided:
        """The route of `lane`, looked up anew, or why there is none."""
        planned = await self._plan(lane)
        return self._shape(planned) if isinstance(planned, Route) else planned

    def _shape(self, route: Route) -> Route:
        kept = self._shaped.get(route.lane)
        if kept is not None and kept[0] is route:
            return kept[1]
        terms = terms_of(self._shaping.merge(route.lane, route))
        if terms is not None and route.terms is not None:  # what a policy asks for goes before what a rule says
            terms = replace(terms, tls=route.terms.tls)
        shaped = route if terms is None else replace(route, terms=terms)
        if len(self._shaped) >= _KEPT:
            self._shaped.clear()
        self._shaped[route.lane] = (route, shaped)
        return shaped
