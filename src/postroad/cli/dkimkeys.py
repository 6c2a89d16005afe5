"""What may be shown of the keys in a configuration: what each does today, and whether DNS has its public half.

A key that cannot be read here, by somebody who may not, hides no other: keys may be in files of the server's user, or
in its environment.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.listener.signsettings import DkimKeySettings, SealSettings
from postroad.mailauth.dkim_facts import KeyFacts, ReadKey
from postroad.mailauth.dkim_tags import SPACES, parse_tags
from postroad.model.dns import Answer
from postroad.model.errors import ConfigError
from postroad.model.late import Late
from postroad.net.clock import SystemClock
from postroad.net.dns.asking import ask_all
from postroad.net.dns.resolver import Resolver

READ_KEY: Final = Late[ReadKey]("postroad.mailauth.dkim_keys", "READ")
WHY_UNUSABLE: Final = Late[Callable[[Answer, str, str], str]]("postroad.mailauth.dkim_key", "WHY_UNUSABLE")
SIGNS: Final = "signs"
SEALS: Final = "seals (ARC)"
PUBLISHED: Final = "in DNS"
DNS_SECONDS: Final = 10.0


class ShownKey(Struct):
    """A configured key, as `postroad dkim show` tells of it; without `facts` it cannot be read here."""

    domain: str
    selector: str
    state: str
    facts: KeyFacts | None
    published: str = ""  # what DNS says of it

    @property
    def is_used(self) -> bool:
        """True when mail goes out that somebody checks by it."""
        return self.state in (SIGNS, SEALS)


def configured(config: Config, domain: str) -> list[tuple[DkimKeySettings, ShownKey]]:
    """The keys of `domain`, or all, with what may be shown of them."""
    settings = () if config.dkim is None else config.dkim.keys
    wanted = [(one, f"dkim.keys[{at}].key") for at, one in enumerate(settings) if domain in ("", one.domain)]
    found = [(one, _facts(one, option)) for one, option in wanted]
    day = f"{datetime.fromtimestamp(SystemClock().now() / 1_000_000, UTC):%Y-%m-%d}"
    shown = []
    for one, facts in found:
        if isinstance(facts, str):
            shown.append((one, ShownKey(one.domain, one.selector, facts, None)))
            continue
        alike = [other for other, more in found if not isinstance(more, str) and _alike(one, facts, other, more)]
        shown.append((one, ShownKey(one.domain, one.selector, state_of(one, alike, day), facts)))
    return shown


def sealing(config: Config, domain: str) -> Iterator[ShownKey]:
    """The key that seals, if there is one and it is of `domain`."""
    seal = None if config.dkim is None else config.dkim.seal
    if seal is not None and domain in ("", seal.domain):
        facts = _facts(seal, "dkim.seal.key")
        if isinstance(facts, str):
            yield ShownKey(seal.domain, seal.selector, facts, None)
        else:
            yield ShownKey(seal.domain, seal.selector, SEALS, facts)


def _facts(one: DkimKeySettings | SealSettings, option: str) -> KeyFacts | str:
    """What may be shown, or why that cannot be known."""
    try:
        return READ_KEY.load()(one.domain, one.selector, one.key, option, read_secret)
    except ConfigError as error:
        return f"cannot be read here: {error}"


def shown_lines(one: ShownKey) -> Iterator[str]:
    """`one` as people read it."""
    if one.facts is None:
        yield f"{one.domain}  {one.selector}  {one.state}"
        return
    yield f"{one.domain}  {one.selector}  {one.facts.kind}, {one.facts.bits} bits  {one.state}"
    yield f"  {one.facts.zone_line}"
    if one.published:
        yield f"  {one.published}"


# -- what each does ------------------------------------------------------------------------------


def _alike(one: DkimKeySettings, facts: KeyFacts, other: DkimKeySettings, more: KeyFacts) -> bool:
    """True for a key that signs the same mail in the same way, and for `one` itself."""
    bounds = (one.domain, facts.kind, one.authors, one.listeners, one.logins)
    return bounds == (other.domain, more.kind, other.authors, other.listeners, other.logins)


def state_of(one: DkimKeySettings, alike: Sequence[DkimKeySettings], day: str) -> str:
    """What `one` does on `day` among those of its kind for the same mail, which are in the order of the file."""
    if one.ends and one.ends <= day:
        return f"ended on {one.ends}"
    if one.begins > day:
        return f"begins on {one.begins}"
    at_work = [other for other in alike if other.begins <= day and not (other.ends and other.ends <= day)]
    chosen = max(at_work, key=lambda other: other.begins, default=one)  # the first of those that began last
    if chosen is one:
        return SIGNS
    if chosen.begins == one.begins:
        return f"signs nothing: {chosen.selector} is for the same mail, and stands before it"
    return f"replaced by {chosen.selector}"


# -- what DNS has --------------------------------------------------------------------------------


async def look_up(config: Config, keys: Sequence[ShownKey]) -> None:
    """Let each of `keys` tell what DNS has."""
    known = [(one, one.facts) for one in keys if one.facts is not None]
    resolver = Resolver(config.resolver, SystemClock())
    try:
        answers = await ask_all(resolver, ((facts.name, "TXT", DNS_SECONDS) for _, facts in known))
    finally:
        resolver.close()
    for (one, facts), answer in zip(known, answers, strict=True):
        one.published = published(facts, answer)


def published(facts: KeyFacts, answer: Answer) -> str:
    """What an answer to the question for a key's name says of it."""
    if answer.is_temporary:
        return f"DNS could not be asked: {answer.status.value}"
    found = [_material(record) for record in answer.records if isinstance(record, str)]
    if not found:
        return f"not in DNS: {answer.status.value}"
    if _material(facts.record) not in found:
        return "DNS has another key of that name"
    if len(found) > 1:
        return f"DNS has {len(found)} records of that name, and there must be one"
    wrong = WHY_UNUSABLE.load()(answer, facts.kind, facts.name)
    return f"DNS has the key in a record that is of no use: {wrong}" if wrong else PUBLISHED


def _material(record: str) -> bytes:
    tags = parse_tags(record.encode("latin-1", "replace"))
    return b"" if isinstance(tags, str) else tags.get(b"p", b"").translate(None, SPACES)
