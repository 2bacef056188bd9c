"""Traces in the form of OpenTelemetry, where OTEL_ settings name a receiver and the extra is installed.

Everywhere else nothing is imported, and a span costs one call. Only `web.telemetry`, which is loaded at the
first span, knows the library.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from functools import cache
from importlib.util import find_spec
from uuid import UUID

from django.conf import settings

from web.spans import NOTHING, Carrier, Facts, Span

log = logging.getLogger(__name__)

NEEDED = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


class _Silence(AbstractContextManager["_Silence", None]):
    """The span where no traces are made."""

    def __exit__(self, *error: object) -> None:
        return None

    def note(self, facts: Facts) -> None:
        return None

    def rename(self, name: str) -> None:
        return None

    def fail(self, reason: str) -> None:
        return None

    def drop(self) -> None:
        return None


_silence = _Silence()


@cache
def is_on() -> bool:
    """Whether this process makes traces; does not change while it lives."""
    return bool(settings.TRACES) and _is_installed()


def _is_installed() -> bool:
    try:
        return all(find_spec(name) for name in NEEDED)
    except ModuleNotFoundError:  # a parent of one of them is missing
        return False


def warn_if_missing() -> None:
    """Say so where traces are wanted and cannot be made; nothing else depends on them."""
    if settings.TRACES and not is_on():
        log.warning("no traces: OTEL_ settings name a receiver, but requirements-otel.txt is not installed")


def span(
    name: str,
    kind: str = "internal",
    facts: Facts = NOTHING,
    *,
    trace: UUID | None = None,
    parent: Carrier = NOTHING,
) -> AbstractContextManager[Span]:
    """A span around the block, inside the one that is open here.

    `kind`: internal, server, client, consumer. `trace`: begin a trace whose id are these 32 digits.
    `parent`: go on with the span that these headers name (`traceparent`), from another process.
    An exception that leaves the block marks it as failed.
    """
    if not is_on():
        return _silence
    from web import telemetry

    return telemetry.open_span(name, kind, facts, trace_id=trace, parent=parent)


def note(facts: Facts) -> None:
    """Add attributes to the span that is open here, if any."""
    if is_on():
        from web import telemetry

        telemetry.current().note(facts)


def carrier() -> dict[str, str]:
    """The headers by which another process goes on with the span that is open here; {} without one."""
    if not is_on():
        return {}
    from web import telemetry

    return telemetry.carrier()


def ids() -> Carrier:
    """`traceId` and `spanId` of the open span, for log lines."""
    if not is_on():
        return NOTHING
    from web import telemetry

    return telemetry.ids()


def flush() -> None:
    """Hand over what has ended, before a process that nobody waits for is gone; at most a second."""
    if is_on():
        from web import telemetry

        telemetry.flush()
