"""Sets of days, as day numbers since 1970-01-01, that can be searched and counted fast."""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

from croniter import croniter
from croniter.croniter import CroniterBadDateError

from jobs.timing.ticks import DAY, FIRST_DAY, LAST_DAY, day_date, day_number, wall_time


class Days(Protocol):
    """A set of days between date.min and date.max."""

    def __hash__(self) -> int: ...
    def __contains__(self, day: int) -> bool: ...

    def first(self, start: int, stop: int) -> int | None:
        """The first day from `start` on and before `stop`."""
        ...

    def last(self, start: int, stop: int) -> int | None:
        """The last day from `start` on and before `stop`."""
        ...

    def count(self, start: int, stop: int) -> int:
        """How many days there are from `start` on and before `stop`."""
        ...


@dataclass(frozen=True, slots=True)
class EveryNth:
    """Every n-th day from `start` on, without end."""

    start: int = FIRST_DAY
    step: int = 1

    def __contains__(self, day: int) -> bool:
        return day >= self.start and (day - self.start) % self.step == 0

    def first(self, start: int, stop: int) -> int | None:
        start = max(start, self.start)
        day = start + (self.start - start) % self.step
        return day if day < min(stop, LAST_DAY + 1) else None

    def last(self, start: int, stop: int) -> int | None:
        last = min(stop, LAST_DAY + 1) - 1
        day = last - (last - self.start) % self.step
        return day if day >= max(start, self.start) else None

    def count(self, start: int, stop: int) -> int:
        first = self.first(start, stop)
        last = self.last(start, stop)
        return 0 if first is None or last is None else (last - first) // self.step + 1


class ByMonth:
    """Days that are found month by month; a subclass says which days of a month."""

    def month(self, year: int, month: int) -> tuple[int, ...]:
        """The day numbers of one month, in order."""
        raise NotImplementedError

    def __contains__(self, day: int) -> bool:
        when = day_date(day)
        return day in self.month(when.year, when.month)

    def first(self, start: int, stop: int) -> int | None:
        start = max(start, FIRST_DAY)
        for months in _months(start, stop):
            days = self.month(*months)
            index = bisect_left(days, start)
            if index < len(days):
                return days[index] if days[index] < stop else None
        return None

    def last(self, start: int, stop: int) -> int | None:
        stop = min(stop, LAST_DAY + 1)
        for months in _months_back(start, stop):
            days = self.month(*months)
            index = bisect_left(days, stop)
            if index:
                return days[index - 1] if days[index - 1] >= start else None
        return None

    def count(self, start: int, stop: int) -> int:
        total = 0
        for months in _months(start, stop):
            days = self.month(*months)
            total += bisect_left(days, stop) - bisect_left(days, start)
        return total


def _months(start: int, stop: int) -> Iterable[tuple[int, int]]:
    start, stop = max(start, FIRST_DAY), min(stop, LAST_DAY + 1)
    if start >= stop:
        return
    first, last = day_date(start), day_date(stop - 1)
    for index in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        yield index // 12, index % 12 + 1


def _months_back(start: int, stop: int) -> Iterable[tuple[int, int]]:
    start, stop = max(start, FIRST_DAY), min(stop, LAST_DAY + 1)
    if start >= stop:
        return
    first, last = day_date(start), day_date(stop - 1)
    for index in range(last.year * 12 + last.month - 1, first.year * 12 + first.month - 2, -1):
        yield index // 12, index % 12 + 1


@dataclass(frozen=True, slots=True)
class SameDayOfMonth(ByMonth):
    """One day in every month from `start` on; in shorter months their last day."""

    start: int
    day: int

    def month(self, year: int, month: int) -> tuple[int, ...]:
        length = monthrange(year, month)[1]
        number = day_number(date(year, month, min(self.day, length)))
        return (number,) if number >= self.start else ()


@dataclass(frozen=True, slots=True)
class CronDays(ByMonth):
    """The days of a cron expression: in one of `months`, and named by any of `parts`.

    A part is the day-of-month and the weekday field of an expression that croniter reads
    without its known faults: plain sorted lists, or one of `L`, `nW`, `d#n`, `Ld` alone.
    """

    parts: tuple[tuple[str, str], ...]
    months: tuple[int, ...]

    def month(self, year: int, month: int) -> tuple[int, ...]:
        return _cron_month(self, year, month)

    def never(self) -> bool:
        """Whether no month of any year has such a day."""
        lengths = {length for month in self.months for length in _LENGTHS[month]}
        layouts = [(length, weekday) for length in lengths for weekday in range(7)]
        return not any(_cron_layout(part, *layout) for part in self.parts for layout in layouts)


_LENGTHS = {month: {monthrange(year, month)[1] for year in (2023, 2024)} for month in range(1, 13)}


def _sample_months() -> dict[tuple[int, int], int]:
    """For each length and first weekday of a month, the day number of the first of such a month."""
    firsts = [day_number(date(2000 + n // 12, n % 12 + 1, 1)) for n in range(28 * 12 + 1)]
    return {(after - first, day_date(first).weekday()): first for first, after in pairwise(firsts)}


_SAMPLES = _sample_months()


@lru_cache(maxsize=8192)
def _cron_month(days: CronDays, year: int, month: int) -> tuple[int, ...]:
    if month not in days.months:
        return ()
    weekday, length = monthrange(year, month)
    before = day_number(date(year, month, 1)) - 1
    named = {day for part in days.parts for day in _cron_layout(part, length, weekday)}
    return tuple(before + day for day in sorted(named))


@lru_cache(maxsize=8192)
def _cron_layout(part: tuple[str, str], length: int, weekday: int) -> tuple[int, ...]:
    """The days (1 to 31) that croniter names in a month of this length and first weekday.

    There are only 28 shapes of a month, so croniter is asked at most 28 times per part, always
    about naive midnights of an ordinary month, and never meets a zone or the end of time.
    """
    first = _SAMPLES[length, weekday]
    days = []
    found = croniter(f"0 0 {part[0]} * {part[1]}", wall_time((first - 1) * DAY))
    try:
        while (day := day_number(found.get_next(datetime).date())) < first + length:
            days.append(day - first + 1)
    except CroniterBadDateError:  # no such day within croniter's horizon of 50 years
        pass
    return tuple(days)
