"""A schedule as a value, and the set of fire times that it names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from jobs.timing.calendars import Calendar
from jobs.timing.cron import read_cron
from jobs.timing.days import Days, EveryNth, SameDayOfMonth
from jobs.timing.fires import Fire, Fires, Once, WallFires, Window
from jobs.timing.recurrence import HourlyFires, hourly_walls
from jobs.timing.shift import Shift, ShiftedDays, move
from jobs.timing.ticks import DAY, FIRST_TICK, HOUR, LAST_TICK, SECOND, day_date, from_ticks, to_ticks
from jobs.timing.times import Times
from jobs.timing.walls import Walls
from jobs.timing.zones import check_zone, piece_at, read_zone

Kind = Literal["cron", "one_time", "recurring"]
PATTERNS = ("hourly", "daily", "weekly", "monthly")
SHIFTS = ("none", "next", "previous")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When a job should run. `check()` says whether it can be read.

    `expression` is for cron; `anchor` (the scheduledAt of the other two kinds) is the run time
    of a one-time job and the first fire time of a recurring one. `zone` is an IANA name; all
    times are aware. No fire time lies outside `start_at` to `end_at`, both included.
    `calendar` closes days: fire times on them are marked closed, or moved (`shift`) to the
    next or previous open day at the same wall time, where those that meet become one.
    """

    kind: Kind = "cron"
    expression: str | None = None
    pattern: str | None = None
    zone: str = "UTC"
    anchor: datetime | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None
    calendar: Calendar | None = None
    shift: Shift = "none"

    def __post_init__(self) -> None:
        # Times of one zone compare by their wall clock, so two passes of an overlap would
        # look like one schedule to a cache; in UTC they differ.
        for name in ("anchor", "start_at", "end_at"):
            moment = getattr(self, name)
            if isinstance(moment, datetime) and moment.tzinfo not in (None, UTC):
                object.__setattr__(self, name, _in_utc(moment, name))

    def check(self) -> None:
        """Raise ValueError with the reason unless every field can be read."""
        read_schedule(self)


def _in_utc(moment: datetime, name: str) -> datetime:
    at = to_ticks(moment, name)
    if not FIRST_TICK <= at <= LAST_TICK:
        raise ValueError(f"{name} lies outside the years 1 to 9999")
    return from_ticks(at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A schedule that was read.

    `fires` are its fire times; `core` the same by wall times, before window and anchor (None
    for a one-time job); `days` those that it names itself, before the calendar moves them.
    """

    fires: Fires
    core: WallFires | None
    days: Days
    calendar: Calendar | None
    shift: Shift


def read_schedule(schedule: Schedule) -> Plan:
    """The fire times of a schedule; raises ValueError with the reason. Kept in a bounded cache."""
    try:
        return _read(schedule)
    except TypeError as error:  # a field that cannot even be hashed
        _check_fields(schedule)
        raise ValueError(f"schedule cannot be read: {error}") from None


@lru_cache(maxsize=4096)
def _read(schedule: Schedule) -> Plan:
    _check_fields(schedule)
    if schedule.kind == "cron":
        return _read_cron(schedule)
    if schedule.kind == "one_time":
        return _read_one_time(schedule)
    return _read_recurring(schedule)


def _check_fields(schedule: Schedule) -> None:
    if schedule.kind not in ("cron", "one_time", "recurring"):
        raise ValueError("kind must be cron, one_time or recurring")
    if schedule.shift not in SHIFTS:
        raise ValueError("shift must be none, next or previous")
    if schedule.calendar is not None and not isinstance(schedule.calendar, Calendar):
        raise ValueError("calendar must be a Calendar")
    check_zone(schedule.zone)
    for name in ("anchor", "start_at", "end_at"):
        if getattr(schedule, name) is not None:
            to_ticks(getattr(schedule, name), name)
    if schedule.start_at and schedule.end_at and schedule.end_at < schedule.start_at:
        raise ValueError("end_at lies before start_at")
    if schedule.kind == "cron":
        read_cron(schedule.expression)
    elif schedule.anchor is None:
        raise ValueError(f"a {schedule.kind} schedule needs an anchor")
    if schedule.kind == "recurring" and schedule.pattern not in PATTERNS:
        raise ValueError("pattern must be hourly, daily, weekly or monthly")


def _read_cron(schedule: Schedule) -> Plan:
    cron = read_cron(schedule.expression)
    walls = Walls(_shifted(cron.walls.days, schedule), cron.walls.times)
    fires = WallFires(walls=walls, zone=read_zone(schedule.zone), follows_clock=cron.follows_clock)
    return _plan(schedule, fires, fires, cron.walls.days)


def _read_one_time(schedule: Schedule) -> Plan:
    anchor = _anchor(schedule)
    day = anchor.wall // DAY
    named = EveryNth(start=day, step=_NEVER)
    if schedule.calendar is not None:
        moved = move(day, schedule.calendar, schedule.shift)
        if moved != day:
            walls = Walls(EveryNth(start=moved, step=_NEVER), _time_of(anchor.wall))
            fires = WallFires(walls=walls, zone=read_zone(schedule.zone), follows_clock=False)
            found = fires.after(moved * DAY - 3 * DAY)
            return _plan(schedule, Once(fire=found) if found else fires, None, named)
    return _plan(schedule, Once(fire=anchor), None, named)


# A step that leads from any day out of the calendar.
_NEVER = 10_000_000


def _read_recurring(schedule: Schedule) -> Plan:
    anchor = _anchor(schedule)
    day = anchor.wall // DAY
    zone = read_zone(schedule.zone)
    if schedule.pattern == "hourly":
        every = EveryNth(start=day)
        walls = hourly_walls(_shifted(every, schedule), anchor.wall % HOUR)
        hourly = HourlyFires(walls=walls, zone=zone, follows_clock=True, anchor=anchor.at)
        return _plan(schedule, Window(fires=hourly, start=anchor.at), hourly, every)
    days = _recurring_days(schedule, day)
    walls = Walls(_shifted(days, schedule), _time_of(anchor.wall))
    core = WallFires(walls=walls, zone=zone, follows_clock=False)
    fires: Fires = core
    if anchor.wall < anchor.piece.seen and day in walls.days:
        # The anchor lies in the second pass of an overlap: it stands, the rest comes after it.
        later = Walls(_shifted(_recurring_days(schedule, day, after=1), schedule), walls.times)
        rest = WallFires(walls=later, zone=zone, follows_clock=False)
        fires = Once(fire=anchor, rest=Window(fires=rest, start=anchor.at + 1))
    return _plan(schedule, fires, core, days)


def _recurring_days(schedule: Schedule, day: int, *, after: int = 0) -> Days:
    """The days of a recurrence whose anchor is on `day`, from `after` days later on."""
    if schedule.pattern == "daily":
        return EveryNth(start=day + after)
    if schedule.pattern == "weekly":
        return EveryNth(start=day + (7 if after else 0), step=7)
    return SameDayOfMonth(day + after, day_date(day).day)


def _anchor(schedule: Schedule) -> Fire:
    at = to_ticks(schedule.anchor, "anchor")
    piece = piece_at(read_zone(schedule.zone), at)
    if not FIRST_TICK <= at + piece.offset <= LAST_TICK:
        raise ValueError("anchor lies outside the years 1 to 9999 of its zone")
    return Fire(at, at + piece.offset, piece)


def _time_of(wall: int) -> Times:
    seconds, extra = divmod(wall % DAY, SECOND)
    return Times((seconds // 3600,), (seconds // 60 % 60,), (seconds % 60,), extra)


def _shifted(days: Days, schedule: Schedule) -> Days:
    if schedule.calendar is None or schedule.shift == "none":
        return days
    return ShiftedDays(days, schedule.calendar, schedule.shift)


def _plan(schedule: Schedule, fires: Fires, core: WallFires | None, days: Days) -> Plan:
    if schedule.start_at is not None or schedule.end_at is not None:
        start = FIRST_TICK if schedule.start_at is None else to_ticks(schedule.start_at)
        end = LAST_TICK if schedule.end_at is None else to_ticks(schedule.end_at)
        fires = Window(fires=fires, start=start, end=end)
    return Plan(fires=fires, core=core, days=days, calendar=schedule.calendar, shift=schedule.shift)
