"""One read-only query as a CSV file: streamed, bounded in time, and nothing can be changed by it."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.db import DatabaseError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from executions.engine import clock
from jobs.contract import HandlerError, PermanentError, Progress, Result, Run
from reports.csv_export import CsvFile, Written
from reports.days import day_before, span_of_day
from reports.files import export_directory
from reports.models import ReportFile

ROWS_AT_ONCE = 2000
MAX_QUERY = 32_768
LOOK_SECONDS = 0.2
SQLITE_STEPS = 20_000  # steps of its machine between two looks at the clock
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_PLACEHOLDER = re.compile(r"%\((\w+)\)s|%")
OURS = ("scheduledAt", "dayStart", "dayEnd")

# All that reading needs; ATTACH, PRAGMA, writing and whatever comes later is refused.
_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}


@dataclass(frozen=True)
class SqlReport:
    """The parameters of `sql-report`. `%(name)s` in the query stands for a parameter; other `%` are text."""

    query: str
    params: dict[str, Any] = field(
        default_factory=dict,
        metadata={"description": "values for %(name)s; scheduledAt, dayStart and dayEnd are there already"},
    )
    fileName: str = "sql-report"  # noqa: N815 - the name on the wire
    gzip: bool = False

    def __post_init__(self) -> None:
        problems = []
        if not self.query.strip() or len(self.query) > MAX_QUERY:
            problems.append(f"query: must be one statement of at most {MAX_QUERY} characters")
        if not _FILE_NAME.fullmatch(self.fileName):
            problems.append("fileName: must be 1 to 100 letters, digits, hyphens or underscores")
        if taken := [name for name in self.params if name in OURS]:
            problems.append(f"params: {taken[0]} is given by the scheduler")
        if any(isinstance(value, dict | list) for value in self.params.values()):
            problems.append("params: values must be texts, numbers, true, false or null")
        unknown = {name for name in _names(self.query) if name not in {*self.params, *OURS}}
        if unknown:
            problems.append(f"params: {sorted(unknown)[0]} is missing")
        if problems:
            raise ValueError("; ".join(problems))


def write_sql_report(run: Run, params: SqlReport, *, now: datetime) -> Result:
    """Write the rows of the query to `<fileName>_<stamp of now>.csv` in EXPORT_DIRECTORY.

    1. The query runs where nothing can be written: in a read-only transaction (PostgreSQL), under an
       authorizer that lets only reading through (SQLite). More than one statement is refused.
    2. It is cut off when the run's time is over or the run is cancelled.
    3. The file is noted in `report_files`, in one transaction with the totals.

    `scheduledAt`, `dayStart` and `dayEnd` (the day before the fire time, in the job's zone) are
    parameters of every query. Raises PermanentError for a query that the database refuses.
    """
    day = day_before(run.scheduled_at, zone=run.job.zone)
    earlier = _written_before(run)
    if earlier is not None:
        return _result(earlier)
    file = CsvFile(params.fileName, directory=export_directory(), stamped_at=now, compress=params.gzip)
    with file, closing(read_rows(run, params, day)) as groups:
        done = 0
        file.write_header(next(groups))
        for rows in groups:
            file.write_rows(rows)
            done += len(rows)
            run.check_stop()
            run.progress(done, success=done)
    return _result(_note(run, day, file.written))


def read_rows(run: Run, params: SqlReport, day: date) -> Generator[Sequence[Any]]:
    """The column names, then groups of rows. Raises what `write_sql_report` raises."""
    connection = connections[router.db_for_read(ReportFile)]
    statement, values = bind(connection, run, params, day)
    source = _postgresql if connection.vendor == "postgresql" else _sqlite
    try:
        with closing(source(connection, run, statement, values)) as groups:
            yield next(groups)
            for rows in groups:
                yield [tuple(_plain(value) for value in row) for row in rows]
    except DatabaseError as error:
        run.check_stop()
        if _is_over(run):
            message = f"timeout of {run.job.timeout_ms}ms exceeded"
            raise HandlerError(message, reason="timeout") from error
        raise PermanentError(f"the query failed: {str(error).strip()}") from error


def bind(
    connection: BaseDatabaseWrapper, run: Run, params: SqlReport, day: date
) -> tuple[str, dict[str, Any]]:
    """The statement with every `%` that is no placeholder doubled, and its values."""
    span = span_of_day(day, zone=run.job.zone)
    moments = {"scheduledAt": run.scheduled_at, "dayStart": span.start, "dayEnd": span.end}
    given = {
        **params.params,
        **{name: connection.ops.adapt_datetimefield_value(at) for name, at in moments.items()},
    }
    statement = _PLACEHOLDER.sub(lambda found: found[0] if found[1] else "%%", params.query)
    return statement.rstrip().rstrip(";"), {name: given[name] for name in _names(params.query)}


def _names(query: str) -> set[str]:
    return {found[1] for found in _PLACEHOLDER.finditer(query) if found[1]}


def _postgresql(
    connection: Any, run: Run, statement: str, values: dict[str, Any]
) -> Generator[Sequence[Any]]:
    """By a cursor of the server: flat memory, and a protocol that takes one statement only."""
    with transaction.atomic(connection.alias), _cut_off(run, lambda: connection.connection.cancel_safe()):
        with connection.cursor() as plain:
            plain.execute("SET TRANSACTION READ ONLY")
            plain.execute("SELECT set_config('statement_timeout', %s, true)", [f"{_left_ms(run)}ms"])
        with connection.chunked_cursor() as cursor:
            cursor.execute(statement, values)
            yield _header(cursor)
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                yield rows


def _sqlite(connection: Any, run: Run, statement: str, values: dict[str, Any]) -> Generator[Sequence[Any]]:
    """Without a transaction, which would hold the write lock: a single statement reads one state."""
    connection.ensure_connection()
    raw: sqlite3.Connection = connection.connection
    with connection.cursor() as cursor:
        raw.set_authorizer(_only_reading)
        raw.set_progress_handler(lambda: int(_is_over(run) or run.should_stop()), SQLITE_STEPS)
        try:
            cursor.execute(statement, values)
            if cursor.description is None:
                raise PermanentError("the query failed: it answers no rows")
            yield _header(cursor)
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                yield rows
        finally:
            raw.set_progress_handler(None, 0)
            raw.set_authorizer(None)


def _only_reading(action: int, *details: object) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


@contextmanager
def _cut_off(run: Run, cancel: Any) -> Generator[None]:
    """Call `cancel` from another thread when the run is to stop: this one waits for the database."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(LOOK_SECONDS):
            if run.should_stop() or _is_over(run):
                cancel()
                return

    watcher = threading.Thread(target=watch, name="sql-report-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _left_ms(run: Run) -> int:
    if run.deadline is None:
        return run.job.timeout_ms
    return max(1, int((run.deadline - clock.monotonic()) * 1000))


def _is_over(run: Run) -> bool:
    return run.deadline is not None and clock.monotonic() > run.deadline


def _header(cursor: Any) -> list[str]:
    return [str(column[0]) for column in cursor.description]


def _plain(value: Any) -> Any:
    """A value that a cell can show: bytes as hex, documents as JSON, a time without zone as it stands."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.isoformat()
    return value


def _written_before(run: Run) -> ReportFile | None:
    """The file that an earlier attempt of this execution finished, if it is still whole."""
    report = ReportFile.objects.filter(execution_id=run.id).order_by("-created_at").first()
    if report is None:
        return None
    path = export_directory() / report.name
    return report if path.is_file() and path.stat().st_size == report.bytes else None


def _note(run: Run, day: date, written: Written) -> ReportFile:
    """The file's row, written only while the claim is ours; without it the file goes too."""
    with transaction.atomic():
        try:
            report = ReportFile.objects.create(
                execution_id=run.id,
                job_id=run.job.key,
                name=written.path.name,
                data_date=day,
                rows=written.rows,
                bytes=written.bytes,
                sha256=written.sha256,
            )
            run.checkpoint(Progress(processed=written.rows, total=written.rows, success=written.rows))
        except BaseException:
            # not after a failed commit: then the row may be there
            written.path.unlink(missing_ok=True)
            raise
    return report


def _result(report: ReportFile) -> Result:
    return Result(total=report.rows, success=report.rows, data={"file": report.name, "rows": report.rows})
