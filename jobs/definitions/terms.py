"""The limits and words that a definition keeps to, and how its problems are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jobs.models import (
    BusinessDayShift,
    CatchUp,
    DependencyMode,
    ExecutionType,
    Method,
    Origin,
    OverlapPolicy,
    ScheduleType,
)

REQUIRED = "Required"
BAD_CRON = "Invalid cron expression format"
FOR_STAFF = "Handler {} is for staff: log in as staff, and send the token"
MAX_NAME = 255
MAX_DESCRIPTION = 2000
MAX_SCHEDULE = 256
MAX_DOCUMENT_BYTES = 64 * 1024
MAX_TAGS = 20
MAX_TAG_NAME = 100
MAX_DEPENDENCIES = 20
QUEUE_NAME = r"[A-Za-z0-9_-]{1,50}"

# Least and most of every whole number; those in NULLABLE may be null.
RANGES = {
    "timeout_ms": (100, 3_600_000),
    "max_concurrent_executions": (1, 100),
    "rate_limit_per_minute": (1, 6000),
    "priority": (0, 9),
    "misfire_grace_seconds": (0, 604_800),
    "jitter_seconds": (0, 3600),
    "dependency_wait_seconds": (0, 86_400),
}
NULLABLE = frozenset({"timeout_ms", "rate_limit_per_minute"})
WORDS = {
    "schedule_type": ScheduleType,
    "execution_type": ExecutionType,
    "method": Method,
    "catch_up": CatchUp,
    "overlap_policy": OverlapPolicy,
    "business_day_shift": BusinessDayShift,
    "dependency_mode": DependencyMode,
}
# The column that only one family has, and that makes a job one of it.
OWN_COLUMN = {
    ScheduleType.CRON: "cron_expression",
    ScheduleType.RECURRING: "recurrence_pattern",
    ScheduleType.ONE_TIME: "scheduled_at",
}
UNIQUE_NAMES = (Origin.SQL, Origin.SEED, Origin.FILE)
# How many runs at once a job allows that does not say.
DEFAULT_CONCURRENCY = {True: 100, False: 1}

Problems = dict[str, str]


def attempt(
    problems: Problems, field: str, rule: Callable[[Any], Any], value: Any, *, prefix: str = ""
) -> None:
    """Add the reason of a rule that raises ValueError for the value; with the prefix as it is."""
    try:
        rule(value)
    except ValueError as error:
        text = str(error)
        problems[field] = prefix + text if prefix else text[:1].upper() + text[1:]
