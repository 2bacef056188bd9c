"""Deletes history that is old enough, a bounded step at a time, and remembers how far it went.

Nothing here goes through the ORM's collector: what hangs on an execution is found from the models once
and deleted by key, the children first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction

from accounts import idempotency
from executions import horizons
from executions.models import BulkRequeue, Execution, RequeueState
from executions.rows import Rows, fetch, locked, moment, read_moment, read_uuid, write
from jobs.models import AuditEntry, Job

STEP_ROWS = 2000
STEP_JOBS = 200

_ENDED = """e.status IN ('SUCCESS', 'FAILED', 'CANCELLED', 'SKIPPED')
    AND NOT EXISTS (
        SELECT 1 FROM failed_jobs_dlq AS d WHERE d.execution_id = e.id AND NOT d.resolved)"""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one step deleted of one kind; `more`: it stopped at its bound."""

    rows: int
    more: bool


# Executions -----------------------------------------------------------------------------------------


def prune_old_executions(now: datetime, *, limit: int = STEP_ROWS) -> Step:
    """Executions that ended more than RETENTION_DAYS ago, with their attempts, logs and dead letters.

    One whose dead letter is open stays, and so does a SKIPPED row that stands for fire times which are
    not that old.
    """
    if not settings.RETENTION_DAYS:
        return Step(rows=0, more=False)
    cutoff = moment(now - timedelta(days=settings.RETENTION_DAYS))
    with transaction.atomic():
        rows = fetch(
            f"""
            SELECT e.id, e.job_id, e.trigger, coalesce(e.skipped_until, e.scheduled_at)
            FROM job_executions AS e
            WHERE e.completed_at < %s AND coalesce(e.skipped_until, e.scheduled_at) < %s AND {_ENDED}
            ORDER BY e.completed_at LIMIT %s {locked("FOR UPDATE OF e SKIP LOCKED")}
            """,
            [cutoff, cutoff, limit],
        )
        return _delete_executions(rows, limit)


class Surplus:
    """Executions beyond the newest RETENTION_PER_JOB of each job; goes from job to job, step by step."""

    def __init__(self) -> None:
        self._after = 0

    def prune(self, now: datetime, *, limit: int = STEP_ROWS) -> Step:
        """One step. It has gone through all jobs when it answers that there is no more."""
        if not settings.RETENTION_PER_JOB:
            return Step(rows=0, more=False)
        jobs = list(
            Job.objects.filter(id__gt=self._after).order_by("id").values_list("id", flat=True)[:STEP_JOBS]
        )
        deleted = 0
        for job_id in jobs:
            with transaction.atomic():
                step = self._prune_job(job_id, now, limit - deleted)
            deleted += step.rows
            if step.more or deleted >= limit:
                return Step(rows=deleted, more=True)
            self._after = job_id
        if len(jobs) < STEP_JOBS:
            self._after = 0
        return Step(rows=deleted, more=len(jobs) == STEP_JOBS)

    @staticmethod
    def _prune_job(job_id: int, now: datetime, limit: int) -> Step:
        # Requeues have the fire time of their occurrence: the later one of them is the newer one.
        newest_to_go = fetch(
            """
            SELECT e.scheduled_at, e.created_at, e.id FROM job_executions AS e WHERE e.job_id = %s
            ORDER BY e.scheduled_at DESC, e.created_at DESC, e.id DESC LIMIT 1 OFFSET %s
            """,
            [job_id, settings.RETENTION_PER_JOB],
        )
        if not newest_to_go:
            return Step(rows=0, more=False)
        rows = fetch(
            f"""
            SELECT e.id, e.job_id, e.trigger, coalesce(e.skipped_until, e.scheduled_at)
            FROM job_executions AS e
            WHERE e.job_id = %s AND (e.scheduled_at, e.created_at, e.id) <= (%s, %s, %s)
                AND coalesce(e.skipped_until, e.scheduled_at) <= %s AND {_ENDED}
            ORDER BY e.scheduled_at, e.created_at, e.id LIMIT %s {locked("FOR UPDATE OF e SKIP LOCKED")}
            """,
            [job_id, *newest_to_go[0], moment(now), limit],
        )
        return _delete_executions(rows, limit)


def _delete_executions(rows: Sequence[tuple[Any, ...]], limit: int) -> Step:
    """Delete locked executions and what hangs on them; where that is too much, begin with its first part."""
    if not rows:
        return Step(rows=0, more=False)
    keys = Rows("v", {"key": "uuid"}, ((read_uuid(row[0]),) for row in rows))
    for relation in Execution._meta.related_objects:
        if _detach(relation.field, keys, limit) >= limit:
            return Step(rows=limit, more=True)
    horizons.move(_newest_by_job(rows))
    deleted = write(f"DELETE FROM job_executions WHERE id IN (SELECT v.key FROM {keys.sql})", keys.params)
    return Step(rows=deleted, more=len(rows) >= limit)


def _detach(field: Any, keys: Rows, limit: int) -> int:
    """Delete the rows that point at these executions, or clear what points, as the model says."""
    table, column = field.model._meta.db_table, field.column
    condition = f"{column} IN (SELECT v.key FROM {keys.sql})"
    if field.remote_field.on_delete is models.SET_NULL:
        write(f"UPDATE {table} SET {column} = NULL WHERE {condition}", keys.params)
        return 0
    assert field.remote_field.on_delete is models.CASCADE, field
    key = field.model._meta.pk.column
    return write(
        f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {condition} LIMIT %s)",
        [*keys.params, limit],
    )


def _newest_by_job(rows: Sequence[tuple[Any, ...]]) -> dict[int, datetime]:
    newest: dict[int, datetime] = {}
    for _, job_id, trigger, value in rows:
        at = read_moment(value)
        if trigger == "schedule" and at is not None:
            newest[job_id] = max(at, newest.get(job_id, at))
    return newest


# The rest -------------------------------------------------------------------------------------------


def prune_audit(now: datetime, *, limit: int = STEP_ROWS) -> Step:
    """Audit entries older than AUDIT_RETENTION_DAYS; their numbers rise with time."""
    if not settings.AUDIT_RETENTION_DAYS:
        return Step(rows=0, more=False)
    cutoff = now - timedelta(days=settings.AUDIT_RETENTION_DAYS)
    oldest = AuditEntry.objects.order_by("id").values_list("id", "timestamp")
    first = oldest.first()
    if first is None or first[1] >= cutoff:
        return Step(rows=0, more=False)
    ids = [key for key, at in oldest[:limit] if at < cutoff]
    keys = Rows("v", {"key": "bigint"}, ((key,) for key in ids))
    table = AuditEntry._meta.db_table
    rows = write(f"DELETE FROM {table} WHERE id IN (SELECT v.key FROM {keys.sql})", keys.params)
    return Step(rows=rows, more=len(ids) >= limit)


def prune_requeues(now: datetime) -> Step:
    """Bulk requeues that ended more than RETENTION_DAYS ago."""
    if not settings.RETENTION_DAYS:
        return Step(rows=0, more=False)
    ended = BulkRequeue.objects.filter(
        status__in=(RequeueState.DONE, RequeueState.STOPPED),
        updated_at__lt=now - timedelta(days=settings.RETENTION_DAYS),
    )
    return Step(rows=ended.delete()[0], more=False)


def prune_idempotency_keys(now: datetime) -> Step:
    """Idempotency keys whose day is over."""
    return Step(rows=idempotency.delete_expired(now=now), more=False)


def steps() -> dict[str, Callable[[datetime], Step]]:
    """Every kind of history that this app deletes, and the step that does it."""
    return {
        "executions by age": prune_old_executions,
        "executions by count": Surplus().prune,
        "audit entries": prune_audit,
        "bulk requeues": prune_requeues,
        "idempotency keys": prune_idempotency_keys,
    }
