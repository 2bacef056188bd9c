"""generate-daily-reports: the right day, the same bytes on both databases, one row for one file."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection

from accounts.models import User
from executions.models import Execution
from jobs.contract import Progress, Result, Run, Stopped
from jobs.models import Job
from reports import daily_report
from reports.csv_export import ExportError
from reports.daily_report import DailyReport, generate_daily_report
from reports.models import ReportFile, Transaction
from tests.db.reports.world import (
    FIRE_TIME,
    committed_totals,
    make_execution,
    make_job,
    make_run,
    make_transaction,
    make_transactions,
)

pytestmark = pytest.mark.django_db

NOW = datetime(2025, 7, 20, 17, 18, 0, 150_000, tzinfo=UTC)
YESTERDAY = datetime(2025, 7, 19, 8, 30, tzinfo=UTC)
HEADER = "id,type,amount,status,consumerId,createdAt,updatedAt"


@pytest.fixture(autouse=True)
def exports(settings: Any, tmp_path: Path) -> Path:
    settings.EXPORT_DIRECTORY = tmp_path / "exports"
    return tmp_path / "exports"


@pytest.fixture(params=["copied", "portable"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to the lines, which must give the same bytes."""
    if request.param == "portable":
        monkeypatch.setattr(daily_report, "_is_copied", lambda: False)
    elif connection.vendor != "postgresql":
        pytest.skip("COPY is PostgreSQL's")


def generate(run: Run | None = None, *, now: datetime = NOW, **params: Any) -> Result:
    return generate_daily_report(run or make_run(), DailyReport(**params), now=now)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("path")
def test_the_bytes_are_these_on_every_database(exports: Path) -> None:
    make_transaction(
        id=uuid.UUID(int=2),
        amount=Decimal("-7.5"),
        created_at=datetime(2025, 7, 19, 23, 59, 59, 999_999, tzinfo=UTC),
        updated_at=datetime(2025, 7, 20, tzinfo=UTC),
        consumer_id=uuid.UUID("c36ef476-1033-4998-bcf4-e9694020aa52"),
    )
    make_transaction(
        id=uuid.UUID(int=1),
        type="withdrawal",
        status="failed",
        amount=Decimal("99999999.99"),
        created_at=datetime(2025, 7, 19, 0, 0, 0, 1000, tzinfo=UTC),
        updated_at=datetime(2025, 7, 19, 1, 2, 3, 456_789, tzinfo=UTC),
    )

    result = generate()

    assert (exports / result.data["file"]).read_text() == (
        f"{HEADER}\n"
        "00000000-0000-0000-0000-000000000001,withdrawal,99999999.99,failed,,"
        "2025-07-19T00:00:00.001Z,2025-07-19T01:02:03.456Z\n"
        "00000000-0000-0000-0000-000000000002,credit,-7.50,pending,c36ef476-1033-4998-bcf4-e9694020aa52,"
        "2025-07-19T23:59:59.999Z,2025-07-20T00:00:00.000Z\n"
    )


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("rows_at_once", [3, 1000])
def test_the_file_is_the_table_row_by_row(
    exports: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(daily_report, "ROWS_AT_ONCE", rows_at_once)
    for number in range(20):
        make_transaction(
            amount=Decimal(number) / 3, created_at=YESTERDAY + timedelta(milliseconds=317 * number)
        )

    rows = read(exports / generate().data["file"])

    table = Transaction.objects.order_by("created_at", "pk")
    assert [row["id"] for row in rows] == [str(row.pk) for row in table]
    for row, stored in zip(rows, table, strict=True):
        assert Decimal(row["amount"]) == stored.amount
        assert row["type"] == stored.type
        assert datetime.fromisoformat(row["createdAt"]) == stored.created_at


@pytest.mark.usefixtures("path")
def test_no_rows_leave_the_header_only(exports: Path) -> None:
    result = generate()

    assert (exports / result.data["file"]).read_text() == HEADER + "\n"
    assert (result.total, result.success, result.failure) == (0, 0, 0)


def test_name_result_and_totals_are_the_contracts(exports: Path) -> None:
    make_transactions(7, created_at=YESTERDAY)
    execution = make_execution()

    result = generate(make_run(execution))

    name = "daily-report_2025-07-19_2025-07-20T17-18-00-150Z.csv"
    assert result == Result(total=7, success=7, data={"file": name, "rows": 7, "date": "2025-07-19"})
    json.dumps(result.data)
    assert [path.name for path in exports.iterdir()] == [name]
    assert committed_totals(execution) == (7, 7, 0)


def test_the_row_of_the_file_tells_what_lies_there(exports: Path) -> None:
    make_transactions(7, created_at=YESTERDAY)
    execution = make_execution()

    result = generate(make_run(execution))

    report = ReportFile.objects.get()
    content = (exports / result.data["file"]).read_bytes()
    assert report.execution_id == execution.pk
    assert report.job_id == execution.job_id
    assert report.name == result.data["file"]
    assert report.data_date == date(2025, 7, 19)
    assert (report.rows, report.bytes) == (7, len(content))
    assert report.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("fire_time", "zone", "day", "first", "end"),
    [
        ("2025-07-20T17:18:00+00:00", "UTC", "2025-07-19", "2025-07-19T00:00", "2025-07-20T00:00"),
        ("2025-07-20T00:00:00+00:00", "UTC", "2025-07-19", "2025-07-19T00:00", "2025-07-20T00:00"),
        ("2025-07-20T17:18:00+00:00", "Asia/Tokyo", "2025-07-20", "2025-07-19T15:00", "2025-07-20T15:00"),
        ("2025-03-31T10:00:00+00:00", "Europe/Berlin", "2025-03-30", "2025-03-29T23:00", "2025-03-30T22:00"),
        ("2025-10-27T10:00:00+00:00", "Europe/Berlin", "2025-10-26", "2025-10-25T22:00", "2025-10-26T23:00"),
    ],
)
def test_the_day_is_the_one_before_in_the_zone_of_the_job(
    exports: Path, fire_time: str, zone: str, day: str, first: str, end: str
) -> None:
    start = datetime.fromisoformat(first).replace(tzinfo=UTC)
    stop = datetime.fromisoformat(end).replace(tzinfo=UTC)
    tick = timedelta(microseconds=1)
    inside = [make_transaction(created_at=moment) for moment in (start, stop - tick)]
    for moment in (start - tick, stop):
        make_transaction(created_at=moment)
    execution = make_execution(scheduled_at=datetime.fromisoformat(fire_time))

    result = generate(make_run(execution, zone=zone))

    assert result.data["date"] == day
    rows = read(exports / result.data["file"])
    assert [row["id"] for row in rows] == [str(row.pk) for row in inside]


@pytest.mark.usefixtures("path")
def test_a_large_day_is_written_in_the_order_of_the_table(
    exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_transactions(30, created_at=YESTERDAY)
    monkeypatch.setattr(daily_report, "ORDERED_UP_TO", 29)

    rows = read(exports / generate().data["file"])

    assert sorted(row["id"] for row in rows) == sorted(str(row.pk) for row in Transaction.objects.all())


@pytest.mark.usefixtures("path")
def test_a_compressed_report_holds_the_same_lines(exports: Path) -> None:
    make_transactions(5, created_at=YESTERDAY)

    plain, packed = generate().data["file"], generate(gzip=True).data["file"]

    assert packed.endswith(".csv.gz")
    assert gzip.decompress((exports / packed).read_bytes()) == (exports / plain).read_bytes()


def test_a_second_attempt_answers_with_the_file_of_the_first(exports: Path) -> None:
    make_transactions(5, created_at=YESTERDAY)
    execution = make_execution()

    first = generate(make_run(execution))
    second = generate(make_run(execution, attempt=2), now=NOW + timedelta(minutes=1))

    assert second == first
    assert len(list(exports.iterdir())) == 1
    assert ReportFile.objects.count() == 1


def test_a_second_attempt_writes_anew_when_the_file_is_gone(exports: Path) -> None:
    make_transactions(5, created_at=YESTERDAY)
    execution = make_execution()
    (exports / generate(make_run(execution)).data["file"]).unlink()

    again = generate(make_run(execution, attempt=2), now=NOW + timedelta(minutes=1))

    assert (exports / again.data["file"]).is_file()


def test_a_requeued_execution_makes_a_new_file_of_the_same_day(exports: Path) -> None:
    make_transactions(5, created_at=YESTERDAY)

    first, second = generate(), generate()

    assert first.data["date"] == second.data["date"]
    assert first.data["file"] != second.data["file"]
    assert len(list(exports.iterdir())) == 2


def test_a_worker_that_lost_its_claim_leaves_neither_file_nor_row(exports: Path) -> None:
    make_transactions(5, created_at=YESTERDAY)
    execution = make_execution()
    run = make_run(execution)
    Execution.objects.filter(pk=execution.pk).update(token=uuid.uuid4())

    with pytest.raises(Stopped):
        generate(run)

    assert list(exports.iterdir()) == []
    assert not ReportFile.objects.exists()


@pytest.mark.usefixtures("path")
def test_a_stop_leaves_no_file_and_a_usable_connection(
    exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_transactions(30, created_at=YESTERDAY)
    monkeypatch.setattr(daily_report, "ROWS_AT_ONCE", 10)
    run = make_run()
    told: list[int] = []

    def report(progress: Progress) -> None:
        told.append(progress.processed)
        run.stop.set()  # type: ignore[attr-defined]  # an Event in tests

    run.report = report

    with pytest.raises(Stopped):
        generate(run)

    assert told == [10]
    assert list(exports.iterdir()) == []
    assert Transaction.objects.count() == 30


@pytest.mark.usefixtures("path")
def test_progress_is_told_with_the_total_known_up_front(monkeypatch: pytest.MonkeyPatch) -> None:
    make_transactions(25, created_at=YESTERDAY)
    monkeypatch.setattr(daily_report, "ROWS_AT_ONCE", 10)
    told: list[Progress] = []

    generate(make_run(report=told.append))

    assert [(step.processed, step.total) for step in told] == [(10, 25), (20, 25), (25, 25)]


def test_a_directory_that_cannot_be_made_fails_the_attempt_in_words(exports: Path) -> None:
    exports.write_text("in the way")

    with pytest.raises(ExportError, match="Cannot write to the export directory"):
        generate()
    assert not ReportFile.objects.exists()


def test_a_report_belongs_to_the_owner_of_its_job() -> None:
    anna, ben, chief = (
        User.objects.create(email=f"{name}@example.com", is_staff=name == "chief")
        for name in ("anna", "ben", "chief")
    )
    for owner in (anna, ben, None):
        generate(make_run(make_execution(make_job(user=owner))))

    def owners(user: Any) -> set[Any]:
        seen = ReportFile.objects.visible_to(user).values_list("job_id", flat=True)
        return {job.user for job in Job.objects.filter(pk__in=[key for key in seen if key])}

    assert owners(anna) == {anna}
    assert owners(ben) == {ben}
    assert owners(AnonymousUser()) == {None}
    assert owners(chief) == {anna, ben, None}


def test_a_report_outlives_its_execution() -> None:
    execution = make_execution()
    generate(make_run(execution))

    execution.delete()

    assert ReportFile.objects.get().execution_id is None


def test_the_fire_time_decides_and_not_the_moment_of_the_run(exports: Path) -> None:
    make_transaction(created_at=YESTERDAY)

    result = generate(now=FIRE_TIME + timedelta(days=3))

    assert result.data["date"] == "2025-07-19"
    assert result.data["file"] == "daily-report_2025-07-19_2025-07-23T17-18-00-000Z.csv"
    assert result.total == 1
