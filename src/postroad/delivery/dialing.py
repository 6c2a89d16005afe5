"""What connections are opened with: settings, our name, TLS, and the source, and why one could not be opened.

A `Dialing` is made once for each source and terms and then kept, so that a message pays a look-up at most, and one
without either nothing. Connections of different ones are never mixed up in the pool. Bounded in number.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from postroad.delivery.balance import Preference
from postroad.delivery.egress import Source
from postroad.delivery.settings import DeliverySettings
from postroad.model.reply import Reply
from postroad.model.route import Target, Terms
from postroad.model.security import Security
from postroad.net.proxy import Proxy
from postroad.net.stream import Stream
from postroad.net.tls.client import ClientContexts
from postroad.net.tls.danewords import Mismatch

KEPT: Final = 1000

# Why a chain (in DER, the server's own first) does not match TLSA records of a demand; None: it does (RFC 7672 3.1).
MatchTlsa = Callable[[Security, Sequence[bytes]], Mismatch | None]
PoolKey = Target | tuple[Target, str, Terms | None]


class OpenStream(Protocol):
    """How a connection is made: `net.stream.open_stream`."""

    async def __call__(
        self, address: str, port: int, *, source: str = "", proxy: Proxy | None = None, timeout: float
    ) -> Stream:
        """Connect to address and port, or to a unix socket with port 0, within seconds; PeerError when that fails."""


class Dialing(Struct, frozen=True):
    """What connections are opened with; `monotonic` is the clock's, `tls` has the contexts of new connections.

    `preference` says which targets suit; `source` and `terms` are None where nothing asks for them.
    """

    settings: DeliverySettings
    hostname: str
    open_stream: OpenStream
    tls: ClientContexts
    monotonic: Callable[[], float]
    preference: Preference
    is_plain: bool
    source: Source | None = None
    terms: Terms | None = None
    match_tlsa: MatchTlsa | None = None

    def pool_key(self, target: Target) -> PoolKey:
        """What connections to `target` are kept under."""
        source = self.source
        if source is None and self.terms is None:
            return target
        return target, "" if source is None else source.name, self.terms

    @property
    def egress_key(self) -> str:
        """The option that says where we send from, for people."""
        source = self.source
        if source is None:
            return "delivery"
        return f"sources.{source.name}.{'address' if source.proxy is None else 'proxy'}"


class Unopened(Struct, gc=False):
    """Why there is no connection: the peer `refused` at `command`, or `words`.

    `tls_failed`: TLS could not begin, or not as demanded; `lacks_tls`: and nothing less will do; then `result` is a
    result type of RFC 8460 4.3, and `is_distrusted` tells that the certificate is the reason. `egress`: our source, its
    proxy or a file of ours is the trouble.
    """

    command: str
    words: str = ""
    refused: Reply | None = None
    tls_failed: bool = False
    lacks_tls: bool = False
    is_distrusted: bool = False
    result: str = ""
    egress: bool = False
    source_ip: str = ""


class Dialings:
    """Every way of dialing, made when it is first needed."""

    __slots__ = ("_made", "default")

    def __init__(  # what connections are opened with
        self,
        settings: DeliverySettings,
        *,
        hostname: str,
        open_stream: OpenStream,
        tls: ClientContexts,
        monotonic: Callable[[], float],
        match_tlsa: MatchTlsa | None = None,
    ) -> None:
        """`default` is what mail without source and terms gets."""
        preference = Preference("", settings.ip)
        self.default = Dialing(
            settings,
            hostname,
            open_stream,
            tls,
            monotonic,
            preference,
            is_plain=preference.is_plain,
            match_tlsa=match_tlsa,
        )
        self._made: dict[tuple[str, Terms | None], Dialing] = {}

    def of(self, source: Source | None, terms: Terms | None) -> Dialing:
        """The one for `source` and `terms`."""
        key = "" if source is None else source.name, terms
        made = self._made.get(key)
        if made is None:
            if len(self._made) >= KEPT:
                self._made.clear()
            made = self._made[key] = self._make(source, terms)
        return made

    def _make(self, source: Source | None, terms: Terms | None) -> Dialing:
        base = self.default
        preference = base.preference if source is None else source.preference
        return Dialing(
            with_terms(base.settings, terms),
            (source.hostname if source is not None else "") or base.hostname,
            base.open_stream,
            (source.tls if source is not None else None) or base.tls,
            base.monotonic,
            preference,
            preference.is_plain,
            source,
            terms,
            base.match_tlsa,
        )


def with_terms(settings: DeliverySettings, terms: Terms | None) -> DeliverySettings:
    """`settings` with what `terms` say otherwise."""
    if terms is None:
        return settings
    asked = {
        "connection_messages": terms.connection_messages,
        "recipients_per_transaction": terms.recipients,
        "connect_timeout": terms.connect_timeout,
        "command_timeout": terms.command_timeout,
        "data_timeout": terms.data_timeout,
        "done_timeout": terms.done_timeout,
        "tls": terms.tls,
    }
    if terms.tls == "required" and settings.tls == "verified":
        asked["tls"] = ""  # who asks for TLS never gets less of it
    return settings.model_copy(update={name: value for name, value in asked.items() if value})
