"""What a job may say: the one source of every rule about its meaning, for API, admin, files and commands.

A face brings values under the names of the model's columns, `complete` adds what follows from them,
`check` judges the whole job, `check_change` a change of it. Problems are told by column
(`cron_expression`), dotted inside objects (`retry_policy.maxRetries`); each face puts its own names
on them.
"""

from jobs.definitions.attachments import find_dependencies, read_tags
from jobs.definitions.completion import complete
from jobs.definitions.terms import (
    BAD_CRON,
    DEFAULT_CONCURRENCY,
    MAX_DEPENDENCIES,
    MAX_DESCRIPTION,
    MAX_NAME,
    MAX_SCHEDULE,
    MAX_TAG_NAME,
    MAX_TAGS,
    NULLABLE,
    OWN_COLUMN,
    RANGES,
    REQUIRED,
    Problems,
)
from jobs.definitions.timetable import check_schedule
from jobs.definitions.whole import check, check_change
from jobs.definitions.work import (
    check_override,
    check_payload,
    find_idleness,
    find_obstacle,
    is_enabled,
    list_usable,
    resolve_handler,
)

__all__ = [
    "BAD_CRON",
    "DEFAULT_CONCURRENCY",
    "MAX_DEPENDENCIES",
    "MAX_DESCRIPTION",
    "MAX_NAME",
    "MAX_SCHEDULE",
    "MAX_TAGS",
    "MAX_TAG_NAME",
    "NULLABLE",
    "OWN_COLUMN",
    "RANGES",
    "REQUIRED",
    "Problems",
    "check",
    "check_change",
    "check_override",
    "check_payload",
    "check_schedule",
    "complete",
    "find_dependencies",
    "find_idleness",
    "find_obstacle",
    "is_enabled",
    "list_usable",
    "read_tags",
    "resolve_handler",
]
