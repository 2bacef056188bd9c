"""Rings the schedulers of all hosts: something was planned, look now and not at the next poll.

Losing a ring costs latency only, up to one poll; that is why it may be left out (SQLite, or
PgBouncer in transaction mode).
"""

from __future__ import annotations

from django.conf import settings
from django.db import connection

CHANNEL = "scheduler_wake"


def ring(channel: str = CHANNEL) -> None:
    """Notify at the end of the present transaction; nothing happens where it rolls back."""
    if connection.vendor == "postgresql" and not settings.DB_PGBOUNCER:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [channel])
