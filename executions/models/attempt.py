"""The tries of an execution and the lines they logged."""

from __future__ import annotations

from typing import Any

from django.db import models

from executions.models.execution import Execution
from jobs.models.job import one_of
from jobs.models.owned import OwnedQuerySet
from web.columns import DatabaseNow
from web.unreadable import JSONField


class AttemptStatus(models.TextChoices):
    """How a try stands."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class OfExecutionQuerySet(OwnedQuerySet):
    """Rows that belong to the owner of their execution's job."""

    owner = "execution__job__user"


class Attempt(models.Model):
    """One try of one execution: a row of `batch_job_logs`, numbered by `attempt_number`."""

    id = models.BigAutoField(primary_key=True)
    job_name = models.CharField(max_length=255)
    cron_expression = models.TextField(default="", db_default="", blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    status = models.CharField(max_length=20, choices=AttemptStatus)
    total_processed = models.IntegerField(default=0, db_default=0)
    total_success = models.IntegerField(default=0, db_default=0)
    total_failure = models.IntegerField(default=0, db_default=0)
    failure_reason = models.TextField(null=True, blank=True)
    execution = models.ForeignKey(
        Execution, models.CASCADE, null=True, related_name="attempts", db_index=False
    )
    job_id = models.BigIntegerField(null=True, blank=True)
    attempt_number = models.IntegerField(default=1, db_default=1)
    worker_id = models.CharField(max_length=100, null=True, blank=True)

    objects = OfExecutionQuerySet.as_manager()

    class Meta:
        db_table = "batch_job_logs"
        constraints = [
            one_of("status", AttemptStatus, "batch_job_logs_status"),
            models.UniqueConstraint(
                fields=["execution", "attempt_number"], name="batch_job_logs_unique_attempt"
            ),
        ]
        indexes = [
            models.Index(fields=["job_name", "started_at"], name="batch_job_logs_job"),
            # Attempts started in the last minute, for rate limits.
            models.Index(fields=["job_id", "started_at"], name="batch_job_logs_rate"),
        ]

    def __str__(self) -> str:
        return f"{self.job_name} #{self.attempt_number} ({self.status})"


class LogLevel(models.TextChoices):
    """How much a line matters."""

    DEBUG = "DEBUG", "DEBUG"
    INFO = "INFO", "INFO"
    WARN = "WARN", "WARN"
    ERROR = "ERROR", "ERROR"


class ExecutionLog(models.Model):
    """One line that an attempt, or the engine for it, wrote."""

    id = models.BigAutoField(primary_key=True)
    execution = models.ForeignKey(Execution, models.CASCADE, related_name="logs", db_index=False)
    log_level = models.CharField(max_length=5, choices=LogLevel)
    message = models.TextField()
    timestamp = models.DateTimeField(db_default=DatabaseNow())
    metadata: Any = JSONField(null=True, blank=True)

    objects = OfExecutionQuerySet.as_manager()

    class Meta:
        db_table = "job_execution_logs"
        constraints = [one_of("log_level", LogLevel, "job_execution_logs_level")]
        indexes = [models.Index(fields=["execution", "id"], name="job_execution_logs_lines")]

    def __str__(self) -> str:
        return f"{self.log_level} {self.message[:80]}"
