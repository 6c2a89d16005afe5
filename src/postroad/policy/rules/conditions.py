"""The conditions of a rule: each key of `when` is one test, with the stage at which it can be answered (*pure*).

Every list is a test of its own that is as quick for ten thousand entries as for one, unless they have stars. Lists in
files are compiled anew when the file has changed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.model.address import Mailbox
from postroad.policy.findingwords import OF_CONTENT
from postroad.policy.globs import Compile, Test, compile_globs, over_many, with_exceptions
from postroad.policy.listed import FileOf, listed
from postroad.policy.mailboxes import compile_mailboxes
from postroad.policy.networks import Number, compile_networks
from postroad.policy.rules.hours import compile_hours
from postroad.policy.rules.settings import WhenSettings
from postroad.policy.rules.situation import CONNECT, MAIL, MESSAGE, RCPT, Situation
from postroad.policy.rules.text import Entries

Holds = Callable[[Situation], bool]


class Tools(Struct, frozen=True):
    """What conditions are compiled with: the engine for expressions, files by path, which mailboxes are local."""

    compile_regex: Compile
    file: FileOf
    is_local: Callable[[Mailbox], bool]


class Condition(Struct, frozen=True):
    """One key: `stage` is the first at which `holds` can tell."""

    key: str
    stage: int
    holds: Holds


def compile_when(when: WhenSettings, tools: Tools) -> list[Condition]:
    """The conditions of `when`, the cheapest first; ValueError tells what is wrong with an entry."""
    found: list[Condition] = []
    for name, (stage, compiled) in _KEYS.items():
        if getattr(when, name):
            key = "from" if name == "from_" else name
            at = _stage_of_findings(when.finding) if name == "finding" else stage
            found.append(Condition(key, at, compiled(when, tools)))
    return sorted(found, key=lambda condition: condition.stage)


def word(entries: Entries, tools: Tools) -> Test:
    """The test of one text."""
    return listed(entries, tools.file, lambda texts: with_exceptions(texts, partial(_globs, tools)))


def words(entries: Entries, tools: Tools) -> Callable[[Collection[str]], bool]:
    """The test of several texts."""
    return listed(entries, tools.file, lambda texts: over_many(texts, partial(_globs, tools)))


def mailbox(entries: Entries, tools: Tools) -> Callable[[Mailbox], bool]:
    """The test of one address."""
    return listed(entries, tools.file, lambda texts: with_exceptions(texts, partial(_mailboxes, tools)))


def mailboxes(entries: Entries, tools: Tools) -> Callable[[Collection[Mailbox]], bool]:
    """The test of several addresses."""
    return listed(entries, tools.file, lambda texts: over_many(texts, partial(_mailboxes, tools)))


def networks(entries: Entries, tools: Tools) -> Callable[[Number | None], bool]:
    """The test of a client's address."""
    return listed(entries, tools.file, lambda texts: with_exceptions(texts, compile_networks))


def _globs(tools: Tools, texts: Sequence[str]) -> Test:
    return compile_globs(texts, tools.compile_regex)


def _mailboxes(tools: Tools, texts: Sequence[str]) -> Callable[[Mailbox], bool]:
    return compile_mailboxes(texts, tools.compile_regex).match


def _listener(when: WhenSettings, tools: Tools) -> Holds:
    test = word(when.listener, tools)
    return lambda situation: test(situation.listener)


def _network(when: WhenSettings, tools: Tools) -> Holds:
    test = networks(when.network, tools)
    return lambda situation: test(situation.number)


def _login(when: WhenSettings, tools: Tools) -> Holds:
    """Who has not logged in has none: "*" does not mean them, "!*" does."""
    test = words(when.login, tools)
    return lambda situation: test((situation.login,) if situation.login else ())


def _group(when: WhenSettings, tools: Tools) -> Holds:
    test = words(when.group, tools)
    return lambda situation: test(situation.groups)


def _sender(when: WhenSettings, tools: Tools) -> Holds:
    test = mailbox(when.sender, tools)
    return lambda situation: test(situation.sender)


def _from(when: WhenSettings, tools: Tools) -> Holds:
    test = mailboxes(when.from_, tools)
    return lambda situation: test(situation.from_addresses())


def _recipient(when: WhenSettings, tools: Tools) -> Holds:
    test = mailboxes(when.recipient, tools)
    return lambda situation: test(situation.recipients)


def _direction(when: WhenSettings, tools: Tools) -> Holds:
    wanted, is_local = frozenset(when.direction), tools.is_local

    def holds(situation: Situation) -> bool:
        inwards = "internal" if situation.is_trusted else "inbound"
        return any((inwards if is_local(one) else "outbound") in wanted for one in situation.recipients)

    return holds


def _larger_than(when: WhenSettings, _: Tools) -> Holds:
    limit = when.larger_than
    return lambda situation: situation.size > limit


def _smaller_than(when: WhenSettings, _: Tools) -> Holds:
    limit = when.smaller_than
    return lambda situation: situation.size < limit


def _tls(when: WhenSettings, _: Tools) -> Holds:
    wanted = frozenset(when.tls)

    def holds(situation: Situation) -> bool:
        state = situation.peer.tls
        if state is None:
            return "none" in wanted
        return "any" in wanted or state.version in wanted or (state.is_verified and "verified" in wanted)

    return holds


def _time(when: WhenSettings, _: Tools) -> Holds:
    test = compile_hours(when.time, when.zone)
    return lambda situation: test(situation.now)


def _header(when: WhenSettings, tools: Tools) -> Holds:
    tests = [(name.lower(), words(patterns, tools)) for name, patterns in when.header.items()]
    if len(tests) == 1:
        ((only, its),) = tests
        return lambda situation: its(situation.header(only))
    return lambda situation: all(test(situation.header(name)) for name, test in tests)


def _tag(when: WhenSettings, tools: Tools) -> Holds:
    test = words(when.tag, tools)
    return lambda situation: test(situation.tags)


def _finding(when: WhenSettings, tools: Tools) -> Holds:
    test = words(when.finding, tools)
    return lambda situation: test(situation.findings())


def _stage_of_findings(entries: Entries) -> int:
    """Some are not found out before the content is there; whoever asks by a pattern or a file may mean those, too."""
    kinds = {entry.removeprefix("!").partition(":")[0] if isinstance(entry, str) else "*" for entry in entries}
    return MESSAGE if kinds & {"*", *OF_CONTENT} else RCPT


# In the order in which they are tried within a stage. A recipient's own stage is rcpt; at stage message any of all will
# do. What the connection has proved may change until a transaction begins (AUTH, STARTTLS).
_KEYS: Final[Mapping[str, tuple[int, Callable[[WhenSettings, Tools], Holds]]]] = MappingProxyType(
    {
        "listener": (CONNECT, _listener),
        "network": (CONNECT, _network),
        "time": (CONNECT, _time),
        "login": (MAIL, _login),
        "tls": (MAIL, _tls),
        "sender": (MAIL, _sender),
        "group": (MAIL, _group),
        "tag": (MAIL, _tag),
        "finding": (RCPT, _finding),  # or later: _stage_of_findings
        "direction": (RCPT, _direction),
        "recipient": (RCPT, _recipient),
        "larger_than": (MESSAGE, _larger_than),
        "smaller_than": (MESSAGE, _smaller_than),
        "from_": (MESSAGE, _from),
        "header": (MESSAGE, _header),
    }
)
