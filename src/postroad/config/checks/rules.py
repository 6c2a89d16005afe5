"""Rules across the options of rules, senders and devices, and the cases that must come out as expected.

`check_rules` looks at the options alone; `try_rules` compiles the rules with their files and tries every case, as
`postroad check`, every start and every reload do.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

from postroad.config.describe import value_text
from postroad.config.locate import KeyPath
from postroad.config.problem import Problem, Warned
from postroad.config.rulebook import Ruling
from postroad.config.schema import Config
from postroad.model.address import NULL_PATH, parse_mailbox
from postroad.model.envelope import Origin
from postroad.model.errors import AddressError
from postroad.model.identity import Identity, TlsState
from postroad.policies.relay_control import RelayControl
from postroad.policy.context import Peer
from postroad.policy.globs import is_regex
from postroad.policy.rules.book import Rulebook
from postroad.policy.rules.rehearsal import Case, Rehearsed, rehearse
from postroad.policy.rules.settings import ExpectSettings, RuleSettings
from postroad.policy.rules.text import Entries
from postroad.routing.settings import ThenSettings

DROPS: Final = "drops"
_WHO: Final = ("network", "login", "group")  # what strangers cannot claim


def check_rules(config: Config) -> Iterator[Problem]:
    """What rules refer to is there, no rule lets everybody relay, names are used once."""
    yield from _names(config)
    known = listeners_of(config)
    rates = [rate.name for rate in config.rates if rate.only_rules]
    routes = {route.name for route in config.routes if route.name and not _rewrites(route.then)}
    for number, rule in enumerate(config.rules):
        path: KeyPath = ("rules", number)
        yield from _listeners((*path, "when", "listener"), rule.when.listener, known)
        yield from _route((*path, "then", "route"), rule, routes)
        yield from _rates((*path, "then", "rate"), rule.then.rate, rates)
        if rule.then.accept and not _is_bound(rule):
            yield Problem(
                (*path, "then", "accept"),
                "this is an open relay: anyone could send any mail to anyone; name who may in when (network, login or "
                "group), or for whom it is (recipient, or direction)",
            )
        if rule.when.smaller_than and rule.when.larger_than + 1 >= rule.when.smaller_than:
            yield Problem((*path, "when", "smaller_than"), f"no size is above {rule.when.larger_than} and below it")
    for name, device in config.devices.items():
        is_for_some = _asks(device.recipients) and not any(map(_is_everywhere, device.recipients))
        if not _asks(device.networks) and not is_for_some:
            yield Problem(
                ("devices", name, "networks"),
                "this is an open relay: anyone could send any mail to anyone; name the networks of your own devices",
            )
        yield from _listeners(("devices", name, "listeners"), device.listeners, known)
        yield from _rates(("devices", name, "rate"), device.rate, rates)
    yield from _senders(config)
    if not config.rules and not config.devices and not config.senders.bind:
        for number in range(len(config.expect)):
            yield Warned(("expect", number), "there are no rules: only relay control is tried")


def listeners_of(config: Config) -> list[str]:
    """Everything that mail can come in by."""
    keys = () if config.api is None else config.api.keys.values()
    return list(dict.fromkeys((*config.listeners, *(key.listener for key in keys), DROPS)))


def _names(config: Config) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for number, rule in enumerate(config.rules):
        if rule.name is not None and rule.name in seen:
            yield Problem(("rules", number, "name"), f"{value_text(rule.name)}: rules[{seen[rule.name]}] has this name")
        seen.setdefault(rule.name or "", number)


def _listeners(path: KeyPath, entries: Entries, known: Sequence[str]) -> Iterator[Problem]:
    for at, entry in enumerate(entries):
        name = entry.removeprefix("!") if isinstance(entry, str) else "*"
        if not set(name) & set("*?/") and name.casefold() not in [one.casefold() for one in known]:
            yield Problem((*path, at), f"{value_text(name)}: no such listener; there are: {', '.join(known)}")


def _rates(path: KeyPath, wanted: Sequence[str], known: Sequence[str]) -> Iterator[Problem]:
    for place, name in enumerate(wanted):
        if name not in known:
            there = ", ".join(known) or "none"
            yield Problem((*path, place), f"{value_text(name)}: no such rate with only_rules; there are: {there}")


def _route(path: KeyPath, rule: RuleSettings, routes: set[str]) -> Iterator[Problem]:
    name = rule.then.route
    if name and name not in routes:
        there = ", ".join(sorted(routes)) or "none with a name"
        yield Problem(
            path, f"{value_text(name)}: no such route that sends, holds, discards or fails; there are: {there}"
        )


def _rewrites(then: object) -> bool:
    return isinstance(then, ThenSettings) and then.rewrite is not None


def _is_bound(rule: RuleSettings) -> bool:
    """True when a rule that accepts says who may send, or to whom: something that strangers cannot claim."""
    when = rule.when
    who = any(_asks(getattr(when, key)) for key in _WHO)
    whom = _asks(when.recipient) and not any(map(_is_everywhere, when.recipient))
    return who or whom or (bool(when.direction) and "outbound" not in when.direction)


def _is_everywhere(entry: object) -> bool:
    """True when a pattern of addresses may mean any domain; of an expression nobody can tell."""
    text = entry if isinstance(entry, str) else "file"
    return is_regex(text) or not set(text.rpartition("@")[2]) - set("*?.")


def _asks(entries: Entries) -> bool:
    """True when somebody is named, and not only all but some."""
    texts = [one for one in entries if isinstance(one, str)]
    positive = [text for text in texts if not text.startswith("!")]
    return bool(positive or len(texts) < len(entries)) and not {"0.0.0.0/0", "::/0"} & set(positive)


def _senders(config: Config) -> Iterator[Problem]:
    senders = config.senders
    if not senders.bind:
        for name in ("header", "null", "exempt", "delegates"):
            if name in senders.model_fields_set:
                yield Problem(("senders", name), "has no meaning without bind = true")


def try_rules(config: Config, ruling: Ruling, now: int) -> list[Problem]:
    """What speaks against the rules, and every case that does not come out as expected."""
    problems = list(ruling.problems)
    if problems or not config.expect:
        return problems
    book = ruling.rulebook or Rulebook([])
    control = RelayControl(config.access, parse_mailbox(config.postmaster))
    for number, expect in enumerate(config.expect):
        path: KeyPath = ("expect", number)
        try:
            case = _case(config, control, expect, now)
        except (AddressError, ValueError) as error:
            problems.append(Problem(path, str(error)))
            continue
        found = rehearse(book, case, control)
        if against := "; ".join(_differences(expect, found)):
            problems.append(Problem(path, f"{_label(expect, number)} {against}{_shown(found)}"))
    return problems


def _case(config: Config, control: RelayControl, expect: ExpectSettings, now: int) -> Case:
    listener = expect.listener or next(iter(config.listeners))
    if listener not in (known := listeners_of(config)):
        raise ValueError(f"{value_text(listener)}: no such listener; there are: {', '.join(known)}")
    ip_address(expect.ip)
    identity = None
    if expect.login:
        addresses = tuple(map(parse_mailbox, expect.addresses))
        identity = Identity(expect.login, "expected", "", addresses, frozenset(expect.groups))
    sender = NULL_PATH if expect.sender in ("", "<>") else parse_mailbox(expect.sender)
    peer = Peer(expect.ip, control.relays(expect.ip), identity, tls_state(expect.tls))
    origin = Origin(expect.ip, 0, "expected.invalid", "ESMTP", listener, "", expect.login)
    at = int(datetime.fromisoformat(expect.at).replace(tzinfo=UTC).timestamp()) * 1_000_000 if expect.at else now
    return Case(
        peer,
        origin,
        sender,
        parse_mailbox(expect.recipient),
        at,
        head_of(expect.headers),
        expect.size,
        frozenset(expect.findings),
    )


def tls_state(text: str) -> TlsState | None:
    """The state of a connection that is encrypted as `text` says: none, any or verified."""
    return None if text == "none" else TlsState("TLSv1.3", "", 256, is_verified=text == "verified")


def head_of(headers: dict[str, str]) -> bytes:
    """A header section of `headers`."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


def _label(expect: ExpectSettings, number: int) -> str:
    return f'"{expect.name}"' if expect.name else f"case {number + 1}"


def _differences(expect: ExpectSettings, found: Rehearsed) -> Iterator[str]:
    if expect.outcome != found.outcome:
        yield f"comes out as {found.outcome} by {found.by}, not as {expect.outcome}"
    elif expect.by and expect.by != found.by:
        yield f"is decided by {found.by}, not by {expect.by}"
    if missing := [tag for tag in expect.tags if tag not in found.adjust.tags]:
        yield f"has no tag {', '.join(missing)}"
    if expect.route and expect.route != found.adjust.route:
        yield f"takes {found.adjust.route or 'the first route that matches'}, not {expect.route}"
    if expect.to and set(expect.to) != set(found.to):
        yield f"goes to {', '.join(found.to) or 'nobody'}, not to {', '.join(expect.to)}"


def _shown(found: Rehearsed) -> str:
    lines = [f"\n    {step.stage:<8} {step.rule}: {step.why or 'matches'}" for step in found.steps]
    return "".join(lines) + (f"\n    reply    {found.reply}" if found.reply else "")
