"""Keys that never leave a token (PKCS #11): the token signs, we know the public half alone.

A session can have one operation at a time, so one thread signs; a lost session is opened anew once. The token's library
does not always see that a token that was away is back, so where it finds none it is begun anew, which ends the sessions
of all its keys: they open theirs again. Each call may take as long as the token likes: callers do it beside the event
loop and with a deadline.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import pkcs11
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

from postroad.mailauth.dkim_private import OpenToken
from postroad.mailauth.tokenuri import TokenUri
from postroad.model.errors import ConfigError, SigningError

_DIGEST_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")  # RFC 8017 9.2, of SHA-256
# What a library says of a token that is not there. A wrong PIN is none of it: a token counts the tries.
_AWAY: Final = (
    pkcs11.NoSuchToken,
    pkcs11.TokenNotPresent,
    pkcs11.DeviceError,
    pkcs11.exceptions.DeviceRemoved,
    pkcs11.exceptions.GeneralError,
)
_WORDS: Final[Mapping[type[Exception], str]] = MappingProxyType(
    {
        pkcs11.NoSuchKey: "the token has no private key of that name, or shows it only to who has its PIN",
        pkcs11.NoSuchToken: "there is no such token",
        pkcs11.PinIncorrect: "the PIN is wrong",
    }
)
_RAW: Final = 32  # octets of an Ed25519 key, at the end of its EC_POINT


class TokenKey:
    """A private key in a token; `public` is its public half."""

    def __init__(self, uri: TokenUri, pin: str) -> None:
        """ConfigError when there is no such key, or the token does not let us in."""
        self._uri = uri
        self._pin = pin
        self._where = f"the key {uri.label or uri.key_id.hex()!r} of the token {uri.token or uri.serial!r}"
        try:
            self._session, self._key = self._open()
            self.public: RSAPublicKey | Ed25519PublicKey = self._public()
        except (pkcs11.PKCS11Error, RuntimeError, ValueError) as error:
            raise ConfigError([f"{self._where} cannot be used: {_words(error)}"]) from None

    def __repr__(self) -> str:
        return f"TokenKey({self._where})"

    def sign(self, digest: bytes) -> bytes:
        """The signature over what has the SHA-256 `digest`; SigningError when the token does not give one."""
        try:
            return self._sign(digest)
        except pkcs11.PKCS11Error:  # the session is lost: the token was away, or restarted
            pass
        try:
            self._session, self._key = self._open()
            return self._sign(digest)
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            raise SigningError(f"{self._where} does not sign: {_words(error)}") from None

    def _sign(self, digest: bytes) -> bytes:
        if isinstance(self.public, RSAPublicKey):
            return bytes(self._key.sign(_DIGEST_INFO + digest, mechanism=Mechanism.RSA_PKCS))
        return bytes(self._key.sign(digest, mechanism=Mechanism.EDDSA))  # RFC 8463 3

    def _open(self) -> tuple[pkcs11.Session, pkcs11.SignMixin]:
        library = pkcs11.lib(self._uri.module)
        try:
            return self._opened()
        except pkcs11.PKCS11Error as error:
            if library.initialized and not isinstance(error, _AWAY):
                raise
        library.reinitialize()
        return self._opened()

    def _opened(self) -> tuple[pkcs11.Session, pkcs11.SignMixin]:
        uri = self._uri
        library = pkcs11.lib(uri.module)
        serial = uri.serial.encode() or None
        token = library.get_token(token_label=uri.token or None, token_serial=serial)
        try:
            session = token.open(user_pin=self._pin or None)
        except pkcs11.UserAlreadyLoggedIn:  # another key of the same token is open, in this process or before a fork
            session = token.open()
        key = session.get_key(ObjectClass.PRIVATE_KEY, label=uri.label or None, id=uri.key_id or None)
        assert isinstance(key, pkcs11.SignMixin)
        return session, key

    def _public(self) -> RSAPublicKey | Ed25519PublicKey:
        if self._key.key_type == KeyType.RSA:
            modulus, exponent = self._key[Attribute.MODULUS], self._key[Attribute.PUBLIC_EXPONENT]
            return RSAPublicNumbers(int.from_bytes(exponent), int.from_bytes(modulus)).public_key()
        if self._key.key_type != KeyType.EC_EDWARDS:
            raise ValueError("it is neither RSA nor Ed25519")
        uri = self._uri
        public = self._session.get_key(ObjectClass.PUBLIC_KEY, label=uri.label or None, id=uri.key_id or None)
        return Ed25519PublicKey.from_public_bytes(bytes(public[Attribute.EC_POINT])[-_RAW:])


def _words(error: Exception) -> str:
    """What went wrong: the name of a PKCS #11 error says it, its text often nothing, or how the library is made."""
    known = _WORDS.get(type(error))
    return f"{known} ({type(error).__name__})" if known else ": ".join(filter(None, (type(error).__name__, str(error))))


OPEN: Final[OpenToken] = TokenKey
