"""Times that PostgreSQL knows and Python does not: `infinity`, the year 10000, the years before 1.

Anybody may write them by SQL. One such row must not make every query that meets it fail, so they are read
as the last and the first moment that Python has; no schedule reaches there, and the API refuses them.
"""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)


# psycopg's own loader in its compiled form, where there is one: several times as fast as the one in Python.
_COMPILED = psycopg.adapters.get_loader(psycopg.adapters.types["timestamptz"].oid, Format.TEXT)
assert _COMPILED is not None


class InstantLoader(Loader):
    """Reads a `timestamptz` as an aware UTC time (every connection's zone is UTC), whatever it holds."""

    timezone = UTC  # Django asks every cursor's loader for it

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._load = _COMPILED(oid, context).load  # type: ignore[misc]  # asserted above

    def load(self, data: Buffer) -> datetime:
        """The time, or the nearest one that Python can say."""
        try:
            moment: datetime = self._load(data)
        except psycopg.DataError:
            text = bytes(data)
            return FIRST if text.startswith(b"-") or text.endswith(b"BC") else LAST
        return moment
