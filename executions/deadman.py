"""Our own dead-man's switch: HEARTBEAT_URL hears from us as long as work goes on, and only then."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings

from executions import egress, health
from executions.http.caller import Request
from executions.http.errors import CallError
from jobs.http_rules import mask_url

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=1)
TIMEOUT_MS = 10_000


def ping(now: datetime) -> bool:
    """Call HEARTBEAT_URL (GET) if the scheduler is ACTIVE by its health; answers whether that was heard.

    Silence is the alarm: a scheduler that is stalled, or whose loop stands still, does not call. The
    address passes the egress guard as every other does; what fails is logged, never raised.
    """
    if not settings.HEARTBEAT_URL:
        return False
    status = health.look(now).status
    if status != health.ACTIVE:
        log.warning("no heartbeat is sent, because the scheduler is %s", status)
        return False
    request = Request(
        url=settings.HEARTBEAT_URL,
        method="GET",
        headers={"User-Agent": egress.user_agent()},
        timeout_ms=TIMEOUT_MS,
    )
    # Its path is a secret with most services, so only the host is told.
    place = mask_url(settings.HEARTBEAT_URL).partition("://")[2].partition("/")[0]
    try:
        answer = egress.call(request)
    except CallError as error:
        log.warning("the heartbeat to %s failed: %s", place, error)
        return False
    if not answer.is_success:
        log.warning("the heartbeat to %s was answered with %s", place, answer.failure)
    return answer.is_success
