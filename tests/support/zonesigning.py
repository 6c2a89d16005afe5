"""Zones signed in this process, with dates as a test wants them, and a forger between a resolver and its authority."""

import socket
import threading
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

import dns.dnssec
import dns.message
import dns.name
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.dnssectypes import Algorithm

WAIT_SECONDS = 30.0


def sign_expired(zone: str, text: str) -> tuple[str, str]:
    """The master file `text` with signatures that ended long ago, and the trust anchor that they lead to."""
    origin = dns.name.from_text(zone)
    parsed = dns.zone.from_text(text, origin, relativize=False)
    key = ec.generate_private_key(ec.SECP256R1())
    public = dns.dnssec.make_dnskey(key.public_key(), Algorithm.ECDSAP256SHA256, flags=257)
    end = datetime.now(UTC) - timedelta(days=10)  # Unbound forgives a day
    with parsed.writer() as transaction:
        dns.dnssec.sign_zone(
            zone=parsed,
            txn=transaction,
            keys=[(key, public)],
            inception=end - timedelta(days=30),
            expiration=end,
            dnskey_ttl=300,
        )
    return parsed.to_text(relativize=False), f"{origin} DS {dns.dnssec.make_ds(origin, public, 'SHA256')}"


class Forger:
    """Stands between a resolver and an authority, and says of all TLSA records that there are none."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.authority = 0
        self.forged = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(WAIT_SECONDS)
        self._socket.close()

    def stand_before(self, authority: int) -> None:
        """What is no TLSA record is asked of this port of 127.0.0.1."""
        self.authority = authority

    def _run(self) -> None:
        while True:
            data, client = self._socket.recvfrom(65535)
            if not data:
                return
            question = dns.message.from_wire(data)
            if question.question[0].rdtype == dns.rdatatype.TLSA:
                self.forged += 1
                self._socket.sendto(dns.message.make_response(question).to_wire(), client)
                continue
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as up:
                up.settimeout(WAIT_SECONDS)
                up.sendto(data, ("127.0.0.1", self.authority))
                self._socket.sendto(up.recv(65535), client)
