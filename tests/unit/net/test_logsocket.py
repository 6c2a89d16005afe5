"""Log messages over real sockets: framed, whole or counted, and TLS that knows whom it speaks to."""

import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from postroad.net.logsocket import DEADLINE, LogAddress, LogSocket, _whole


class Server(threading.Thread):
    """Takes connections one after another and keeps what comes."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(30)
        self.port = int(self.listener.getsockname()[1])
        self.context = context
        self.received: list[bytes] = []

    @staticmethod
    def _secured(context: ssl.SSLContext, peer: socket.socket) -> ssl.SSLSocket:
        return context.wrap_socket(peer, server_side=True, suppress_ragged_eofs=False)

    def run(self) -> None:
        try:
            peer, _ = self.listener.accept()
            with peer:
                peer.settimeout(30)
                stream = peer if self.context is None else self._secured(self.context, peer)
                with stream:
                    data = b""
                    while more := stream.recv(65536):
                        data += more
                    self.received.append(data)
        except OSError as error:
            self.received.append(str(error).encode())
        finally:
            self.listener.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # an end without the word of TLS is one cut short (RFC 5425 4.4)
    return cert, context


def test_tcp_counts_octets() -> None:
    server = Server()
    server.start()
    out = LogSocket(LogAddress("tcp", host="127.0.0.1", port=server.port))
    assert out.send([b"one", b"z" * 100_000]) == (2, "")
    begun = time.monotonic()
    assert out.send([b"\xc3\xa9"]) == (1, "")
    assert time.monotonic() - begun < DEADLINE  # looking whether the peer is gone waits for nothing
    out.close()
    server.join(30)
    assert server.received == [b"3 one100000 " + b"z" * 100_000 + b"2 \xc3\xa9"]


def test_tls(certificate: tuple[Path, ssl.SSLContext]) -> None:
    cert, context = certificate
    server = Server(context)
    server.start()
    out = LogSocket(LogAddress("tls", host="127.0.0.1", port=server.port, ca=str(cert)))
    assert out.send([b"one"]) == (1, "")
    assert out.send([b"two"]) == (1, "")
    out.close()
    server.join(30)
    assert server.received == [b"3 one3 two"]


def test_tls_with_a_certificate_that_nobody_vouches_for(certificate: tuple[Path, ssl.SSLContext]) -> None:
    server = Server(certificate[1])
    server.start()
    out = LogSocket(LogAddress("tls", host="127.0.0.1", port=server.port))
    sent, fault = out.send([b"one"])
    assert sent == 0
    assert "verify failed" in fault
    server.join(30)
    assert b"one" not in server.received[0]


def test_a_stream_that_the_peer_closed_is_left_before_anything_is_lost() -> None:
    first = Server()
    peer = LogSocket(LogAddress("tcp", host="127.0.0.1", port=first.port))
    first.listener.listen()
    assert peer.send([b"one"]) == (1, "")
    taken, _ = first.listener.accept()
    taken.close()
    assert peer.send([b"two"]) == (1, "")
    again, _ = first.listener.accept()
    with again:
        assert again.recv(100) == b"3 two"
    peer.close()
    first.listener.close()


def test_a_peer_that_does_not_read_is_given_up_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = LogAddress("tcp", host="127.0.0.1", port=int(listener.getsockname()[1]))
        out = LogSocket(address, deadline=0.2)
        sent, fault = out.send([b"x" * 1_000_000] * 100)
        assert sent < 100
        assert "timed out" in fault
        out.close()


def test_a_name_that_is_none_and_a_socket_that_is_not_there(tmp_path: Path) -> None:
    for address in (
        LogAddress("udp", host="no-such-host.invalid", port=514),
        LogAddress("unix", path=str(tmp_path / "none")),
        LogAddress("tls", host="127.0.0.1", port=9, ca=str(tmp_path / "none.pem")),
    ):
        sent, fault = LogSocket(address).send([b"x"])
        assert sent == 0
        assert fault.startswith(f"{address}: ")


def test_how_many_frames_are_whole() -> None:
    frames = [b"ab", b"c", b"defg"]
    assert [_whole(frames, done) for done in range(8)] == [0, 0, 1, 2, 2, 2, 2, 3]
