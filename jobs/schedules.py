"""From a job's row to its schedule as a value, and to the cursor that the planner follows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from jobs.models import PLANNED_COLUMNS, SCHEDULE_COLUMNS, Calendar, Job, ScheduleType
from jobs.timing import Calendar as Days  # a calendar as a value
from jobs.timing import Schedule, next_occurrence

MOMENT = timedelta(microseconds=1)


def days_of(names: set[str]) -> dict[str, Days]:
    """The calendars of these names, read; one that cannot be read is left out.

    Their days are those that the planner has taken up: a change by SQL counts for all at one moment.
    """
    found: dict[str, Days] = {}
    rows = Calendar.objects.filter(name__in=names)
    for name, planned, definition in rows.values_list("name", "planned_definition", "definition"):
        days = read_days(definition if planned is None else planned)
        if days is not None:
            found[name] = days
    return found


def read_days(definition: Any) -> Days | None:
    """A calendar from its definition; None where it cannot be read."""
    try:
        return Days.from_definition(definition)
    except ValueError:
        return None


def read(job: Job, calendars: Mapping[str, Days] | None = None, *, planned: bool = False) -> Schedule:
    """The job's schedule; with `planned` the one that its next_run_at was planned from.

    `calendars` saves the look-up where many jobs are read. Raises ValueError with the reason
    for anything that cannot be read (SQL can write anything).
    """
    prefix = "planned_" if planned else ""
    values = {name: getattr(job, prefix + name) for name in SCHEDULE_COLUMNS}
    copied = planned and job.planned_business_day_shift is not None
    return build(
        kind=job.schedule_type,
        calendar=_calendar(job.planned_calendar_id if copied else job.calendar_id, calendars),
        shift=(job.planned_business_day_shift if copied else None) or job.business_day_shift,
        **values,
    )


def build(
    *,
    kind: str,
    cron_expression: str | None = None,
    recurrence_pattern: str | None = None,
    timezone: str | None = None,
    scheduled_at: datetime | None = None,
    start_at: datetime | None = None,
    end_at: datetime | None = None,
    calendar: Days | None = None,
    shift: str = "none",
) -> Schedule:
    """A schedule from a job's columns, checked; raises ValueError with the reason."""
    schedule = Schedule(
        kind=kind,  # type: ignore[arg-type]  # checked below
        expression=cron_expression,
        pattern=recurrence_pattern,
        zone=timezone or settings.SCHEDULER_TIMEZONE,
        anchor=scheduled_at if kind != ScheduleType.CRON else None,
        start_at=start_at,
        end_at=end_at,
        calendar=calendar,
        shift=shift,  # type: ignore[arg-type]
    )
    schedule.check()
    return schedule


def _calendar(name: str | None, calendars: Mapping[str, Days] | None) -> Days | None:
    if name is None:
        return None
    found = (days_of({name}) if calendars is None else calendars).get(name)
    if found is None:
        raise ValueError(f"calendar {name!r} cannot be read")
    return found


def first_run(schedule: Schedule, now: datetime) -> datetime | None:
    """The first fire time of a job that starts to be planned now.

    A one-time job runs at its time even if that has passed; all others at their next fire
    time, which for recurring jobs may be this very moment.
    """
    if schedule.kind == "one_time":
        found = next_occurrence(schedule, datetime.min.replace(year=1970, tzinfo=now.tzinfo))
    elif schedule.kind == "recurring":
        found = next_occurrence(schedule, now - MOMENT)
    else:
        found = next_occurrence(schedule, now)
    return None if found is None else found.at


def point(job: Job, next_run_at: datetime | None) -> dict[str, Any]:
    """Set the planner's cursor, and the copy of the schedule that it was planned from.

    Answers the columns that changed, for `update()` or `save(update_fields=…)`.
    """
    changed: dict[str, Any] = {
        "next_run_at": next_run_at,
        "exhausted": next_run_at is None,
        "schedule_error": None,
        "planned_next_run_at": next_run_at,
        **{f"planned_{name}": getattr(job, name) for name in PLANNED_COLUMNS},
    }
    for name, value in changed.items():
        setattr(job, name, value)
    return changed


def is_new(job: Job) -> bool:
    """Whether the job's schedule was never planned."""
    return all(getattr(job, f"planned_{name}") is None for name in SCHEDULE_COLUMNS)


def is_moved(job: Job) -> bool:
    """Whether SQL gave the job another next_run_at than the planner left there."""
    return job.planned_next_run_at is not None and job.planned_next_run_at != job.next_run_at


def owed_from(job: Job) -> datetime | None:
    """The first fire time that nobody answered for yet, whatever SQL made of next_run_at since."""
    return job.planned_next_run_at or job.next_run_at
