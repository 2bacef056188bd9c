"""Counts that are kept, so that metrics and the dashboard never count the ledger."""

from __future__ import annotations

from django.db import models


class HourlyCount(models.Model):
    """How many executions stand in one state, by the hour they ended in (NULL: not ended).

    Database triggers write it (`executions.statistics`), so every path is counted, SQL by hand
    included. Several rows may stand for the same hour and state: each statement adds its own
    difference, a duty folds them together, and so no two writers ever wait for one row. Sum them to
    read. `pruned` rows take away what was deleted: with them the sum is what the ledger holds,
    without them it is what ever was, which never falls. Hours older than a week are folded into days.
    """

    id = models.BigAutoField(primary_key=True)
    hour = models.DateTimeField(null=True)
    status = models.CharField(max_length=10)
    pruned = models.BooleanField(default=False, db_default=False)
    count = models.BigIntegerField(default=0, db_default=0)
    # Of the latest attempts, summed.
    duration_ms = models.BigIntegerField(default=0, db_default=0)
    # Scheduled executions only: start of the first attempt minus the fire time, summed.
    delay_ms = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        db_table = "execution_statistics"
        indexes = [models.Index(fields=["hour", "status"], name="execution_statistics_hour")]

    def __str__(self) -> str:
        return f"{self.hour} {self.status}: {self.count}"
