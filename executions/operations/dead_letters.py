"""Dead letters: bring them back or put them to rest, one by one or many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from executions import lifecycle, wake
from executions.engine import clock
from executions.faults import fault
from executions.lifecycle import Planned
from executions.models import BulkRequeue, DeadLetter, Execution, RequeueState, Status, Trigger
from executions.operations.refusal import Refused
from jobs import audit
from jobs.audit import Actor
from jobs.models import AuditAction

STEP = 100  # dead letters that one step of a bulk requeue brings back
PACE = timedelta(seconds=1)


@transaction.atomic
def requeue(letter: DeadLetter, *, by: Actor, payload: Any = None) -> UUID:
    """Run the work again as a new execution with the same fire time and fresh retries.

    Answers its id. A letter that is resolved already raises Refused.
    """
    now = clock.now()
    letter = _open(letter)
    row = _requeued(letter.execution, now, by, payload)
    lifecycle.plan([row], now)
    fault("requeue_before_close")
    _close(letter, now, by)
    audit.write(
        AuditAction.REQUEUED,
        by=by,
        job=letter.execution.job,
        changes={"deadLetter": str(letter.id), "executionId": str(row.id)},
    )
    wake.ring()
    return row.id


@transaction.atomic
def resolve(letter: DeadLetter, *, by: Actor) -> DeadLetter:
    """Put a dead letter to rest without running it. A resolved one raises Refused."""
    letter = _open(letter)
    _close(letter, clock.now(), by)
    audit.write(
        AuditAction.RESOLVED,
        by=by,
        job=letter.execution.job,
        changes={"deadLetter": str(letter.id)},
    )
    return letter


def _open(letter: DeadLetter) -> DeadLetter:
    row: DeadLetter = DeadLetter.objects.select_for_update(of=("self",)).get(id=letter.id)
    if row.resolved:
        raise Refused("Dead letter is already resolved")
    return row


def _close(letter: DeadLetter, now: datetime, by: Actor) -> None:
    letter.resolved, letter.resolved_at, letter.resolved_by = True, now, by.name
    letter.save(update_fields=["resolved", "resolved_at", "resolved_by"])


def _requeued(execution: Execution, now: datetime, by: Actor, payload: Any) -> Planned:
    return Planned(
        job_id=execution.job_id,
        scheduled_at=execution.scheduled_at,
        due_at=now,
        trigger=Trigger.REQUEUE,
        triggered_by=by.name,
        requeued_from=execution.id,
        priority=execution.priority,
        queue=execution.queue,
        payload=execution.payload if payload is None else payload,
    )


@transaction.atomic
def resolve_many(letters: QuerySet[DeadLetter], *, by: Actor) -> int:
    """Put all open letters of this set to rest in one statement; answers how many."""
    now = clock.now()
    ids = list(
        letters.filter(resolved=False)
        .select_for_update(of=("self",))
        .order_by("id")
        .values_list("id", flat=True)
    )
    done = DeadLetter.objects.filter(id__in=ids, resolved=False).update(
        resolved=True, resolved_at=now, resolved_by=by.name
    )
    if done:
        audit.write(AuditAction.RESOLVED, by=by, subject="dlq:bulk", changes={"count": done})
    return done


@transaction.atomic
def requeue_many(
    letters: QuerySet[DeadLetter],
    *,
    by: Actor,
    filters: dict[str, Any],
    canary: bool = True,
    rate_per_minute: int | None = None,
    payload: Any = None,
) -> BulkRequeue:
    """Begin to bring back the open letters of this set; a duty of the loop goes on with it.

    The set is fixed now (its ids are kept). With `canary` one runs first and the rest only
    after it succeeded; `rate_per_minute` bounds the pace.
    """
    now = clock.now()
    ids = list(letters.filter(resolved=False).order_by("failed_at", "id").values_list("id", flat=True))
    bulk: BulkRequeue = BulkRequeue.objects.create(
        user_id=by.user_id,
        requested_by=by.name,
        filters={**filters, "letters": [str(key) for key in ids]},
        canary=canary,
        rate_per_minute=rate_per_minute,
        payload=payload,
        status=RequeueState.CANARY if canary else RequeueState.RUNNING,
        count=len(ids),
        created_at=now,
        updated_at=now,
    )
    audit.write(
        AuditAction.REQUEUED,
        by=by,
        subject=f"requeue:{bulk.id}",
        changes={"count": len(ids), "canary": canary, "ratePerMinute": rate_per_minute},
    )
    wake.ring()
    return bulk


def advance(bulk: BulkRequeue, now: datetime) -> None:
    """Do the next bounded step of a bulk requeue; expects to hold its row."""
    letters = [UUID(key) for key in bulk.filters.get("letters", [])]
    if bulk.status == RequeueState.CANARY and not _canary_allows(bulk, letters, now):
        return
    if bulk.status == RequeueState.RUNNING:
        start = bulk.done + bulk.failed
        for key in letters[start : start + _allowance(bulk, now)]:
            _bring_back(bulk, key)
        if bulk.done + bulk.failed >= len(letters):
            bulk.status = RequeueState.DONE
    bulk.updated_at = now
    bulk.save()


def _allowance(bulk: BulkRequeue, now: datetime) -> int:
    if bulk.rate_per_minute is None:
        return STEP
    minutes = (now - bulk.created_at) / timedelta(minutes=1)
    return max(0, min(STEP, int(minutes * bulk.rate_per_minute) + 1 - bulk.done - bulk.failed))


def _canary_allows(bulk: BulkRequeue, letters: Sequence[UUID], now: datetime) -> bool:
    """Send the first one, and wait for its end; a failed one stops the whole requeue."""
    if bulk.canary_execution is None:
        while bulk.canary_execution is None and bulk.done + bulk.failed < len(letters):
            bulk.canary_execution = _bring_back(bulk, letters[bulk.done + bulk.failed])
        if bulk.canary_execution is None:
            bulk.status, bulk.reason = RequeueState.DONE, "nothing was open any more"
        bulk.updated_at = now
        bulk.save()
        return False
    execution = Execution.objects.filter(id=bulk.canary_execution).first()
    if execution is not None and not execution.is_final:
        return False
    if execution is not None and execution.status == Status.SUCCESS:
        bulk.status = RequeueState.RUNNING
        return True
    ending = execution.status if execution else "gone"
    words = (execution.error_message if execution else None) or ending
    bulk.status, bulk.reason = RequeueState.STOPPED, f"the first one ended {ending}: {words}"
    bulk.updated_at = now
    bulk.save()
    return False


def _bring_back(bulk: BulkRequeue, key: UUID) -> UUID | None:
    letter = DeadLetter.objects.filter(id=key).select_related("execution__job").first()
    by = Actor(name=bulk.requested_by or "scheduler", user_id=bulk.user_id)
    try:
        if letter is None:
            raise Refused("gone")
        found = requeue(letter, by=by, payload=bulk.payload)
    except Refused:
        bulk.failed += 1
        return None
    bulk.done += 1
    return found
