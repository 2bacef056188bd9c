"""The words that differ by the family of the job, and nowhere else."""

from __future__ import annotations

from executions.models import Execution
from jobs.models import ScheduleType


def show_status(status: str, schedule_type: str) -> str:
    """A status as clients of the job's family know it: upper case for cron jobs, lower for the others."""
    return status if schedule_type == ScheduleType.CRON else status.lower()


def status_of(execution: Execution) -> str:
    """The execution's status in its job's words."""
    return show_status(execution.status, execution.job.schedule_type)
