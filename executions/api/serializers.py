"""Executions, dead letters and queues on the wire.

Answers are built by plain functions, because lists of them are what clients ask for most; the
serializers describe the same fields and read request bodies.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from executions.api.dialect import status_of
from executions.models import (
    Attempt,
    AttemptStatus,
    BulkRequeue,
    DeadLetter,
    Execution,
    ExecutionLog,
    LogLevel,
    RequeueState,
    Status,
    Trigger,
)
from executions.pace import time_left
from web.api.fields import FlagField, IdField, MomentField, ObjectField, TextField, WholeField
from web.api.serializers import StrictSerializer

MAX_BODY = 5000
SUCCESS = {Status.SUCCESS: True, Status.FAILED: False}
STATUS_WORDS = [*Status.values, *(status.lower() for status in Status.values)]


def show_execution(
    execution: Execution, waiting_for: str | None = None, now: datetime | None = None
) -> dict[str, Any]:
    """An execution as every route answers it; its job must have been read with it.

    `now` is needed only where it runs and says how far it is.
    """
    status, duration = execution.status, execution.execution_duration_ms
    return {
        "id": execution.id,
        "executionId": execution.id,
        "jobId": execution.job.uuid,
        "jobName": execution.job.name,
        "scheduledAt": execution.scheduled_at,
        "startedAt": execution.started_at,
        "completedAt": execution.completed_at,
        "executedAt": execution.executed_at,
        "status": status_of(execution),
        "success": SUCCESS.get(status),  # type: ignore[call-overload]
        "statusCode": execution.http_status_code,
        "httpStatusCode": execution.http_status_code,
        "durationMs": duration,
        "executionDurationMs": duration,
        "retryCount": execution.retry_count,
        "attemptNumber": execution.attempt,
        "errorMessage": execution.error_message,
        "result": execution.result,
        "totalProcessed": execution.total_processed,
        "totalSuccess": execution.total_success,
        "totalFailure": execution.total_failure,
        "trigger": execution.trigger,
        "triggeredBy": execution.triggered_by,
        "requeuedFrom": execution.requeued_from,
        "reason": execution.reason,
        "waitingFor": waiting_for,
        "progress": show_progress(execution, now),
        "cancelRequested": execution.cancel_requested,
        "skippedUntil": execution.skipped_until,
        "skippedCount": execution.skipped_count,
        "outputAltered": execution.output_altered,
        "nextRetryAt": execution.next_attempt_at if status == Status.RETRYING else None,
        "workerId": execution.locked_by,
        "createdAt": execution.created_at,
    }


def show_progress(execution: Execution, now: datetime | None) -> dict[str, Any]:
    """How far it is: what the running attempt says, else what was committed."""
    processed = execution.progress_processed
    if processed is None:
        processed = execution.total_processed
    total = execution.progress_total
    percent = round(min(100.0, 100 * processed / total), 1) if total else None
    left = None
    if execution.status == Status.RUNNING and now is not None:
        left = time_left(done=processed, total=total, since=execution.started_at, now=now)
    seconds = None if left is None else round(left.total_seconds())
    return {"processed": processed, "total": total, "percent": percent, "secondsLeft": seconds}


def show_attempt(attempt: Attempt) -> dict[str, Any]:
    """One try of an execution."""
    return {
        "attemptNumber": attempt.attempt_number,
        "startedAt": attempt.started_at,
        "finishedAt": attempt.finished_at,
        "status": attempt.status,
        "totalProcessed": attempt.total_processed,
        "totalSuccess": attempt.total_success,
        "totalFailure": attempt.total_failure,
        "failureReason": attempt.failure_reason,
        "workerId": attempt.worker_id,
    }


def show_log(line: ExecutionLog) -> dict[str, Any]:
    """One line that an attempt logged."""
    return {
        "id": line.id,
        "executionId": line.execution_id,
        "logLevel": line.log_level,
        "message": line.message,
        "timestamp": line.timestamp,
        "metadata": line.metadata,
    }


class ProgressSerializer(StrictSerializer):
    processed = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True, help_text="null while it is not known")
    percent = serializers.FloatField(allow_null=True)
    seconds_left = serializers.IntegerField(allow_null=True, help_text="While it runs, by its pace so far")


class ExecutionSerializer(StrictSerializer):
    """One occurrence of a job, or one manual, backfill or requeued run."""

    id = IdField()
    execution_id = IdField(help_text="= id")
    job_id = IdField()
    job_name = serializers.CharField()
    scheduled_at = MomentField(help_text="The fire time")
    started_at = MomentField(allow_null=True, help_text="Start of the first attempt")
    completed_at = MomentField(allow_null=True)
    executed_at = MomentField(allow_null=True, help_text="Start of the latest attempt")
    status = serializers.ChoiceField(choices=STATUS_WORDS, help_text="Upper case for cron jobs, else lower")
    success = serializers.BooleanField(allow_null=True, help_text="true SUCCESS, false FAILED, else null")
    status_code = serializers.IntegerField(allow_null=True)
    http_status_code = serializers.IntegerField(allow_null=True, help_text="= statusCode")
    duration_ms = serializers.IntegerField(allow_null=True, help_text="Of the latest attempt")
    execution_duration_ms = serializers.IntegerField(allow_null=True, help_text="= durationMs")
    retry_count = serializers.IntegerField()
    attempt_number = serializers.IntegerField(help_text="Of the latest attempt, 0 before the first")
    error_message = serializers.CharField(allow_null=True)
    result = serializers.JSONField(allow_null=True)
    total_processed = serializers.IntegerField()
    total_success = serializers.IntegerField()
    total_failure = serializers.IntegerField()
    trigger = serializers.ChoiceField(choices=Trigger.choices)
    triggered_by = serializers.CharField(allow_null=True)
    requeued_from = IdField(allow_null=True)
    reason = serializers.CharField(allow_null=True, help_text="Why it was skipped, cancelled or failed")
    waiting_for = serializers.CharField(allow_null=True, help_text="What holds it back, in words")
    progress = ProgressSerializer()
    cancel_requested = serializers.BooleanField()
    skipped_until = MomentField(allow_null=True, help_text="The last fire time that a SKIPPED row stands for")
    skipped_count = serializers.IntegerField(allow_null=True)
    output_altered = serializers.BooleanField(help_text="Stored output was cut or cleaned")
    next_retry_at = MomentField(allow_null=True)
    worker_id = serializers.CharField(allow_null=True)
    created_at = MomentField()

    def to_representation(self, instance: Execution) -> dict[str, Any]:
        waiting = self.context.get("waiting_for") or {}
        return show_execution(instance, waiting.get(instance.id), self.context.get("now"))


class AttemptSerializer(StrictSerializer):
    attempt_number = serializers.IntegerField()
    started_at = MomentField()
    finished_at = MomentField(allow_null=True)
    status = serializers.ChoiceField(choices=AttemptStatus.choices)
    total_processed = serializers.IntegerField()
    total_success = serializers.IntegerField()
    total_failure = serializers.IntegerField()
    failure_reason = serializers.CharField(allow_null=True)
    worker_id = serializers.CharField(allow_null=True)


class LogSerializer(StrictSerializer):
    id = serializers.IntegerField()
    execution_id = IdField()
    log_level = serializers.ChoiceField(choices=LogLevel.choices)
    message = serializers.CharField()
    timestamp = MomentField()
    metadata = serializers.JSONField(allow_null=True)


class ExecutionDetailSerializer(ExecutionSerializer):
    response_body = serializers.CharField(allow_null=True, max_length=MAX_BODY)
    attempts = AttemptSerializer(many=True)
    logs = LogSerializer(many=True)

    def to_representation(self, instance: Execution) -> dict[str, Any]:
        body = instance.response_body
        return super().to_representation(instance) | {
            "responseBody": None if body is None else body[:MAX_BODY],
            "attempts": [show_attempt(attempt) for attempt in self.context["attempts"]],
            "logs": [show_log(line) for line in self.context["logs"]],
        }


class LogsSerializer(StrictSerializer):
    execution_id = IdField()
    logs = LogSerializer(many=True)


class AnswerSerializer(StrictSerializer):
    """What became of one fire time."""

    scheduled_at = MomentField()
    outcome = serializers.CharField(
        help_text="The execution's status, SCHEDULED, INACTIVE, PRUNED (history was deleted) or MISSING"
    )
    reason = serializers.CharField(allow_null=True)
    execution_id = IdField(allow_null=True)
    detail = serializers.CharField(help_text="In words")


class ExplanationSerializer(StrictSerializer):
    occurrences = AnswerSerializer(many=True)
    next = MomentField(allow_null=True, help_text="Where to go on (`from`) after 1000 fire times")


# Dead letters ---------------------------------------------------------------------------------------


class ErrorDetailsSerializer(StrictSerializer):
    message = serializers.CharField(allow_null=True)
    status_code = serializers.IntegerField(allow_null=True)
    retry_policy = serializers.JSONField(allow_null=True)
    attempts = serializers.IntegerField()


class DeadLetterSerializer(StrictSerializer):
    id = IdField()
    execution_id = IdField()
    job_id = IdField()
    failed_at = MomentField()
    error_details = ErrorDetailsSerializer()
    retry_attempts = serializers.IntegerField()
    resolved = serializers.BooleanField()
    resolved_at = MomentField(allow_null=True)
    resolved_by = serializers.CharField(allow_null=True)

    def to_representation(self, instance: DeadLetter) -> dict[str, Any]:
        return {
            "id": instance.id,
            "executionId": instance.execution_id,
            "jobId": instance.execution.job.uuid,
            "failedAt": instance.failed_at,
            "errorDetails": instance.error_details,
            "retryAttempts": instance.retry_attempts,
            "resolved": instance.resolved,
            "resolvedAt": instance.resolved_at,
            "resolvedBy": instance.resolved_by,
        }


class RetrySerializer(StrictSerializer):
    payload = ObjectField(required=False, allow_null=True, help_text="Instead of the payload that failed")


class RequeuedSerializer(StrictSerializer):
    execution_id = IdField()
    status = serializers.ChoiceField(choices=["PENDING", "pending"])


class BulkSerializer(StrictSerializer):
    """Which dead letters: by `ids`, or by the filters of the list."""

    ids = serializers.ListField(child=IdField(), max_length=1000, required=False)
    job_id = IdField(required=False, allow_null=True)
    resolved = FlagField(required=False, default=False)

    def validate_resolved(self, resolved: bool) -> bool:
        if resolved:
            raise serializers.ValidationError("Only open dead letters can be retried or resolved")
        return resolved


class BulkRetrySerializer(BulkSerializer):
    canary = FlagField(default=True, help_text="Run one first, and stop if it fails")
    rate_per_minute = WholeField(min_value=1, max_value=100_000, required=False, allow_null=True)
    payload = ObjectField(required=False, allow_null=True)


class CountSerializer(StrictSerializer):
    count = serializers.IntegerField()


class RequeueStartedSerializer(CountSerializer):
    requeue_id = IdField()


class BulkRequeueSerializer(StrictSerializer):
    id = IdField()
    status = serializers.ChoiceField(choices=RequeueState.choices)
    count = serializers.IntegerField()
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    reason = serializers.CharField(allow_null=True)

    def to_representation(self, instance: BulkRequeue) -> dict[str, Any]:
        return {
            "id": instance.id,
            "status": instance.status,
            "count": instance.count,
            "done": instance.done,
            "failed": instance.failed,
            "reason": instance.reason,
        }


# Queues and handlers --------------------------------------------------------------------------------


class QueueLimitsSerializer(StrictSerializer):
    max_concurrent = WholeField(min_value=0, max_value=100_000, required=False, allow_null=True)
    rate_limit_per_minute = WholeField(min_value=1, max_value=1_000_000, required=False, allow_null=True)


class PauseSerializer(StrictSerializer):
    reason = TextField(max_length=500, required=False, allow_null=True, allow_blank=True)
    until = MomentField(required=False, allow_null=True)


class QueueSerializer(StrictSerializer):
    name = serializers.CharField(help_text="`*` is all queues together")
    paused = serializers.BooleanField()
    paused_reason = serializers.CharField(allow_null=True)
    paused_until = MomentField(allow_null=True)
    max_concurrent = serializers.IntegerField(allow_null=True)
    rate_limit_per_minute = serializers.IntegerField(allow_null=True)
    waiting = serializers.IntegerField()
    running = serializers.IntegerField()


class HandlerSerializer(StrictSerializer):
    name = serializers.CharField()
    description = serializers.CharField()
    staff_only = serializers.BooleanField()
    params = serializers.JSONField(allow_null=True, help_text="A JSON Schema, or null where any object does")


@extend_schema_serializer(many=False)
class HandlersSerializer(StrictSerializer):
    handlers = HandlerSerializer(many=True)
