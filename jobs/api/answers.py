"""The job object, made in one pass from a row that `detailed` fetched."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from rest_framework.request import Request

from executions import egress, retry
from jobs import definitions, policies, registry, schedules, secrets, timing
from jobs.api import dialect
from jobs.api.listed import AWAITED, TAG_NAMES, Listed, is_running
from jobs.models import Job, JobState, ScheduleType
from web.moments import format_moment


def detailed(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """The jobs with all that the job object tells of, in one query."""
    return jobs.annotate(is_running=is_running(), tag_names=Listed(TAG_NAMES), awaited=Listed(AWAITED))


def describe_job(job: Any, request: Request | None = None) -> dict[str, Any]:
    """The job object of every route; expects a job from `detailed`."""
    handler = definitions.resolve_handler(job)
    key = str(job.uuid)
    last_run = _moment(job.last_run_at)
    # A job that is off has no next run; the planner's cursor stays for the resume.
    next_run = _moment(job.next_run_at) if job.state == JobState.ACTIVE else None
    described = {
        "id": key,
        "jobId": key,
        "name": job.name,
        "description": job.description,
        "type": dialect.say_type(job),
        "scheduleType": job.schedule_type,
        "executionType": job.execution_type,
        "schedule": job.cron_expression,
        "cronExpression": job.cron_expression,
        "timezone": job.timezone,
        "recurrencePattern": job.recurrence_pattern,
        "scheduledAt": _moment(job.scheduled_at),
        "api": job.api_endpoint,
        "apiEndpoint": job.api_endpoint,
        "method": job.method,
        "headers": secrets.masked(job.headers) if isinstance(job.headers, dict) else {},
        "payload": job.payload,
        "metadata": job.metadata,
        "handler": handler,
        "timeoutMs": registry.default_timeout_ms(handler) if job.timeout_ms is None else job.timeout_ms,
        "retryPolicy": policies.as_given(job.retry_policy),
        "maxRetries": count_retries(job),
        "retryCount": job.retry_count,
        "maxConcurrentExecutions": job.max_concurrent_executions,
        "rateLimitPerMinute": job.rate_limit_per_minute,
        "priority": job.priority,
        "queue": job.queue,
        "catchUp": job.catch_up,
        "misfireGraceSeconds": job.misfire_grace_seconds,
        "overlapPolicy": job.overlap_policy,
        "jitterSeconds": job.jitter_seconds,
        "startAt": _moment(job.start_at),
        "endAt": _moment(job.end_at),
        "calendar": job.calendar_id,
        "businessDayShift": job.business_day_shift,
        "dependencyMode": job.dependency_mode,
        "dependencyWaitSeconds": job.dependency_wait_seconds,
        "followRedirects": job.follow_redirects,
        "origin": job.origin,
        "version": job.version,
        "pausedReason": job.paused_reason,
        "pausedUntil": _moment(job.paused_until),
        "status": dialect.say_state(job, running=job.is_running),
        "state": job.state,
        "isActive": job.is_active,
        "lastRunAt": last_run,
        "lastRun": last_run,
        "nextRunAt": next_run,
        "nextRun": next_run,
        "nextScheduledRun": next_run,
        "startedAt": _moment(job.started_at),
        "completedAt": _moment(job.completed_at),
        "errorMessage": job.schedule_error or job.error_message,
        "result": job.result,
        "tags": sorted(job.tag_names),
        "dependsOn": [str(UUID(key)) for key in job.awaited],
        "userId": None if job.user_id is None else str(job.user_id),
        "createdBy": job.created_by,
        "createdAt": _moment(job.created_at),
        "updatedAt": _moment(job.updated_at),
    }
    if handler == "ping":
        address = f"/ping/{key}"
        described["pingUrl"] = request.build_absolute_uri(address) if request else address
    return described


def count_retries(job: Job) -> int:
    """How many retries are in force; none where SQL wrote a policy that cannot be read."""
    defaults = retry.Defaults(
        max_retries=settings.MAX_RETRY_ATTEMPTS, initial_delay_ms=settings.RETRY_DELAY_MS
    )
    try:
        policy = retry.read_policy(
            job.retry_policy, family=job.schedule_type, execution_type=job.execution_type, defaults=defaults
        )
    except (TypeError, ValueError):
        return 0
    return policy.max_retries


def warn_of(job: Job, *, now: datetime, handler_before: str | None = None) -> list[str]:
    """What is legal in the saved job but often not meant, one sentence each."""
    found = []
    try:
        found += timing.warnings(schedules.read(job), after=now)
    except ValueError:
        pass  # it was so before, and errorMessage tells it
    ends = job.state == JobState.ACTIVE and job.next_run_at is None
    if ends and job.schedule_type != ScheduleType.ONE_TIME:
        found.append("the schedule names no fire time from now on")
    found += (text for text in (definitions.find_idleness(job), _find_refusal(job)) if text)
    handler = definitions.resolve_handler(job)
    if handler_before is not None and handler != handler_before:
        found.append(f"the handler was {handler_before} and is {handler} now")
    return found


def _find_refusal(job: Job) -> str | None:
    return egress.find_refusal(job.api_endpoint) if job.api_endpoint else None


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else format_moment(moment)
