"""Rules of routing: which lane a recipient waits in, and which route said so (*pure*).

Routes are tried in order and the first that matches wins. For each domain the rules that can match at
all are found once and remembered, so that placing a recipient is one dictionary look-up unless a rule
asks for a local part, a sender or a listener. Lanes are texts: next hops joined by commas.
"""

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.model.address import Mailbox, parse_domain, parse_mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import AddressError
from postroad.model.route import CAPTURE, LMTP, MX, SMTP, NextHop, Placement
from postroad.routing.settings import RouteSettings

_DEFAULT_PORTS: Final = MappingProxyType(
    {SMTP: 25, LMTP: 24}
)  # RFC 5321 4.5.4.2 and the port LMTP servers take by custom (RFC 2033 5)
_REMEMBERED: Final = 10_000  # domains; forgotten all at once, they are quickly found again
_FORMS: Final = '"smtp://host:port", "lmtp://host:port", "lmtp:///path", "mx" or "capture:"'
_LATER: Final = MappingProxyType(
    {
        "smtps": "smtps:// (TLS from the first octet) is not supported yet; smtp:// uses STARTTLS where offered",
        "smtp+srv": "smtp+srv:// (SRV look-up) is not supported yet; name the host itself, as in smtp://host:port",
    }
)


def parse_next_hop(text: str) -> NextHop:
    """The next hop that `text` names in the configuration or in a lane; ValueError tells what is wrong with it.

    "mx" stands for the recipient's domain; "mx:example.net" is the form with the domain filled in, and
    may be written to send mail by way of another domain's MX.
    """
    if text in (MX, f"{MX}:"):
        return NextHop(MX)
    if text == f"{CAPTURE}:":
        return NextHop(CAPTURE)
    scheme, mark, rest = text.partition("://")
    if not mark:
        if text.startswith(f"{MX}:"):
            return NextHop(MX, _domain(text[len(MX) + 1 :]))
        raise ValueError(f'a next hop is written {_FORMS}; did you mean "smtp://{text}"?' if text else "it is empty")
    if scheme in _LATER:
        raise ValueError(_LATER[scheme])
    if scheme not in _DEFAULT_PORTS:
        raise ValueError(f'"{scheme}://" is not known; a next hop is written {_FORMS}')
    if scheme == LMTP and rest.startswith("/"):
        return _parse_socket(rest)
    host, port = _split_port(rest, scheme)
    return NextHop(scheme, host, port)


def lane_named(text: str) -> str:
    """The lane that an operator names: next hops as in the configuration, "mx" alone for each recipient's own domain.

    ValueError tells what is wrong.
    """
    if text == MX:
        return MX
    hops = parse_lane(text)
    if any(hop.scheme == MX and not hop.host for hop in hops):
        raise ValueError('"mx" stands alone; "mx:example.net" is the MX of a domain')
    return text if "?" in text else ",".join(map(str, hops))


def parse_lane(lane: str) -> tuple[NextHop, ...]:
    """The next hops that `lane` names, in order; ValueError when it names none or something else."""
    return tuple(parse_next_hop(text) for text in lane.split(","))


class Rules:
    """The routes, compiled; made by `compile_rules`."""

    def __init__(self, rules: Sequence["_Rule"]) -> None:
        """Take `rules` in the order they are to be tried."""
        self._rules = tuple(rules)
        self._by_domain: dict[str, Placement | tuple[tuple[_Rule, Placement], ...]] = {}

    def place(self, envelope: Envelope, recipient: Recipient) -> Placement | None:
        """The lane for `recipient` and why, or None when no route matches.

        A recipient without a domain (the bare postmaster) matches none: whoever accepts it fills the domain in.
        """
        domain = recipient.address.domain
        found = self._by_domain.get(domain)
        if found is None:
            found = self._remember(domain)
        if isinstance(found, Placement):
            return found
        return next((placement for rule, placement in found if rule.admits(envelope, recipient.address)), None)

    def _remember(self, domain: str) -> Placement | tuple[tuple["_Rule", Placement], ...]:
        if len(self._by_domain) >= _REMEMBERED:
            self._by_domain.clear()
        candidates = []
        for rule in self._rules if domain else ():
            if rule.concerns(domain):
                candidates.append((rule, rule.placement(domain)))
                if rule.is_plain(domain):
                    break  # no later one can win
        plain = len(candidates) == 1 and candidates[0][0].is_plain(domain)
        found = candidates[0][1] if plain else tuple(candidates)
        self._by_domain[domain] = found
        return found


def compile_rules(routes: Sequence[RouteSettings]) -> Rules:
    """The rules of `routes`; with none at all everything goes by MX. ValueError for a malformed next hop or pattern."""
    if not routes:
        return Rules([_compile(RouteSettings(next_hops=(MX,)), "default route")])
    return Rules([_compile(route, _name(route, number)) for number, route in enumerate(routes, 1)])


class _Patterns(Struct, frozen=True):
    """A list of patterns in look-up form: `parents` of "*.domain", `null` for "<>", `any` for "*"."""

    domains: frozenset[str]
    parents: frozenset[str]
    mailboxes: frozenset[tuple[str, str]]
    mailbox_domains: frozenset[str]
    any: bool
    null: bool

    def covers(self, domain: str) -> bool:
        """True when every address at `domain` matches."""
        if self.any or domain in self.domains:
            return True
        parent = domain
        while self.parents and "." in parent:
            parent = parent.partition(".")[2]
            if parent in self.parents:
                return True
        return False

    def match(self, mailbox: Mailbox) -> bool:
        """True when `mailbox` matches; local parts are compared without regard to case."""
        if mailbox.is_null:
            return self.null or self.any
        return self.covers(mailbox.domain) or (mailbox.local.lower(), mailbox.domain) in self.mailboxes


class _Rule(Struct, frozen=True):
    """One route, compiled; None stands for a condition that was not given."""

    recipients: _Patterns
    senders: _Patterns | None
    listeners: frozenset[str] | None
    hops: tuple[NextHop, ...]
    reason: str

    def concerns(self, domain: str) -> bool:
        """True when some recipient at `domain` may match."""
        return domain in self.recipients.mailbox_domains or self.recipients.covers(domain)

    def is_plain(self, domain: str) -> bool:
        """True when every recipient at `domain` matches, whoever the sender and whatever the listener."""
        return self.senders is None and self.listeners is None and self.recipients.covers(domain)

    def admits(self, envelope: Envelope, recipient: Mailbox) -> bool:
        """True when all conditions hold."""
        if self.listeners is not None and envelope.origin.listener not in self.listeners:
            return False
        if self.senders is not None and not self.senders.match(envelope.sender):
            return False
        return self.recipients.match(recipient)

    def placement(self, domain: str) -> Placement:
        """Where recipients at `domain` wait."""
        hops = (NextHop(MX, domain) if hop.scheme == MX and not hop.host else hop for hop in self.hops)
        return Placement(",".join(map(str, hops)), self.reason)


def _compile(route: RouteSettings, reason: str) -> _Rule:
    return _Rule(
        _compile_patterns(route.recipients),
        _compile_patterns(route.senders) if route.senders else None,
        frozenset(route.listeners) or None,
        tuple(parse_next_hop(text) for text in route.next_hops),
        reason,
    )


def _compile_patterns(patterns: Sequence[str]) -> _Patterns:
    try:
        mailboxes = [parse_mailbox(text) for text in patterns if "@" in text]
        names = [text for text in patterns if "@" not in text and text not in ("*", "<>")]
        domains = [parse_domain(text) for text in names if not text.startswith("*.")]
        parents = [parse_domain(text[2:]) for text in names if text.startswith("*.")]
    except AddressError as error:
        raise ValueError(f"pattern: {error}") from None
    return _Patterns(
        frozenset(domains),
        frozenset(parents),
        frozenset((mailbox.local.lower(), mailbox.domain) for mailbox in mailboxes),
        frozenset(mailbox.domain for mailbox in mailboxes),
        any="*" in patterns,
        null="<>" in patterns,
    )


def _name(route: RouteSettings, number: int) -> str:
    """The route in words: `route 2 (recipients = ["*"])`."""
    parts = [f"recipients = {_listed(route.recipients)}"]
    parts += [f"senders = {_listed(route.senders)}"] * bool(route.senders)
    parts += [f"listeners = {_listed(route.listeners)}"] * bool(route.listeners)
    return f"route {number} ({', '.join(parts)})"


def _listed(texts: Sequence[str]) -> str:
    shown = [f'"{text}"' for text in texts[:3]]
    return f"[{', '.join(shown + ['...'] * (len(texts) > 3))}]"


def _parse_socket(path: str) -> NextHop:
    if "," in path or not path.isprintable():
        raise ValueError("the path of a socket may hold no comma and no control character")
    if path.endswith("/"):
        raise ValueError(f'"{path}" is a folder, not a socket')
    return NextHop(LMTP, path=path)


def _split_port(rest: str, scheme: str) -> tuple[str, int]:
    """Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`."""
    if "@" in rest:
        raise ValueError("user and password in a next hop are not supported")
    if "/" in rest:
        raise ValueError(f'"/{rest.partition("/")[2]}" behind the host has no meaning')
    if rest.startswith("["):
        inner, bracket, tail = rest[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ValueError('an IPv6 address is written "[2001:db8::1]:port"')
        host, port_text = _ipv6(inner), tail[1:] if tail else None
    elif rest.count(":") > 1:
        raise ValueError(f'an IPv6 address goes in brackets: "{scheme}://[{rest}]"')
    else:
        name, colon, tail = rest.partition(":")
        host, port_text = _host(name), tail if colon else None
    if port_text is None:
        return host, _DEFAULT_PORTS[scheme]
    if not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text) <= 65535):
        raise ValueError(f'"{port_text}" is no port between 1 and 65535')
    return host, int(port_text)


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except (AddressValueError, ValueError):
        raise ValueError(f'"{text}" is no IPv6 address') from None


def _host(text: str) -> str:
    if not text:
        raise ValueError("it has no host")
    if not text.rpartition(".")[2].isdigit():  # no top-level domain is a number, so this is meant as an address
        return _domain(text)
    try:
        return str(IPv4Address(text))
    except (AddressValueError, ValueError):
        raise ValueError(f'"{text}" is no IPv4 address') from None


def _domain(text: str) -> str:
    try:
        return parse_domain(text)
    except AddressError as error:
        raise ValueError(str(error)) from None
