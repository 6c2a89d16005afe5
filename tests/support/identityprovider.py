"""A fake identity provider: OpenID discovery, a JWKS and introspection over HTTPS, with a test CA and real signatures.

It serves in threads on one loopback port, can be slow, dead, or say something else than it should, and counts what it
is asked. `sign` makes tokens with its keys, whatever they claim.
"""

import base64
import json
import ssl
import threading
import time
import warnings
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs

from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tests.support.slapd import make_ca

AUDIENCE: Final = "smtp.example.com"
DISCOVERY: Final = "/realm/.well-known/openid-configuration"
ALGORITHMS: Final = ("none", "HS256", "RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
Signer = RSAKey | ECKey | OKPKey | OctKey


class IdentityProvider:
    """The provider; `folder` gets its CA. `keys` are published under their ids."""

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        make_ca(folder)
        self.ca = folder / "ca.pem"
        self.keys: dict[str, Signer] = {"rsa": RSAKey.generate_key(2048), "ec": ECKey.generate_key("P-256")}
        self.keys["ed"] = OKPKey.generate_key("Ed25519")
        self.hidden: set[str] = set()  # keys that are not published
        self.extra: list[dict[str, object]] = []  # published beside them
        self.bodies: dict[str, bytes] = {}  # what is said instead, by path
        self.active: dict[str, dict[str, object]] = {}  # opaque tokens and what they stand for
        self.asked: list[str] = []
        self.authorized: list[str] = []
        self.gate = threading.Event()  # while it is not set, nothing is answered
        self.gate.set()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.provider = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Serve no more; its port refuses connections."""
        self.gate.set()
        self._server.shutdown()
        self.close()
        self._thread.join(30)

    def close(self) -> None:
        """Give up the port, when it never served."""
        self._server.server_close()

    @property
    def issuer(self) -> str:
        return f"https://localhost:{self.port}/realm"

    def jwks(self) -> dict[str, object]:
        """The published keys."""
        keys = [
            {**key.as_dict(private=False), "kid": kid, "use": "sig"}
            for kid, key in self.keys.items()
            if kid not in self.hidden
        ]
        return {"keys": [*keys, *self.extra]}

    def answer(self, path: str) -> bytes | None:
        """What is said at `path`."""
        if path in self.bodies:
            return self.bodies[path]
        if path == DISCOVERY:
            return json.dumps({"issuer": self.issuer, "jwks_uri": f"https://localhost:{self.port}/keys"}).encode()
        return json.dumps(self.jwks()).encode() if path == "/keys" else None

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a sound token for alice; None leaves one out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "1234",
            "email": "alice@example.com",
            "email_verified": True,
            "iat": now - 3600,  # long enough before the hand-driven clocks of tests
            "exp": now + 7200,
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, alg: str = "RS256", kid: str = "rsa", *, key: Signer | None = None, **claims: Any) -> str:
        """A token with `claims` over the sound ones."""
        return self.sign_with({"alg": alg, "kid": kid, "typ": "at+jwt"}, key or self.keys[kid], self.claims(**claims))

    def sign_with(self, header: Mapping[str, Any], key: Signer | None, claims: Mapping[str, Any]) -> str:
        """A token with exactly this header."""
        payload = json.dumps(claims).encode()
        if key is None:
            return f"{encode(json.dumps(header).encode())}.{encode(payload)}."
        registry = jws.JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old names of algorithms are what many providers use
            return jws.serialize_compact(dict(header), payload, key, algorithms=list(ALGORITHMS), registry=registry)


def encode(octets: bytes) -> str:
    """Base64 for URLs without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    provider: IdentityProvider

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust us, or gave up, is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.0"  # no connection outlives its answer, nor the server

    def do_GET(self) -> None:
        provider = self.server.provider
        provider.asked.append(self.path)
        provider.gate.wait(120)
        self._say(provider.answer(self.path))

    def do_POST(self) -> None:
        provider = self.server.provider
        provider.asked.append(self.path)
        provider.authorized.append(self.headers.get("Authorization", ""))
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        provider.gate.wait(120)
        said = provider.active.get(form["token"][0])
        self._say(json.dumps({"active": False} if said is None else {"active": True, **said}).encode())

    def _say(self, body: bytes | None) -> None:
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""
