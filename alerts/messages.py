"""What an alert says: the facts as JSON for programs, and a few sentences for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from alerts import rules
from executions.models import Execution
from jobs.http_rules import mask_url
from jobs.models import Job
from web.moments import format_moment
from web.redaction import redact

MAX_ERROR = 1000
SUBJECT_LENGTH = 200

_HEADLINES = {
    rules.FAILED: "failed",
    rules.SUCCEEDED: "succeeded",
    rules.RECOVERED: "works again",
    rules.LATE: "is late",
    rules.MISSED: "missed a run",
    rules.LONG_RUNNING: "runs too long",
    rules.DEAD_LETTER: "left a dead letter",
}


@dataclass(frozen=True, kw_only=True)
class Message:
    """One alert, ready for every channel. `body` is the webhook's; the texts are plain."""

    id: UUID
    subject: str
    text: str
    body: Mapping[str, Any]


def compose(
    *,
    key: UUID,
    event: str,
    at: datetime,
    job: Job | None,
    execution: Execution | None,
    details: Mapping[str, Any],
    scheduled_at: datetime | None = None,
) -> Message:
    """The message of one event. `execution` is None for a fire time that nobody planned."""
    run = _show_execution(execution) if execution else _show_fire_time(job, scheduled_at, details)
    return Message(
        id=key,
        subject=_one_line(f"[scheduler] {_headline(event, job)}"),
        text="\n".join(line for line in _lines(event, job, execution, scheduled_at, details) if line),
        body={
            "type": event,
            "timestamp": format_moment(at),
            "data": {"job": None if job is None else show_job(job), "execution": run},
        },
    )


def compose_test(*, key: UUID, at: datetime, job: Job | None) -> Message:
    """The message that shows whether an alert arrives."""
    return Message(
        id=key,
        subject="[scheduler] Test of an alert",
        text="This is a test of an alert. It arrives, so nothing is to be done.",
        body={
            "type": rules.TEST,
            "timestamp": format_moment(at),
            "data": {"job": None if job is None else show_job(job), "execution": None},
        },
    )


def show_job(job: Job) -> dict[str, Any]:
    """The job without payload, headers and metadata, which may hold secrets."""
    return {
        "id": str(job.uuid),
        "jobId": str(job.uuid),
        "name": job.name,
        "scheduleType": job.schedule_type,
        "executionType": job.execution_type,
        "schedule": job.cron_expression,
        "recurrencePattern": job.recurrence_pattern,
        "timezone": job.zone,
        "handler": job.handler,
        "api": None if job.api_endpoint is None else mask_url(job.api_endpoint),
        "method": job.method,
        "queue": job.queue,
        "priority": job.priority,
        "state": job.state,
        "consecutiveFailures": job.consecutive_failures,
        "nextRunAt": _moment(job.next_run_at),
    }


def _show_execution(row: Execution) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "executionId": str(row.id),
        "jobId": str(row.job.uuid),
        "status": row.status,
        "reason": row.reason,
        "trigger": row.trigger,
        "scheduledAt": format_moment(row.scheduled_at),
        "startedAt": _moment(row.started_at),
        "completedAt": _moment(row.completed_at),
        "attemptNumber": row.attempt,
        "retryCount": row.retry_count,
        "durationMs": row.execution_duration_ms,
        "statusCode": row.http_status_code,
        "errorMessage": _error(row.error_message),
        "totalProcessed": row.total_processed,
        "totalSuccess": row.total_success,
        "totalFailure": row.total_failure,
        "skippedUntil": _moment(row.skipped_until),
        "skippedCount": row.skipped_count,
    }


def _show_fire_time(
    job: Job | None, scheduled_at: datetime | None, details: Mapping[str, Any]
) -> dict[str, Any] | None:
    if not details.get("unplanned"):
        return None
    return {
        "id": None,
        "executionId": None,
        "jobId": None if job is None else str(job.uuid),
        "status": "MISSING",
        "reason": _error(details.get("reason")),
        "scheduledAt": _moment(scheduled_at),
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else format_moment(at)


def _error(text: object) -> str | None:
    if not isinstance(text, str):
        return None
    plain = redact(text)
    return plain if len(plain) <= MAX_ERROR else plain[: MAX_ERROR - 1] + "…"


# For people -----------------------------------------------------------------------------------------


def _headline(event: str, job: Job | None) -> str:
    name = "A job that is gone" if job is None else f"Job {job.name}"
    return f"{name} {_HEADLINES.get(event, event)}"


def _one_line(text: str) -> str:
    """A mail's subject: no control characters, no line ends, not endless."""
    clean = "".join(sign if sign.isprintable() else " " for sign in redact(text))
    return " ".join(clean.split())[:SUBJECT_LENGTH]


def _lines(
    event: str,
    job: Job | None,
    execution: Execution | None,
    scheduled_at: datetime | None,
    details: Mapping[str, Any],
) -> list[str]:
    at = execution.scheduled_at if execution else scheduled_at
    return [
        _one_line(_headline(event, job)) + ".",
        f"Fire time: {format_moment(at)}." if at else "",
        _what_happened(event, execution, details),
        f"What to do: {_what_to_do(event, job, execution)}",
    ]


def _what_happened(event: str, execution: Execution | None, details: Mapping[str, Any]) -> str:
    error = _error(execution.error_message) if execution else None
    if event in (rules.FAILED, rules.DEAD_LETTER):
        in_a_row = details.get("consecutiveFailures") or 1
        so_often = f" It is at least the {in_a_row}. failure in a row." if in_a_row > 1 else ""
        attempts = execution.attempt if execution else 0
        return f"Error after {attempts} attempts: {error or 'none was given'}.{so_often}"
    if event == rules.LATE:
        return f"It is {details.get('lateSeconds')} s late; {details.get('limitSeconds')} s are allowed."
    if event == rules.LONG_RUNNING:
        return f"It ran for {details.get('runningSeconds')} s; {details.get('limitSeconds')} s are allowed."
    if event == rules.MISSED:
        count = (execution.skipped_count if execution else None) or 1
        times = f" It stands for {count} fire times." if count > 1 else ""
        return f"Reason: {_error(details.get('reason')) or 'unknown'}.{times}"
    return ""


_ADVICE = {
    rules.SUCCEEDED: "nothing.",
    rules.RECOVERED: "nothing; the failures before it may have left dead letters to requeue or resolve.",
    rules.LATE: "see what it waits for in waitingFor of GET /api/v1/executions/{execution}, and whether "
    "GET /api/v1/scheduler/status is ACTIVE.",
    rules.LONG_RUNNING: "see its progress at GET /api/v1/executions/{execution}; "
    "POST /api/v1/executions/{execution}/cancel stops it.",
}


def _what_to_do(event: str, job: Job | None, execution: Execution | None) -> str:
    name = str(job.uuid) if job else ""
    run = str(execution.id) if execution else ""
    if event in (rules.FAILED, rules.DEAD_LETTER):
        return (
            f"read its log at GET /api/v1/executions/{run}/logs, mend the cause, then requeue or resolve "
            f"its dead letter (GET /api/v1/dlq?jobId={name})."
        )
    if event == rules.MISSED:
        return (
            f"ask GET /api/v1/jobs/{name}/explain why, and run what is still wanted by "
            f"POST /api/v1/jobs/{name}/backfill."
        )
    return _ADVICE.get(event, "look at the job.").format(execution=run)
