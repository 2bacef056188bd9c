"""When: schedules, and the fire times they name. Pure: knows no Django and reads no clock."""

from jobs.timing.backlog import Backlog, backlog
from jobs.timing.calendars import Calendar, CalendarDay
from jobs.timing.cron import check_cron, fire_times
from jobs.timing.ical import dates_from_ics
from jobs.timing.jitter import jitter
from jobs.timing.occurrences import Occurrence, between, next_occurrence, occurrences
from jobs.timing.preview import Preview, preview
from jobs.timing.schedule import Schedule
from jobs.timing.words import cron_differences, describe, warnings
from jobs.timing.zones import check_zone

__all__ = [
    "Backlog",
    "Calendar",
    "CalendarDay",
    "Occurrence",
    "Preview",
    "Schedule",
    "backlog",
    "between",
    "check_cron",
    "check_zone",
    "cron_differences",
    "dates_from_ics",
    "describe",
    "fire_times",
    "jitter",
    "next_occurrence",
    "occurrences",
    "preview",
    "warnings",
]
