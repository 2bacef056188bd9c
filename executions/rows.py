"""Many rows in one statement, written once for PostgreSQL and SQLite.

`Rows` turns Python rows into a table that a statement can join. The statements of `lifecycle`
and of the engine are built on it, so that both databases run the same SQL in the same groups.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from django.db import connection

# A column's type by its PostgreSQL name; SQLite needs none.
TYPES = {
    "uuid",
    "text",
    "bigint",
    "int",
    "smallint",
    "boolean",
    "timestamptz",
    "jsonb",
}


class Rows:
    """A table of values, named `alias`, for use in FROM; `params` go where `sql` stands.

    The rows travel as one JSON text, which both databases unfold by themselves: much less
    work for the client than an array or a parameter for every value.
    """

    def __init__(self, alias: str, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> None:
        assert set(columns.values()) <= TYPES, columns
        if connection.vendor == "postgresql":
            names = list(columns)
            fields = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            self.sql = f"json_to_recordset(%s::json) AS {alias}({fields})"
            table: list[Any] = [dict(zip(names, row, strict=True)) for row in rows]
            self.params = [dump(table)]
        else:
            fields = ", ".join(
                f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(columns)
            )
            self.sql = f"(SELECT {fields} FROM json_each(%s)) AS {alias}"
            kinds = list(columns.values())
            table = [[plain(value, kind) for value, kind in zip(row, kinds, strict=True)] for row in rows]
            self.params = [json.dumps(table)]


def dump(value: Any) -> str:
    """JSON text of values that may hold UUIDs and times; numbers of any size."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a whole number beyond 64 bits
        return json.dumps(value, default=_as_text)


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def plain(value: Any, kind: str) -> Any:
    """The value as SQLite stores it: times as Django's text, UUIDs as 32 digits, JSON as text."""
    if value is None:
        return None
    if kind == "jsonb":
        return json.dumps(value)
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return str(connection.ops.adapt_datetimefield_value(value))
    return value


def moment(value: datetime) -> Any:
    """An aware time as a parameter of raw SQL on this database."""
    return connection.ops.adapt_datetimefield_value(value)


def identity(value: UUID) -> Any:
    """A UUID as a parameter of raw SQL on this database."""
    return value if connection.vendor == "postgresql" else value.hex


def read_uuid(value: Any) -> UUID:
    """A UUID that raw SQL answered, whichever database it came from."""
    return value if isinstance(value, UUID) else UUID(value)


def read_moment(value: Any) -> datetime | None:
    """A time that raw SQL answered as aware UTC, whichever database it came from."""
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_json(value: Any) -> Any:
    """A JSON column that raw SQL answered (Django keeps jsonb as text in its cursors)."""
    if not isinstance(value, str):
        return value
    return {} if value == "{}" else json.loads(value)


def fetch(sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a statement and answer all its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def write(sql: str, params: Sequence[Any] = ()) -> int:
    """Run a statement and answer how many rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def locked(clause: str) -> str:
    """A locking clause on PostgreSQL; nothing on SQLite, whose one writer holds the whole file."""
    return clause if connection.vendor == "postgresql" else ""
