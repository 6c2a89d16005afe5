"""Shaping rules: what all of them together say about one lane, and the limits that lanes share.

A rule covers a lane when each criterion it names does: the domain of an `mx:` next hop, a host of the route, its
site, its egress source. All that cover a lane merge, in the order of the file; for each option the last that gives
it wins, so general rules come first. Limits of rules that name nothing but sources are the source's own and hold
beside those of the next hop. A limit is one account for every lane that takes it from the same rule (`per`). Pure.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from postroad.model.route import Route, Terms
from postroad.queue.lane import UNPLANNED, Lane, Pause, Shape
from postroad.queue.limits import Limit, new_limit, parse_rate
from postroad.queue.patterns import matches_any, matches_domain
from postroad.queue.remap import ReplyRule, parse_action
from postroad.queue.settings import ReplySettings, ShapingSettings

LIMITS: Final = 100_000  # kept with nobody using them; the fullest are kept longest
_LIMITS: Final = ("concurrency", "rates", "recipient_rates")
_TERMS: Final = (
    ("connection_messages", "connection_messages"),
    ("recipients", "recipients_per_transaction"),
    ("connect_timeout", "connect_timeout"),
    ("command_timeout", "command_timeout"),
    ("data_timeout", "data_timeout"),
    ("done_timeout", "done_timeout"),
    ("tls", "tls"),
)


class Given(Struct, frozen=True):
    """The rule that gives an option to a lane: its number, and what is given."""

    number: int
    rule: ShapingSettings


class Merged(Struct, frozen=True):
    """All that rules say about a lane: their numbers, and who gives each option, for next hop and source."""

    rules: tuple[int, ...]
    options: dict[str, Given]
    source_options: dict[str, Given]


class Shaping:
    """The rules of one courier with the accounts of their limits."""

    def __init__(self, rules: Sequence[ShapingSettings], *, recipients: int) -> None:
        """`recipients` is how many go in one transaction where no rule says so."""
        self._rules = [(number, rule) for number, rule in enumerate(rules)]
        self._recipients = recipients
        self._needs_route = any(rule.mx or rule.sites or rule.sources for rule in rules)
        self._limits: dict[tuple[int, str, str], Limit] = {}
        self._pauses: dict[tuple[int, str], Pause] = {}
        self._replies = [tuple(_reply_rule(reply) for reply in rule.replies) for rule in rules]

    def take_over(self, old: "Shaping") -> None:
        """Go on with the accounts of the rules of `old` that are here, too: what is used up of a rate stays used up."""
        rules, limits, pauses = old.accounts()
        now_at: dict[int, int] = {}
        for number, rule in enumerate(rules):
            same = (at for at, other in self._rules if at not in now_at.values() and _is_about_the_same(rule, other))
            if (at := next(same, None)) is not None:
                now_at[number] = at
        for (number, name, key), limit in limits.items():
            at = now_at.get(number)
            if at is not None and getattr(rules[number], name) == getattr(self._rules[at][1], name):
                limit.words = f"shaping[{at}].{limit.words.partition('].')[2]}"
                self._limits[at, name, key] = limit
        for (number, key), pause in pauses.items():
            if (at := now_at.get(number)) is not None and self._rules[at][1].replies:
                self._pauses[at, key] = pause

    def accounts(self) -> tuple[list[ShapingSettings], dict[tuple[int, str, str], Limit], dict[tuple[int, str], Pause]]:
        """The rules in order, their limits and their pauses."""
        return [rule for _, rule in self._rules], self._limits, self._pauses

    def first_shape(self, lane: str) -> Shape:
        """The shape of a lane whose route is not known: UNPLANNED where rules depend on it."""
        return UNPLANNED if self._needs_route else self.shape(lane, None)

    def shape(self, lane: str, route: Route | None) -> Shape:
        """What the rules say about `lane`, with the limits it takes part in."""
        merged = self.merge(lane, route)
        options = merged.options
        key_of = _keys(lane, route)
        limits = [self._limit(name, given, key_of) for name, given in options.items() if name in _LIMITS]
        limits += [self._limit(name, given, key_of, of_source=True) for name, given in merged.source_options.items()]
        replies: list[ReplyRule] = []
        pauses: list[Pause] = []
        for number, rule in self._rules:
            if rule.replies and number in merged.rules:
                pause = self._pauses.setdefault((number, key_of(rule)), Pause())
                replies += self._replies[number]
                pauses += [pause] * len(rule.replies)
        terms = terms_of(merged)
        return Shape(
            rules=merged.rules,
            limits=tuple(limit for limit in limits if limit is not None),
            concurrency=options["concurrency"].rule.concurrency if "concurrency" in options else 0,
            recipients=terms.recipients if terms is not None and terms.recipients else self._recipients,
            replies=tuple(replies),
            pauses=tuple(pauses),
            terms=terms,
        )

    def merge(self, lane: str, route: Route | None) -> Merged:
        """Which rules cover `lane`, and which of them gives each option."""
        domains = domains_of(lane)
        numbers: list[int] = []
        options: dict[str, Given] = {}
        source_options: dict[str, Given] = {}
        for number, rule in self._rules:
            if not _covers(rule, domains, route):
                continue
            numbers.append(number)
            of_source = _is_of_source(rule)
            given = Given(number, rule)
            for name in rule.model_fields_set:
                if of_source and name in _LIMITS:
                    source_options[name] = given
                else:
                    options[name] = given
        return Merged(tuple(numbers), options, source_options)

    def account(self, number: int, name: str, key: str) -> Limit | None:
        """The account `key` of the limit that an option of a rule sets, made when it is new; None when it sets none."""
        rule = self._rules[number][1]
        return self._limit(name, Given(number, rule), lambda _: key, of_source=_is_of_source(rule))

    def forget_idle(self, now: int) -> None:
        """Drop the limits and pauses that nobody uses and that tell nothing."""
        idle = [(key, limit) for key, limit in self._limits.items() if limit.is_idle(now)]
        for key, _ in idle:
            del self._limits[key]
        surplus = len(self._limits) - LIMITS
        if surplus > 0:
            unused = [(key, limit) for key, limit in self._limits.items() if not limit.lanes]
            unused.sort(key=lambda item: sum(window.total for window in item[1].windows))
            for key, _ in unused[:surplus]:
                del self._limits[key]
        for name, pause in list(self._pauses.items()):
            if not pause.lanes and pause.until <= now:
                del self._pauses[name]

    def _limit(
        self, name: str, given: Given, key_of: Callable[[ShapingSettings], str], *, of_source: bool = False
    ) -> Limit | None:
        rule = given.rule
        key = (given.number, name, key_of(rule))
        known = self._limits.get(key)
        if known is not None:
            return known
        words = f"shaping[{given.number}].{name}"
        if name == "concurrency":
            if not rule.concurrency:
                return None
            limit = new_limit(f"{words}: {rule.concurrency}", concurrency=rule.concurrency)
        else:
            rates = rule.rates if name == "rates" else rule.recipient_rates
            if not rates:
                return None
            limit = new_limit(f"{words}: {', '.join(rates)}", rates=tuple(parse_rate(rate) for rate in rates))
            limit.per_recipient = name == "recipient_rates"
        limit.of_source = of_source
        self._limits[key] = limit
        return limit


def domains_of(lane: str) -> list[str]:
    """The domains of a lane's `mx:` next hops."""
    hops = lane.partition("?")[0].split(",")
    return [hop[3:].partition("*")[0] for hop in hops if hop.startswith("mx:")]


def terms_of(merged: Merged) -> Terms | None:
    """What delivery is told; None when no rule says anything to it."""
    options = merged.options
    found = {}
    for field, name in _TERMS:
        given = options.get(name)
        value = getattr(given.rule, name) if given is not None else None
        if value:
            found[field] = value
    return Terms(**found) if found else None


def adopt(lane: Lane, shape: Shape, route: Route | None) -> bool:
    """Move `lane` with all that it holds and runs from the accounts of its old shape to those of `shape`.

    True when a limit that was crowded may hold more from the spool again.
    """
    old = lane.shape
    lane.route = route
    if old is shape:
        return False
    makes_place = old is not None and _account(lane, old, -1)
    _account(lane, shape, 1)
    lane.shape = shape
    return makes_place


def leave(lane: Lane) -> None:
    """`lane` is forgotten."""
    if lane.shape is not None:
        _account(lane, lane.shape, -1)


def _account(lane: Lane, shape: Shape, sign: int) -> bool:
    makes_place = False
    for limit in shape.limits:
        limit.running += sign * lane.running
        limit.reserved += sign * lane.reserved
        makes_place |= limit.let_go(-sign * lane.waiting)
        limit.lanes += sign
    for pause in set(shape.pauses):
        pause.lanes += sign
    return makes_place


def _is_of_source(rule: ShapingSettings) -> bool:
    return bool(rule.sources) and not (rule.domains or rule.mx or rule.sites)


def _is_about_the_same(rule: ShapingSettings, other: ShapingSettings) -> bool:
    return all(getattr(rule, name) == getattr(other, name) for name in ("domains", "mx", "sites", "sources", "per"))


def _reply_rule(reply: ReplySettings) -> ReplyRule:
    action, seconds = parse_action(reply.as_)
    return ReplyRule(reply.match.casefold(), action, seconds)


def _covers(rule: ShapingSettings, domains: list[str], route: Route | None) -> bool:
    if rule.domains and not any(matches_domain(rule.domains, domain) for domain in domains):
        return False
    if not (rule.mx or rule.sites or rule.sources):
        return True
    if route is None:
        return False
    if rule.sites and route.site not in rule.sites:
        return False
    if rule.sources and route.source not in rule.sources:
        return False
    if not rule.mx:
        return True
    hosts = {target.host.lower() for target in route.targets}
    return matches_any([pattern.casefold() for pattern in rule.mx], list(hosts))


def _keys(lane: str, route: Route | None) -> Callable[[ShapingSettings], str]:
    site = route.site if route is not None else ""

    def key_of(rule: ShapingSettings) -> str:
        if rule.per == "rule":
            return ""
        return f"site {site}" if rule.per == "site" and site else lane

    return key_of
