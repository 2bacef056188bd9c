"""Keeps the counts of `execution_statistics`: database triggers write them, a duty folds them.

On PostgreSQL one trigger a statement adds the statement's differences as new rows, so that two writers
never wait for each other. SQLite has one writer at a time, so there its row triggers add to one row.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q, Sum

from executions.models import HourlyCount, Status
from executions.rows import Rows, fetch, locked, moment, read_moment, write

log = logging.getLogger(__name__)

TABLE, LEDGER = "execution_statistics", "job_executions"
FOLD_ROWS = 20_000
KEPT_BY_HOUR = timedelta(days=7)


# The triggers ---------------------------------------------------------------------------------------


def ensure(using: str = "default") -> None:
    """Make the triggers where they are missing or old; the first time, count what is there already.

    Runs after every migration, because SQLite loses triggers when a migration rebuilds their table.
    """
    connection = connections[using]
    if not {TABLE, LEDGER} <= set(connection.introspection.table_names()):
        return
    with transaction.atomic(using=using), connection.cursor() as cursor:
        statements = _statements(connection, cursor)
        before = _installed(connection, cursor)
        digest = hashlib.sha256("\n".join(statements).encode()).hexdigest()
        if before != digest:
            _install(connection, cursor, statements, digest)
        if before is None or _is_empty_but_counted(cursor):
            _recount(connection, cursor)


def _statements(connection: BaseDatabaseWrapper, cursor: Any) -> list[str]:
    if connection.vendor == "postgresql":
        cursor.execute("SELECT quote_ident(current_schema())")
        return _for_postgresql(cursor.fetchone()[0])
    return _for_sqlite()


def _installed(connection: BaseDatabaseWrapper, cursor: Any) -> str | None:
    """The digest of the triggers that are there; None without any, '' where some are missing."""
    if connection.vendor == "postgresql":
        cursor.execute(
            f"SELECT count(*), max(obj_description(tgfoid, 'pg_proc')) FROM pg_trigger"
            f" WHERE tgrelid = '{LEDGER}'::regclass AND tgname LIKE '{TABLE}%'"
        )
        count, digest = cursor.fetchone()
        complete = count == len(POSTGRESQL_TRIGGERS)
    else:
        cursor.execute(
            f"SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{LEDGER}'"
            f" AND name LIKE '{TABLE}%' ORDER BY rowid"
        )
        texts = [row[0] for row in cursor.fetchall()]
        count, complete = len(texts), True
        digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    if count == 0:
        return None
    return digest if complete and digest else ""


def _install(connection: BaseDatabaseWrapper, cursor: Any, statements: list[str], digest: str) -> None:
    names: tuple[str, ...]
    if connection.vendor == "postgresql":
        names = POSTGRESQL_TRIGGERS
        drop = f"DROP TRIGGER IF EXISTS {TABLE}_%s ON {LEDGER}"
    else:
        names = SQLITE_TRIGGERS
        drop = f"DROP TRIGGER IF EXISTS {TABLE}_%s"
    for name in names:
        cursor.execute(drop % name)
    for statement in statements:
        cursor.execute(statement)
    if connection.vendor == "postgresql":
        cursor.execute(f"COMMENT ON FUNCTION {TABLE}_count() IS '{digest}'")


def _is_empty_but_counted(cursor: Any) -> bool:
    """Whether the ledger was emptied behind the triggers' back, as Django's `flush` does on SQLite."""
    cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {LEDGER}), (SELECT sum(count) FROM {TABLE})")
    filled, counted = cursor.fetchone()
    return not filled and bool(counted)


def _recount(connection: BaseDatabaseWrapper, cursor: Any) -> None:
    cursor.execute(f"DELETE FROM {TABLE}")
    rows = _for_vendor(connection)
    cursor.execute(
        f"INSERT INTO {TABLE} (hour, status, pruned, count, duration_ms, delay_ms)"
        f" SELECT {rows.hour}, r.status, {rows.false}, count(*), sum({rows.duration}), sum({rows.delay})"
        f" FROM {LEDGER} AS r GROUP BY 1, 2"
    )


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """What is counted of a ledger row `r`, in the words of one database."""

    hour: str
    duration: str
    delay: str
    true: str
    false: str


# SQL may write times that cannot be counted with, `infinity` for one: such a row counts, its delay does not.
_COUNTABLE = " AND ".join(
    f"r.{name} BETWEEN '0001-01-01T00:00:00Z' AND '9999-12-31T00:00:00Z'"
    for name in ("started_at", "scheduled_at")
)
_POSTGRESQL = _Columns(
    hour="date_trunc('hour', r.completed_at, 'UTC')",
    duration="coalesce(r.execution_duration_ms, 0)",
    delay=(
        f"CASE WHEN r.trigger = 'schedule' AND {_COUNTABLE}"
        " THEN (extract(epoch FROM r.started_at - r.scheduled_at) * 1000)::bigint ELSE 0 END"
    ),
    true="true",
    false="false",
)
_SQLITE = _Columns(
    hour="strftime('%Y-%m-%d %H:00:00', r.completed_at)",
    duration="coalesce(r.execution_duration_ms, 0)",
    delay=(
        "CASE WHEN r.trigger = 'schedule' AND r.started_at IS NOT NULL"
        " THEN coalesce(CAST(round((julianday(r.started_at) - julianday(r.scheduled_at)) * 86400000)"
        " AS INTEGER), 0) ELSE 0 END"
    ),
    true="1",
    false="0",
)


def _for_vendor(connection: BaseDatabaseWrapper) -> _Columns:
    return _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE


POSTGRESQL_TRIGGERS = ("insert", "update", "delete", "truncate")


def _for_postgresql(schema: str) -> list[str]:
    """One function and four statement triggers. Rows whose counted columns did not change cancel out."""

    def differences(*parts: tuple[str, int], pruned: str = "false") -> str:
        columns = _POSTGRESQL
        union = " UNION ALL ".join(
            f"SELECT {columns.hour} AS hour, r.status, {sign} AS count,"
            f" {sign} * {columns.duration} AS duration, {sign} * {columns.delay} AS delay FROM {rows} AS r"
            for rows, sign in parts
        )
        return (
            f"INSERT INTO {schema}.{TABLE} (hour, status, pruned, count, duration_ms, delay_ms)"
            f" SELECT d.hour, d.status, {pruned}, sum(d.count), sum(d.duration), sum(d.delay)"
            f" FROM ({union}) AS d GROUP BY d.hour, d.status"
            " HAVING sum(d.count) <> 0 OR sum(d.duration) <> 0 OR sum(d.delay) <> 0;"
        )

    function = f"""
        CREATE OR REPLACE FUNCTION {schema}.{TABLE}_count() RETURNS trigger LANGUAGE plpgsql AS $body$
        BEGIN
            IF TG_OP = 'INSERT' THEN
                {differences(("new_rows", 1))}
            ELSIF TG_OP = 'UPDATE' THEN
                {differences(("new_rows", 1), ("old_rows", -1))}
            ELSIF TG_OP = 'DELETE' THEN
                {differences(("old_rows", -1), pruned="true")}
            ELSE
                DELETE FROM {schema}.{TABLE};
            END IF;
            RETURN NULL;
        END
        $body$"""
    new, old = "NEW TABLE AS new_rows", "OLD TABLE AS old_rows"
    referencing = {
        "insert": f"REFERENCING {new}",
        "update": f"REFERENCING {old} {new}",
        "delete": f"REFERENCING {old}",
        "truncate": "",
    }
    return [
        function,
        *(
            f"CREATE TRIGGER {TABLE}_{name} AFTER {name.upper()} ON {LEDGER} {referencing[name]}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {schema}.{TABLE}_count()"
            for name in POSTGRESQL_TRIGGERS
        ),
    ]


SQLITE_TRIGGERS = ("insert", "update", "delete")
_COUNTED = ("status", "completed_at", "execution_duration_ms", "started_at")


def _for_sqlite() -> list[str]:
    changed = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in _COUNTED)
    add, take = _sqlite_add("NEW", 1), _sqlite_add("OLD", -1)
    gone, columns = _sqlite_add("OLD", -1, pruned=True), ", ".join(_COUNTED)
    head = f"CREATE TRIGGER {TABLE}_update AFTER UPDATE OF {columns} ON {LEDGER} WHEN {changed}"
    return [
        f"CREATE TRIGGER {TABLE}_insert AFTER INSERT ON {LEDGER} BEGIN {add} END",
        f"{head} BEGIN {take} {add} END",
        f"CREATE TRIGGER {TABLE}_delete AFTER DELETE ON {LEDGER} BEGIN {gone} END",
    ]


def _sqlite_add(row: str, sign: int, *, pruned: bool = False) -> str:
    """Add one row's figures to the row of its hour and state, which is made where there is none."""
    columns = _SQLITE
    hour, duration, delay = (
        text.replace("r.", f"{row}.") for text in (columns.hour, columns.duration, columns.delay)
    )
    flag = columns.true if pruned else columns.false
    key = f"hour IS {hour} AND status = {row}.status AND pruned = {flag}"
    return (
        f"INSERT INTO {TABLE} (hour, status, pruned, count, duration_ms, delay_ms)"
        f" SELECT {hour}, {row}.status, {flag}, 0, 0, 0"
        f" WHERE NOT EXISTS (SELECT 1 FROM {TABLE} WHERE {key});"
        f" UPDATE {TABLE} SET count = count + {sign}, duration_ms = duration_ms + {sign} * {duration},"
        f" delay_ms = delay_ms + {sign} * {delay} WHERE id = (SELECT min(id) FROM {TABLE} WHERE {key});"
    )


# Folding --------------------------------------------------------------------------------------------


def fold(now: datetime, *, limit: int = FOLD_ROWS) -> int:
    """Make one row of those that stand for the same hour and state; answers how many went.

    Hours older than a week become days. At most `limit` rows a step; harmless when run twice.
    """
    with transaction.atomic():
        rows = _take_foldable(now, limit)
        sums: dict[tuple[datetime | None, str, bool], list[int]] = {}
        for _, hour, status, pruned, *figures in rows:
            total = sums.setdefault((_slot(hour, now), status, bool(pruned)), [0, 0, 0])
            for place, figure in enumerate(figures):
                total[place] += figure
        HourlyCount.objects.bulk_create(
            HourlyCount(hour=hour, status=status, pruned=pruned, count=n, duration_ms=spent, delay_ms=late)
            for (hour, status, pruned), (n, spent, late) in sums.items()
            if n or spent or late
        )
    return len(rows)


def _take_foldable(now: datetime, limit: int) -> list[tuple[Any, ...]]:
    """Delete, and answer, rows that share their hour and state with others, or whose hour is old."""
    rows = fetch(
        f"""
        SELECT s.id, s.hour, s.status, s.pruned, s.count, s.duration_ms, s.delay_ms
        FROM {TABLE} AS s WHERE s.id IN (
            SELECT c.id FROM (
                SELECT id, hour, count(*) OVER (PARTITION BY hour, status, pruned) AS alike FROM {TABLE}
            ) AS c
            WHERE c.alike > 1 OR (c.hour < %s AND {_is_within_day()})
            ORDER BY c.id LIMIT %s)
        ORDER BY s.id {locked("FOR UPDATE SKIP LOCKED")}
        """,
        [moment(now - KEPT_BY_HOUR), limit],
    )
    keys = Rows("v", {"key": "bigint"}, ((row[0],) for row in rows))
    if rows:
        write(f"DELETE FROM {TABLE} WHERE id IN (SELECT v.key FROM {keys.sql})", keys.params)
    return rows


def _is_within_day() -> str:
    if connections["default"].vendor == "postgresql":
        return "extract(hour FROM c.hour AT TIME ZONE 'UTC') <> 0"
    return "substr(c.hour, 12, 2) <> '00'"


def _slot(value: Any, now: datetime) -> datetime | None:
    hour = read_moment(value)
    if hour is None or hour >= now - KEPT_BY_HOUR:
        return hour
    return hour.replace(hour=0)


# Reading --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Total:
    """What executions in one state add up to."""

    count: int = 0
    duration_ms: int = 0
    delay_ms: int = 0


def totals(*, ever: bool = False, since: datetime | None = None) -> dict[str, Total]:
    """By state: what the ledger holds, or with `ever` also what was deleted from it.

    `since` (a full hour, at most a week ago): only those that ended in this hour or later.
    """
    rows = HourlyCount.objects.filter(pruned=False) if ever else HourlyCount.objects.all()
    if since is not None:
        rows = rows.filter(hour__gte=since)
    found = rows.values_list("status").annotate(Sum("count"), Sum("duration_ms"), Sum("delay_ms"))
    sums = {row[0]: Total(count=row[1], duration_ms=row[2], delay_ms=row[3]) for row in found}
    return {status: sums.get(status, Total()) for status in Status.values}


def count_all() -> int:
    """How many executions the ledger holds."""
    return HourlyCount.objects.aggregate(all=Sum("count"))["all"] or 0


@dataclass(frozen=True, kw_only=True)
class Hour:
    """How many executions ended in one state within the hour that starts at `start`."""

    start: datetime
    status: str
    count: int


def by_hour(since: datetime) -> list[Hour]:
    """Hours and states with endings since this full hour (at most a week ago), in order of time."""
    rows = (
        HourlyCount.objects.filter(Q(hour__gte=since))
        .values_list("hour", "status")
        .annotate(Sum("count"))
        .order_by("hour", "status")
    )
    return [Hour(start=hour, status=status, count=count) for hour, status, count in rows if hour and count]
