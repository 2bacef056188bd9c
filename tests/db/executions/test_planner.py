"""The planner over real tables: SQL's rows and edits, cursors, policies, broken rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from executions.engine import adoption, planner
from executions.models import Execution
from jobs.models import AuditEntry, Job, JobVersion
from tests.factories import NOON, make_execution, make_job

pytestmark = pytest.mark.django_db


def run_sql(statement: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def ledger() -> list[tuple[str, str | None, int]]:
    return [
        (row.status, row.reason, row.skipped_count or 1) for row in Execution.objects.order_by("scheduled_at")
    ]


def test_a_row_of_three_columns_is_adopted_and_waits_for_midnight() -> None:
    run_sql(
        "INSERT INTO batch_jobs (job_name, cron_expression, status)"
        " VALUES ('other-daily-reports', '0 0 * * *', 'active')"
    )
    adoption.adopt(NOON)
    job = Job.objects.get()
    assert job.next_run_at == datetime(2026, 3, 3, tzinfo=UTC)
    assert (job.last_run_at, job.origin, job.uuid.version) == (None, "sql", 4)
    assert JobVersion.objects.get(job=job).definition["cron_expression"] == "0 0 * * *"


def test_the_next_run_that_sql_sets_is_used() -> None:
    job = make_job(cron_expression="0 0 * * *", next_run_at=NOON)
    adoption.adopt(NOON)
    planner.plan_due(NOON)
    assert Execution.objects.get().scheduled_at == NOON
    job.refresh_from_db()
    assert job.next_run_at == datetime(2026, 3, 3, tzinfo=UTC)


def test_an_expression_that_sql_changes_is_planned_anew_and_kept_as_a_version() -> None:
    job = make_job(cron_expression="0 12 * * *")
    adoption.adopt(NOON - timedelta(hours=1))
    run_sql("UPDATE batch_jobs SET cron_expression = '30 * * * *' WHERE id = %s", job.id)
    adoption.adopt(NOON + timedelta(minutes=5))
    job.refresh_from_db()
    assert job.next_run_at == NOON + timedelta(minutes=30)
    assert ledger() == [("SKIPPED", "rescheduled", 1)]
    assert [version.version for version in JobVersion.objects.order_by("version")] == [1, 2]
    assert JobVersion.objects.get(version=1).valid_to is not None
    assert AuditEntry.objects.get().change_details["cron_expression"] == {
        "old": "0 12 * * *",
        "new": "30 * * * *",
    }


def test_a_next_run_that_sql_takes_away_is_computed_again() -> None:
    job = make_job(cron_expression="0 0 * * *")
    adoption.adopt(NOON)
    run_sql("UPDATE batch_jobs SET next_run_at = NULL WHERE id = %s", job.id)
    adoption.adopt(NOON)
    job.refresh_from_db()
    assert job.next_run_at == datetime(2026, 3, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "value"),
    [("cron_expression", "99 * * * *"), ("timezone", "Mars/Olympus"), ("cron_expression", "0 0 30 2 *")],
)
def test_a_broken_row_says_why_and_others_go_on(column: str, value: str) -> None:
    broken, sound = make_job(next_run_at=NOON), make_job(cron_expression="0 12 * * *", next_run_at=NOON)
    run_sql(f"UPDATE batch_jobs SET {column} = %s WHERE id = %s", value, broken.id)
    adoption.adopt(NOON)
    planner.plan_due(NOON)
    broken.refresh_from_db()
    assert broken.error_message
    assert broken.next_run_at is None
    assert Execution.objects.get().job == sound


def test_a_broken_row_is_looked_at_again_only_when_it_is_edited() -> None:
    job = make_job(cron_expression="99 * * * *")
    assert adoption.adopt(NOON).jobs == 1
    assert adoption.adopt(NOON).jobs == 0
    run_sql("UPDATE batch_jobs SET cron_expression = '0 0 * * *' WHERE id = %s", job.id)
    adoption.adopt(NOON)
    job.refresh_from_db()
    assert (job.error_message, job.schedule_error) == (None, None)
    assert job.next_run_at == datetime(2026, 3, 3, tzinfo=UTC)


def test_planning_twice_changes_nothing() -> None:
    job = make_job(cron_expression="0 12 * * *", next_run_at=NOON)
    adoption.adopt(NOON)
    planner.plan_due(NOON)
    Job.objects.filter(id=job.id).update(next_run_at=NOON)
    adoption.adopt(NOON)
    planner.plan_due(NOON)
    assert Execution.objects.count() == 1
    job.refresh_from_db()
    assert job.next_run_at == NOON + timedelta(days=1)


def test_jobs_that_are_off_get_no_occurrences() -> None:
    for state in ("paused", "inactive", "cancelled", "completed", "failed", "deleted"):
        make_job(cron_expression="0 12 * * *", next_run_at=NOON, state=state)
    adoption.adopt(NOON)
    planner.plan_due(NOON)
    assert not Execution.objects.exists()


def test_a_schedule_that_has_ended_is_not_looked_at_again() -> None:
    job = make_job(cron_expression="0 12 * * *", next_run_at=NOON, end_at=NOON)
    adoption.adopt(NOON)
    planner.plan_due(NOON)
    job.refresh_from_db()
    assert (job.next_run_at, job.exhausted) == (None, True)
    assert adoption.adopt(NOON).jobs == 0


def test_replace_ends_the_older_ones() -> None:
    job = make_job(cron_expression="* * * * *", overlap_policy="replace", next_run_at=NOON)
    older = make_execution(job, scheduled_at=NOON - timedelta(minutes=1))
    adoption.adopt(NOON)
    planner.plan_due(NOON)
    older.refresh_from_db()
    assert (older.status, older.reason) == ("CANCELLED", "replaced")
    assert Execution.objects.get(scheduled_at=NOON).status == "PENDING"


def test_three_days_of_ten_thousand_fire_times_stay_within_one_pass_of_rows() -> None:
    make_job(cron_expression="* * * * * *", next_run_at=NOON - timedelta(days=3))
    adoption.adopt(NOON)
    planner.plan_due(NOON)
    rows = ledger()
    assert rows[0] == ("SKIPPED", "misfire", 3 * 86_400 - 60)
    assert len(rows) <= 101


@pytest.mark.parametrize("pattern", ["hourly", "daily", "weekly", "monthly"])
def test_a_recurring_job_with_a_past_anchor_waits_for_its_next_turn(pattern: str) -> None:
    job = make_job(
        schedule_type="recurring",
        cron_expression=None,
        recurrence_pattern=pattern,
        scheduled_at=NOON - timedelta(days=70, minutes=-10),
    )
    adoption.adopt(NOON)
    job.refresh_from_db()
    assert job.next_run_at is not None
    assert NOON < job.next_run_at <= NOON + timedelta(days=31)
    assert job.next_run_at.minute == 10


def explain(sql: str, params: Any) -> str:
    words = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        cursor.execute(f"{words} {sql}", params)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def test_the_look_for_edits_by_sql_goes_by_its_own_index_however_many_jobs_there_are() -> None:
    for number in range(200):
        make_job(name=f"quiet-{number}", cron_expression="0 0 * * *")
    while adoption.adopt(NOON).more:
        pass
    run_sql("ANALYZE batch_jobs")
    plan = explain(*adoption._any_to_adopt())
    assert "batch_jobs_replan" in plan, plan


def test_the_look_for_due_jobs_goes_by_the_index_of_what_is_due() -> None:
    for number in range(200):
        make_job(name=f"quiet-{number}", cron_expression="0 0 * * *")
    while adoption.adopt(NOON).more:
        pass
    run_sql("ANALYZE batch_jobs")
    if connection.vendor == "postgresql":
        run_sql("SET LOCAL enable_seqscan = off")
    plan = explain(*Job.objects.due(NOON).order_by("next_run_at", "id")[:5].query.sql_with_params())
    assert "batch_jobs_due" in plan, plan


def test_waiting_executions_are_counted_job_by_job_even_where_statistics_are_old() -> None:
    run_sql("ANALYZE job_executions")  # says that there are none
    jobs = [make_job(name=f"crowd-{number}") for number in range(3)]
    for number, job in enumerate(jobs):
        for minute in range(number):
            make_execution(job, scheduled_at=NOON + timedelta(minutes=minute))
    make_execution(jobs[0], status="SUCCESS")
    make_execution(jobs[0], trigger="manual")
    seen: list[tuple[str, Any]] = []

    def keep(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
        seen.append((sql, params))
        return execute(sql, params, *rest)

    with connection.execute_wrapper(keep):
        counted = planner.count_scheduled([job.id for job in jobs], planner.WAITING)
    assert counted == {jobs[1].id: 1, jobs[2].id: 2}
    if connection.vendor == "postgresql":
        run_sql("SET LOCAL enable_seqscan = off")  # the tables of a test are smaller than any index
    plan = explain(*seen[0])
    # No row is compared with more than its own job: each count goes by an index that starts with the job.
    assert "SubPlan" in plan or "CORRELATED" in plan, plan
    assert "Seq Scan on job_executions" not in plan, plan
    assert "SCAN e" not in plan, plan


def test_a_job_that_cannot_be_read_any_more_keeps_a_whole_version() -> None:
    job = make_job(cron_expression="0 0 * * *", payload={"a": 1}, description="kept")
    adoption.adopt(NOON)
    # Beside the planner's back, cursor and copies as well: only planning notices.
    run_sql(
        "UPDATE batch_jobs SET cron_expression = 'nonsense', planned_cron_expression = 'nonsense',"
        " next_run_at = %s, planned_next_run_at = %s WHERE id = %s",
        NOON,
        NOON,
        job.id,
    )
    planner.plan_due(NOON + timedelta(minutes=1))
    definition = JobVersion.objects.filter(job=job).latest("version").definition
    assert (definition["payload"], definition["description"]) == ({"a": 1}, "kept")
    job.refresh_from_db()
    assert job.schedule_error
