"""The one place that answers "when": the occurrences of a schedule, with what to say of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile

from jobs.timing.fires import Fire
from jobs.timing.notes import calendar_note, clock_note
from jobs.timing.schedule import Plan, Schedule, read_schedule
from jobs.timing.shift import is_open
from jobs.timing.ticks import DAY, from_ticks, to_ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One fire time of a schedule.

    `at` is aware UTC. `closed`: the calendar closes its day, so it is to be skipped. `note`
    says in words that a clock change or the calendar moved, doubled or closed it, or is empty.
    """

    at: datetime
    closed: bool = False
    note: str = ""


def occurrences(schedule: Schedule, after: datetime) -> Iterator[Occurrence]:
    """The occurrences strictly after an aware datetime, `at` strictly increasing.

    They are the same wherever the search starts. Raises ValueError with the reason, at once,
    for a schedule that cannot be read.
    """
    return _walk(read_schedule(schedule), to_ticks(after))


def _walk(plan: Plan, after: int) -> Iterator[Occurrence]:
    while (fire := plan.fires.after(after)) is not None:
        after = fire.at
        yield occurrence_of(plan, fire)


def next_occurrence(schedule: Schedule, after: datetime) -> Occurrence | None:
    """The first occurrence strictly after an aware datetime, or None; ValueError as above."""
    plan = read_schedule(schedule)
    fire = plan.fires.after(to_ticks(after))
    return None if fire is None else occurrence_of(plan, fire)


def between(schedule: Schedule, after: datetime, until: datetime, limit: int) -> list[Occurrence]:
    """The first `limit` occurrences that lie strictly after one moment and not after the other."""
    to_ticks(until, "until")
    found = takewhile(lambda each: each.at <= until, occurrences(schedule, after))
    return list(islice(found, max(limit, 0)))


def occurrence_of(plan: Plan, fire: Fire) -> Occurrence:
    """A fire time of a plan as an occurrence, with its note."""
    closed, note = False, clock_note(plan, fire)
    if plan.calendar is not None:
        closed = not is_open(plan.calendar, fire.wall // DAY)
        moved = calendar_note(plan, fire.wall // DAY, closed=closed)
        note = "; ".join(part for part in (moved, note) if part)
    return Occurrence(at=from_ticks(fire.at), closed=closed, note=note)
