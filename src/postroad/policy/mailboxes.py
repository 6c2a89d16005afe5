"""Patterns of addresses, in look-up form (*pure*).

"example.com" is everybody there, "*.example.com" everybody in any domain below, "user@example.com" one address,
"sales-*@example.com" or "*@mail?.example.com" all that fit, "<>" the null reverse-path, "*" all. Local parts are
compared without regard to case. What has no star is looked up, however long the list is.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from postroad.model.address import Mailbox, parse_domain, parse_mailbox
from postroad.model.errors import AddressError
from postroad.policy.globs import Compile, Test, check_glob, is_regex, no_regexes, wildcard

NULL: Final = "<>"
_FORMS: Final = '"example.com", "*.example.com", "user@example.com", "info-*@example.com", "<>" or "*"'


class Mailboxes(Struct, frozen=True):
    """Patterns in look-up form: `parents` of "*.domain", `tests` of all that is not looked up."""

    domains: frozenset[str]
    parents: frozenset[str]
    mailboxes: frozenset[str]
    tests: tuple[Test, ...]
    null: bool
    everybody: bool

    def match(self, mailbox: Mailbox) -> bool:
        """True when one of them means `mailbox`."""
        if self.everybody:
            return True
        if not mailbox.text:
            return self.null
        domain = mailbox.domain
        if domain in self.domains or (self.parents and self._is_below(domain)):
            return True
        if not self.mailboxes and not self.tests:
            return False
        text = f"{mailbox.local.lower()}@{domain}"
        return text in self.mailboxes or any(test(text) for test in self.tests)

    def _is_below(self, domain: str) -> bool:
        while "." in domain:
            domain = domain.partition(".")[2]
            if domain in self.parents:
                return True
        return False


def compile_mailboxes(patterns: Sequence[str], compile_regex: Compile = no_regexes) -> Mailboxes:
    """`patterns`, without `!`, in look-up form; ValueError tells what is wrong with one."""
    domains: set[str] = set()
    parents: set[str] = set()
    mailboxes: set[str] = set()
    tests: list[Test] = []
    for pattern in patterns:
        check_glob(pattern)
        if is_regex(pattern):
            tests.append(compile_regex(pattern[1:-1]))
        elif pattern not in ("*", NULL):
            _sort(pattern, domains, parents, mailboxes, tests)
    return Mailboxes(
        frozenset(domains),
        frozenset(parents),
        frozenset(mailboxes),
        tuple(tests),
        null=NULL in patterns,
        everybody="*" in patterns,
    )


def _sort(pattern: str, domains: set[str], parents: set[str], mailboxes: set[str], tests: list[Test]) -> None:
    below = pattern.removeprefix("*.")
    try:
        if "@" not in pattern:
            if "*" in below or "?" in below:
                tests.append(wildcard(f"*@{pattern}"))
            elif below != pattern:
                parents.add(parse_domain(below))
            else:
                domains.add(parse_domain(pattern))
        elif "*" in pattern or "?" in pattern:
            tests.append(wildcard(pattern))
        else:
            mailbox = parse_mailbox(pattern)
            mailboxes.add(f"{mailbox.local.lower()}@{mailbox.domain}")
    except AddressError as error:
        raise ValueError(f"not a pattern of addresses: {error}; write {_FORMS}") from None
