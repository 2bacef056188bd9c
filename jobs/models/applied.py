"""What a file last said of a job, to tell whether it was changed elsewhere since."""

from __future__ import annotations

from django.db import models

from jobs.models.job import Job
from web.columns import DatabaseNow
from web.unreadable import JSONField


class AppliedDefinition(models.Model):
    """One job's document as `apply_jobs` left it; secrets only as fingerprints."""

    job = models.OneToOneField(Job, models.CASCADE, primary_key=True, related_name="applied")
    source = models.CharField(max_length=255)
    definition = JSONField()
    applied_at = models.DateTimeField(db_default=DatabaseNow())

    class Meta:
        db_table = "applied_definitions"

    def __str__(self) -> str:
        return f"{self.job_id} by {self.source}"
