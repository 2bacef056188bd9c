"""From what is given to columns: what follows from it, and what contradicts itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs import policies, registry, secrets
from jobs.definitions.terms import DEFAULT_CONCURRENCY, OWN_COLUMN, REQUIRED, Problems
from jobs.models import Job, OverlapPolicy, ScheduleType


def complete(values: Mapping[str, Any], job: Job | None = None) -> tuple[dict[str, Any], Problems]:
    """The columns that the values mean for a new job, or for a change of `job`; and what contradicts.

    1. The family follows from what is given (`cron_expression`, `recurrence_pattern`, `scheduled_at`),
       and never changes.
    2. `max_retries` (no column) goes into `retry_policy`.
    3. Where overlaps are allowed, 100 may run at once unless the job says otherwise.
    4. Secret headers are sealed; `***` keeps the stored value.
    5. A handler that a job gets by its name is the job's from then on, whatever handlers come and go.
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
    _complete_handler(columns, job)
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


def _complete_handler(columns: dict[str, Any], job: Job | None) -> None:
    """Else the job would end well and do nothing wherever the handler of its name is not installed."""
    if columns.keys().isdisjoint({"name", "handler", "api_endpoint"}):
        return
    name, handler, address = (
        columns.get(column, getattr(job, column, None)) for column in ("name", "handler", "api_endpoint")
    )
    if not handler and not address and name in registry.handlers:
        columns["handler"] = name


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
