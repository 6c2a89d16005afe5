"""TLS as the client: contexts by what they verify and prove, and sessions that later connections resume.

A context without a demand takes any certificate: it keeps passive listeners out and nothing more (RFC 7435 3,
RFC 3207 6). One with a `Trust` has OpenSSL verify the chain, and the name where there is one. A session is resumed by
connections of the same demand to the same target alone, and kept only once the demand was met: to resume it is to have
what was verified then (RFC 8446 2.2, RFC 5077 3.1). Contexts and sessions are bounded in number, sessions in age.
"""

import ssl
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.model.errors import ConfigError
from postroad.net.clock import SystemClock
from postroad.net.tls.contexts import without_verification
from postroad.net.tls.keyfiles import Stamp, stamp_of

CONTEXTS: Final = 64  # of one certificate of ours
SESSIONS: Final = 1000  # of one context
SESSION_SECONDS: Final = 3600.0
_NOTHING: Final = MappingProxyType({"NO_CERTIFICATE_OR_CRL_FOUND": "holds nothing in PEM that is looked for"})


class Trust(Struct, frozen=True):
    """What a context verifies: the chain to an anchor in the file `ca` ("": the default), and perhaps the name.

    `crl` is a file of revocation lists, which the server's certificate must not be on; "": nobody is asked.
    """

    checks_name: bool
    ca: str = ""
    crl: str = ""


class ClientContext(ssl.SSLContext):
    """One context and the sessions agreed on under it."""

    sessions: "Sessions"
    _asked: dict[str, tuple[str | None, Hashable]]
    _number: int

    @contextmanager
    def asking(self, name: str | None, key: Hashable) -> Iterator[str]:
        """What to give the event loop as the server's name, so that the session kept under `key` is resumed.

        `name` is what the server is asked for, if anything. The event loop takes nothing but text and hands it on as
        it is, so the text stands for both; it is good for one handshake within the context.
        """
        self._number += 1
        text = f"{name or ''}\0{self._number}"
        self._asked[text] = name, key
        try:
            yield text
        finally:
            self._asked.pop(text, None)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002  # as it is in the library
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As the library does, with the session that was kept for who is asked."""
        asked = self._asked.pop(server_hostname, None) if isinstance(server_hostname, str) else None
        if asked is not None:
            server_hostname, key = asked
            session = self.sessions.find(key)
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


class Sessions:
    """Sessions by whom they were agreed on with; the oldest goes when there are too many."""

    __slots__ = ("_kept", "_monotonic")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """None yet."""
        self._monotonic = monotonic
        self._kept: dict[Hashable, tuple[float, ssl.SSLSession]] = {}

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def find(self, key: Hashable) -> ssl.SSLSession | None:
        """The session kept under `key`, unless it is too old."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept[0] <= self._monotonic():
            del self._kept[key]
            return None
        return kept[1]

    def keep(self, key: Hashable, connection: ssl.SSLObject) -> None:
        """Keep what `connection` has agreed on, if it can be resumed; it must have met its demand."""
        session = connection.session
        if session is None or not (session.has_ticket or session.id):
            return
        before = self._kept.pop(key, None)
        if before is not None and connection.session_reused:
            # A chain of resumptions must not outlive the one verification at its beginning.
            self._kept[key] = before[0], session
            return
        while len(self._kept) >= SESSIONS:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = self._monotonic() + SESSION_SECONDS, session

    def drop(self, key: Hashable) -> None:
        """Resume no more what is under `key`."""
        self._kept.pop(key, None)


class _Made(Struct):
    context: ClientContext
    stamps: tuple[Stamp | None, ...]
    told: str = ""  # why a file that has changed cannot be used


class ClientContexts:
    """Contexts that prove us by one certificate, or by none; made when needed, and anew when a file has changed.

    A file that cannot be read any more, or a pair half replaced, leaves the last good context in force, and is told.
    """

    def __init__(
        self,
        certificate: Path | None = None,
        key: Path | None = None,
        *,
        ca: str = "",
        monotonic: Callable[[], float] = SystemClock.monotonic,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """`certificate` and `key` are files, read now; ConfigError when that fails. `ca`: the anchors by default.

        Without `ca` they are the system's. `tell` hears once why a file that has changed cannot be used.
        """
        self._tell = tell
        self._monotonic = monotonic
        self._ca = ca
        self._pair = None if certificate is None or key is None else (certificate, key)
        self._made: dict[Trust | None, _Made] = {}
        self.of(None)

    def of(self, trust: Trust | None) -> ClientContext:
        """The context for a new connection that verifies as `trust` says, or nothing; ConfigError without a file."""
        made = self._made.get(trust)
        files = self._files(trust)
        if made is not None and not files:
            return made.context
        stamps = tuple(map(stamp_of, files))
        if made is None:
            if len(self._made) >= CONTEXTS:
                del self._made[next(iter(self._made))]
            made = self._made[trust] = _Made(self._load(trust), stamps)
        elif stamps != made.stamps:
            try:
                made.context = self._load(trust)
            except ConfigError as error:
                if self._tell is not None and str(error) != made.told:
                    self._tell(str(error))
                made.told = str(error)
                return made.context  # and look again with the next connection
            made.stamps, made.told = stamps, ""
        return made.context

    def _files(self, trust: Trust | None) -> tuple[Path, ...]:
        given: tuple[Path, ...] = ()
        if trust is not None:
            anchors = trust.ca or self._ca or ssl.get_default_verify_paths().cafile or ""
            given = tuple(Path(file) for file in (anchors, trust.crl) if file)
        return given if self._pair is None else (*self._pair, *given)

    def _load(self, trust: Trust | None) -> ClientContext:
        context = without_verification(_new(Sessions(self._monotonic)))
        if self._pair is not None:
            certificate, key = self._pair
            with _telling(f"{certificate} with the key {key}"):
                context.load_cert_chain(certificate, key, password=_no_password)
        if trust is not None:
            _verify(context, trust.ca or self._ca, trust)
        return context


def _new(sessions: Sessions) -> ClientContext:
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sessions = sessions
    context._asked = {}  # noqa: SLF001  # the class has no __init__: the library makes its instances by __new__
    context._number = 0  # noqa: SLF001
    return context


def _verify(context: ssl.SSLContext, ca: str, trust: Trust) -> None:
    if ca:
        with _telling(ca):
            context.load_verify_locations(ca)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an anchor may be any certificate of the chain
    else:
        context.load_default_certs()
    if trust.crl:
        with _telling(trust.crl):
            context.load_verify_locations(trust.crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    context.hostname_checks_common_name = False  # RFC 9525 6.3
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = trust.checks_name


@contextmanager
def _telling(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        words = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise ConfigError([f"{what}: {_NOTHING.get(str(words), words)}"]) from None


def _no_password() -> str:
    raise ValueError("the key is encrypted; store it without a passphrase")
