"""The one way out of this process: the caller of `executions.http`, set up from the settings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_address

from django.conf import settings

from executions.http.caller import Answer, Caller, Request
from executions.http.errors import EgressDenied
from executions.http.guard import EgressGuard
from jobs.http_rules import RuleError, read_url
from web import tracing
from web.spans import Fact, Facts

_one_makes = threading.Lock()


def call(request: Request, *, should_stop: Callable[[], bool] | None = None) -> Answer:
    """Send the request by the process's caller; where traces are made, as a span that the target learns of.

    The span names method, host and status only: paths and queries of webhooks are secrets often enough.
    Raises CallError or one of its kinds.
    """
    if not tracing.is_on():
        return caller().call(request, should_stop=should_stop)
    with tracing.span(request.method, "client", _describe(request)) as span:
        answer = caller().call(_told(request), should_stop=should_stop)
        span.note({"http.response.status_code": answer.status_code})
        if not answer.is_success:
            span.fail(f"answered {answer.status_code}")  # its own words may echo what the call was told
        return answer


def caller() -> Caller:
    """The process's caller, which jobs and alerts share, and with it the limit per host."""
    hosts, cidrs = tuple(settings.HTTP_ALLOWED_HOSTS), tuple(settings.HTTP_ALLOWED_CIDRS)
    # The cache alone would let two first calls at once make two callers, each with limits of its own.
    with _one_makes:
        return _make(hosts, cidrs, settings.HTTP_MAX_PER_HOST)


def find_refusal(url: str) -> str | None:
    """Why a call to this URL would be refused, as far as an address in it tells; None where it may be called.

    A name is judged at the call only: what it stands for may change until then.
    """
    try:
        host = read_url(url).host
        ip_address(host)
    except ValueError:
        return None  # a name, or what the rules of URLs refuse anyway
    try:
        _guard(tuple(settings.HTTP_ALLOWED_HOSTS), tuple(settings.HTTP_ALLOWED_CIDRS)).judge(host, [host])
    except EgressDenied as denied:
        return str(denied)
    return None


def user_agent() -> str:
    """How we name ourselves to the targets."""
    return f"batch-job-scheduler/{settings.VERSION}"


@lru_cache(maxsize=8)
def _make(hosts: tuple[str, ...], cidrs: tuple[str, ...], max_per_host: int) -> Caller:
    # Kept by the settings it was made from, so that a test that changes them gets its own.
    return Caller(guard=_guard(hosts, cidrs), max_per_host=max_per_host)


def _guard(hosts: tuple[str, ...], cidrs: tuple[str, ...]) -> EgressGuard:
    return EgressGuard.of(allowed_hosts=hosts, allowed_cidrs=cidrs)


def _describe(request: Request) -> Facts:
    facts: dict[str, Fact] = {"http.request.method": request.method}
    try:
        scheme, host, port = read_url(request.url).origin
    except RuleError:
        return facts  # it will be refused
    return facts | {"url.scheme": scheme, "server.address": host, "server.port": port}


def _told(request: Request) -> Request:
    """The request with the headers of the open span; those that the job sets itself stay."""
    given = {name.lower() for name in request.headers}
    news = {name: value for name, value in tracing.carrier().items() if name.lower() not in given}
    return replace(request, headers={**request.headers, **news})
