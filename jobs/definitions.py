"""What a job may say: the one source of every rule about its meaning, for API, admin, files and commands.

A face brings values under the names of the model's columns, `complete` adds what follows from them,
`check` judges the whole job. Problems are told by column (`cron_expression`), dotted inside objects
(`retry_policy.maxRetries`); each face puts its own names on them.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings

from jobs import http_rules, policies, registry, schedules, secrets
from jobs.models import (
    SCHEDULE_COLUMNS,
    BusinessDayShift,
    Calendar,
    CatchUp,
    DependencyMode,
    ExecutionType,
    Job,
    Method,
    Origin,
    OverlapPolicy,
    RecurrencePattern,
    ScheduleType,
)
from jobs.timing import Calendar as Days
from jobs.timing import check_cron, check_zone
from jobs.versions import MOMENTS
from web.errors import Invalid
from web.strictjson import BODY, check_json, find_bad_text

REQUIRED = "Required"
BAD_CRON = "Invalid cron expression format"
FOR_STAFF = "Handler {} is for staff"
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


# From values to columns -----------------------------------------------------------------------------


def complete(values: Mapping[str, Any], job: Job | None = None) -> tuple[dict[str, Any], Problems]:
    """The columns that the values mean for a new job, or for a change of `job`; and what contradicts.

    1. The family follows from what is given (`cron_expression`, `recurrence_pattern`, `scheduled_at`),
       and never changes.
    2. `max_retries` (no column) goes into `retry_policy`.
    3. Where overlaps are allowed, 100 may run at once unless the job says otherwise.
    4. Secret headers are sealed; `***` keeps the stored value.
    """
    columns, problems = dict(values), Problems()
    if job is None:
        columns.setdefault("schedule_type", None)
        columns["schedule_type"] = columns["schedule_type"] or _deduce_family(columns, problems)
    elif columns.get("schedule_type", job.schedule_type) != job.schedule_type:
        problems["schedule_type"] = f"Cannot change: the job is {job.schedule_type}"
    elif job.schedule_type != ScheduleType.CRON and columns.get("scheduled_at", job) is None:
        problems["scheduled_at"] = "Must not be null"
    _complete_retries(columns, job, problems)
    _complete_concurrency(columns, job)
    if isinstance(columns.get("headers"), Mapping):
        columns["headers"] = _complete_headers(columns["headers"], job, problems)
    return columns, problems


def _deduce_family(columns: Mapping[str, Any], problems: Problems) -> str:
    for family, column in OWN_COLUMN.items():
        if columns.get(column) is not None:
            return family
    problems["cron_expression"] = REQUIRED
    return ScheduleType.CRON


def _complete_retries(columns: dict[str, Any], job: Job | None, problems: Problems) -> None:
    max_retries, given = columns.pop("max_retries", None), "retry_policy" in columns
    policy = columns.get("retry_policy")
    if max_retries is None and not given:
        return
    if policy is not None and not isinstance(policy, Mapping):
        return
    if policy and policies.SHORTHAND in policy:
        problems[f"retry_policy.{policies.SHORTHAND}"] = "Unknown field"
    try:
        columns["retry_policy"] = policies.merge(
            job.retry_policy if job else None, policy=policy, given=given, max_retries=max_retries
        )
    except ValueError as error:
        problems["max_retries"] = str(error)
        return
    if columns["retry_policy"] is not None:
        columns["retry_policy"] = policies.normalize(columns["retry_policy"])


def _complete_concurrency(columns: dict[str, Any], job: Job | None) -> None:
    """The default follows the policy; a number that was chosen stays."""
    if "overlap_policy" not in columns or "max_concurrent_executions" in columns:
        return
    allows = columns["overlap_policy"] == OverlapPolicy.ALLOW
    allowed = job is not None and job.overlap_policy == OverlapPolicy.ALLOW
    if job is None or job.max_concurrent_executions == DEFAULT_CONCURRENCY[allowed]:
        columns["max_concurrent_executions"] = DEFAULT_CONCURRENCY[allows]


def _complete_headers(headers: Mapping[str, Any], job: Job | None, problems: Problems) -> dict[str, Any]:
    for name, value in headers.items():
        if secrets.is_sealed(str(name), value):
            # What is stored is never handed out, so this is a guess, or a copy of the table.
            problems[f"headers.{name}"] = f"Must not begin with {secrets.SEAL}"
            return dict(headers)
    try:
        trimmed = {n: v.strip(" \t") if isinstance(v, str) else v for n, v in headers.items()}
        return secrets.seal(trimmed, job.headers if job else None)
    except ValueError as error:
        name, _, reason = str(error).partition(": ")
        problems[f"headers.{name}"] = reason
        return dict(headers)


# The whole job --------------------------------------------------------------------------------------


def check(job: Job, *, staff: bool = False) -> Problems:
    """Every problem of a job's definition; empty when it may be saved.

    `staff`: whether who saves it may name staff-only handlers. Reads the database for the
    calendar, and for the name where it must be unique.
    """
    problems = Problems()
    _check_texts(job, problems)
    _check_words(job, problems)
    _check_numbers(job, problems)
    check_schedule(job, problems)
    _check_call(job, problems)
    _check_documents(job, problems)
    _check_retries(job, problems)
    _check_handler(job, staff, problems)
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


def check_schedule(job: Job, problems: Problems) -> None:
    """Add what is wrong with the columns that say when the job runs."""
    _check_family(job, problems)
    if job.timezone is not None:
        _try(problems, "timezone", check_zone, job.timezone)
    _check_moments(job, problems)
    calendar = _read_calendar(job, problems) if job.calendar_id else None
    if problems:
        return
    values = {name: getattr(job, name) for name in SCHEDULE_COLUMNS}
    if job.schedule_type != ScheduleType.CRON and job.scheduled_at is None:
        return  # the moment of saving
    try:
        schedules.build(kind=job.schedule_type, calendar=calendar, shift=job.business_day_shift, **values)
    except ValueError as error:
        problems[OWN_COLUMN[ScheduleType(job.schedule_type)]] = str(error)


def _check_moments(job: Job, problems: Problems) -> None:
    for column in MOMENTS:
        value = getattr(job, column)
        if value is not None and not (isinstance(value, datetime) and value.tzinfo is not None):
            problems[column] = "Must be a time with its offset to UTC"
    start, end = job.start_at, job.end_at
    if start and end and not {"start_at", "end_at"} & problems.keys() and end < start:
        problems["end_at"] = "Must not lie before startAt"


def _check_family(job: Job, problems: Problems) -> None:
    family = job.schedule_type
    expression, pattern = job.cron_expression, job.recurrence_pattern
    if family not in ScheduleType.values:
        return
    if family != ScheduleType.CRON and expression is not None:
        problems["cron_expression"] = f"Only cron jobs have one, and this one is {family}"
    if family != ScheduleType.RECURRING and pattern is not None:
        problems["recurrence_pattern"] = f"Only recurring jobs have one, and this one is {family}"
    if family == ScheduleType.CRON:
        if expression is None:
            problems["cron_expression"] = REQUIRED
        else:
            _try(problems, "cron_expression", check_cron, expression, prefix=f"{BAD_CRON}: ")
        if job.scheduled_at is not None:
            problems["scheduled_at"] = "Cron jobs have none; reschedule moves their next run"
    elif family == ScheduleType.RECURRING:
        if pattern is None:
            problems["recurrence_pattern"] = REQUIRED
        elif pattern not in RecurrencePattern.values:
            problems["recurrence_pattern"] = f"Must be one of {', '.join(RecurrencePattern.values)}"


def _read_calendar(job: Job, problems: Problems) -> Days | None:
    definition = Calendar.objects.filter(name=job.calendar_id).values_list("definition", flat=True).first()
    if definition is None:
        problems["calendar"] = "There is no such calendar"
        return None
    try:
        return Days.from_definition(definition)
    except ValueError as error:
        problems["calendar"] = f"Cannot be read: {error}"
        return None


def _check_call(job: Job, problems: Problems) -> None:
    if job.api_endpoint is not None:
        _try(problems, "api_endpoint", http_rules.check_url, job.api_endpoint)
    try:
        headers = secrets.reveal(job.headers) if isinstance(job.headers, Mapping) else job.headers
    except secrets.LostKey as error:
        problems["headers"] = str(error)
        return
    _try(problems, "headers", http_rules.check_headers, headers)


def _check_documents(job: Job, problems: Problems) -> None:
    for column in ("payload", "metadata"):
        value = getattr(job, column)
        if value is None and column == "metadata":
            continue
        if not isinstance(value, dict):
            problems[column] = "Must be an object"
        elif reason := _find_document_problem(value):
            problems[column] = reason


def _find_document_problem(value: dict[str, Any]) -> str | None:
    try:
        check_json(value)
        size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    except Invalid as error:
        found = error.problems[0]
        return found.message if found.field == BODY else f"{found.field}: {found.message}"
    except (TypeError, ValueError):
        return "Must be what JSON can say"
    too_long = size > MAX_DOCUMENT_BYTES
    return f"Must not be longer than {MAX_DOCUMENT_BYTES} bytes as JSON" if too_long else None


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


def _check_handler(job: Job, staff: bool, problems: Problems) -> None:
    if "handler" in problems or "name" in problems:
        return
    name = registry.resolve(handler=job.handler, api=job.api_endpoint, name=job.name)
    field = "handler" if job.handler else "name"
    if name not in registry.handlers:
        if job.handler:
            problems["handler"] = f"Unknown; known are {', '.join(list_usable(staff=staff))}"
        return
    handler = registry.handlers.get(name)
    if not is_enabled(handler):
        problems[field] = f"Handler {name} works only where ENABLED_HANDLERS names it"
    elif handler.staff_only and not staff:
        problems[field] = FOR_STAFF.format(name)
    elif name == "http" and not job.api_endpoint:
        problems["api_endpoint"] = f"{REQUIRED} by the handler http"
    elif isinstance(job.payload, dict):
        problems.update({f: t for f, t in check_payload(name, job.payload).items() if f not in problems})


def check_payload(handler: str, payload: Mapping[str, Any]) -> Problems:
    """What the handler's own parameters say against this payload."""
    problems = Problems()
    if (reason := _find_document_problem(dict(payload))) is not None:
        return {"payload": reason}
    try:
        registry.handlers.get(handler).read_params(payload)
    except registry.UnknownHandler:
        return problems
    except (TypeError, ValueError) as error:
        for part in str(error).split("; "):
            name, colon, text = part.partition(": ")
            field = f"payload.{name}" if colon and name.isidentifier() else "payload"
            problems.setdefault(field, text if field != "payload" else part)
    return problems


def is_enabled(handler: registry.Handler) -> bool:
    """Whether this installation lets the handler run."""
    return not handler.dangerous or handler.name in settings.ENABLED_HANDLERS


def list_usable(*, staff: bool) -> list[str]:
    """The names of the handlers that a job may have here, for staff or for others."""
    return [
        handler.name
        for handler in registry.handlers
        if is_enabled(handler) and (staff or not handler.staff_only)
    ]


def resolve_handler(job: Job) -> str:
    """The name of the handler that does the job's work."""
    return registry.resolve(handler=job.handler, api=job.api_endpoint, name=job.name)


# What hangs on a job ---------------------------------------------------------------------------------


def read_tags(names: Iterable[Any]) -> list[str]:
    """Tag names without doubles, trimmed; raises ValueError with the reason."""
    found: dict[str, None] = {}
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError("Every tag must be text that is not empty")
        if len(name.strip()) > MAX_TAG_NAME:
            raise ValueError(f"A tag must not be longer than {MAX_TAG_NAME} characters")
        if reason := find_bad_text(name):
            raise ValueError(reason)
        found[name.strip()] = None
    if len(found) > MAX_TAGS:
        raise ValueError(f"Must be at most {MAX_TAGS}")
    return list(found)


def find_dependencies(ids: Iterable[Any], *, owner_id: Any, job: Job | None = None) -> list[Job]:
    """The jobs of this owner with these ids, in their order; those that `job` has may be deleted ones.

    Raises ValueError, in the same words for every reason, where an id names none.
    """
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > MAX_DEPENDENCIES:
        raise ValueError(f"Must be at most {MAX_DEPENDENCIES}")
    found = {one.uuid: one for one in Job.objects.present().filter(uuid__in=wanted, user_id=owner_id)}
    if job is not None and len(found) < len(wanted):
        found |= {one.uuid: one for one in Job.objects.filter(dependents__job=job, uuid__in=wanted)}
    if missing := [key for key in wanted if key not in found]:
        raise ValueError(f"There is no job {missing[0]}")
    return [found[key] for key in wanted]


def _try(problems: Problems, field: str, rule: Any, value: Any, *, prefix: str = "") -> None:
    try:
        rule(value)
    except ValueError as error:
        text = str(error)
        problems[field] = prefix + text if prefix else text[:1].upper() + text[1:]
