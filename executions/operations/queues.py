"""Queues: the switches for an incident, and limits for all their jobs together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from executions import wake
from executions.engine import clock
from executions.operations.jobrow import plain
from executions.operations.refusal import Invalid, Refused
from jobs import audit
from jobs.audit import Actor
from jobs.models import AuditAction, Queue

EVERYTHING = "*"


def _locked(name: str) -> Queue:
    Queue.objects.get_or_create(name=name)
    row: Queue = Queue.objects.select_for_update().get(name=name)
    return row


@transaction.atomic
def pause_queue(name: str, *, by: Actor, reason: str = "", until: datetime | None = None) -> Queue:
    """Claim nothing from the queue (`*`: from any) until it is resumed; planning goes on."""
    queue = _locked(name)
    if queue.paused:
        raise Refused(f"Queue {name} is paused already")
    if until is not None and until <= clock.now():
        raise Invalid("until", "must lie in the future")
    queue.paused, queue.paused_reason, queue.paused_until = True, reason or None, until
    queue.save()
    audit.write(
        AuditAction.PAUSED,
        by=by,
        subject=f"queue:{name}",
        changes={"reason": reason, "until": plain(until)},
    )
    return queue


@transaction.atomic
def resume_queue(name: str, *, by: Actor) -> Queue:
    """Claim from the queue again."""
    queue = _locked(name)
    if not queue.paused:
        raise Refused(f"Queue {name} is not paused")
    queue.paused, queue.paused_reason, queue.paused_until = False, None, None
    queue.save()
    audit.write(AuditAction.RESUMED, by=by, subject=f"queue:{name}")
    wake.ring()
    return queue


@transaction.atomic
def limit_queue(name: str, values: Mapping[str, Any], *, by: Actor) -> Queue:
    """Set `max_concurrent` and `rate_limit_per_minute` (None: no limit)."""
    queue = _locked(name)
    changes = {
        field: {"old": getattr(queue, field), "new": value}
        for field, value in values.items()
        if getattr(queue, field) != value
    }
    for field, value in values.items():
        setattr(queue, field, value)
    queue.save()
    if changes:
        audit.write(AuditAction.UPDATED, by=by, subject=f"queue:{name}", changes=changes)
    wake.ring()
    return queue
