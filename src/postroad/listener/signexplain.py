"""Which keys would sign a message that is only thought of, which would not, and why (`postroad explain`).

The same rules decide as when mail is accepted. A key that cannot be read here, by somebody who may not, is told of too.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from postroad.listener.sign import ExplainKeys, KeyAnswer
from postroad.listener.signing import Use, keys_for, use_of, why_not
from postroad.listener.signsettings import DkimSettings
from postroad.mailauth.dkim_facts import ReadSecret
from postroad.model.envelope import Envelope
from postroad.model.errors import ConfigError


def explain_keys(
    settings: DkimSettings, read: ReadSecret, envelope: Envelope, authors: Sequence[str], now: int
) -> list[KeyAnswer]:
    """What each key does with mail of the domains `authors` at `now`, in the order of the configuration. Slow."""
    answers = list(_answers(settings, read, envelope, authors, now))
    if not any(one.signs for one in answers):
        answers.append(KeyAnswer("", False, why_not(authors, envelope)))
    return answers


def _answers(
    settings: DkimSettings, read: ReadSecret, envelope: Envelope, authors: Sequence[str], now: int
) -> Iterator[KeyAnswer]:
    found: list[Use | KeyAnswer] = []
    for at, one in enumerate(settings.keys):
        try:
            found.append(use_of(one, read, f"dkim.keys[{at}].key"))
        except ConfigError as error:
            found.append(KeyAnswer(f"{one.selector}._domainkey.{one.domain}", False, f"cannot be read here: {error}"))
    chosen = keys_for([use for use in found if isinstance(use, Use)], authors, envelope, now)
    for use in found:
        if isinstance(use, KeyAnswer):
            yield use
        elif any(key is use.key for key in chosen):
            yield KeyAnswer(use.key.name, True, use.grounds(authors, envelope))
        else:
            why = use.obstacle(authors, envelope, now) or _newer(use, found, authors, envelope, now)
            yield KeyAnswer(use.key.name, False, why)


def _newer(use: Use, found: Sequence[Use | KeyAnswer], authors: Sequence[str], envelope: Envelope, now: int) -> str:
    rivals = [
        other
        for other in found
        if isinstance(other, Use) and (other.key.domain, other.key.kind) == (use.key.domain, use.key.kind)
    ]
    (key,) = keys_for(rivals, authors, envelope, now)
    first = next(other for other in rivals if other.key is key)
    if first.rank[:2] != use.rank[:2]:
        return f"{key.selector} is for these senders alone, and goes before it"
    if first.begins == use.begins:
        return f"{key.selector} is for the same mail, and stands before it"
    return f"replaced by {key.selector}, which began later"


EXPLAIN: Final[ExplainKeys] = explain_keys
