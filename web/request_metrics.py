"""What the web processes of this host count about requests; where gunicorn made a folder, they share it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from django.db import connection
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

from web.api.routes import CANONICAL

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
UNKNOWN_METHOD, UNKNOWN_ROUTE = "OTHER", "unmatched"
POOL_SECONDS = 1.0
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

requests_total = Counter("http_requests", "Requests answered", ["method", "route", "code"])
request_seconds = Histogram(
    "http_request_duration_seconds", "Time to an answer", ["method", "route"], buckets=BUCKETS
)
pool_connections = Gauge(
    "db_pool_connections",
    "Database connections of the web processes",
    ["state"],
    multiprocess_mode="livesum",
)

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


class RequestMetricsMiddleware:
    """Counts every answer by method, route and code, and how long it took."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._pool_read_at = 0.0

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        response = self.get_response(request)
        method = request.method if request.method in METHODS else UNKNOWN_METHOD
        route = name_route(request)
        requests_total.labels(method, route, str(response.status_code)).inc()
        request_seconds.labels(method, route).observe(time.perf_counter() - started)
        self._note_pool()
        return response

    def _note_pool(self) -> None:
        now = time.monotonic()
        if now - self._pool_read_at >= POOL_SECONDS:
            self._pool_read_at = now
            for state, count in count_connections().items():
                pool_connections.labels(state).set(count)


def name_route(request: HttpRequest) -> str:
    """The route's pattern, the same for both of its addresses: `/jobs/{id}`."""
    match = getattr(request, "resolver_match", None)
    if match is None:
        return UNKNOWN_ROUTE
    pattern = "/" + _PARAMETER.sub(r"{\1}", match.route).lstrip("^").removesuffix("$")
    return pattern.removeprefix(CANONICAL) or "/"


def count_connections() -> dict[str, int]:
    """This process's database connections by state: the pool's, or the one of SQLite."""
    pool: Any = getattr(connection, "pool", None) if connection.vendor == "postgresql" else None
    if pool is None:
        return {"idle": 0, "used": int(connection.connection is not None), "waiting": 0}
    stats = pool.get_stats()
    size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
    return {"idle": idle, "used": size - idle, "waiting": stats.get("requests_waiting", 0)}


def write_metrics(collectors: Iterable[Collector]) -> bytes:
    """The figures of all web processes of this host and of these collectors, as Prometheus text."""
    registry = CollectorRegistry()
    if os.environ.get(FOLDER):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry) + _collect(collectors)
    return generate_latest(REGISTRY) + _collect(collectors)


def _collect(collectors: Iterable[Collector]) -> bytes:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)
