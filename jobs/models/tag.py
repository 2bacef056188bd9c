"""Tags: labels of jobs that may carry limits for all their jobs together."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from jobs.models.job import Job
from jobs.models.owned import OwnedQuerySet
from web.columns import DatabaseNow, RandomUUID


class Tag(models.Model):
    """A label that belongs to its owner (nobody: guests and SQL)."""

    id = models.UUIDField(primary_key=True, editable=False, db_default=RandomUUID())
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="tags"
    )
    name = models.CharField(max_length=100)
    description = models.TextField(null=True, blank=True)
    max_concurrent = models.IntegerField(null=True, blank=True)
    rate_limit_per_minute = models.IntegerField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=DatabaseNow())
    jobs = models.ManyToManyField(Job, through="JobTag", related_name="tags")

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "job_tags"
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="job_tags_unique_name"),
            models.UniqueConstraint(
                fields=["name"],
                condition=models.Q(user__isnull=True),
                name="job_tags_unique_guest_name",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class JobTag(models.Model):
    """One job under one tag."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, models.CASCADE, related_name="job_tags")
    tag = models.ForeignKey(Tag, models.CASCADE, related_name="job_tags")
    created_at = models.DateTimeField(db_default=DatabaseNow())

    class Meta:
        db_table = "job_tag_associations"
        constraints = [models.UniqueConstraint(fields=["job", "tag"], name="job_tag_associations_unique")]

    def __str__(self) -> str:
        return f"{self.job_id} is {self.tag_id}"
