"""Jobs and executions for tests, by plain keywords."""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from executions.engine import adoption, planner
from executions.models import Attempt, DeadLetter, Execution, Instance, Status
from jobs import schedules, versions
from jobs.models import Job

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


class Story:
    """A clock that moves only when told, and a planner that looks when told."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now

    def look(self) -> None:
        """What one poll does about planning."""
        while adoption.adopt(self.now).more:
            pass
        while planner.plan_due(self.now).more:
            pass

    def wait(self, span: timedelta, *, step: timedelta = timedelta(hours=1)) -> None:
        """Let time pass with a scheduler that looks every `step`."""
        end = self.now + span
        while self.now < end:
            self.now = min(self.now + step, end)
            self.look()


def make_job(*, planned_at: datetime | None = NOW, **fields: Any) -> Job:
    """A job as the API leaves it: its first version recorded and its cursor set at `planned_at`."""
    given = {"name": f"job-{next(_numbers)}", "cron_expression": "0 * * * *", "origin": "api", **fields}
    job = Job(**given)
    cursor = fields.get("next_run_at")
    if planned_at is not None:
        cursor = cursor or schedules.first_run(schedules.read(job), planned_at)
        schedules.point(job, cursor)
    job.save()
    job.refresh_from_db()
    if planned_at is not None:
        versions.record_first([job], by="tests", now=planned_at)
    return job


def make_execution(job: Job | None = None, **fields: Any) -> Execution:
    """An execution of the job; a RUNNING one has a claim of its own."""
    given: dict[str, Any] = {
        "id": uuid.uuid4(),
        "job": job or make_job(),
        "scheduled_at": NOW + timedelta(seconds=next(_numbers)),
        "status": Status.PENDING,
        **fields,
    }
    if given["status"] == Status.RUNNING:
        given = {"token": uuid.uuid4(), "lease_expires_at": NOW + timedelta(hours=1), "attempt": 1} | given
    return Execution.objects.create(**given)


def make_attempt(execution: Execution, **fields: Any) -> Attempt:
    given = {
        "execution": execution,
        "job_id": execution.job_id,
        "job_name": execution.job.name,
        "started_at": NOW,
        "status": "success",
        "attempt_number": 1,
        **fields,
    }
    return Attempt.objects.create(**given)


def make_dead_letter(execution: Execution | None = None, **fields: Any) -> DeadLetter:
    if execution is None:
        execution = make_execution(status=Status.FAILED, completed_at=NOW, error_message="broken")
    details = {"message": "broken", "statusCode": None, "retryPolicy": None, "attempts": 1}
    given = {"execution": execution, "job_id": execution.job_id, "error_details": details, **fields}
    letter = DeadLetter.objects.create(**given)
    letter.refresh_from_db()
    return letter


def make_instance(*, at: datetime = NOW, concurrency: int = 10, **fields: Any) -> Instance:
    role = fields.get("role", "scheduler")
    given = {
        "id": f"{role}-{uuid.uuid4()}",
        "role": role,
        "status": "ACTIVE",
        "last_heartbeat": at,
        "metadata": {
            "startTime": at.isoformat(),
            "pid": 1,
            "hostname": "here",
            "queues": ["*"],
            "concurrency": concurrency,
        },
        **fields,
    }
    return Instance.objects.create(**given)
