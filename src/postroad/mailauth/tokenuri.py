"""Names of keys that stay in a token, PKCS #11 URIs (RFC 7512 2.3), as far as one key can be named by them.

`pkcs11:token=mail;object=dkim?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/postroad/pin`. Attributes
that would be left unheeded are errors, and no error or repr has the PIN.
"""

from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from postroad.model.errors import ConfigError
from postroad.model.option import Secret

SCHEME: Final = "pkcs11:"
_PATH: Final = ("token", "serial", "object", "id", "type")
_QUERY: Final = ("module-path", "pin-source", "pin-value")
_ENV: Final = "env:"
_FILE: Final = "file:"


class TokenUri(Struct, frozen=True):
    """One private key: by `label` or `key_id` or both, in the token called `token` or of this `serial` number."""

    module: str
    token: str
    serial: str
    label: str
    key_id: bytes
    pin: Secret


def is_token_uri(text: str) -> bool:
    """True for the name of a key, in contrast to a key."""
    return text.lower().startswith(SCHEME)


def parse_token_uri(text: str) -> TokenUri:
    """ConfigError says what is wrong, without a word of a PIN."""
    path, _, query = text.strip()[len(SCHEME) :].partition("?")
    found = {**_attributes(path.split(";"), _PATH), **_attributes(query.split("&"), _QUERY)}
    words = {name: _text(name, value) for name, value in found.items() if name not in {"id", "pin-value"}}
    module = words.get("module-path", "")
    if not module.startswith("/"):
        raise ConfigError(["a PKCS #11 URI needs module-path=/the/library.so (behind a question mark)"])
    if "token" not in words and "serial" not in words:
        raise ConfigError(["a PKCS #11 URI needs token=LABEL or serial=NUMBER"])
    if "object" not in words and "id" not in found:
        raise ConfigError(["a PKCS #11 URI needs object=LABEL or id=%01 of the key"])
    if words.get("type", "private") != "private":
        raise ConfigError([f"type={words['type']}: what signs is a private key"])
    if "pin-source" in words and "pin-value" in found:
        raise ConfigError(["pin-source and pin-value: one of them"])
    pin = (
        _pin(words["pin-source"])
        if "pin-source" in words
        else Secret(text=_text("pin-value", found.get("pin-value", b"")))
    )
    return TokenUri(
        module, words.get("token", ""), words.get("serial", ""), words.get("object", ""), found.get("id", b""), pin
    )


def _attributes(parts: list[str], known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in filter(None, parts):
        name, sign, value = part.partition("=")
        if not sign or name not in known:
            raise ConfigError([f"{name[:40]!r} in a PKCS #11 URI; known there: {', '.join(known)}"])
        if name in found:
            raise ConfigError([f"{name} is twice in a PKCS #11 URI"])
        found[name] = unquote_to_bytes(value)
    return found


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ConfigError([f"{name} in a PKCS #11 URI is not UTF-8"]) from None


def _pin(source: str) -> Secret:
    """RFC 7512 2.4: where the PIN is; a file, or as we add to it, a variable of the environment."""
    if source.startswith(_ENV):
        return Secret(env=source.removeprefix(_ENV))
    path = source.removeprefix(_FILE).removeprefix("//")
    if not path.startswith("/"):
        raise ConfigError(["pin-source in a PKCS #11 URI is written file:/the/file or env:NAME"])
    return Secret(file=path)
