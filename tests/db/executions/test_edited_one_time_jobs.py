"""An edit plans a one-time job anew; its one occurrence must not get lost on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from executions import operations
from executions.engine import adoption, clock, planner
from executions.models import Execution
from jobs.audit import COMMAND_LINE
from jobs.models import Job

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def make_job() -> Job:
    with clock.moved(lambda: NOW):
        job = Job(
            name="once", schedule_type="one_time", scheduled_at=NOW + timedelta(seconds=2), handler="default"
        )
        return operations.create(job, by=COMMAND_LINE)


def edit(job: Job, at: datetime) -> None:
    with clock.moved(lambda: at):
        operations.update(job, {"timezone": "Asia/Kolkata"}, by=COMMAND_LINE)


def outcomes() -> list[str]:
    return list(Execution.objects.order_by("scheduled_at").values_list("status", flat=True))


def test_one_that_was_overdue_and_not_planned_runs_after_the_edit() -> None:
    job, later = make_job(), NOW + timedelta(seconds=5)
    edit(job, later)
    planner.plan_due(later)
    assert outcomes() == ["SKIPPED", "PENDING"]


def test_one_that_waited_is_cancelled_and_runs_after_the_edit() -> None:
    job, later = make_job(), NOW + timedelta(seconds=5)
    planner.plan_due(later)
    edit(job, later)
    planner.plan_due(later)
    assert outcomes() == ["CANCELLED", "PENDING"]


def test_one_that_sql_edited_runs_after_the_edit() -> None:
    job, later = make_job(), NOW + timedelta(seconds=5)
    planner.plan_due(later)
    Job.objects.filter(id=job.id).update(timezone="Asia/Kolkata")
    adoption.adopt(later)
    planner.plan_due(later)
    assert outcomes() == ["CANCELLED", "PENDING"]
    assert not Job.objects.to_replan().exists()


def test_one_that_has_not_come_keeps_its_time() -> None:
    job = make_job()
    edit(job, NOW)
    job.refresh_from_db()
    assert job.scheduled_at == NOW + timedelta(seconds=2)
    assert outcomes() == []


def test_one_that_is_over_keeps_its_time() -> None:
    job = make_job()
    planner.plan_due(NOW + timedelta(seconds=5))
    Execution.objects.update(status="SUCCESS", completed_at=NOW)
    Job.objects.update(state="completed")
    edit(job, NOW + timedelta(seconds=9))
    job.refresh_from_db()
    assert job.scheduled_at == NOW + timedelta(seconds=2)
