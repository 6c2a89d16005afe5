"""What connections are opened with: settings, our name, TLS, and the source, and why one could not be opened.

A `Dialing` is made once for each source and terms and then kept, so that a message pays a look-up at most, and one
without either nothing. Connections of different ones are never mixed up in the pool. Bounded in number.
"""

import ssl
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from postroad.delivery.balance import Preference
from postroad.delivery.egress import Source
from postroad.delivery.settings import DeliverySettings
from postroad.model.reply import Reply
from postroad.model.route import Target, Terms
from postroad.net.proxy import Proxy
from postroad.net.stream import Stream

KEPT: Final = 1000
REQUIRED: Final = "required"
OFF: Final = "off"

PoolKey = Target | tuple[Target, str, Terms | None]


class OpenStream(Protocol):
    """How a connection is made: `net.stream.open_stream`."""

    async def __call__(
        self, address: str, port: int, *, source: str = "", proxy: Proxy | None = None, timeout: float
    ) -> Stream:
        """Connect to address and port, or to a unix socket with port 0, within seconds; PeerError when that fails."""


class Dialing(Struct, frozen=True):
    """What connections are opened with; `monotonic` is the clock's, `tls` gives the context of a new connection.

    `preference` says which targets suit; `source` and `terms` are None where nothing asks for them.
    """

    settings: DeliverySettings
    hostname: str
    open_stream: OpenStream
    tls: Callable[[], ssl.SSLContext]
    monotonic: Callable[[], float]
    preference: Preference
    is_plain: bool
    source: Source | None = None
    terms: Terms | None = None

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

    `tls_failed`: plain text may do; `lacks_tls`: it may not, and the peer has no TLS or none that works; `egress`: our
    source or its proxy is the trouble.
    """

    command: str
    words: str = ""
    refused: Reply | None = None
    tls_failed: bool = False
    lacks_tls: bool = False
    egress: bool = False


class Dialings:
    """Every way of dialing, made when it is first needed."""

    __slots__ = ("_made", "default")

    def __init__(
        self,
        settings: DeliverySettings,
        *,
        hostname: str,
        open_stream: OpenStream,
        tls: Callable[[], ssl.SSLContext],
        monotonic: Callable[[], float],
    ) -> None:
        """`default` is what mail without source and terms gets."""
        preference = Preference("", settings.ip)
        self.default = Dialing(
            settings, hostname, open_stream, tls, monotonic, preference, is_plain=preference.is_plain
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
    return settings.model_copy(update={name: value for name, value in asked.items() if value})
