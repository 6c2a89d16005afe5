"""What the texts of rules are made of, checked when the configuration is read (*pure*): entries of lists, replies.

An entry is a pattern, or a table that names a file of patterns, one a line.
"""

from collections.abc import Callable
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from postroad.model.address import parse_mailbox
from postroad.model.errors import AddressError
from postroad.model.option import Settings
from postroad.model.reply import Reply
from postroad.policy.findingwords import check_finding
from postroad.policy.globs import check_glob, is_regex
from postroad.policy.mailboxes import compile_mailboxes
from postroad.policy.networks import parse_network
from postroad.policy.rules.hours import parse_span, parse_zone
from postroad.smtp import replies

TEXT_LIMIT: Final = 400  # octets of a reply's text: with its codes it fits a line (RFC 5321 4.5.3.1.5)
NAME_LIMIT: Final = 64
_TAG: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:")


class ListFileSettings(Settings):
    """A file of entries."""

    file: str = Field(description="A file with one entry a line; read again when it changes.", min_length=1)


def _form(value: object) -> str:
    return "<text>" if isinstance(value, str) else "<table>"


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str | dict) else value


def _checked(check: Callable[[str], object]) -> Callable[[str], str]:
    """A validator of one entry, with or without the `!` before it."""

    def validate(text: str) -> str:
        bare = text.removeprefix("!")
        check_glob(bare)
        if not is_regex(bare):
            check(bare)
        return text

    return validate


def _word(text: str) -> str:
    return text


def _mailbox_pattern(text: str) -> object:
    return compile_mailboxes((text,))


def _network(text: str) -> object:
    if is_regex(text):
        raise ValueError("a network is no regular expression")
    return parse_network(text)


def _mailbox(text: str) -> str:
    try:
        mailbox = parse_mailbox(text)
    except AddressError as error:
        raise ValueError(f"not an address: {error}") from None
    if not mailbox.domain:
        raise ValueError('needs a domain, like "user@example.com"')
    return text


def _span(text: str) -> str:
    parse_span(text)
    return text


def _zone(text: str) -> str:
    parse_zone(text)
    return text


def _tag(text: str) -> str:
    if not text or len(text) > NAME_LIMIT or set(text) - _TAG:
        raise ValueError(f"a tag is 1 to {NAME_LIMIT} letters, digits, hyphens, underscores, dots and colons")
    return text


def rule_name(text: str) -> str:
    """`text`, when a rule can be called so."""
    if not text.strip() or text != text.strip() or len(text) > NAME_LIMIT or not text.isprintable():
        raise ValueError(f"a name is 1 to {NAME_LIMIT} printable characters without space at its ends")
    return text


def parse_refusal(text: str, otherwise: Reply) -> Reply:
    """The reply of "550 5.7.1 text", "5.7.1 text" or a text alone, which gets the codes of `otherwise`.

    ValueError tells what is wrong with it.
    """
    kind = "5" if otherwise.is_permanent else "4"
    code, enhanced, words = _parts(text)
    code, enhanced = code or str(otherwise.code), enhanced or otherwise.enhanced
    if code[0] != kind or enhanced[:1] != kind:
        raise ValueError(
            f'codes that begin with {kind} are needed here; write a text, or "{otherwise.code} '
            f'{otherwise.enhanced} text"'
        )
    if not words.strip() or words != words.strip() or not (words.isascii() and words.isprintable()):
        raise ValueError("a text that peers are told is printable ASCII without space at its ends")
    if len(words) > TEXT_LIMIT:
        raise ValueError(f"a text that peers are told has at most {TEXT_LIMIT} characters")
    return Reply(int(code), enhanced, words)


def _parts(text: str) -> tuple[str, str, str]:
    """Code, enhanced code and words; "" for what is not there. A code alone is a word like any other."""
    code, _, rest = text.partition(" ")
    if _is_enhanced(code):
        return "", code, rest
    enhanced, _, words = rest.partition(" ")
    if _is_digits(code) and len(code) == 3 and code[0] in "45" and _is_enhanced(enhanced):
        return code, enhanced, words
    return "", "", text


def _is_enhanced(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 3 and all(_is_digits(part) and len(part) < 4 for part in parts) and parts[0] in ("4", "5")


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _reject(text: str) -> str:
    parse_refusal(text, replies.RULE_REJECTED)
    return text


def _defer(text: str) -> str:
    parse_refusal(text, replies.RULE_DEFERRED)
    return text


_File = Annotated[ListFileSettings, Tag("<table>")]
_BY_FORM: Final = Discriminator(_form)
_LIST: Final = BeforeValidator(_listed)
_AS_TEXT: Final = Tag("<text>")

Findings = Annotated[
    tuple[Annotated[Annotated[str, AfterValidator(_checked(check_finding)), _AS_TEXT] | _File, _BY_FORM], ...], _LIST
]
Words = Annotated[
    tuple[Annotated[Annotated[str, AfterValidator(_checked(_word)), _AS_TEXT] | _File, _BY_FORM], ...], _LIST
]
Addresses = Annotated[
    tuple[Annotated[Annotated[str, AfterValidator(_checked(_mailbox_pattern)), _AS_TEXT] | _File, _BY_FORM], ...], _LIST
]
Networks = Annotated[
    tuple[Annotated[Annotated[str, AfterValidator(_checked(_network)), _AS_TEXT] | _File, _BY_FORM], ...], _LIST
]
Entries = tuple[str | ListFileSettings, ...]
Spans = Annotated[tuple[Annotated[str, AfterValidator(_span)], ...], _LIST]
Zone = Annotated[str, AfterValidator(_zone)]
OneMailbox = Annotated[str, AfterValidator(lambda text: text and _mailbox(text))]  # or ""
Mailboxes = Annotated[tuple[Annotated[str, AfterValidator(_mailbox)], ...], _LIST]
Tags = Annotated[tuple[Annotated[str, AfterValidator(_tag)], ...], _LIST]
RuleName = Annotated[str, AfterValidator(rule_name)]
RejectText = Annotated[str, AfterValidator(_reject)]
DeferText = Annotated[str, AfterValidator(_defer)]
