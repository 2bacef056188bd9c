"""The only reader of clocks: the database's for moments, the monotonic one for spans."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.db import connection

monotonic = time.monotonic

_moved: Callable[[], datetime] | None = None


def now() -> datetime:
    """The database's time, aware UTC: the same for every process that shares it."""
    if _moved is not None:
        return _moved()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT statement_timestamp()")
            moment: datetime = cursor.fetchone()[0]
            return moment
        cursor.execute("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')")
        return datetime.fromisoformat(cursor.fetchone()[0]).replace(tzinfo=UTC)


@contextmanager
def moved(source: Callable[[], datetime]) -> Iterator[None]:
    """Take the time from `source` instead (tests and simulation)."""
    global _moved
    before, _moved = _moved, source
    try:
        yield
    finally:
        _moved = before
