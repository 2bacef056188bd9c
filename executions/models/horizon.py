"""What retention deleted."""

from __future__ import annotations

from django.db import models

from jobs.models import Job


class Horizon(models.Model):
    """The newest fire time of a job whose execution was deleted: before it, absence proves nothing."""

    job = models.OneToOneField(Job, models.CASCADE, primary_key=True, related_name="+")
    until = models.DateTimeField()

    class Meta:
        db_table = "execution_horizons"

    def __str__(self) -> str:
        return f"{self.job_id} up to {self.until}"
