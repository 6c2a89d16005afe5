"""The words of reports to people, by language; what programs read stays English (RFC 3464, RFC 3461).

A text has placeholders in braces, such as "{hostname}", only those that `PLACEHOLDERS` lists for it. English and German
come along; others, and other words, come from templates. Placeholders are checked when templates are read, so that no
report can fail for its words later. Pure.
"""

from collections.abc import Mapping
from string import Formatter
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

_LONGEST: Final = 2000  # characters of one text


class Texts(Struct, frozen=True, forbid_unknown_fields=True):
    """All words of one language.

    Subjects may not have placeholders; each of the other texts has those of `PLACEHOLDERS`.
    """

    subject_failed: str = "Undelivered Mail Returned to Sender"  # the wording that users and parsers know from Postfix
    subject_delayed: str = "Delayed Mail (still being retried)"
    subject_success: str = "Successful Mail Delivery Report"
    subject_copy: str = "Postmaster Copy"
    greeting: str = "This is the mail system at {hostname}."
    failed: str = (
        "The message you sent, taken here on {arrived}, could not be delivered to the recipients below. "
        "It will not be tried again for them; to reach them, correct what their mail system reports and send it anew."
    )
    delayed: str = (
        "The message you sent, taken here on {arrived}, has not been delivered to the recipients below yet. "
        "You need not send it again: delivery will be tried again until {until}."
    )
    relayed: str = (
        "The message you sent, taken here on {arrived}, was passed on to the next mail system for the recipients "
        "below. That system does not report deliveries, so this is the last report you get."
    )
    expanded: str = (
        "The message you sent, taken here on {arrived}, was passed on to the several addresses that each of the "
        "recipients below stands for. You will be told when one of them fails, as you asked, but no more of success."
    )
    sent_to: str = "sent to <{address}>"
    delivered: str = "The message you sent, taken here on {arrived}, was delivered to the recipients below."
    said: str = "{host} said: {reply}"
    said_to: str = "{host} said: {reply} (in reply to {command})"
    expired: str = "delivery time expired"
    expired_after: str = "delivery time expired; last reason: {reply}"
    copy: str = "A copy of your message is attached."
    header: str = "A copy of your message's header section is attached."


PLACEHOLDERS: Final = MappingProxyType(
    {
        "greeting": frozenset({"hostname"}),
        "failed": frozenset({"arrived"}),
        "delayed": frozenset({"arrived", "until"}),
        "relayed": frozenset({"arrived"}),
        "expanded": frozenset({"arrived"}),
        "sent_to": frozenset({"address"}),
        "delivered": frozenset({"arrived"}),
        "said": frozenset({"host", "reply"}),
        "said_to": frozenset({"host", "reply", "command"}),
        "expired_after": frozenset({"reply"}),
    }
)
ENGLISH: Final = Texts()
GERMAN: Final = Texts(
    subject_failed="Unzustellbare Nachricht zurück an den Absender",
    subject_delayed="Verzögerte Nachricht (Zustellung wird weiter versucht)",
    subject_success="Bericht über die erfolgreiche Zustellung",
    subject_copy="Kopie für den Postmaster",
    greeting="Dies ist das Mailsystem auf {hostname}.",
    failed=(
        "Ihre Nachricht, hier angenommen am {arrived}, konnte den unten genannten Empfängern nicht zugestellt werden. "
        "Für diese wird es nicht noch einmal versucht; um sie zu erreichen, beheben Sie bitte, was deren Mailsystem "
        "meldet, und senden Sie die Nachricht neu."
    ),
    delayed=(
        "Ihre Nachricht, hier angenommen am {arrived}, konnte den unten genannten Empfängern noch nicht zugestellt "
        "werden. Sie brauchen sie nicht noch einmal zu senden: Die Zustellung wird bis {until} weiter versucht."
    ),
    relayed=(
        "Ihre Nachricht, hier angenommen am {arrived}, wurde für die unten genannten Empfänger an das nächste "
        "Mailsystem übergeben. Jenes System meldet keine Zustellungen; dies ist der letzte Bericht."
    ),
    expanded=(
        "Ihre Nachricht, hier angenommen am {arrived}, wurde an die Adressen weitergegeben, für die jeder der unten "
        "genannten Empfänger steht. Schlägt eine davon fehl, erfahren Sie es wie gewünscht, von Erfolgen nichts mehr."
    ),
    sent_to="gesendet an <{address}>",
    delivered="Ihre Nachricht, hier angenommen am {arrived}, wurde den unten genannten Empfängern zugestellt.",
    said="{host} antwortete: {reply}",
    said_to="{host} antwortete: {reply} (auf {command})",
    expired="die Zeit für die Zustellung ist abgelaufen",
    expired_after="die Zeit für die Zustellung ist abgelaufen; letzter Grund: {reply}",
    copy="Eine Kopie Ihrer Nachricht ist angehängt.",
    header="Eine Kopie der Kopfzeilen Ihrer Nachricht ist angehängt.",
)
BUILT_IN: Final[Mapping[str, Texts]] = MappingProxyType({"en": ENGLISH, "de": GERMAN})


class Languages(Struct, frozen=True):
    """Which language a report is in: `rules` are (domain pattern, texts), the first that matches the sender wins."""

    default: Texts = ENGLISH
    rules: tuple[tuple[str, Texts], ...] = ()

    def texts_for(self, domain: str) -> Texts:
        """The texts for a sender of `domain`."""
        if not self.rules:
            return self.default
        domain = domain.lower()
        for pattern, texts in self.rules:
            if pattern in ("*", domain) or (pattern.startswith("*.") and domain.endswith(pattern[1:])):
                return texts
        return self.default


def read_texts(data: Mapping[str, object], base: Texts) -> Texts:
    """The texts that `data` gives, `base` for the others; ValueError tells every text that is wrong."""
    problems = []
    for name, value in data.items():
        if name not in Texts.__struct_fields__:
            problems.append(f"{name}: unknown text; known are {', '.join(Texts.__struct_fields__)}")
        elif not isinstance(value, str):
            problems.append(f"{name}: expected text")
        elif problem := text_problem(name, value):
            problems.append(f"{name}: {problem}")
    if problems:
        raise ValueError("; ".join(problems))
    return msgspec.structs.replace(base, **data)


def text_problem(name: str, text: str) -> str:
    """What is wrong with `text` as the text `name`; "" when nothing is."""
    known = PLACEHOLDERS.get(name, frozenset())
    if not text.strip() or len(text) > _LONGEST:
        return f"must have 1 to {_LONGEST} characters"
    if not all(sign.isprintable() or sign == "\n" for sign in text) or (name.startswith("subject") and "\n" in text):
        return "has control characters"
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        return f'{error}; write "{{{{" for a brace'
    for _, field, form, conversion in parts:
        if field is not None and (field not in known or form or conversion):
            there = ", ".join(f"{{{one}}}" for one in sorted(known)) or "none"
            return f'"{{{field}}}" is no placeholder of this text; there are: {there}'
    return ""
