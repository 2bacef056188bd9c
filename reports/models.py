"""The business tables: transactions that arrive and are processed, and the report files written of them."""

from __future__ import annotations

from typing import Any, Self

from django.db import models
from django.db.models import Q

from executions.models import Execution
from jobs.models import Job
from web.columns import DatabaseNow, RandomUUID


class TransactionType(models.TextChoices):
    """What kind of movement a transaction is."""

    CREDIT = "credit"
    DEBIT = "debit"
    PAYMENT = "payment"
    WITHDRAWAL = "withdrawal"
    DISBURSEMENT = "disbursement"


class TransactionStatus(models.TextChoices):
    """Where a transaction stands; `process-transactions` completes the pending ones."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


class Transaction(models.Model):
    """One row of `transactions`."""

    id = models.UUIDField(primary_key=True, editable=False, db_default=RandomUUID())
    type = models.CharField(max_length=20, choices=TransactionType)
    amount = models.DecimalField(max_digits=10, decimal_places=2)
    status = models.CharField(max_length=20, choices=TransactionStatus)
    consumer_id = models.UUIDField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=DatabaseNow())
    updated_at = models.DateTimeField(db_default=DatabaseNow())

    class Meta:
        db_table = "transactions"
        constraints = [
            models.CheckConstraint(
                condition=Q(type__in=TransactionType.values), name="transactions_type_check"
            ),
            models.CheckConstraint(
                condition=Q(status__in=TransactionStatus.values), name="transactions_status_check"
            ),
        ]
        indexes = [
            models.Index(fields=["status", "created_at"], name="transactions_status_created"),
            # The batch reads what is pending in key order; completed rows leave this index.
            models.Index(
                fields=["id"], condition=Q(status=TransactionStatus.PENDING), name="transactions_pending_key"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.amount} ({self.status})"


class ReportFileQuerySet(models.QuerySet["ReportFile"]):
    """Questions about report files."""

    def visible_to(self, user: Any) -> Self:
        """The files of jobs this user may see: staff all, others of own jobs, guests of nobody's."""
        if getattr(user, "is_staff", False):
            return self.all()
        return self.filter(job_id__in=Job.objects.visible_to(user).values("pk"))


class ReportFile(models.Model):
    """One row of `report_files`: a file in EXPORT_DIRECTORY. Its owner is the job's owner."""

    id = models.UUIDField(primary_key=True, editable=False, db_default=RandomUUID())
    execution = models.ForeignKey(
        Execution, models.SET_NULL, null=True, blank=True, related_name="report_files"
    )
    job_id = models.BigIntegerField(null=True, blank=True)
    name = models.CharField(max_length=255)
    data_date = models.DateField()
    rows = models.BigIntegerField()
    bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=DatabaseNow())

    objects = ReportFileQuerySet.as_manager()

    class Meta:
        db_table = "report_files"
        indexes = [
            models.Index(fields=["job_id", "created_at"], name="report_files_by_job"),
            # The newest first, and what is old enough to go.
            models.Index(fields=["created_at"], name="report_files_by_age"),
        ]

    def __str__(self) -> str:
        return self.name
