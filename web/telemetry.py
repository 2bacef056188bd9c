"""The one place that knows the OpenTelemetry library; loaded by `web.tracing` where traces are made.

Spans are handed to a thread that sends them in groups by OTLP over HTTP. A receiver that is slow or gone
costs spans, never work: the queue is bounded, and nobody waits for it but the end of a process, briefly.
"""

from __future__ import annotations

import atexit
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import SpanKind, Status, StatusCode

from web.redaction import redact
from web.spans import NOTHING, Carrier, Facts

NAME = "batch-job-scheduler"
KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}
FLUSH_SECONDS = 1.0
LEAVE_SECONDS = 3.0
MAX_REASON = 500

_chosen: ContextVar[int | None] = ContextVar("chosen_trace_id", default=None)
_one_starts = threading.Lock()


class _Ids(RandomIdGenerator):
    """Random ids, but for the trace of an execution, which has the execution's own."""

    def generate_trace_id(self) -> int:
        return _chosen.get() or super().generate_trace_id()


class _Fair(Sampler):
    """The configured sampler, asked about a mixed id.

    Samplers by ratio take the lower half of the id for random; in a UUID some of its bits are fixed, and
    10 % would become none. All attempts of an execution still get one answer.
    """

    def __init__(self, chosen: Sampler) -> None:
        self._chosen = chosen

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, *args: Any, **options: Any
    ) -> SamplingResult:
        mixed = hashlib.blake2b(trace_id.to_bytes(16, "big"), digest_size=16).digest()
        return self._chosen.should_sample(
            parent_context, int.from_bytes(mixed, "big"), name, *args, **options
        )

    def get_description(self) -> str:
        return self._chosen.get_description()


class LiveSpan:
    """A span that is being made; `web.tracing.Span` says what each verb promises."""

    def __init__(self, made: trace.Span) -> None:
        self.made = made
        self.dropped = False

    def note(self, facts: Facts) -> None:
        self.made.set_attributes(dict(facts))

    def rename(self, name: str) -> None:
        self.made.update_name(name)

    def fail(self, reason: str) -> None:
        self.made.set_status(Status(StatusCode.ERROR, redact(reason)[:MAX_REASON]))

    def drop(self) -> None:
        self.dropped = True


@contextmanager
def open_span(
    name: str, kind: str, facts: Facts, *, trace_id: UUID | None, parent: Carrier
) -> Iterator[LiveSpan]:
    """See `web.tracing.span`."""
    span = LiveSpan(_begin(name, kind, facts, trace_id, parent))
    try:
        with _current(span.made):
            yield span
    except BaseException as error:
        span.fail(f"{type(error).__name__}: {error}")
        raise
    finally:
        if not span.dropped:  # one that never ends is never sent
            span.made.end()


def _begin(name: str, kind: str, facts: Facts, trace_id: UUID | None, parent: Carrier) -> trace.Span:
    context = propagate.extract(parent) if parent else None
    token = _chosen.set(trace_id.int if trace_id else None)
    try:
        if trace_id is not None:
            context = trace.set_span_in_context(trace.INVALID_SPAN)  # a trace of its own
        return _tracer().start_span(name, context=context, kind=KINDS[kind], attributes=dict(facts))
    finally:
        _chosen.reset(token)


def _current(span: trace.Span) -> Any:
    return trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)


def current() -> LiveSpan:
    """The span that is open here; one that takes everything and tells nothing where there is none."""
    return LiveSpan(trace.get_current_span())


def carrier() -> dict[str, str]:
    """See `web.tracing.carrier`."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


def ids() -> Carrier:
    """See `web.tracing.ids`."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return NOTHING
    return {
        "traceId": trace.format_trace_id(context.trace_id),
        "spanId": trace.format_span_id(context.span_id),
    }


def flush() -> None:
    """See `web.tracing.flush`."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        # In a thread, because the library does not keep to a time of its own.
        thread = threading.Thread(target=provider.force_flush, name="traces", daemon=True)
        thread.start()
        thread.join(FLUSH_SECONDS)


def _tracer() -> trace.Tracer:
    with _one_starts:
        return _start()


@lru_cache(maxsize=1)
def _start() -> trace.Tracer:
    """The process's tracer; whoever set a provider before us (an agent of the operator's) is respected."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(_make_provider())
    return trace.get_tracer(NAME, settings.VERSION)


def _make_provider() -> TracerProvider:
    """Samples as OTEL_TRACES_SAMPLER says, sends where OTEL_EXPORTER_OTLP_ENDPOINT says."""
    provider = TracerProvider(resource=_describe(), id_generator=_Ids(), shutdown_on_exit=False)
    provider.sampler = _Fair(provider.sampler)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _leave_with(provider)
    return provider


def _describe() -> Resource:
    """Who we are; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins."""
    ours = Resource(
        {SERVICE_NAME: NAME, SERVICE_VERSION: settings.VERSION, SERVICE_INSTANCE_ID: str(uuid4())}
    )
    said = OTELResourceDetector().detect()
    return Resource.create().merge(ours).merge(said)


def _leave_with(provider: TracerProvider) -> None:
    """At the end of the process send what is left, within LEAVE_SECONDS.

    The library itself would wait for as long as a dead receiver takes. The thread is made now, because none
    can be made at the end.
    """
    told = threading.Event()

    def leave() -> None:
        told.wait()
        provider.shutdown()

    thread = threading.Thread(target=leave, name="traces", daemon=True)
    thread.start()

    def leave_in_time() -> None:
        told.set()
        thread.join(LEAVE_SECONDS)

    atexit.register(leave_in_time)
