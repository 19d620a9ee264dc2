"""Hands spans to OpenTelemetry's own exporter, which sends them as OTLP over HTTP.

The exporter is of the extra ``otel`` and is loaded where it is switched on, nowhere else. A thread
of its own sends what a bounded queue holds; a collector that is away costs spans, never answers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Protocol

from router.errors import ConfigError
from router.record.model import Interaction
from router.settings.model import Settings
from router.settings.telemetry import TelemetrySettings
from router.telemetry.context import RequestSpan, begin_span, enter_span
from router.telemetry.spans import Settled, Span, write_spans
from router.upstream.model import AttemptLog, UpstreamTarget
from router.wire.requests import ChatRequest

_QUEUE = 4096
_BATCH = 512
_DELAY_MS = 2000
_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """``put``: one trace's spans, for the queue; ``close``: sends what is left, then ends."""

    put: Callable[[RequestSpan, Iterator[Span]], None]
    close: Callable[[], None]


class Traced(Protocol):
    """What a tracer reads of an interaction that is over: ``router.outcome.Outcome``."""

    @property
    def request(self) -> ChatRequest: ...
    @property
    def span(self) -> RequestSpan | None: ...
    @property
    def draft_attempts(self) -> Sequence[AttemptLog]: ...
    @property
    def attempts(self) -> Sequence[AttemptLog]: ...


class Tracer:
    """Follows requests from their first byte to what settling knows of them."""

    def __init__(self, settings: TelemetrySettings, exporter: Exporter) -> None:
        self._settings = settings
        self._exporter = exporter
        self._random = random.Random()

    def begin(self, headers: Mapping[str, str], path: str) -> None:
        """What the current task does is for a request with these headers."""
        sampled = self._random.random() < self._settings.sample
        enter_span(begin_span(headers, path, sampled=sampled))

    def export(
        self, traced: Traced, record: Interaction, targets: Mapping[str, UpstreamTarget]
    ) -> None:
        """The interaction is over. What is asked again for the same request adds to its span."""
        span = traced.span
        if span is None:  # asked by no client
            return
        whole, span.told = not span.told, True
        drafts, span.drafts = span.drafts, []
        if not span.sampled:
            return
        settled = Settled(
            request=traced.request,
            record=record,
            logs=(*traced.draft_attempts, *traced.attempts),
            drafts=drafts,
            targets=targets,
            content=self._settings.content,
        )
        self._exporter.put(span, write_spans(span, settled, whole=whole))

    def close(self) -> None:
        """Send what waits; blocks, for some ten seconds at most."""
        self._exporter.close()


def require_exporter(settings: Settings) -> None:
    """Raises ConfigError where telemetry is on and its extra isn't installed."""
    if settings.telemetry is None:
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ConfigError(
            "telemetry needs OpenTelemetry's exporter: install it with pip install"
            " 'tutelage[otel]', or remove telemetry from the configuration."
        )


def build_tracer(settings: Settings) -> Tracer | None:
    """None where telemetry is off."""
    wanted = settings.telemetry
    if wanted is None:
        return None
    headers = settings.secret(wanted.headers_env) if wanted.headers_env else None
    return Tracer(wanted, _open_exporter(wanted, _read_headers(headers or "")))


def _read_headers(text: str) -> dict[str, str]:
    """``name=value,name=value``, as OpenTelemetry's own variables have it."""
    pairs = (pair.partition("=") for pair in text.split(",") if pair.strip())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _open_exporter(settings: TelemetrySettings, headers: dict[str, str]) -> Exporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    release = version("tutelage")
    scope = InstrumentationScope("tutelage", release)
    resource = Resource.create({"service.name": settings.service_name, "service.version": release})
    kinds = {
        "server": SpanKind.SERVER,
        "internal": SpanKind.INTERNAL,
        "client": SpanKind.CLIENT,
    }
    sender = OTLPSpanExporter(
        endpoint=f"{settings.otlp_endpoint}/v1/traces", headers=headers, timeout=_TIMEOUT_S
    )
    queue = BatchSpanProcessor(
        sender,
        max_queue_size=_QUEUE,
        schedule_delay_millis=_DELAY_MS,
        max_export_batch_size=_BATCH,
    )

    def place(trace_id: str, span_id: str, *, remote: bool) -> SpanContext:
        flags = TraceFlags(TraceFlags.SAMPLED)
        return SpanContext(int(trace_id, 16), int(span_id, 16), remote, flags)

    def put(request: RequestSpan, spans: Iterator[Span]) -> None:
        for span in spans:
            parent = None
            if span.parent_id is not None:
                remote = span.kind == "server"
                parent = place(request.trace_id, span.parent_id, remote=remote)
            failed = Status(StatusCode.ERROR, span.error)
            queue.on_end(
                ReadableSpan(
                    name=span.name,
                    context=place(request.trace_id, span.span_id, remote=False),
                    parent=parent,
                    resource=resource,
                    attributes=_write_attributes(span),
                    kind=kinds[span.kind],
                    status=Status(StatusCode.UNSET) if span.error is None else failed,
                    start_time=_to_ns(span.began_at),
                    end_time=_to_ns(max(span.began_at, span.ended_at)),
                    instrumentation_scope=scope,
                )
            )

    return Exporter(put=put, close=queue.shutdown)


def _write_attributes(span: Span) -> dict[str, Any]:
    known = {name: value for name, value in span.attributes.items() if value is not None}
    return known if span.error is None else {**known, "error.type": _kind_of(span)}


def _kind_of(span: Span) -> str:
    """A word of low cardinality: the status where an upstream answered with one."""
    status = span.attributes.get("http.response.status_code")
    if span.kind != "client":
        return str(span.error) if span.kind == "server" else "_OTHER"
    return str(status) if isinstance(status, int) and status >= 400 else "_OTHER"


def _to_ns(at: float) -> int:
    return round(at * 1e9)
