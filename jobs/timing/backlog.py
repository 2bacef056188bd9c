"""How much of a schedule lies in a stretch of time, counted without walking it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobs.timing.fires import Fire
from jobs.timing.occurrences import Occurrence, occurrence_of
from jobs.timing.schedule import Plan, Schedule, read_schedule
from jobs.timing.shift import REACH, is_open
from jobs.timing.ticks import DAY, to_ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The occurrences of a stretch of time, closed ones included.

    `newest` are the last of them in order, as many as were asked for; `newest_open` is the
    last that no calendar closes. `first` and `last` are None when `count` is 0.
    """

    count: int = 0
    first: Occurrence | None = None
    last: Occurrence | None = None
    newest: tuple[Occurrence, ...] = ()
    newest_open: Occurrence | None = None


def backlog(schedule: Schedule, after: datetime, until: datetime, *, newest: int = 1) -> Backlog:
    """Count the occurrences strictly after one aware datetime and not after the other.

    Days are counted, not instants, so that years of an every-second job take milliseconds.
    Raises ValueError with the reason for a schedule that cannot be read.
    """
    plan = read_schedule(schedule)
    low, high = to_ticks(after), to_ticks(until, "until")
    fire = plan.fires.after(low)
    last = plan.fires.until(high)
    if fire is None or last is None or fire.at > high:
        return Backlog()
    return Backlog(
        count=plan.fires.count(low, high),
        first=occurrence_of(plan, fire),
        last=occurrence_of(plan, last),
        newest=_newest(plan, low, last, newest),
        newest_open=_newest_open(plan, low, last),
    )


def _newest(plan: Plan, after: int, last: Fire, wanted: int) -> tuple[Occurrence, ...]:
    found: list[Occurrence] = []
    fire: Fire | None = last
    while fire is not None and fire.at > after and len(found) < wanted:
        found.append(occurrence_of(plan, fire))
        fire = plan.fires.until(fire.at - 1)
    return tuple(reversed(found))


def _newest_open(plan: Plan, after: int, last: Fire) -> Occurrence | None:
    """Go back over closed days, a day at a time, up to a year of them."""
    fire: Fire | None = last
    for _ in range(REACH):
        if fire is None or fire.at <= after:
            return None
        day = fire.wall // DAY
        if plan.calendar is None or is_open(plan.calendar, day):
            return occurrence_of(plan, fire)
        fire = plan.fires.until(day * DAY - fire.piece.offset - 1)
    return None
