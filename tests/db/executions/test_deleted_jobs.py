"""A job is deleted while it runs: what comes back to waiting after that ends, and is not left waiting."""

from __future__ import annotations

from datetime import timedelta

import pytest

from executions import lifecycle, operations
from executions.engine import reaper
from executions.models import Execution, Reason, Status
from jobs.audit import COMMAND_LINE
from jobs.contract import RetryLater, Run
from jobs.models import Job
from tests.factories import NOON, Moving, at, handling, make_execution, make_job, run_due

pytestmark = pytest.mark.django_db(transaction=True)
LEASE = timedelta(seconds=30)


def claimed(job: Job, now: Moving) -> lifecycle.Claim:
    execution = make_execution(job)
    take = lifecycle.Take(
        execution_id=execution.id, job_id=job.id, job_name=job.name, cron_expression="", exclusive=True
    )
    (claim,) = lifecycle.claim([take], instance="scheduler-of-the-test", now=now.now, lease=LEASE)
    return claim


def assert_ended_by_the_deletion() -> None:
    row = Execution.objects.get()
    assert (row.status, row.reason) == (Status.CANCELLED, Reason.JOB_DELETED)


def test_a_run_that_is_rescued_after_its_job_was_deleted_ends() -> None:
    with at(NOON) as now:
        job = make_job()
        claimed(job, now)
        operations.delete(job, by=COMMAND_LINE)
        reaper.reap(now.advance(seconds=31), LEASE)
        run_due()
    assert_ended_by_the_deletion()


def test_a_run_that_is_released_after_its_job_was_deleted_ends() -> None:
    with at(NOON) as now:
        job = make_job()
        claim = claimed(job, now)
        operations.delete(job, by=COMMAND_LINE)
        lifecycle.finish([lifecycle.release(claim, due_at=now.now)], now.now)
        run_due()
    assert_ended_by_the_deletion()


def test_a_run_that_fails_with_retries_left_after_its_job_was_deleted_ends() -> None:
    def delete_and_fail(run: Run) -> None:
        operations.delete(Job.objects.get(id=run.job.key), by=COMMAND_LINE)
        raise RetryLater("not yet", delay=timedelta(0))

    with handling(delete_and_fail) as calls:
        policy = {"maxRetries": 3, "backoffStrategy": "FIXED", "initialDelayMs": 1}
        job = make_job(handler="scripted", retry_policy=policy)
        make_execution(job)
        run_due()
        run_due()
    assert len(calls) == 1
    assert_ended_by_the_deletion()
