"""How many requests one caller may make: a plain counter per window, shared where Redis answers."""

from __future__ import annotations

import logging
import re
import threading
import time
from functools import cache
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

logger = logging.getLogger(__name__)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RATE = re.compile(r"(\d+)/([smhd])")


@cache
def parse_rate(text: str) -> tuple[int, int]:
    """`12000/min` as (12000, 60). Raises ValueError for what is no rate."""
    match = _RATE.match(text)
    if not match:
        raise ValueError(f"{text!r} is no rate like 12000/min")
    return int(match[1]), _SECONDS[match[2]]


class LocalCounter:
    """Counts within this process, one dictionary per window."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window = -1
        self._counts: dict[str, int] = {}

    def add(self, key: str, *, window: int, seconds: int) -> int:
        """Count one more for the key in the window with this number; answers the new count."""
        with self._lock:
            if window != self._window:
                self._window, self._counts = window, {}
            self._counts[key] = self._counts.get(key, 0) + 1
            return self._counts[key]


class RedisCounter:
    """Counts in Redis for all processes. After a failure it is left alone for a while."""

    PAUSE_SECONDS = 10.0
    TIMEOUT_SECONDS = 0.2

    def __init__(self, url: str) -> None:
        import redis  # only where REDIS_URL asks for it

        self._broken_until = 0.0
        self._failure: type[Exception] = redis.RedisError
        self._client = redis.Redis.from_url(
            url, socket_timeout=self.TIMEOUT_SECONDS, socket_connect_timeout=self.TIMEOUT_SECONDS
        )

    def add(self, key: str, *, window: int, seconds: int) -> int | None:
        """As LocalCounter.add; None when Redis does not answer."""
        if time.monotonic() < self._broken_until:
            return None
        name = f"rate:{key}:{window}"
        try:
            pipeline = self._client.pipeline(transaction=False)
            pipeline.incr(name)
            pipeline.expire(name, seconds + 1)
            count, _expiry = pipeline.execute()
        except (self._failure, OSError) as error:
            self._broken_until = time.monotonic() + self.PAUSE_SECONDS
            # The text of the error can hold the address with its password.
            logger.warning("Redis does not answer, counting requests per process: %s", type(error).__name__)
            return None
        return int(count)


_local = LocalCounter()


@cache
def _shared(url: str) -> RedisCounter:
    return RedisCounter(url)


class CallerThrottle(BaseThrottle):
    """API_RATE_LIMIT per user, for guests per address."""

    def allow_request(self, request: Request, view: Any) -> bool:
        limit, seconds = parse_rate(settings.API_RATE_LIMIT)
        now = time.time()
        window = int(now // seconds)
        self._wait = (window + 1) * seconds - now
        return _count(_identify(request), window=window, seconds=seconds) <= limit

    def wait(self) -> float:
        return self._wait


def _identify(request: Request) -> str:
    user = request.user
    if user.is_authenticated:
        return f"user:{user.pk}"
    return f"address:{request.META.get('REMOTE_ADDR', '')}"


def _count(key: str, *, window: int, seconds: int) -> int:
    if settings.REDIS_URL:
        shared = _shared(settings.REDIS_URL).add(key, window=window, seconds=seconds)
        if shared is not None:
            return shared
    return _local.add(key, window=window, seconds=seconds)
