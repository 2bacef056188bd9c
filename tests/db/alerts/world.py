"""Alerts and a ledger that is written by hand, in plain words."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from alerts import picking
from alerts.models import Alert, Delivery
from executions.models import Execution
from jobs.models import Job, JobTag, Tag
from tests.factories import NOON, make_execution

BORN = NOON - timedelta(days=1)


def make_alert(**fields: Any) -> Alert:
    """An alert that tells of failures, made a day ago, for every job of nobody."""
    conditions = fields.pop("conditions", {})
    given = {"type": "WEBHOOK", "endpoint": "http://127.0.0.1:9/", "created_at": BORN, "updated_at": BORN}
    alert: Alert = Alert.objects.create(id=uuid.uuid4(), conditions=conditions, **given | fields)
    return alert


def tag(job: Job, name: str = "nightly") -> Tag:
    """The owner's tag of this name, on the job."""
    found, _ = Tag.objects.get_or_create(name=name, user=job.user, defaults={"id": uuid.uuid4()})
    JobTag.objects.get_or_create(job=job, tag=found)
    return found


def second(number: float) -> datetime:
    """A moment after NOON."""
    return NOON + timedelta(seconds=number)


def end(job: Job, status: str, at: float, **fields: Any) -> Execution:
    """An execution that ended at this second, having begun a second before."""
    begun = second(at - 1)
    given: dict[str, Any] = {
        "status": status,
        "scheduled_at": begun,
        "started_at": begun,
        "executed_at": begun,
        "completed_at": second(at),
        "execution_duration_ms": 1000,
        "next_attempt_at": None,
    }
    return make_execution(job, **given | fields)


def skip(job: Job, reason: str, at: float, **fields: Any) -> Execution:
    """A fire time at this second that was skipped then."""
    empty = {"started_at": None, "executed_at": None, "execution_duration_ms": None}
    return end(job, "SKIPPED", at, reason=reason, scheduled_at=second(at), **empty | fields)


def pick(at: float, name: str = picking.LEAD) -> list[tuple[str, str]]:
    """Let a cursor go on at this second; answers what is new: (event, name of the job)."""
    return _new(lambda: picking.pick_endings(name, second(at)))


def look(at: float) -> list[tuple[str, str]]:
    """Look at what has not ended at this second; answers what is new: (event, name of the job)."""
    return _new(lambda: picking.pick_unfinished(second(at)))


def _new(step: Any) -> list[tuple[str, str]]:
    before = set(Delivery.objects.values_list("id", flat=True))
    with transaction.atomic():
        step()
    rows = Delivery.objects.exclude(id__in=before).order_by("happened_at", "event", "id")
    names = dict(Job.objects.values_list("id", "name"))
    return [(row.event, names[row.job_id]) for row in rows]
