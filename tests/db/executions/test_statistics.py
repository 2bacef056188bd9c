"""The counts that triggers keep: always what counting the ledger would say."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Count, Sum

from executions import statistics
from executions.models import Execution, HourlyCount, Status
from executions.rows import write
from executions.statistics import Total
from tests.db.executions.world import NOW, make_execution, make_job

pytestmark = pytest.mark.django_db


def counted() -> dict[tuple[Any, str], int]:
    rows = HourlyCount.objects.values_list("hour", "status").annotate(Sum("count"))
    return {(hour, status): count for hour, status, count in rows if count}


def recounted() -> dict[tuple[Any, str], int]:
    found: dict[tuple[Any, str], int] = {}
    for completed_at, status in Execution.objects.values_list("completed_at", "status"):
        hour = completed_at and completed_at.replace(minute=0, second=0, microsecond=0)
        found[hour, status] = found.get((hour, status), 0) + 1
    return found


def test_inserts_changes_and_deletions_are_counted_by_hour_and_state() -> None:
    job = make_job()
    first = make_execution(job, status=Status.PENDING)
    make_execution(job, status=Status.SUCCESS, completed_at=NOW)
    make_execution(job, status=Status.SUCCESS, completed_at=NOW + timedelta(hours=1))
    assert (
        counted()
        == recounted()
        == {
            (None, "PENDING"): 1,
            (NOW, "SUCCESS"): 1,
            (NOW + timedelta(hours=1), "SUCCESS"): 1,
        }
    )

    Execution.objects.filter(id=first.id).update(status=Status.FAILED, completed_at=NOW)
    assert counted() == recounted()

    Execution.objects.filter(status=Status.SUCCESS).delete()
    assert counted() == recounted() == {(NOW, "FAILED"): 1}


def test_what_is_deleted_leaves_the_ledger_and_not_the_count_of_what_ever_was() -> None:
    job = make_job()
    for _ in range(3):
        make_execution(job, status=Status.SUCCESS, completed_at=NOW, execution_duration_ms=100)
    Execution.objects.all().delete()
    assert statistics.totals()["SUCCESS"] == Total()
    assert statistics.totals(ever=True)["SUCCESS"] == Total(count=3, duration_ms=300)


def test_durations_and_the_lateness_of_scheduled_runs_are_summed() -> None:
    job = make_job()
    late: dict[str, Any] = {"status": Status.SUCCESS, "completed_at": NOW, "scheduled_at": NOW}
    make_execution(job, **late, started_at=NOW + timedelta(milliseconds=250), execution_duration_ms=40)
    make_execution(
        job, **late, trigger="manual", started_at=NOW + timedelta(hours=1), execution_duration_ms=2
    )
    assert statistics.totals()["SUCCESS"] == Total(count=2, duration_ms=42, delay_ms=250)


def test_a_change_of_what_is_not_counted_writes_nothing() -> None:
    execution = make_execution(status=Status.PENDING)
    before = set(HourlyCount.objects.values_list("id", "count"))
    Execution.objects.filter(id=execution.id).update(error_message="words", priority=9)
    assert set(HourlyCount.objects.values_list("id", "count")) == before


def test_rows_written_by_sql_are_counted_too() -> None:
    job = make_job()
    now = connection.ops.adapt_datetimefield_value(NOW)
    key = uuid.uuid4() if connection.vendor == "postgresql" else uuid.uuid4().hex
    write("INSERT INTO job_executions (id, job_id, scheduled_at) VALUES (%s, %s, %s)", [key, job.id, now])
    assert counted() == {(None, "PENDING"): 1}


def test_folding_changes_no_sum() -> None:
    job = make_job()
    for number in range(30):
        make_execution(
            job,
            status=Status.SUCCESS if number % 2 else Status.FAILED,
            completed_at=NOW - timedelta(minutes=20 * number),
            execution_duration_ms=number,
        )
    Execution.objects.filter(status=Status.FAILED).delete()
    before, totals, ever = counted(), statistics.totals(), statistics.totals(ever=True)
    while statistics.fold(NOW, limit=7):
        pass
    assert (counted(), statistics.totals(), statistics.totals(ever=True)) == (before, totals, ever)
    alike = HourlyCount.objects.values("hour", "status", "pruned").annotate(n=Count("id"))
    assert all(row["n"] == 1 for row in alike)


def test_hours_older_than_a_week_become_days() -> None:
    job = make_job()
    for hour in range(24):
        make_execution(job, status=Status.SUCCESS, completed_at=datetime(2026, 1, 1, hour, 30, tzinfo=UTC))
    while statistics.fold(datetime(2026, 2, 1, tzinfo=UTC)):
        pass
    assert counted() == {(datetime(2026, 1, 1, tzinfo=UTC), "SUCCESS"): 24}
    assert HourlyCount.objects.count() == 1


def test_triggers_that_were_lost_come_back_with_the_next_migration_and_count_anew() -> None:
    make_execution(status=Status.PENDING)
    with connection.cursor() as cursor:
        on = "" if connection.vendor == "sqlite" else " ON job_executions"
        for name in ("insert", "update", "delete"):
            cursor.execute(f"DROP TRIGGER execution_statistics_{name}{on}")
        if connection.vendor == "postgresql":
            cursor.execute("DROP TRIGGER execution_statistics_truncate ON job_executions")
    make_execution(status=Status.SUCCESS, completed_at=NOW)
    assert counted() != recounted()
    statistics.ensure()
    assert counted() == recounted()
    make_execution(status=Status.PENDING)
    assert counted() == recounted()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no TRUNCATE")
def test_truncating_the_ledger_forgets_its_counts() -> None:
    make_execution(status=Status.PENDING)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("TRUNCATE job_executions CASCADE")
    assert counted() == {}


@pytest.mark.django_db(transaction=True)
def test_counts_of_a_ledger_that_was_emptied_behind_the_triggers_back_are_dropped() -> None:
    make_execution(status=Status.PENDING)
    HourlyCount.objects.all().delete()
    Execution.objects.all().delete()
    statistics.ensure()
    assert counted() == {}
