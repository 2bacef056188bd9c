"""The one way out of this process: the caller of `executions.http`, set up from the settings."""

from __future__ import annotations

import threading
from functools import lru_cache

from django.conf import settings

from executions.http.caller import Caller
from executions.http.guard import EgressGuard

_one_makes = threading.Lock()


def caller() -> Caller:
    """The process's caller, which jobs and alerts share, and with it the limit per host."""
    hosts, cidrs = tuple(settings.HTTP_ALLOWED_HOSTS), tuple(settings.HTTP_ALLOWED_CIDRS)
    # The cache alone would let two first calls at once make two callers, each with limits of its own.
    with _one_makes:
        return _make(hosts, cidrs, settings.HTTP_MAX_PER_HOST)


def user_agent() -> str:
    """How we name ourselves to the targets."""
    return f"batch-job-scheduler/{settings.VERSION}"


@lru_cache(maxsize=8)
def _make(hosts: tuple[str, ...], cidrs: tuple[str, ...], max_per_host: int) -> Caller:
    # Kept by the settings it was made from, so that a test that changes them gets its own.
    return Caller(guard=EgressGuard.of(allowed_hosts=hosts, allowed_cidrs=cidrs), max_per_host=max_per_host)
