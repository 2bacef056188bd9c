"""The processes that plan and work, by their heartbeat."""

from __future__ import annotations

from django.db import models

from jobs.models.job import one_of
from web.columns import DatabaseNow
from web.unreadable import JSONField


class Role(models.TextChoices):
    """A scheduler plans (and mostly works too); a worker only works."""

    SCHEDULER = "scheduler"
    WORKER = "worker"


class InstanceStatus(models.TextChoices):
    """INACTIVE is a clean stop; a process that died stays ACTIVE with an old heartbeat."""

    ACTIVE = "ACTIVE", "ACTIVE"
    INACTIVE = "INACTIVE", "INACTIVE"


class Instance(models.Model):
    """One process start: a row of `scheduler_metadata`."""

    id = models.CharField(max_length=100, primary_key=True)
    role = models.CharField(max_length=10, choices=Role, default=Role.SCHEDULER, db_default=Role.SCHEDULER)
    status = models.CharField(
        max_length=10, choices=InstanceStatus, default=InstanceStatus.ACTIVE, db_default=InstanceStatus.ACTIVE
    )
    last_heartbeat = models.DateTimeField(db_default=DatabaseNow())
    jobs_processed_count = models.BigIntegerField(default=0, db_default=0)
    metadata = JSONField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=DatabaseNow())
    updated_at = models.DateTimeField(db_default=DatabaseNow())

    class Meta:
        db_table = "scheduler_metadata"
        constraints = [
            one_of("role", Role, "scheduler_metadata_role"),
            one_of("status", InstanceStatus, "scheduler_metadata_status"),
        ]
        indexes = [models.Index(fields=["role", "last_heartbeat"], name="scheduler_metadata_live")]

    def __str__(self) -> str:
        return self.id
