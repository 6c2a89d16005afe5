"""tls-exporter: both ends of a connection have the same, two connections have not, and TLS 1.2 has none."""

import ssl
import subprocess
from pathlib import Path

import pytest

from postroad.net.tls.exporter import OCTETS, Exporter, _pointer_of


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout both -out crt"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True, timeout=60)
    both = folder / "both"
    both.write_bytes(both.read_bytes() + (folder / "crt").read_bytes())
    return both


def pair(certificate: Path, version: ssl.TLSVersion) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a connection in memory."""
    serving, asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    serving.load_cert_chain(certificate)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    asking.minimum_version = asking.maximum_version = version
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(there, back, server_side=True)
    client = asking.wrap_bio(back, there)
    waiting = {client, server}
    for _ in range(10):
        for one in (client, server):
            if one in waiting:
                try:
                    one.do_handshake()
                    waiting.discard(one)
                except ssl.SSLWantReadError:
                    pass
    assert not waiting
    return client, server


def test_both_ends_have_the_same(certificate: Path) -> None:
    exporter = Exporter()
    found = [tuple(map(exporter.binding, pair(certificate, ssl.TLSVersion.TLSv1_3))) for _ in range(2)]
    for client, server in found:
        assert client == server
        assert len(client) == OCTETS
    assert found[0] != found[1]


def test_older_versions_have_none(certificate: Path) -> None:
    assert Exporter().binding(pair(certificate, ssl.TLSVersion.TLSv1_2)[1]) == b""


def test_nothing_is_believed_of_what_is_laid_out_otherwise() -> None:
    class Short:
        __slots__ = ()

    class Like:
        __slots__ = ("a", "b", "context")  # in memory in this order
        a: object
        b: object
        context: object

    class Unlike:
        __slots__ = ("context", "x", "y")
        context: object
        x: object
        y: object

    like, unlike = Like(), Unlike()
    like.a = like.b = unlike.x = unlike.y = None
    like.context = unlike.context = object()
    assert _pointer_of(Short()) == 0
    assert _pointer_of(like) == id(None)
    assert _pointer_of(unlike) == 0
