"""When the job runs: family, expression, zone, window and calendar."""

from __future__ import annotations

from datetime import datetime

from jobs import schedules
from jobs.definitions.terms import BAD_CRON, OWN_COLUMN, REQUIRED, Problems, attempt
from jobs.models import SCHEDULE_COLUMNS, Calendar, Job, RecurrencePattern, ScheduleType
from jobs.timing import Calendar as Days
from jobs.timing import check_cron, check_zone
from jobs.versions import MOMENTS


def check_schedule(job: Job, problems: Problems) -> None:
    """Add what is wrong with the columns that say when the job runs."""
    _check_family(job, problems)
    if job.timezone is not None:
        attempt(problems, "timezone", check_zone, job.timezone)
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
            attempt(problems, "cron_expression", check_cron, expression, prefix=f"{BAD_CRON}: ")
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
