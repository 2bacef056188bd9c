"""A span around each request, where traces are made."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from web import tracing
from web.api.routes import CANONICAL
from web.request_metrics import METHODS, UNKNOWN_METHOD, name_route

# What monitors and browsers ask all day says nothing about anybody's request.
UNTOLD = ("/health", "/metrics", settings.STATIC_URL)


class RequestTracesMiddleware:
    """Makes a span of every request but probes and files; the caller's `traceparent` is gone on with.

    It tells method, route, code and request id, never the path or the query: the address of a ping is a
    secret, and queries may hold some.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not tracing.is_on():
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.removeprefix(CANONICAL).startswith(UNTOLD):
            return self.get_response(request)
        method = request.method if request.method in METHODS else UNKNOWN_METHOD
        facts = {"http.request.method": str(method), "request.id": str(getattr(request, "request_id", ""))}
        came_with = {name.lower(): value for name, value in request.headers.items()}
        with tracing.span(str(method), "server", facts, parent=came_with) as span:
            response = self.get_response(request)
            route = name_route(request)
            span.rename(f"{method} {route}")
            span.note({"http.route": route, "http.response.status_code": response.status_code})
            if response.status_code >= 500:
                span.fail(f"answered {response.status_code}")
        return response
