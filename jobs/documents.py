"""A job as the document that files hold: what differs from the defaults, under the names of the wire.

A document never holds a secret. Whoever asks for one says what stands in its place: `***`, a reference
to an environment variable, or a fingerprint.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import yaml
from django.db.models import QuerySet

from jobs import definitions, policies, secrets
from jobs.covering import Cover, cover_url, cover_value, mask
from jobs.models import Dependency, Job, JobState, OverlapPolicy

# Names in the file and the columns they stand for, in the order they are written.
COLUMNS = {
    "description": "description",
    "schedule": "cron_expression",
    "recurrencePattern": "recurrence_pattern",
    "scheduledAt": "scheduled_at",
    "timezone": "timezone",
    "startAt": "start_at",
    "endAt": "end_at",
    "calendar": "calendar_id",
    "businessDayShift": "business_day_shift",
    "handler": "handler",
    "api": "api_endpoint",
    "method": "method",
    "headers": "headers",
    "payload": "payload",
    "metadata": "metadata",
    "followRedirects": "follow_redirects",
    "timeoutMs": "timeout_ms",
    "executionType": "execution_type",
    "retryPolicy": "retry_policy",
    "maxConcurrentExecutions": "max_concurrent_executions",
    "rateLimitPerMinute": "rate_limit_per_minute",
    "priority": "priority",
    "queue": "queue",
    "catchUp": "catch_up",
    "misfireGraceSeconds": "misfire_grace_seconds",
    "overlapPolicy": "overlap_policy",
    "jitterSeconds": "jitter_seconds",
    "dependencyMode": "dependency_mode",
    "dependencyWaitSeconds": "dependency_wait_seconds",
}
WIRE = {column: name for name, column in COLUMNS.items()} | {"max_retries": "maxRetries"}
_ODD = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
WITH_SECRETS = ("headers", "payload", "metadata")
STATES = {JobState.PAUSED: "PAUSED", JobState.INACTIVE: "INACTIVE"}


def default_of(name: str, *, overlap: str = OverlapPolicy.QUEUE) -> Any:
    """The value of a field that a document leaves out."""
    if name == "maxConcurrentExecutions":
        return definitions.DEFAULT_CONCURRENCY[overlap == OverlapPolicy.ALLOW]
    field: Any = Job._meta.get_field(COLUMNS[name].removesuffix("_id"))
    default = field.get_default()
    return getattr(default, "value", default)


def document_of(job: Job, *, cover: Cover | None = None) -> dict[str, Any]:
    """The job as a document; `cover` says what stands for its secrets (`***`)."""
    cover = cover or mask
    document: dict[str, Any] = {"name": job.name}
    for name, column in COLUMNS.items():
        value = getattr(job, column)
        if value != default_of(name, overlap=job.overlap_policy):
            document[name] = show(name, value, cover)
    if "retryPolicy" in document:
        document |= _retries(document.pop("retryPolicy"))
    if tags := sorted(tag.name for tag in job.tags.all()):
        document["tags"] = tags
    if bonds := _bonds(job):
        document["dependsOn"] = bonds
    if job.user is not None:
        document["owner"] = job.user.email
    if job.state in STATES:
        document["status"] = STATES[JobState(job.state)]
    return document


def show(name: str, value: Any, cover: Cover | None = None) -> Any:
    """A column's value as the document shows it."""
    cover = cover or mask
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if name == "api" and isinstance(value, str):
        return cover_url(value, cover)
    if name in WITH_SECRETS:
        plain = _opened(value) if name == "headers" and isinstance(value, dict) else value
        return cover_value(plain, (name,), cover)
    return value


def _opened(headers: dict[str, Any]) -> dict[str, Any]:
    """Headers in clear; a value whose key is lost stays sealed, and is covered like any other."""
    try:
        return secrets.reveal(headers)
    except secrets.LostKey:
        return headers


def _retries(policy: Any) -> dict[str, Any]:
    """`maxRetries` where that alone was given and still means the same, else the policy."""
    if policies.as_given(policy) is None:
        count = policy.get("maxRetries")
        if policy == policies.from_max_retries(count):
            return {"maxRetries": count}
        policy = {name: value for name, value in policy.items() if name != policies.SHORTHAND}
    return {"retryPolicy": policy}


def _bonds(job: Job) -> list[Any]:
    found: list[Any] = []
    bonds = job.dependencies.all()
    if "dependencies" not in getattr(job, "_prefetched_objects_cache", ()):
        bonds = in_order(bonds)
    for bond in bonds:
        more: dict[str, Any] = {}
        if bond.outcome != "SUCCESS":
            more["outcome"] = bond.outcome
        if bond.within_seconds is not None:
            more["withinSeconds"] = bond.within_seconds
        found.append({"job": bond.depends_on.name} | more if more else bond.depends_on.name)
    return found


def in_order(bonds: QuerySet[Dependency]) -> QuerySet[Dependency]:
    """Dependencies as a document lists them, for those who fetch the bonds of many jobs at once."""
    return bonds.select_related("depends_on").order_by("depends_on__name", "id")


def write(documents: list[dict[str, Any]]) -> str:
    """The file that holds these documents; reading it gives the same ones."""
    head = "# yaml-language-server: $schema=manifest.schema.json\n"
    body = {"version": 1, "jobs": documents}
    return head + yaml.dump(
        body, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100
    )


class _Dumper(yaml.SafeDumper):
    """Without anchors, lists indented below their key, and odd characters always escaped."""

    def represent_text(self, text: str) -> yaml.Node:
        # Some of these are ends of lines to YAML 1.1, which reads them back as blanks.
        style = '"' if _ODD.search(text) else "|" if "\n" in text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_Dumper.add_representer(str, _Dumper.represent_text)
