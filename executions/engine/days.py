"""Takes up changes of calendars: the jobs that use one are planned anew, the past keeps its own days."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from executions.engine import answers
from executions.rows import BROKEN
from jobs import schedules
from jobs.models import BusinessDayShift, Calendar, Job, JobState
from jobs.timing import Calendar as Days

log = logging.getLogger(__name__)


def follow_calendars(now: datetime) -> int:
    """Take up every calendar whose days differ from those that were planned from; answers how many jobs move.

    What the old days named up to now is answered for, they are kept for `explain`, and the coming fire
    times of active jobs are forgotten, in one statement: who has none is planned anew. Expects a transaction.
    """
    moved = 0
    for calendar in Calendar.objects.changed().order_by("name").select_for_update(of=("self",)):
        try:
            with transaction.atomic():
                moved += _follow(calendar, now)
        except BROKEN:
            log.exception("calendar %s is taken up without its past, which cannot be read", calendar.name)
            moved += _release(calendar, now)
        Calendar.objects.filter(name=calendar.name).update(planned_definition=F("definition"))
    return moved


def _follow(calendar: Calendar, now: datetime) -> int:
    old = calendar.planned_definition
    if old is None:
        return 0
    _close_account(calendar.name, old, calendar.definition, now)
    calendar.past.append([now.isoformat(), old])
    calendar.save(update_fields=["past"])
    return _release(calendar, now)


def _release(calendar: Calendar, now: datetime) -> int:
    jobs = Job.objects.filter(calendar=calendar, state=JobState.ACTIVE, next_run_at__gt=now)
    return jobs.update(next_run_at=None, exhausted=False)


def _close_account(name: str, old: Any, new: Any, now: datetime) -> None:
    """Jobs that owe fire times which the old days moved: those are answered for before the new days count."""
    try:
        before, after = Days.from_definition(old), Days.from_definition(new)
    except ValueError:
        return
    owing = (
        Job.objects.present()
        .filter(calendar=name, planned_next_run_at__lte=now)
        .exclude(business_day_shift=BusinessDayShift.NONE)
    )
    for job in owing.select_for_update(of=("self",)):
        reason = "rescheduled" if job.is_active else "paused"
        try:
            answers.close_account(job, {name: before}, now, reason=reason)
            changed = schedules.point(job, schedules.first_run(schedules.read(job, {name: after}), now))
        except (ValueError, OverflowError):  # the planner will say why
            continue
        job.save(update_fields=list(changed))
