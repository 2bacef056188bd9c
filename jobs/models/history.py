"""What a job was and who changed it: versions and the audit trail."""

from __future__ import annotations

from django.db import models

from jobs.models.job import Job
from web.columns import DatabaseNow
from web.unreadable import JSONField


class JobVersion(models.Model):
    """A job's definition while it was in force; explain and rollback read it."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, models.CASCADE, related_name="versions")
    version = models.IntegerField()
    definition = JSONField()
    valid_from = models.DateTimeField(db_default=DatabaseNow())
    valid_to = models.DateTimeField(null=True, blank=True)
    changed_by = models.CharField(max_length=255, null=True, blank=True)

    class Meta:
        db_table = "job_versions"
        constraints = [models.UniqueConstraint(fields=["job", "version"], name="job_versions_unique")]

    def __str__(self) -> str:
        return f"{self.job_id} v{self.version}"


class AuditAction(models.TextChoices):
    """What was done."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"
    PAUSED = "PAUSED"
    RESUMED = "RESUMED"
    CANCELLED = "CANCELLED"
    RESCHEDULED = "RESCHEDULED"
    TRIGGERED = "TRIGGERED"
    BACKFILLED = "BACKFILLED"
    REQUEUED = "REQUEUED"
    RESOLVED = "RESOLVED"


class AuditEntry(models.Model):
    """Who did what to which thing, before and after. Written with the change, never changed."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="audit_entries")
    subject = models.CharField(max_length=150, null=True, blank=True)
    action = models.CharField(max_length=50, choices=AuditAction)
    changed_by = models.CharField(max_length=255, null=True)
    change_details = JSONField(db_default=models.Value({}, models.JSONField()))
    request_id = models.CharField(max_length=100, null=True, blank=True)
    timestamp = models.DateTimeField(db_default=DatabaseNow())

    class Meta:
        db_table = "job_audit_log"
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["job", "timestamp"], name="job_audit_log_job")]

    def __str__(self) -> str:
        return f"{self.action} {self.subject or self.job_id} by {self.changed_by}"
