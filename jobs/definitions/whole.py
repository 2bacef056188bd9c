"""The job as a whole, and a change of it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from jobs import policies
from jobs.definitions.terms import (
    FOR_STAFF,
    MAX_DESCRIPTION,
    MAX_NAME,
    NULLABLE,
    QUEUE_NAME,
    RANGES,
    REQUIRED,
    UNIQUE_NAMES,
    WORDS,
    Problems,
)
from jobs.definitions.timetable import check_schedule
from jobs.definitions.work import check_call, check_documents, check_handler, resolve_handler
from jobs.models import ExecutionType, Job
from web.strictjson import find_bad_text


def check(job: Job, *, staff: bool = False, unwritten: bool = False) -> Problems:
    """Every problem of a job's definition; empty when it may be saved.

    `staff`: whether who saves it may name staff-only handlers; `unwritten`: whether its handler may be
    one that does not exist yet, as of a job that is brought over switched off. Reads the database for
    the calendar, and for the name where it must be unique.
    """
    problems = Problems()
    _check_texts(job, problems)
    _check_words(job, problems)
    _check_numbers(job, problems)
    check_schedule(job, problems)
    check_call(job, problems)
    check_documents(job, problems)
    _check_retries(job, problems)
    check_handler(job, staff, problems, unwritten=unwritten)
    _check_name_is_free(job, problems)
    return problems


def check_change(job: Job, columns: Mapping[str, Any], *, staff: bool = False) -> Problems:
    """The problems that a change of these columns makes or leaves in what it touches.

    A job that SQL wrote with a bad expression can still be renamed or paused; but nobody else than
    staff changes a job whose handler is for staff, because the payload is its program.
    """
    changed = copy.copy(job)
    for name, value in columns.items():
        setattr(changed, name, value)
    problems = check(changed, staff=staff)
    if not problems or not columns:
        return {}
    before = check(job, staff=staff)
    out_of_reach = FOR_STAFF.format(resolve_handler(changed))
    return {
        field: text
        for field, text in problems.items()
        if before.get(field) != text or field.partition(".")[0] in columns or text == out_of_reach
    }


def _check_texts(job: Job, problems: Problems) -> None:
    for column, longest in (("name", MAX_NAME), ("description", MAX_DESCRIPTION), ("handler", 100)):
        value = getattr(job, column)
        if value is None and column != "name":
            continue
        if not isinstance(value, str):
            problems[column] = REQUIRED if value is None else "Must be text"
        elif column == "name" and not value.strip():
            problems[column] = REQUIRED
        elif len(value) > longest:
            problems[column] = f"Must not be longer than {longest} characters"
        elif reason := find_bad_text(value):
            problems[column] = reason


def _check_name_is_free(job: Job, problems: Problems) -> None:
    """Jobs made in SQL, by the seed or by a file go by their name; those of the API may share one."""
    if job.origin in UNIQUE_NAMES and "name" not in problems:
        others = Job.objects.present().filter(name=job.name, origin__in=UNIQUE_NAMES).exclude(pk=job.pk)
        if others.exists():
            problems["name"] = "There is another job of this name"


def _check_words(job: Job, problems: Problems) -> None:
    for column, choices in WORDS.items():
        if getattr(job, column) not in choices.values:
            problems[column] = f"Must be one of {', '.join(choices.values)}"
    queue: Any = job.queue
    if not isinstance(queue, str) or not re.fullmatch(QUEUE_NAME, queue):
        problems["queue"] = "Must be 1 to 50 letters, digits, hyphens or underscores"
    follows: Any = job.follow_redirects
    if not isinstance(follows, bool):
        problems["follow_redirects"] = "Must be true or false"


def _check_numbers(job: Job, problems: Problems) -> None:
    for column, (low, high) in RANGES.items():
        value = getattr(job, column)
        if value is None and column in NULLABLE:
            continue
        if not policies.is_whole(value, low, high):
            problems[column] = f"Must be a whole number from {low} to {high}"


def _check_retries(job: Job, problems: Problems) -> None:
    policy = job.retry_policy
    if policy is None:
        return
    found = dict(policies.find_problems(policy))
    if job.execution_type == ExecutionType.ATMOST_ONCE and policies.retries(policy):
        found.setdefault("maxRetries", "Must be 0: an ATMOST_ONCE job is never retried")
    for field, text in found.items():
        name = f"retry_policy.{field}" if field else "retry_policy"
        problems["max_retries" if policies.as_given(policy) is None else name] = text
