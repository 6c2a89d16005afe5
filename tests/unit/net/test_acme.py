"""What stands around an order by ACME: stand-ins, the listener that proves names, bounds in time, secrets unseen."""

import asyncio
import hashlib
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509

from postroad.model.acme import Account, Wanted
from postroad.model.errors import AcmeError, ConfigError
from postroad.net.acme.alpnserver import PEERS, AlpnServer
from postroad.net.acme.challenges import ALPN, Challenges
from postroad.net.acme.ordering import Pace
from postroad.net.acme.transport import Door
from postroad.net.apart import apart
from postroad.net.clock import SystemClock
from postroad.net.process.inherited import Inherited
from postroad.net.tls.keyfiles import KeyFiles, KeyStore, load_octets
from postroad.net.tls.selfsigned import make_stand_in, proof
from tests.support.authority import Authority
from tests.support.clock import ManualClock

NAME = "relay.example.com"
IDENTIFIER = "1.3.6.1.5.5.7.1.31"


def test_a_stand_in_until_there_is_something_sound(tmp_path: Path) -> None:
    file = tmp_path / "certificate.pem"
    files, keys = KeyFiles(file, file), KeyStore()
    keys.stand_in(files, lambda: make_stand_in((NAME, "b.example.com"), SystemClock().now()))
    keys.stand_in(files, lambda: pytest.fail("it is made once"))
    stand_in = keys.read(files, or_kept=True)
    assert stand_in.facts.names == (NAME, "b.example.com")
    with pytest.raises(ConfigError):
        keys.read(files)
    file.write_text("half of a file")
    assert keys.read(files, or_kept=True).facts == stand_in.facts
    own = Authority(tmp_path).issue("own", [NAME])
    file.write_bytes(own.key.read_bytes() + own.certificate.read_bytes())
    real = keys.read(files)
    assert real.facts.fingerprint != stand_in.facts.fingerprint
    file.write_text("broken again")
    assert keys.read(files, or_kept=True) is real, "what was sound is better than a stand-in"


async def handshake(port: int, name: str, *protocols: str) -> tuple[str, bytes]:
    """What was negotiated by ALPN, and the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    async with asyncio.timeout(30):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        connection = writer.get_extra_info("ssl_object")
        found = connection.selected_alpn_protocol(), connection.getpeercert(binary_form=True)
        writer.close()
    return found


async def test_names_are_proven_while_an_order_is_under_way() -> None:
    """RFC 8737 3: one name, the digest in a critical extension, and no other name is answered for."""
    shown = Challenges()
    server = AlpnServer(("127.0.0.1:0",), shown)
    (where,) = await server.bind(Inherited(()))
    await server.start()
    port = int(where.rpartition(":")[2])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await handshake(port, NAME, ALPN)
    pem = proof(NAME, "token.thumbprint", SystemClock().now())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_octets(context, pem, pem)
    context.set_alpn_protocols([ALPN])
    shown.show_context(NAME, context)
    protocol, octets = await handshake(port, NAME, ALPN)
    assert protocol == ALPN
    certificate = x509.load_der_x509_certificate(octets)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == [NAME]
    found = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(IDENTIFIER))
    assert found.critical
    assert found.value.public_bytes()[2:] == hashlib.sha256(b"token.thumbprint").digest()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await handshake(port, "other.example.com", ALPN)
    shown.clear()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await handshake(port, NAME, ALPN)
    await server.stop()


async def test_who_says_nothing_is_bounded() -> None:
    server = AlpnServer(("127.0.0.1:0",), Challenges())
    (where,) = await server.bind(Inherited(()))
    await server.start()
    peers = [await asyncio.open_connection("127.0.0.1", int(where.rpartition(":")[2])) for _ in range(PEERS + 1)]
    async with asyncio.timeout(30):
        await asyncio.wait([asyncio.ensure_future(peer[0].read()) for peer in peers], return_when="FIRST_COMPLETED")
    assert len(server.peers) == PEERS
    await server.stop()
    assert not server.peers
    for _, writer in peers:
        writer.close()


async def test_a_port_that_is_taken_is_named() -> None:
    first = AlpnServer(("127.0.0.1:0",), Challenges())
    (where,) = await first.bind(Inherited(()))
    await first.start()
    with pytest.raises(ConfigError, match=f"acme.bind: cannot listen on {where}"):
        await AlpnServer((where,), Challenges()).bind(Inherited(()))
    await first.stop()


def test_an_order_has_an_end() -> None:
    clock, stop = ManualClock(), threading.Event()
    pace = Pace(clock, stop, 60.0)
    assert pace.check() == 60.0
    clock.advance(61)
    with pytest.raises(AcmeError, match="not done in time"):
        pace.check()
    late = Pace(clock, stop, 60.0)
    stop.set()
    with pytest.raises(AcmeError, match="stopped"):
        late.wait(1000.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("Tue, 14 Nov 2023 22:15:20 GMT", 120.0),  # the clock stands at 22:13:20
        ("Tue, 14 Nov 2023 22:15:20 -0000", 120.0),
        ("Tue, 14 Nov 2023 20:00:00 GMT", 0.0),
    ],
)
def test_what_a_ca_asks_for(text: str, seconds: float) -> None:
    door = Door(Pace(ManualClock(), threading.Event(), 60.0), trust=True)
    assert door._wish(text) == seconds


def test_secrets_are_not_shown() -> None:
    wanted = Wanted("https://ca/", (NAME,), kid="kid", secret="hidden")
    account = Account("hidden", "https://ca/1")
    assert "hidden" not in f"{wanted!r} {wanted} {account!r} {account} {wanted.plan}"


async def test_work_apart() -> None:
    assert await apart("test", threading.current_thread) is not threading.current_thread()
    with pytest.raises(AcmeError, match="no"):
        await apart("test", fails)


def fails() -> None:
    raise AcmeError("no")
