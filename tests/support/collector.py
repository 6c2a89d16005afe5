"""A collector of traces: a real HTTP server that reads requests with OpenTelemetry's own classes.

It can refuse, in whole or in part, hang, close connections between requests, die and come back on its port.
"""

import gzip
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2 as proto

from tests.support.ports import free_port

KEY = "x-api-key"
SECRET = "q9-a-key-that-no-log-may-have"


class Got(NamedTuple):
    """A span as it arrived, its attributes as a dictionary, and those of its resource."""

    span: proto.Span
    attributes: dict[str, Any]
    resource: dict[str, Any]

    @property
    def name(self) -> str:
        return self.span.name


def plain(pairs: Any) -> dict[str, Any]:
    """Attributes as a dictionary; a name that comes twice is a fault."""
    found: dict[str, Any] = {}
    pair: KeyValue
    for pair in pairs:
        assert pair.key not in found, pair.key
        found[pair.key] = getattr(pair.value, str(pair.value.WhichOneof("value")))
    return found


class Collector:
    """The receiver; use as a context manager. `status` is what it answers, `reject` how many spans it refuses."""

    def __init__(self) -> None:
        self.port = free_port()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.reject = 0
        self.closes = False
        self.hangs = False
        self.bodies: list[bytes] = []  # of each request, whatever became of it
        self.seen: list[Mapping[str, str]] = []
        self._taken: list[Got] = []
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def place(self) -> str:
        return f"otlp+http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Got]:
        """All spans that were taken, in order."""
        with self._lock:
            return list(self._taken)

    def named(self, name: str) -> list[Got]:
        return [got for got in self.spans if got.name == name]

    def start(self) -> None:
        """Listen."""
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.collector = self
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Nobody listens any more."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Judge one request: its status, and the body of the answer."""
        with self._lock:
            self.bodies.append(body)
            self.seen.append(headers)
            if self.status != 200:
                return self.status, b""
            if path != "/v1/traces" or headers["content-type"] != "application/x-protobuf":
                return 404, b""
            request = ExportTraceServiceRequest.FromString(gzip.decompress(body))
            for whole in request.resource_spans:
                resource = plain(whole.resource.attributes)
                for scope in whole.scope_spans:
                    self._taken += [Got(span, plain(span.attributes), resource) for span in scope.spans]
            answer = ExportTraceServiceResponse()
            if self.reject:
                answer.partial_success.rejected_spans = self.reject
                answer.partial_success.error_message = "too old"
            return 200, answer.SerializeToString()


class _Server(ThreadingHTTPServer):
    collector: Collector
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that was cut is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_POST(self) -> None:
        collector = self.server.collector
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if collector.hangs:
            collector.bodies.append(body)
            self.rfile.read(1)  # until the other side goes
            self.close_connection = True
            return
        status, answer = collector.take(self.path, {name.lower(): text for name, text in self.headers.items()}, body)
        self.send_response(status)
        for name, value in collector.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.close_connection = collector.closes  # without having said so

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as the base has it
        """Say nothing."""
