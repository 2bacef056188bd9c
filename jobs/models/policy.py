"""What several jobs share: queues, calendars, and who waits for whom."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import F, Q

from jobs.models.job import Job, one_of
from web.columns import DatabaseNow, RandomUUID
from web.unreadable import JSONField


class Queue(models.Model):
    """A named lane of work with its own switch and limits; `*` stands for all together."""

    name = models.CharField(max_length=50, primary_key=True)
    paused = models.BooleanField(default=False, db_default=False)
    paused_reason = models.CharField(max_length=500, null=True, blank=True)
    paused_until = models.DateTimeField(null=True, blank=True)
    max_concurrent = models.IntegerField(null=True, blank=True)
    rate_limit_per_minute = models.IntegerField(null=True, blank=True)

    class Meta:
        db_table = "queues"
        permissions = [("operate_queue", "Can pause and resume queues")]

    def __str__(self) -> str:
        return self.name


class CalendarQuerySet(models.QuerySet["Calendar"]):
    """What the planner asks of calendars."""

    def changed(self) -> Self:
        """Those whose days differ from the ones that fire times were planned from."""
        return self.filter(planned_definition__differs=F("definition"))


class Calendar(models.Model):
    """Days on which jobs do not fire; `definition` is read by `jobs.timing.Calendar`."""

    name = models.CharField(max_length=100, primary_key=True)
    description = models.TextField(null=True, blank=True)
    definition = JSONField(default=dict, db_default=models.Value({}, models.JSONField()), blank=True)
    # What fire times were planned from: it differs for a moment after each change.
    planned_definition = JSONField(null=True, blank=True, editable=False)
    # Earlier days, oldest first: pairs of the moment (ISO 8601) up to which they held, and the definition.
    past = JSONField(
        default=list, db_default=models.Value([], models.JSONField()), blank=True, editable=False
    )
    updated_at = models.DateTimeField(db_default=DatabaseNow())

    objects = CalendarQuerySet.as_manager()

    class Meta:
        db_table = "calendars"

    def __str__(self) -> str:
        return self.name


class DependencyOutcome(models.TextChoices):
    """How the other job's run must have ended."""

    SUCCESS = "SUCCESS", "SUCCESS"
    FAILED = "FAILED", "FAILED"
    ANY = "ANY", "ANY"


class Dependency(models.Model):
    """`job` waits for a run of `depends_on` with the wanted outcome."""

    id = models.UUIDField(primary_key=True, editable=False, db_default=RandomUUID())
    job = models.ForeignKey(Job, models.CASCADE, related_name="dependencies")
    depends_on = models.ForeignKey(
        Job, models.CASCADE, related_name="dependents", db_column="depends_on_job_id"
    )
    outcome = models.CharField(
        max_length=10,
        choices=DependencyOutcome,
        default=DependencyOutcome.SUCCESS,
        db_default=DependencyOutcome.SUCCESS,
    )
    within_seconds = models.IntegerField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=DatabaseNow())

    class Meta:
        db_table = "job_dependencies"
        verbose_name_plural = "dependencies"
        constraints = [
            models.UniqueConstraint(fields=["job", "depends_on"], name="job_dependencies_unique"),
            models.CheckConstraint(name="job_dependencies_not_self", condition=~Q(job=F("depends_on"))),
            one_of("outcome", DependencyOutcome, "job_dependencies_outcome"),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} after {self.depends_on_id} ({self.outcome})"
