"""Keys that sign, wherever a configuration keeps them: as PEM, or in a token that is named by a PKCS #11 URI.

The library for tokens is loaded for the first key that is in one.
"""

from typing import Final

from postroad.mailauth.dkim_facts import KeyFacts, ReadKey, ReadSecret
from postroad.mailauth.dkim_private import OpenToken, SigningKey, read_signing_key
from postroad.mailauth.tokenuri import is_token_uri, parse_token_uri
from postroad.model.errors import ConfigError
from postroad.model.late import Late
from postroad.model.option import Secret

OPEN: Final = Late[OpenToken]("postroad.mailauth.dkim_token", "OPEN", extra="pkcs11")


def signing_key(domain: str, selector: str, secret: Secret, option: str, read: ReadSecret) -> SigningKey:
    """The key that `option` gives as `secret`; ConfigError says what is wrong, without a word of it. Slow."""
    text = read(secret, option)
    if not is_token_uri(text):
        return read_signing_key(domain, selector, text.encode())
    try:
        uri = parse_token_uri(text)
        pin = read(uri.pin, "the PIN") if uri.pin else ""
        kept = OPEN.load()(uri, pin)
    except ConfigError as error:
        raise ConfigError([f"{option}: {error}"]) from None
    return SigningKey(domain, selector, kept)


def _read(domain: str, selector: str, secret: Secret, option: str, read: ReadSecret) -> KeyFacts:
    return signing_key(domain, selector, secret, option, read).facts()


READ: Final[ReadKey] = _read
