"""Finds the rules that can match at all, so that a thousand rules cost little more than ten (*pure*).

What most rules ask for by plain names (listener, login, group, network, domains of sender and recipient) is looked up:
each value has a number whose bits are the rules that it speaks for, and those that ask for nothing of the kind. The
bits that all of them have in common are the candidates, and only those are asked, in their order.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Final, Generic, Protocol, TypeVar

from postroad.model.address import Mailbox, parse_domain
from postroad.model.errors import AddressError
from postroad.policy.globs import is_regex
from postroad.policy.networks import parse_network
from postroad.policy.rules.settings import RuleSettings, WhenSettings
from postroad.policy.rules.situation import Situation
from postroad.policy.rules.text import Entries

FEW: Final = 8  # rules that are asked one by one all the same
_MANY: Final = 16  # recipients at most whose domains are looked up

Asked = Sequence[Hashable] | None  # values that one rule asks for, None when a look-up cannot tell
Values = Callable[[Situation], Iterable[Hashable]]


class Indexed(Protocol):
    """What is indexed: `settings` are None for what must always be asked."""

    @property
    def settings(self) -> RuleSettings | None:
        """What it was made from."""


RuleT = TypeVar("RuleT", bound=Indexed)


class Dimension:
    """One kind of value: which rules each of them speaks for."""

    __slots__ = ("_by_value", "_free", "_values")

    def __init__(self, asked: Sequence[Asked], values: Values) -> None:
        """`asked` has what each rule asks for, `values` gives those of a situation."""
        self._values = values
        self._free = sum(1 << at for at, wanted in enumerate(asked) if wanted is None)
        self._by_value: dict[Hashable, int] = {}
        for at, wanted in enumerate(asked):
            for value in wanted or ():
                self._by_value[value] = self._by_value.get(value, 0) | 1 << at

    def __bool__(self) -> bool:
        """True when it can rule anything out."""
        return bool(self._by_value)

    def of(self, situation: Situation) -> int:
        """The rules that `situation` speaks for in this respect, and those that do not ask."""
        found, by_value = self._free, self._by_value
        for value in self._values(situation):
            found |= by_value.get(value, 0)
        return found


class RuleIndex(Generic[RuleT]):
    """The rules of one stage."""

    def __init__(self, rules: Sequence[RuleT]) -> None:
        """Take `rules` in their order."""
        self._rules = tuple(rules)
        self._all = (1 << len(rules)) - 1
        self._dimensions: list[Dimension] = []
        if len(rules) > FEW:
            whens = [None if rule.settings is None else rule.settings.when for rule in rules]
            self._dimensions = [one for one in _dimensions(whens) if one]

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self._rules)

    def candidates(self, situation: Situation) -> Iterable[RuleT]:
        """The rules that may match, in their order; not fewer than those that do."""
        return self._chosen(situation) if self._dimensions else self._rules

    def _chosen(self, situation: Situation) -> Iterator[RuleT]:
        bits, rules = self._all, self._rules
        for dimension in self._dimensions:
            bits &= dimension.of(situation)
        while bits:
            lowest = bits & -bits
            yield rules[lowest.bit_length() - 1]
            bits ^= lowest


def _dimensions(whens: Sequence[WhenSettings | None]) -> Iterator[Dimension]:
    def asked(read: Callable[[WhenSettings], Asked]) -> list[Asked]:
        return [None if when is None else read(when) for when in whens]

    yield Dimension(asked(lambda when: _plain(when.listener)), lambda situation: (situation.listener.casefold(),))
    yield Dimension(asked(lambda when: _plain(when.login)), lambda situation: (situation.login.casefold(),))
    yield Dimension(asked(lambda when: _plain(when.group)), _groups)
    yield _network_dimension(asked(lambda when: _prefixes(when.network)))
    yield Dimension(asked(lambda when: _domains(when.sender)), lambda situation: _domains_of(situation.sender))
    recipients = asked(lambda when: _domains(when.recipient))
    everything = [domain for wanted in recipients for domain in wanted or ()]

    def of_recipients(situation: Situation) -> Iterable[Hashable]:
        if len(situation.recipients) > _MANY:
            return everything
        return [domain for recipient in situation.recipients for domain in _domains_of(recipient)]

    yield Dimension(recipients, of_recipients)


def _groups(situation: Situation) -> Iterable[Hashable]:
    return [name.casefold() for name in situation.groups]


def _network_dimension(asked: Sequence[Asked]) -> Dimension:
    lengths = {key[:2] for wanted in asked for key in wanted or () if isinstance(key, tuple)}

    def prefixes(situation: Situation) -> Iterable[Hashable]:
        number = situation.number
        if number is None:
            return ()
        return [(bits, shift, number[1] >> shift) for bits, shift in lengths if bits == number[0]]

    return Dimension(asked, prefixes)


def _wanted(entries: Entries) -> list[str] | None:
    """What is asked for; what is taken out narrows it only further. None when files or nothing but that are there."""
    texts = [one for one in entries if isinstance(one, str) and not one.startswith("!")]
    if not texts or any(not isinstance(one, str) for one in entries):
        return None
    return texts


def _plain(entries: Entries) -> Asked:
    texts = _wanted(entries)
    if texts is None or any(is_regex(text) or "*" in text or "?" in text for text in texts):
        return None
    return [text.casefold() for text in texts]


def _prefixes(entries: Entries) -> Asked:
    texts = _wanted(entries)
    if texts is None:
        return None
    found: list[Hashable] = []
    for network in map(parse_network, texts):
        shift = network.max_prefixlen - network.prefixlen
        found.append((network.max_prefixlen, shift, int(network.network_address) >> shift))
    return found


def _domains(entries: Entries) -> Asked:
    texts = _wanted(entries)
    if texts is None:
        return None
    found: list[Hashable] = []
    for text in texts:
        domain = text.rpartition("@")[2]
        below = domain.removeprefix("*.")
        if text == "<>":
            found.append("")
        elif is_regex(text) or "*" in below or "?" in below:
            return None
        else:
            try:
                found.append(parse_domain(below) if below == domain else f".{parse_domain(below)}")
            except AddressError:
                return None
    return found


def _domains_of(mailbox: Mailbox) -> list[Hashable]:
    """The domain, and each above it with a dot before it."""
    domain = mailbox.domain
    found: list[Hashable] = [domain]
    while "." in domain:
        domain = domain.partition(".")[2]
        found.append(f".{domain}")
    return found
