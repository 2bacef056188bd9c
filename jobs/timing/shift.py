"""Business days: moving days that a calendar closes to the next or previous open one."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Literal

from jobs.timing.calendars import Calendar
from jobs.timing.days import ByMonth, Days
from jobs.timing.ticks import FIRST_DAY, LAST_DAY, day_date, day_number

Shift = Literal["none", "next", "previous"]

# A day moves at most this far; one that finds no open day stays where it is, closed.
REACH = 366


@dataclass(frozen=True, slots=True)
class ShiftedDays(ByMonth):
    """The days of `days`, closed ones replaced by the next or previous day that is open."""

    days: Days
    calendar: Calendar
    shift: Shift

    def month(self, year: int, month: int) -> tuple[int, ...]:
        return _shifted_month(self, year, month)


def sources(day: int, days: Days, calendar: Calendar, shift: Shift) -> list[int]:
    """The closed days of `days` that move to this open day, in order."""
    found = []
    step = -1 if shift == "next" else 1
    for other in range(day + step, day + step * (REACH + 1), step):
        if not FIRST_DAY <= other <= LAST_DAY or is_open(calendar, other):
            break
        if other in days:
            found.append(other)
    return sorted(found)


@lru_cache(maxsize=4096)
def _shifted_month(days: ShiftedDays, year: int, month: int) -> tuple[int, ...]:
    return tuple(
        day
        for day in _days_of(year, month)
        if (day in days.days and move(day, days.calendar, days.shift) == day)
        or (is_open(days.calendar, day) and sources(day, days.days, days.calendar, days.shift))
    )


def _days_of(year: int, month: int) -> range:
    first = day_number(date(year, month, 1))
    return range(first, first + monthrange(year, month)[1])


def move(day: int, calendar: Calendar, shift: Shift) -> int:
    """Where a day goes: itself when it is open, is not to move, or finds no open day."""
    step = {"none": 0, "next": 1, "previous": -1}[shift]
    for distance in range(REACH + 1 if step else 0):
        other = day + distance * step
        if FIRST_DAY <= other <= LAST_DAY and is_open(calendar, other):
            return other
    return day


@lru_cache(maxsize=16_384)
def is_open(calendar: Calendar, day: int) -> bool:
    """Whether a calendar leaves a day number open."""
    return calendar.is_open(day_date(day))
