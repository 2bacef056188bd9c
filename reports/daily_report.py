"""The daily report: one day's transactions as a CSV file, streamed in flat memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connections, router, transaction
from django.db.models import QuerySet

from jobs.contract import Progress, Result, Run
from reports.copy_out import copied_blocks
from reports.csv_export import CsvFile, Written
from reports.days import Span, day_before, span_of_day
from reports.files import export_directory
from reports.models import ReportFile, Transaction

HEADER = ("id", "type", "amount", "status", "consumerId", "createdAt", "updatedAt")
COLUMNS = ("id", "type", "amount", "status", "consumer_id", "created_at", "updated_at")

# Sorting a million rows takes longer than writing them: a file beyond this keeps the table's order.
ORDERED_UP_TO = 100_000
ROWS_AT_ONCE = 2000

# The way of PostgreSQL; `_portable` is the path with the same answers. A time's own output costs the
# server a third of to_char(): cut to milliseconds and one microsecond added, it always ends in 001+00,
# which `_copied` makes a Z. The words of type and status are the table's own (its checks), so no cell
# can start a formula, and no blank or plus is in any but the times.
# The server is done with its part while the client still writes what it has sent; on a slow disk that is
# longer than a transaction may idle otherwise. This one only reads.
TIME_OUTPUT = (
    "SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true),"
    " set_config('idle_in_transaction_session_timeout', '60s', true)"
)
COPY_DAY = """
COPY (
    SELECT id, type, amount, status, consumer_id,
           date_trunc('milliseconds', created_at) + interval '1 microsecond',
           date_trunc('milliseconds', updated_at) + interval '1 microsecond'
      FROM transactions
     WHERE created_at >= %(start)s AND created_at < %(end)s
"""
COPY_ORDER = " ORDER BY created_at, id"
COPY_END = ") TO STDOUT (FORMAT csv)"


@dataclass(frozen=True)
class DailyReport:
    """The parameters of `generate-daily-reports`."""

    gzip: bool = False


def generate_daily_report(run: Run, params: DailyReport, *, now: datetime) -> Result:
    """Write the transactions created on the day before the fire time, in the job's zone, to a file.

    1. Count the day's rows; up to 100,000 are written in the order of creation.
    2. Stream them to `daily-report_<day>_<stamp of now>.csv` in EXPORT_DIRECTORY (gzip on request).
    3. Note the file in `report_files`, in one transaction with the totals.

    A second attempt of an execution that came so far answers with that file; a requeued execution
    writes a new one. Raises ExportError when the file cannot be written, Stopped when asked to stop.
    """
    day = day_before(run.scheduled_at, zone=run.job.zone)
    earlier = _written_before(run, day)
    if earlier is not None:
        return _result(earlier)
    written = _write(run, day, now=now, compress=params.gzip)
    return _result(_note(run, day, written))


def rows_of(span: Span) -> QuerySet[Transaction]:
    """The transactions created in a span of time, in no order."""
    rows = Transaction.objects.filter(created_at__lt=span.end)
    return rows if span.start is None else rows.filter(created_at__gte=span.start)


def _write(run: Run, day: date, *, now: datetime, compress: bool) -> Written:
    span = span_of_day(day, zone=run.job.zone)
    total = rows_of(span).count()
    tell = _progress_of(run, total)
    with CsvFile(
        f"daily-report_{day.isoformat()}", directory=export_directory(), stamped_at=now, compress=compress
    ) as file:
        file.write_header(HEADER)
        ordered = total <= ORDERED_UP_TO
        if _is_copied():
            with closing(_copied(span, ordered=ordered)) as blocks:
                for block, lines in blocks:
                    file.write_block(block, rows=lines)
                    tell(lines)
        else:
            for rows in _portable(span, ordered=ordered):
                file.write_rows(rows)
                tell(len(rows))
    return file.written


def _is_copied() -> bool:
    return connections[router.db_for_read(Transaction)].vendor == "postgresql"


def _copied(span: Span, *, ordered: bool) -> Generator[tuple[bytearray, int]]:
    """The lines of the file as PostgreSQL makes them, in blocks."""
    alias = router.db_for_read(Transaction)
    statement = COPY_DAY + (COPY_ORDER if ordered else "") + COPY_END
    params = {"start": span.start, "end": span.end}
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute(TIME_OUTPUT)  # holds for this transaction
        with closing(copied_blocks(connections[alias], statement, params, at_once=ROWS_AT_ONCE)) as blocks:
            for block, lines in blocks:
                yield block.replace(b"001+00", b"Z").replace(b" ", b"T"), lines


def _portable(span: Span, *, ordered: bool) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of the file, in groups."""
    rows = rows_of(span)
    if ordered:
        rows = rows.order_by("created_at", "pk")
    source = rows.values_list(*COLUMNS).iterator(chunk_size=ROWS_AT_ONCE)
    while group := list(itertools.islice(source, ROWS_AT_ONCE)):
        yield group


def _progress_of(run: Run, total: int) -> Callable[[int], None]:
    """A function that is told of each group of rows; it raises Stopped when the run is to stop."""
    done = 0

    def tell(rows: int) -> None:
        nonlocal done
        done += rows
        run.check_stop()
        run.progress(done, max(total, done), success=done)

    return tell


def _written_before(run: Run, day: date) -> ReportFile | None:
    """The file that an earlier attempt of this execution finished, if it is still whole."""
    report = ReportFile.objects.filter(execution_id=run.id, data_date=day).order_by("-created_at").first()
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
    return Result(
        total=report.rows,
        success=report.rows,
        data={"file": report.name, "rows": report.rows, "date": report.data_date.isoformat()},
    )
