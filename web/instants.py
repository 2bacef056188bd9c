"""Times that PostgreSQL knows and Python does not: `infinity`, the year 10000, the years before 1.

Anybody may write them by SQL. One such row must not make every query that meets it fail, so they are read
as the last and the first moment that Python has; no schedule reaches there, and the API refuses them.
"""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
from django.db.backends.postgresql.psycopg_any import BaseTzLoader
from psycopg.abc import Buffer

FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)


class InstantLoader(BaseTzLoader):  # type: ignore[misc]  # the stubs know no class here
    """Reads a `timestamptz` as an aware UTC time, whatever it holds."""

    timezone = UTC

    def load(self, data: Buffer) -> datetime:
        """The time, or the nearest one that Python can say."""
        try:
            moment: datetime = super().load(data)
        except psycopg.DataError:
            text = bytes(data)
            return FIRST if text.startswith(b"-") or text.endswith(b"BC") else LAST
        return moment
