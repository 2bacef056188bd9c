"""Figures, compared with what counting says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions import metrics
from executions.metrics import average, success_rate
from executions.models import Execution, Status
from executions.statistics import Total
from tests.db.executions.world import NOW, make_dead_letter, make_execution, make_job

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def test_the_last_day_is_counted_to_the_second() -> None:
    job = make_job()
    now = NOW + timedelta(minutes=25)
    for age in (timedelta(seconds=1), 23 * HOUR, 24 * HOUR - timedelta(seconds=1)):
        make_execution(job, status=Status.SUCCESS, completed_at=now - age)
    make_execution(job, status=Status.FAILED, completed_at=now - 24 * HOUR + timedelta(minutes=1))
    make_execution(job, status=Status.FAILED, completed_at=now - 24 * HOUR - timedelta(seconds=1))
    make_execution(job, status=Status.FAILED, completed_at=now - 50 * HOUR)
    make_execution(job, status=Status.PENDING)
    found = metrics.read_system(now)
    assert (found.last_day, found.failed_last_day) == (5, 1)
    assert found.all_executions == 7


def test_deleted_jobs_are_not_counted_and_their_executions_are() -> None:
    make_execution(make_job(state="deleted"), status=Status.SUCCESS, completed_at=NOW)
    make_job()
    make_job(state="paused")
    found = metrics.read_system(NOW)
    assert found.jobs == {"active": 1, "paused": 1}
    assert found.count(Status.SUCCESS) == 1


def test_only_open_dead_letters_count() -> None:
    make_dead_letter()
    make_dead_letter(resolved=True)
    assert metrics.read_system(NOW).dead_letters == 1


def test_the_figures_of_a_job_are_its_own() -> None:
    job = make_job()
    for number, status in enumerate([Status.SUCCESS, Status.SUCCESS, Status.FAILED, Status.SKIPPED]):
        at = NOW + number * HOUR
        ran: dict[str, Any] = (
            {}
            if status == Status.SKIPPED
            else {"started_at": at + timedelta(seconds=number), "executed_at": at + timedelta(seconds=9)}
        )
        make_execution(
            job,
            status=status,
            scheduled_at=at,
            completed_at=at + HOUR,
            execution_duration_ms=100 * (number + 1),
            **ran,
        )
    make_execution(status=Status.SUCCESS, completed_at=NOW, execution_duration_ms=10_000)
    found = metrics.read_job(job)
    assert (found.total, found.successful, found.failed) == (4, 2, 1)
    assert found.average_ms == 150
    assert found.average_delay_ms == pytest.approx(1000)
    assert (found.last_status, found.last_at) == ("FAILED", NOW + 2 * HOUR + timedelta(seconds=9))


def test_nothing_ran_yet() -> None:
    found = metrics.read_job(make_job())
    assert (found.total, found.average_ms, found.last_status, found.last_at) == (0, None, None, None)
    assert (success_rate(0, 0), average(Total())) == (0.0, 0.0)


def test_a_rate_has_two_decimals() -> None:
    assert success_rate(2, 1) == 66.67
    assert average(Total(count=3, duration_ms=100)) == 33.33


def test_no_figure_of_the_system_counts_the_ledger() -> None:
    """Each statement reads kept counts, or asks an index for what is due, runs or just ended."""
    job = make_job()
    Execution.objects.bulk_create(
        Execution(
            job=job,
            scheduled_at=NOW + timedelta(seconds=number),
            trigger="manual",
            status=Status.SUCCESS,
            completed_at=NOW - timedelta(days=2),
        )
        for number in range(300)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as found:
        metrics.read_system(NOW)
    about = [query["sql"] for query in found if "job_executions" in query["sql"]]
    assert about
    for sql in about:
        with connection.cursor() as cursor:
            explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
            cursor.execute(f"{explain} {sql}")
            plan = "\n".join(str(row[-1]) for row in cursor.fetchall())
        if connection.vendor == "postgresql":
            assert "Seq Scan on job_executions" not in plan, plan
        else:
            scans = [line for line in plan.split("\n") if line.startswith(("SCAN job_executions", "SCAN e"))]
            assert all("USING" in line for line in scans), plan
