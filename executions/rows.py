"""Many rows in one statement, written once for PostgreSQL and SQLite.

`Rows` turns Python rows into a table that a statement can join. The statements of `lifecycle`
and of the engine are built on it, so that both databases run the same SQL in the same groups.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import orjson
import psycopg
from django.db import DataError, IntegrityError, connection
from django.db.backends.utils import CursorWrapper

from web.instants import FIRST, LAST
from web.unreadable import load_json

STATEMENT_ROWS = 1000
MAX_COUNT = 2**31 - 1  # what a column has room for
# What one row can make of the reading and writing of many, for anybody may write anything by SQL. The
# connection is sound, so that whoever meets it goes on without that row.
BROKEN = (
    AssertionError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    LookupError,
    RecursionError,
    DataError,
    IntegrityError,
)
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
    work for the client than an array or a parameter for every value. A column that says the
    same in every row travels once, as a constant: in a group of successes that is most of them.
    """

    def __init__(self, alias: str, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> None:
        assert set(columns.values()) <= TYPES, columns
        table = list(rows)
        kinds = list(columns.items())
        fixed = _find_constants(kinds, table)
        varying = [place for place in range(len(kinds)) if place not in fixed]
        unfold = _unfold_postgresql if connection.vendor == "postgresql" else _unfold_sqlite
        source, text = unfold([kinds[place] for place in varying], varying, table)
        names = [f"u.{kinds[place][0]}" for place in varying]
        names += [_constant(*kinds[place]) for place in fixed]
        self.sql = f"(SELECT {', '.join(names)} FROM {source}) AS {alias}"
        self.params = [*(_as_param(table[0][place]) for place in fixed), text]


Column = tuple[str, str]  # its name, and its type by PostgreSQL's word


def _find_constants(columns: Sequence[Column], table: Sequence[Sequence[Any]]) -> list[int]:
    """The places of columns with one value in all rows; at least one column is left to unfold."""
    if len(table) < 2:
        return []
    first = table[0]
    return [
        place
        for place, (_, kind) in enumerate(columns)
        if place and kind != "jsonb" and all(row[place] == first[place] for row in table)
    ]


def _constant(name: str, kind: str) -> str:
    return f"%s::{kind} AS {name}" if connection.vendor == "postgresql" else f"%s AS {name}"


def _as_param(value: Any) -> Any:
    return value if connection.vendor == "postgresql" else plain(value, "")


def _unfold_postgresql(
    columns: Sequence[Column], places: Sequence[int], table: Sequence[Sequence[Any]]
) -> tuple[str, str]:
    fields = ", ".join(f"{name} {kind}" for name, kind in columns)
    keys = [(name, place) for (name, _), place in zip(columns, places, strict=True)]
    text = dump([{name: row[place] for name, place in keys} for row in table])
    return f"json_to_recordset(%s::json) AS u({fields})", text


def _unfold_sqlite(
    columns: Sequence[Column], places: Sequence[int], table: Sequence[Sequence[Any]]
) -> tuple[str, str]:
    fields = ", ".join(
        f"json_extract(value, '$[{number}]') AS {name}" for number, (name, _) in enumerate(columns)
    )
    kinds = [kind for _, kind in columns]
    text = json.dumps(
        [[plain(row[place], kind) for place, kind in zip(places, kinds, strict=True)] for row in table]
    )
    return f"(SELECT {fields} FROM json_each(%s)) AS u", text


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
    """A time that raw SQL answered as aware UTC, whichever database it came from.

    What is no time to Python is the first or the last one, as on PostgreSQL (see `web.instants`).
    """
    if value is None:
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return FIRST if str(value).startswith("-") else LAST
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_json(value: Any, name: str) -> Any:
    """A JSON column that raw SQL answered (Django keeps jsonb as text in its cursors).

    Unreadable where Python cannot say it. `name` is that of the column.
    """
    if not isinstance(value, str):
        return value
    return {} if value == "{}" else load_json(value, name)


def read_whole(value: Any, name: str) -> int:
    """A number that raw SQL answered; ValueError for anything else, which SQLite keeps in any column."""
    if type(value) is not int:
        raise ValueError(f"{name} must be a whole number, not {value!r:.100}")
    return value


def read_text(value: Any, name: str) -> str:
    """A text that raw SQL answered; ValueError for anything else, which SQLite keeps in any column."""
    if type(value) is not str:
        raise ValueError(f"{name} must be a text, not {value!r:.100}")
    return value


def tell(error: Exception) -> str:
    """What was wrong with a broken row, in words for its owner."""
    words = str(error).strip().partition("\n")[0]
    return words if words and isinstance(error, ValueError) else f"{type(error).__name__}: {words}"


def add(column: str, number: str) -> str:
    """SQL of their sum, or of the highest count where the column has no room for it."""
    return f"CASE WHEN {column} > {MAX_COUNT} - {number} THEN {MAX_COUNT} ELSE {column} + {number} END"


class Prepared(psycopg.Cursor[Any]):
    """A cursor whose parameters travel beside the statement, which the server keeps prepared."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Run a statement; its text must be one of few, for the connection keeps the last hundred."""
        return super().execute(query, params, prepare=True, **options)


def _cursor() -> CursorWrapper:
    """Django's usual cursor writes the parameters into the text, which makes every statement a new one.

    It still serves on SQLite, behind PgBouncer, and where a log shall show the values.
    """
    bouncer = connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
    if connection.vendor != "postgresql" or bouncer or connection.queries_logged:
        return connection.cursor()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        raw = Prepared(connection.connection)
        cursor: CursorWrapper = connection._prepare_cursor(raw)  # type: ignore[attr-defined]
    return cursor


def fetch(sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a statement and answer all its rows."""
    with _cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def plan_afresh() -> None:
    """Let the server forget the plans it keeps for this connection, not the statements.

    A plan that was made while a table was empty is kept until somebody analyses the table, however
    much it grows meanwhile: whoever keeps a connection for long asks for new ones now and then.
    """
    if connection.vendor == "postgresql":
        write("DISCARD PLANS")


def write(sql: str, params: Sequence[Any] = ()) -> int:
    """Run a statement and answer how many rows it touched."""
    with _cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def by_index(name: str) -> str:
    """Behind a table's name: the index that SQLite must use; PostgreSQL chooses by itself.

    SQLite's statistics know how many states there are and not how rare RUNNING is. Led by them it would
    read a whole history to find the few rows that an index holds by itself.
    """
    return f"INDEXED BY {name}" if connection.vendor == "sqlite" else ""


def locked(clause: str) -> str:
    """A locking clause on PostgreSQL; nothing on SQLite, whose one writer holds the whole file."""
    return clause if connection.vendor == "postgresql" else ""
