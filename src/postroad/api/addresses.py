"""Addresses of a request as the envelope and the header section need them. Pure.

A domain in Unicode becomes its A-labels, so that only an address whose local part has it needs SMTPUTF8 of the next
hops (RFC 6531 3.2). What an address is, `model.address` alone decides.
"""

from email.errors import HeaderParseError
from email.headerregistry import Address

from postroad.api.problem import ApiError, invalid
from postroad.api.schema import Person
from postroad.model.address import NULL_PATH, Mailbox, parse_mailbox, parse_path
from postroad.model.errors import AddressError


def mailbox_of(text: str, pointer: str) -> Mailbox:
    """The address in `text`; ApiError when it is none, or has no domain."""
    try:
        mailbox = parse_mailbox(text)
        if not mailbox.domain:
            raise ApiError(invalid(pointer, "the address has no domain").problem)
        return _plain(mailbox)
    except (AddressError, UnicodeError) as error:
        raise invalid(pointer, f"not an address: {error}") from None


def sender_of(text: str, pointer: str) -> Mailbox:
    """The same for a return address, which may be empty."""
    return mailbox_of(text, pointer) if text else NULL_PATH


def _plain(mailbox: Mailbox) -> Mailbox:
    if mailbox.text.isascii() or not mailbox.local.isascii():
        return mailbox
    local = mailbox.text.rpartition("@")[0]
    return parse_path(f"{local}@{mailbox.domain}".encode())


def shown_as(person: str | Person, pointer: str) -> tuple[Mailbox, Address]:
    """The address, and how a header field shows it."""
    text, name = (person, "") if isinstance(person, str) else (person.email, person.name)
    mailbox = mailbox_of(text, pointer)
    if not name.isprintable():
        raise invalid(pointer, "the name has a character that does not print")
    local, _, domain = mailbox.text.rpartition("@")
    username = mailbox.local if local.startswith('"') else local
    try:
        return mailbox, Address(display_name=name, username=username, domain=domain)
    except (HeaderParseError, ValueError, IndexError) as error:
        raise invalid(pointer, f"cannot stand in a header field: {error}") from None
