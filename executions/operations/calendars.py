"""Calendars: make, change, fill, forget; the jobs that use one follow it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from executions import wake
from executions.engine import adoption, clock, days
from executions.operations.refusal import Invalid, Refused
from jobs import audit
from jobs.audit import Actor
from jobs.models import AuditAction, Calendar, Job
from jobs.timing import Calendar as Days
from jobs.timing import dates_from_ics

PARTS = ("dates", "weekend", "holidays")
# So many batches of jobs are planned anew before the answer; the scheduler does the rest.
MAX_BATCHES = 10


@transaction.atomic
def create_calendar(name: str, values: Mapping[str, Any], *, by: Actor) -> Calendar:
    """Make a calendar. Raises Refused for a name that is taken, Invalid for days that cannot be read."""
    definition = _read({}, values)
    calendar = Calendar(
        name=name,
        description=values.get("description"),
        definition=definition,
        planned_definition=definition,
    )
    try:
        with transaction.atomic():
            calendar.save(force_insert=True)
    except IntegrityError:
        raise Refused(f"There is a calendar {name} already") from None
    audit.write(AuditAction.CREATED, by=by, subject=f"calendar:{name}", changes={"new": dict(values)})
    return calendar


def change_calendar(calendar: Calendar, values: Mapping[str, Any], *, by: Actor) -> Calendar:
    """Change what is given; the active jobs that use the calendar are planned anew.

    Raises Invalid for days that cannot be read.
    """
    with transaction.atomic():
        calendar, now = _locked(calendar), clock.now()
        old = {"description": calendar.description, **calendar.definition}
        if calendar.planned_definition is None:
            calendar.planned_definition = calendar.definition
        calendar.description = values.get("description", calendar.description)
        calendar.definition = _read(calendar.definition, values)
        new = {"description": calendar.description, **calendar.definition}
        changes = {
            name: {"old": old.get(name), "new": new[name]} for name in new if old.get(name) != new[name]
        }
        if not changes:
            return calendar
        calendar.updated_at = now
        calendar.save()
        audit.write(AuditAction.UPDATED, by=by, subject=f"calendar:{calendar.name}", changes=changes)
        moved = days.follow_calendars(now) if changes.keys() & set(PARTS) else 0
        wake.ring()
    if moved:
        _replan(now)
    return calendar


def import_days(calendar: Calendar, ics: str, *, by: Actor) -> Calendar:
    """Add the whole-day events of an iCal text as closed days; days of the calendar's own stay.

    Raises Invalid for text that cannot be read.
    """
    try:
        found = dates_from_ics(ics)
        days = Days.from_definition(calendar.definition or {})
        merged = days.with_dates({day: entry for day, entry in found.items() if day not in days.dates})
    except ValueError as error:
        raise Invalid("ics", str(error)) from None
    return change_calendar(calendar, {"dates": merged.to_definition()["dates"]}, by=by)


@transaction.atomic
def delete_calendar(calendar: Calendar, *, by: Actor) -> None:
    """Forget a calendar. Raises Refused while a job that was not deleted uses it."""
    calendar = _locked(calendar)
    users = Job.objects.present().filter(calendar=calendar).count()
    if users:
        jobs = "1 job uses it" if users == 1 else f"{users} jobs use it"
        raise Refused(f"Calendar {calendar.name} is in use: {jobs}")
    audit.write(
        AuditAction.DELETED,
        by=by,
        subject=f"calendar:{calendar.name}",
        changes={"old": calendar.definition},
    )
    calendar.delete()


def _locked(calendar: Calendar) -> Calendar:
    return Calendar.objects.select_for_update(of=("self",)).get(pk=calendar.pk)


def _read(definition: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: values[name] for name in PARTS if name in values}
    try:
        return Days.from_definition({**definition, **given}).to_definition()
    except ValueError as error:
        field, colon, reason = str(error).partition(": ")
        if not colon:
            field, reason = "dates", str(error)
        raise Invalid(field, reason) from None


def _replan(now: datetime) -> None:
    for _ in range(MAX_BATCHES):
        if not adoption.adopt(now).more:
            return
