"""Certificates with their keys, as they lie in files: read whole, judged, and kept in memory as long as they are sound.

What was read once as root is still there when root was given up, in this process and in those that it begins, though
the key's file cannot be read any more. A pair becomes a TLS context through files that only this process can open:
the ssl module takes paths alone, and no key is written to a disk. Keys are never shown.
"""

import os
import ssl
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.model.errors import ConfigError
from postroad.model.late import Late
from postroad.net.tls.certfacts import CertificateFacts, ReadFacts

READ_FACTS: Final = Late[ReadFacts]("postroad.net.tls.certificate", "read_facts")
SIZE_LIMIT: Final = 1 << 20  # octets of one file
Stamp = tuple[int, int, int, int]
_WORDS: Final = MappingProxyType(
    {
        "KEY_VALUES_MISMATCH": "the key is that of another certificate",
        "KEY_TYPE_MISMATCH": "the key is that of another certificate",
        "EE_KEY_TOO_SMALL": "the key is too small to be secure",
        "CA_KEY_TOO_SMALL": "a key of its chain is too small to be secure",
        "CA_MD_TOO_WEAK": "a signature of its chain is too weak to be secure",
    }
)


class KeyFiles(Struct, frozen=True):
    """Where a certificate chain and its key lie; it may be one file."""

    certificate: Path
    key: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        """Both, or the one."""
        return (self.certificate,) if self.key == self.certificate else (self.certificate, self.key)

    def stamps(self) -> tuple[Stamp | None, ...]:
        """What the file system tells of them without reading; another one after a change."""
        return tuple(stamp_of(path) for path in self.paths)


class KeyPair(Struct, frozen=True):
    """A sound certificate chain with its key, and what the certificate says."""

    files: KeyFiles
    facts: CertificateFacts
    stamps: tuple[Stamp | None, ...]
    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        """Where it lies, and nothing of the key."""
        return f"KeyPair({self.files.certificate})"

    __str__ = __repr__

    def load_into(self, context: ssl.SSLContext) -> None:
        """Let `context` prove itself with this; ssl.SSLError or ValueError when it cannot."""
        load_octets(context, self.certificate, self.key)


class KeyStore:
    """What was sound when it was read last: pairs, and the authorities that sign for clients."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._pairs: dict[KeyFiles, KeyPair] = {}
        self._authorities: dict[Path, str] = {}
        self._stand_ins: dict[KeyFiles, bytes] = {}

    def stand_in(self, files: KeyFiles, make: Callable[[], bytes]) -> None:
        """What `make` makes, key and certificate in PEM, stands in for `files` until there is something sound."""
        if files not in self._stand_ins:
            self._stand_ins[files] = make()

    def read(self, files: KeyFiles, *, or_kept: bool = False) -> KeyPair:
        """The pair as it is now, which is kept; ConfigError in words when it cannot be used.

        With `or_kept` that which was read before must do when we have no rights to a file; and what stands in for it,
        when anything is wrong with it.
        """
        pem = self._stand_ins.get(files)
        if pem is None or not or_kept:
            return self._read(files, or_kept=or_kept)
        try:
            return self._read(files, or_kept=True)
        except ConfigError:
            return self._pairs.get(files) or _judged(files, files.stamps(), pem, pem)

    def _read(self, files: KeyFiles, *, or_kept: bool) -> KeyPair:
        stamps = files.stamps()
        try:
            octets = {path: _octets(path) for path in files.paths}
        except OSError as error:
            kept = self._pairs.get(files)
            if or_kept and kept is not None and isinstance(error, PermissionError):
                return kept
            raise _unreadable(error) from None
        pair = self._pairs[files] = _judged(files, stamps, octets[files.certificate], octets[files.key])
        return pair

    def authorities(self, path: Path, *, or_kept: bool = False) -> str:
        """The certificates in the file `path` as text, for a context to trust; as `read`."""
        try:
            text = _octets(path).decode("ascii", "ignore")
        except OSError as error:
            kept = self._authorities.get(path)
            if or_kept and kept is not None and isinstance(error, PermissionError):
                return kept
            raise _unreadable(error) from None
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text)
        except (ssl.SSLError, ValueError):
            raise ConfigError([f"{path}: has no certificate in PEM form, or one that cannot be read"]) from None
        self._authorities[path] = text
        return text

    def keep(self, files: Collection[KeyFiles]) -> None:
        """Forget all other pairs."""
        self._pairs = {one: pair for one, pair in self._pairs.items() if one in files}


def load_octets(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Let `context` prove itself with both, in PEM; ssl.SSLError or ValueError when it cannot."""
    with _in_memory(certificate) as chain, _in_memory(key) as own:
        context.load_cert_chain(chain, own, password=_no_password)


def _unreadable(error: OSError) -> ConfigError:
    return ConfigError([f"{error.filename} cannot be read: {error.strerror}"])


def _judged(files: KeyFiles, stamps: tuple[Stamp | None, ...], certificate: bytes, key: bytes) -> KeyPair:
    try:
        facts = READ_FACTS.load()(certificate)
    except ValueError as error:
        raise ConfigError([f"{files.certificate}: {error}"]) from None
    if b"PRIVATE KEY-----" not in key:
        raise ConfigError([f"{files.key}: has no private key in PEM form"])
    pair = KeyPair(files, facts, stamps, certificate, key)
    try:
        pair.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    except ssl.SSLError as error:
        words = _WORDS.get(error.reason) or f"cannot be used ({(error.reason or str(error)).replace('_', ' ').lower()})"
        raise ConfigError([f"{files.key}, for {files.certificate}: {words}"]) from None
    except ValueError as error:
        raise ConfigError([f"{files.key}: {error}"]) from None
    return pair


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of one file; None when it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _octets(path: Path) -> bytes:
    with path.open("rb") as file:
        octets = file.read(SIZE_LIMIT + 1)
    if len(octets) > SIZE_LIMIT:
        raise ConfigError([f"{path}: is larger than {SIZE_LIMIT >> 20} MiB"])
    return octets


@contextmanager
def _in_memory(octets: bytes) -> Iterator[str]:
    """A path at which this process alone finds `octets`, for as long as it is needed; on no disk."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, octets)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _no_password() -> str:
    raise ValueError("the key is encrypted; store it without a passphrase, readable by the server alone")
