"""What a job was, version by version: explain judges the past by them, rollback goes back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Max

from jobs.models import Job, JobVersion

# What a person or a program defines. State and results are no part of it.
DEFINITION = (
    "name",
    "description",
    "schedule_type",
    "execution_type",
    "cron_expression",
    "recurrence_pattern",
    "timezone",
    "scheduled_at",
    "start_at",
    "end_at",
    "calendar_id",
    "business_day_shift",
    "api_endpoint",
    "method",
    "headers",
    "payload",
    "metadata",
    "handler",
    "timeout_ms",
    "follow_redirects",
    "retry_policy",
    "max_concurrent_executions",
    "rate_limit_per_minute",
    "priority",
    "queue",
    "catch_up",
    "misfire_grace_seconds",
    "overlap_policy",
    "jitter_seconds",
    "dependency_mode",
    "dependency_wait_seconds",
)
MOMENTS = ("scheduled_at", "start_at", "end_at")


def definition(job: Job) -> dict[str, Any]:
    """The job's definition as JSON values; times as ISO 8601 text, secrets as they are stored."""
    values = {name: getattr(job, name) for name in DEFINITION}
    for name, value in values.items():
        if isinstance(value, datetime):
            values[name] = value.isoformat()
        elif isinstance(value, bytes):  # SQLite keeps anything in any column
            values[name] = repr(value)
    return values


def restore(version: JobVersion) -> dict[str, Any]:
    """The columns of that version as Python values, ready to be set on a job."""
    values = {name: version.definition.get(name) for name in DEFINITION}
    for name in MOMENTS:
        if values[name] is not None:
            values[name] = datetime.fromisoformat(values[name])
    return values


def in_force_since(job: Job) -> datetime | None:
    """When the version in force came into force; None where none was recorded yet."""
    rows = JobVersion.objects.filter(job=job, valid_to=None)
    since: datetime | None = rows.values_list("valid_from", flat=True).first()
    return since


MAX_VERSION = 2**31 - 1  # what a column has room for


def advance(job: Job) -> None:
    """Give the job its next number, after all that were recorded, whatever SQL made of the present one."""
    highest = JobVersion.objects.filter(job=job).aggregate(Max("version"))["version__max"] or 0
    job.version = max(job.version if job.version < MAX_VERSION else 0, highest) + 1


PROBLEM = "problem"


def record(job: Job, *, by: str, now: datetime, problem: str | None = None) -> None:
    """Close the version in force and open the job's present number with its present definition.

    `problem`: its schedule cannot be read, so that it names no fire times, and why.
    """
    JobVersion.objects.filter(job=job, valid_to=None).update(valid_to=now)
    values = definition(job) | ({PROBLEM: problem} if problem else {})
    JobVersion.objects.create(job=job, version=job.version, definition=values, valid_from=now, changed_by=by)


def problem_of(version: JobVersion) -> str | None:
    """Why its schedule could not be read, if it could not."""
    problem: str | None = version.definition.get(PROBLEM)
    return problem


def record_first(jobs: Sequence[Job], *, by: str, now: datetime) -> None:
    """Open the first version of jobs that have none, valid from now: nothing was promised before."""
    JobVersion.objects.bulk_create(
        [
            JobVersion(
                job=job,
                version=job.version,
                definition=definition(job),
                valid_from=now,
                changed_by=job.created_by or by,
            )
            for job in jobs
        ],
        ignore_conflicts=True,
    )
