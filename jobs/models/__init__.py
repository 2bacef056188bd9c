"""The tables of jobs: the definition, its labels and policies, and its history."""

from jobs.models.applied import AppliedDefinition
from jobs.models.history import AuditAction, AuditEntry, JobVersion
from jobs.models.job import (
    PLANNED_COLUMNS,
    SCHEDULE_COLUMNS,
    BusinessDayShift,
    CatchUp,
    DependencyMode,
    ExecutionType,
    Job,
    JobState,
    Method,
    Origin,
    OverlapPolicy,
    RecurrencePattern,
    ScheduleType,
)
from jobs.models.policy import Calendar, Dependency, DependencyOutcome, Queue
from jobs.models.tag import JobTag, Tag

__all__ = [
    "PLANNED_COLUMNS",
    "SCHEDULE_COLUMNS",
    "AppliedDefinition",
    "AuditAction",
    "AuditEntry",
    "BusinessDayShift",
    "Calendar",
    "CatchUp",
    "Dependency",
    "DependencyMode",
    "DependencyOutcome",
    "ExecutionType",
    "Job",
    "JobState",
    "JobTag",
    "JobVersion",
    "Method",
    "Origin",
    "OverlapPolicy",
    "Queue",
    "RecurrencePattern",
    "ScheduleType",
    "Tag",
]
