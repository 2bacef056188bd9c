"""Closed days from an iCal file, as holiday calendars are handed around."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any

from dateutil.rrule import (  # type: ignore[import-untyped]
    DAILY,
    MONTHLY,
    WEEKLY,
    YEARLY,
    rrulestr,
)
from icalendar import Calendar as ICalendar

from jobs.timing.calendars import MAX_DATES, MAX_NOTE, CalendarDay

MAX_CHARACTERS = 1_000_000
MAX_EVENTS = 5_000
MAX_RECURRING = 200
FIRST_YEAR = 1900

# How far repeated events are written out when nothing else ends them.
HORIZON = date(2100, 12, 31)

_FREQUENCIES = (DAILY, WEEKLY, MONTHLY, YEARLY)


def dates_from_ics(text: object, *, until: date = HORIZON) -> dict[date, CalendarDay]:
    """The days of all whole-day events, closed, with the event's summary as note.

    Events of several days close each of them; repeated ones are written out up to `until`.
    Events with a time of day and cancelled ones are left out. Raises ValueError with the
    reason for text that is no iCal, is too large, or names no whole day.
    """
    if not isinstance(text, str):
        raise ValueError(f"ics must be text, not {type(text).__name__}")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"ics is longer than {MAX_CHARACTERS} characters")
    dates: dict[date, CalendarDay] = {}
    repeated = 0
    for event in _read_events(text):
        repeated += "RRULE" in event
        if repeated > MAX_RECURRING:
            raise ValueError(f"ics holds more than {MAX_RECURRING} repeated events")
        for day in _event_days(event, until):
            dates.setdefault(day, CalendarDay(open=False, note=_summary(event)))
            if len(dates) > MAX_DATES:
                raise ValueError(f"ics names more than {MAX_DATES} days")
    if not dates:
        raise ValueError("ics holds no whole-day event")
    return dict(sorted(dates.items()))


def _read_events(text: str) -> list[Any]:
    try:
        parsed = ICalendar.from_ical(text, multiple=True)
        calendars = [part for part in parsed if part.name == "VCALENDAR"]
        events = [event for part in calendars for event in part.walk("VEVENT")]
    except Exception as error:  # noqa: BLE001 - the parser lets many kinds of errors through
        raise ValueError(f"ics cannot be read ({_reason(error)})") from None
    if not calendars:
        raise ValueError("ics holds no VCALENDAR")
    if len(events) > MAX_EVENTS:
        raise ValueError(f"ics holds more than {MAX_EVENTS} events")
    return [event for event in events if str(event.get("STATUS", "")).upper() != "CANCELLED"]


def _reason(error: Exception) -> str:
    return ascii(str(error))[1:-1][:120] or type(error).__name__


def _event_days(event: Any, until: date) -> Iterator[date]:
    """All days of an event and of its repetitions."""
    try:
        start, length = _span(event)
        if start is None:
            return
        for first in _starts(event, start, until):
            for number in range(length):
                if (day := first + timedelta(days=number)) > until:
                    break
                yield day
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"ics: event {_summary(event)!a} cannot be read ({_reason(error)})") from None


def _summary(event: Any) -> str:
    return str(event.get("SUMMARY", "")).strip()[:MAX_NOTE]


def _span(event: Any) -> tuple[date | None, int]:
    """The first day of a whole-day event and how many days it has; None for other events."""
    start = event["DTSTART"].dt if "DTSTART" in event else None
    if start is None or not _is_day(start):
        return None, 0
    if start.year < FIRST_YEAR:
        raise ValueError(f"starts before {FIRST_YEAR}")
    if "DTEND" in event:
        end = event["DTEND"].dt
        if not _is_day(end):
            raise ValueError("starts with a date but ends with a time")
        days = (end - start).days
    else:
        days = event["DURATION"].dt.days if "DURATION" in event else 1
    if days > MAX_DATES:
        raise ValueError(f"lasts more than {MAX_DATES} days")
    return start, max(days, 1)


def _is_day(value: object) -> bool:
    return isinstance(value, date) and not isinstance(value, datetime)


def _starts(event: Any, start: date, until: date) -> list[date]:
    starts = {start, *_listed(event, "RDATE")}
    rules = event.get("RRULE", [])
    for rule in rules if isinstance(rules, list) else [rules]:
        starts.update(_repeat(rule, start, until))
    return sorted(starts - set(_listed(event, "EXDATE")))


def _listed(event: Any, name: str) -> Iterator[date]:
    lines = event.get(name, [])
    for line in lines if isinstance(lines, list) else [lines]:
        for entry in line.dts:
            value = entry.dt
            if isinstance(value, datetime):
                yield value.date()
            elif _is_day(value):
                yield value


def _repeat(rule: Any, start: date, until: date) -> list[date]:
    """The dates of one RRULE from the start on; it is always given an end, so it always stops."""
    last = datetime.combine(min(_rule_end(rule), until), time.max)
    rule = rule.copy()
    for key in ("UNTIL", "BYHOUR", "BYMINUTE", "BYSECOND"):
        rule.pop(key, None)
    if any(interval < 1 for interval in rule.get("INTERVAL", [])):
        raise ValueError("its interval is not positive")
    read = rrulestr(rule.to_ical().decode(), dtstart=datetime.combine(start, time.min))
    if getattr(read, "_freq", None) not in _FREQUENCIES:
        raise ValueError("repeats more often than daily")
    wanted = min(rule.get("COUNT", [MAX_DATES + 1])[0], MAX_DATES + 1)
    days = [moment.date() for moment in islice(read.replace(until=last, count=None), wanted)]
    if len(days) > MAX_DATES:
        raise ValueError(f"repeats more than {MAX_DATES} times")
    if not days:  # also what takes longest to find out, so one of them ends the reading
        raise ValueError("repeats on no day")
    return days


def _rule_end(rule: Any) -> date:
    ends = rule.get("UNTIL", [])
    ends = ends if isinstance(ends, list) else [ends]
    found = [end.astimezone(UTC).date() if isinstance(end, datetime) and end.tzinfo else end for end in ends]
    days = [end.date() if isinstance(end, datetime) else end for end in found]
    return min(days, default=date.max)
