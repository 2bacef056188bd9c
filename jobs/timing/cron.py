"""Cron expressions: the days and times of the day that they name, and their fire times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from jobs.timing.days import CronDays, Days, EveryNth
from jobs.timing.fires import WallFires
from jobs.timing.grammar import MAX_LENGTH, Field, Fields, read_fields
from jobs.timing.ticks import from_ticks, to_ticks
from jobs.timing.times import Times
from jobs.timing.walls import Walls
from jobs.timing.zones import read_zone

_ALL_MONTHS = tuple(range(1, 13))


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression that was read. `follows_clock`: a wildcard schedule, see `fire_times`."""

    fields: Fields
    walls: Walls
    follows_clock: bool


def check_cron(expression: object) -> None:
    """Raise ValueError with the reason unless the expression can be read and fires some day."""
    read_cron(expression)


def read_cron(expression: object) -> Cron:
    """Read an expression; raises ValueError with the reason. Kept in a bounded cache."""
    if isinstance(expression, str) and len(expression) <= MAX_LENGTH:
        return _read_cron(expression)
    return _build(expression)


@lru_cache(maxsize=4096)
def _read_cron(expression: str) -> Cron:
    return _build(expression)


def _build(expression: object) -> Cron:
    fields = read_fields(expression)
    return Cron(
        fields=fields,
        walls=Walls(
            days=_days(fields),
            times=_times(fields.hour.numbers, fields.minute.numbers, fields.second.numbers),
        ),
        follows_clock=fields.minute.starts_with_star or fields.hour.starts_with_star,
    )


@lru_cache(maxsize=4096)
def _times(hours: tuple[int, ...], minutes: tuple[int, ...], seconds: tuple[int, ...]) -> Times:
    """Equal times of different expressions are kept once: many jobs share a few of them."""
    return Times(hours, minutes, seconds)


def _days(fields: Fields) -> Days:
    monthday, weekday = fields.monthday, fields.weekday
    if monthday.is_open and weekday.is_open:
        parts = [("*", "*")]
    else:  # where both are restricted, a day that either names will do
        parts = [(item, "*") for item in _day_items(monthday)]
        parts += [("*", item) for item in _day_items(weekday)]
    days = CronDays(parts=tuple(parts), months=fields.month.numbers)
    if parts == [("*", "*")] and days.months == _ALL_MONTHS:
        return EveryNth()
    if days.never():
        raise ValueError("never fires: no month has such a day")
    return days


def _day_items(field: Field) -> list[str]:
    """The field as items that croniter reads alone; none where it restricts nothing."""
    if field.is_open:
        return []
    numbers = ",".join(map(str, field.numbers))
    return [item for item in (numbers, *field.rules) if item]


def fire_times(expression: object, zone: object, after: object, /) -> Iterator[datetime]:
    """The fire times of a cron expression: aware UTC, strictly increasing, strictly after `after`.

    `zone` is an IANA name or a tzinfo, `after` an aware datetime. The iterator ends only where
    datetimes end. Raises ValueError with the reason, at once, for whatever cannot be read.

    1. A schedule whose minute or hour field starts with `*` follows the real clock: nothing
       inside a skipped hour, both passes of a repeated one.
    2. Any other fires once per wall time: at the first instant after a gap, where several
       skipped times become one; in the first pass of an overlap.
    3. The set of fire times never depends on where the search starts.
    """
    cron = read_cron(expression)
    start = to_ticks(after)
    fires = WallFires(walls=cron.walls, zone=read_zone(zone), follows_clock=cron.follows_clock)
    return _walk(fires, start)


def _walk(fires: WallFires, after: int) -> Iterator[datetime]:
    while (fire := fires.after(after)) is not None:
        after = fire.at
        yield from_ticks(after)
