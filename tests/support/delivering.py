"""What tests of delivery share: messages as works, a Deliverer over real sockets, large content in memory."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from postroad.delivery.deliver import Deliverer
from postroad.delivery.dialing import MatchTlsa
from postroad.delivery.egress import Egress
from postroad.delivery.settings import DeliverySettings
from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.content import Content
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import SpoolError
from postroad.model.outcome import Outcome
from postroad.model.records import Record
from postroad.model.route import LMTP, SMTP, Route, Target
from postroad.model.security import TlsObserver
from postroad.model.work import Place, Stored, Work
from postroad.net.clock import Clock, SystemClock
from postroad.net.stream import open_stream
from postroad.net.tls.client import ClientContexts
from tests.support.peer import Peer

ID = "3Pt2mN2VXxznj"
PREFIX = "Received: by relay.example.com\r\n"
CONTENT = b"From: <alice@example.org>\r\nSubject: test\r\n\r\nHello\r\n.\r\n..\r\n"
SENT = PREFIX.encode() + CONTENT


class Large:
    """Content as the spool gives it when it is large; `broken` makes reading fail from that octet on."""

    def __init__(self, octets: bytes, broken: int | None = None) -> None:
        self.octets = octets
        self.broken = broken

    @property
    def size(self) -> int:
        """Octets in all."""
        return len(self.octets)

    async def read(self, offset: int, length: int) -> bytes:
        """A part, after the event loop had its turn, as with a disk."""
        await asyncio.sleep(0)
        if self.broken is not None and offset + length > self.broken:
            raise SpoolError("disk error")
        return self.octets[offset : offset + length]


def make_works(
    *addresses: str | Recipient, sender: str = "alice@example.org", content: Content = CONTENT, **fields: object
) -> list[Work]:
    """One message for `addresses`; `fields` are the envelope's."""
    recipients = tuple(
        address if isinstance(address, Recipient) else Recipient(parse_mailbox(address))
        for address in addresses or ("bob@example.net",)
    )
    size = len(content) if isinstance(content, bytes) else content.size
    mailbox = parse_mailbox(sender) if sender else Mailbox()
    fields = {"prefix": PREFIX, **fields}
    envelope = Envelope(ID, mailbox, recipients, 1_763_942_400_000_000, size, **fields)  # type: ignore[arg-type]  # by name
    stored = Stored(envelope, Place("main", 0, 0, 0), content)
    return [Work(stored, index, "lane") for index in range(len(recipients))]


def to(*peers: Peer | Target, **fields: object) -> Route:
    """A route to `peers` in order; `fields` are the route's."""
    targets = []
    for peer in peers:
        if isinstance(peer, Target):
            targets.append(peer)
        elif peer.path is not None:
            targets.append(Target(LMTP, "localhost", str(peer.path), 0))
        else:
            targets.append(Target(LMTP if peer.lmtp else SMTP, "peer.example.net", peer.host, peer.port))
    return Route("lane", tuple(targets), "test", **fields)  # type: ignore[arg-type]  # by name


class Sender:
    """A Deliverer; use as an async context manager. `settings` are those of DeliverySettings."""

    def __init__(
        self,
        folder: Path = Path("/nonexistent"),
        *,
        clock: Clock | None = None,
        egress: Egress | None = None,
        ca: str = "",
        match_tlsa: MatchTlsa | None = None,
        observe_tls: TlsObserver | None = None,
        **settings: Any,
    ) -> None:
        settings = {"tls": "off", **settings}
        self.records: list[Record] = []
        self.deliverer = Deliverer(
            settings=DeliverySettings(**settings),
            hostname="relay.example.com",
            clock=clock or SystemClock(),
            open_stream=open_stream,
            capture_folder=folder,
            tls=ClientContexts(ca=ca, monotonic=clock.monotonic) if clock is not None else ClientContexts(ca=ca),
            egress=egress or Egress({}, {}),
            emit=self.records.append,
            match_tlsa=match_tlsa,
            observe_tls=observe_tls,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.deliverer.close()

    async def send(self, route: Route, works: Sequence[Work] | None = None) -> list[Outcome]:
        """Deliver `works`."""
        works = list(works if works is not None else make_works())
        content = works[0].stored.content
        assert content is not None
        return await self.deliverer.deliver(route, works, content)
