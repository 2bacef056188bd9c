"""Executions that are FAILED for good, and the bulk requeues that bring them back."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from executions.models.execution import Execution
from jobs.models.owned import OwnedQuerySet
from web.columns import DatabaseNow, RandomUUID
from web.unreadable import JSONField


class DeadLetterQuerySet(OwnedQuerySet):
    """Dead letters belong to the owner of their execution's job."""

    owner = "execution__job__user"


class DeadLetter(models.Model):
    """FAILED ⇔ one row here. Requeue it (a new execution) or resolve it."""

    id = models.UUIDField(primary_key=True, editable=False, db_default=RandomUUID())
    execution = models.OneToOneField(Execution, models.CASCADE, related_name="dead_letter")
    job_id = models.BigIntegerField()
    failed_at = models.DateTimeField(db_default=DatabaseNow())
    error_details = JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    retry_attempts = models.IntegerField(default=0, db_default=0)
    resolved = models.BooleanField(default=False, db_default=False)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=255, null=True, blank=True)

    objects = DeadLetterQuerySet.as_manager()

    class Meta:
        db_table = "failed_jobs_dlq"
        permissions = [("operate_deadletter", "Can requeue and resolve dead letters")]
        indexes = [
            models.Index(fields=["job_id"], name="failed_jobs_dlq_job"),
            models.Index(fields=["resolved", "failed_at"], name="failed_jobs_dlq_open"),
        ]

    def __str__(self) -> str:
        return f"dead letter of {self.execution_id}"


class RequeueState(models.TextChoices):
    """How far a bulk requeue is."""

    CANARY = "canary", "waiting for the first one"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"


class BulkRequeue(models.Model):
    """A requeue of many dead letters: one first (the canary), then the rest at its pace."""

    id = models.UUIDField(primary_key=True, editable=False, db_default=RandomUUID())
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    requested_by = models.CharField(max_length=255, null=True, blank=True)
    filters = JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    canary = models.BooleanField(default=True, db_default=True)
    canary_execution = models.UUIDField(null=True, blank=True)
    rate_per_minute = models.IntegerField(null=True, blank=True)
    payload = JSONField(null=True, blank=True)
    status = models.CharField(
        max_length=10, choices=RequeueState, default=RequeueState.CANARY, db_default=RequeueState.CANARY
    )
    count = models.IntegerField(default=0, db_default=0)
    done = models.IntegerField(default=0, db_default=0)
    failed = models.IntegerField(default=0, db_default=0)
    reason = models.TextField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=DatabaseNow())
    updated_at = models.DateTimeField(db_default=DatabaseNow())

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "dlq_requeues"

    def __str__(self) -> str:
        return f"requeue of {self.count} ({self.status})"
