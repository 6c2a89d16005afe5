"""Traces for a collector, by the OpenTelemetry Protocol over HTTP (OTLP 1.x, protobuf).

The messages are those of the official package opentelemetry-proto, and this module alone imports it. A batch of
records becomes one request, made once: while the collector is away the same octets are sent again, with pauses that
double up to `retry_max` or as it asks. What it refuses for good, whole or in part, is lost and counted. The thread
that waits is the sink's own; records wait behind it in the sink's bounded queue, and mail never does.
"""

import asyncio
import gzip
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from google.protobuf.message import DecodeError
from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2 as proto

from postroad import VERSION
from postroad.model.records import Record, RecordsDropped
from postroad.net.clock import Clock
from postroad.net.http.fetching import Answer
from postroad.net.http.poster import Poster, pause_after
from postroad.observe.outlet import Around, MakeOutlet, Outlet
from postroad.observe.settings import SinkSettings
from postroad.observe.spans import Attributes, Span, Value
from postroad.observe.tracing import Tracing

AGAIN: Final = frozenset({0, 429, 502, 503, 504})  # no answer, or one after which the protocol asks to try again
SAMPLED: Final = 1  # the flag of W3C Trace Context
_FIXED: Final = (("Content-Type", "application/x-protobuf"), ("Content-Encoding", "gzip"))


class OtlpTerms(Struct, frozen=True):
    """What goes with each request, and the longest pause between two, in seconds."""

    headers: Mapping[str, str]
    resource: Attributes
    retry_max: float


class OtlpOutlet:
    """An `Outlet` that sends the spans of records."""

    def __init__(self, tracing: Tracing, poster: Poster, clock: Clock, terms: OtlpTerms) -> None:
        """Nothing is connected before the first `write`."""
        self.fault = ""
        self.lost = 0
        self._tracing = tracing
        self._poster = poster
        self._clock = clock
        self._headers = {**terms.headers, **dict(_FIXED)}
        self._resource = _pairs(terms.resource)
        self._retry_max = terms.retry_max
        self._runner: asyncio.Runner | None = None
        self._last: Record | None = None  # of the records that `_body` was made of
        self._body = b""
        self._tries = 0
        self._not_before = float("-inf")

    def write(self, records: Sequence[Record]) -> int:
        """Send the spans of `records`: all of them or none."""
        if records[-1] is not self._last:  # else the same again, that was not taken
            spans = [span for record in records for span in self._tracing.spans_of(record)]
            self._last, self._body, self._tries = records[-1], self._request(spans), 0
        if not self._body:
            return len(records)
        if self._clock.monotonic() < self._not_before:
            return 0
        answer = self._send()
        if answer.status in AGAIN:
            self.fault = str(answer)
            self._tries += 1
            self._not_before = self._clock.monotonic() + pause_after(self._tries, answer, longest=self._retry_max)
            return 0
        self._body, self._not_before = b"", float("-inf")
        self.fault = ""
        count, words = refused_part(answer.body)
        if not 200 <= answer.status < 300:
            count, words = sum(type(record) is not RecordsDropped for record in records), str(answer)
        if count:
            self.fault = words
            self.lost += count
        return len(records)

    def idle(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Close the connection."""
        if self._runner is not None:
            self._runner.run(self._poster.__aexit__(None, None, None))
            self._runner.close()

    def _request(self, spans: Sequence[Span]) -> bytes:
        if not spans:
            return b""
        scope = proto.ScopeSpans(spans=[encoded(span) for span in spans])
        scope.scope.name, scope.scope.version = "postroad", VERSION
        whole = proto.ResourceSpans(scope_spans=[scope])
        whole.resource.attributes.extend(self._resource)
        return gzip.compress(ExportTraceServiceRequest(resource_spans=[whole]).SerializeToString(), 1)

    def _send(self) -> Answer:
        if self._runner is None:
            runner = asyncio.Runner()
            try:
                runner.run(self._poster.__aenter__())
            except OSError as error:  # the file of certificates
                runner.close()
                return Answer(0, f"{error.filename or 'ca'}: {error.strerror or error}")
            self._runner = runner
        # A kept connection may have been closed meanwhile; spans that come again are the same ones, by their ids.
        return self._runner.run(self._poster.ask(self._body, self._headers))


def refused_part(body: bytes) -> tuple[int, str]:
    """How many spans a collector did not take although it answered 2xx, and why, in words."""
    try:
        partly = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:  # something else answers there
        return 0, ""
    return partly.rejected_spans, f"{partly.rejected_spans} spans were refused: {partly.error_message}"


def encoded(span: Span) -> proto.Span:
    """`span` as the protocol has it."""
    out = proto.Span(
        trace_id=span.place.trace,
        span_id=span.place.span,
        parent_span_id=span.parent,
        flags=SAMPLED,
        name=span.name,
        kind=proto.Span.SpanKind.Value(f"SPAN_KIND_{span.kind.name}"),
        start_time_unix_nano=span.start * 1000,
        end_time_unix_nano=span.end * 1000,
        attributes=_pairs(span.attributes),
        events=[
            proto.Span.Event(time_unix_nano=event.at * 1000, name=event.name, attributes=_pairs(event.attributes))
            for event in span.events
        ],
        links=[proto.Span.Link(trace_id=there.trace, span_id=there.span, flags=SAMPLED) for there in span.links],
    )
    if span.error:
        out.status.code, out.status.message = proto.Status.STATUS_CODE_ERROR, _clean(span.error)
    return out


def _pairs(attributes: Attributes) -> Iterable[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in attributes.items()]


def _value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=_clean(value))


def _clean(text: str) -> str:
    """`text` fit for UTF-8, which the protocol insists on."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _make(name: str, settings: SinkSettings, around: Around, clock: Clock) -> Outlet:
    poster = Poster(
        settings.destination.url, timeout=settings.timeout, agent=f"postroad/{VERSION}", ca=settings.ca_file
    )
    resource: dict[str, Value] = {
        "service.name": "postroad",
        "service.version": VERSION,
        "host.name": around.hostname,
        "process.pid": os.getpid(),
    }
    terms = OtlpTerms(around.headers.get(name, {}), resource, settings.retry_max)
    return OtlpOutlet(Tracing(settings.ratio), poster, clock, terms)


make_otlp: Final[MakeOutlet] = _make
