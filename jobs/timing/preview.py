"""What a schedule will do next, for people: UTC, the local clock, and what is odd about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from jobs.timing.notes import dropped_note
from jobs.timing.occurrences import occurrence_of
from jobs.timing.schedule import Schedule, read_schedule
from jobs.timing.ticks import from_ticks, to_ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One coming occurrence: `at` in UTC, `local` with its UTC offset, `note` in words."""

    at: datetime
    local: datetime
    closed: bool
    note: str


def preview(schedule: Schedule, after: datetime, count: int) -> list[Preview]:
    """The next `count` occurrences after an aware datetime.

    `note` marks those that a clock change moved, doubled, or dropped just before them, and
    those that the calendar moved or closed. Raises ValueError with the reason.
    """
    plan, at = read_schedule(schedule), to_ticks(after)
    found: list[Preview] = []
    while len(found) < count and (fire := plan.fires.after(at)) is not None:
        occurrence = occurrence_of(plan, fire)
        dropped = dropped_note(plan, at, fire)
        zone = timezone(timedelta(microseconds=fire.piece.offset))
        found.append(
            Preview(
                at=occurrence.at,
                local=from_ticks(fire.at).astimezone(zone),
                closed=occurrence.closed,
                note="; ".join(part for part in (occurrence.note, dropped) if part),
            )
        )
        at = fire.at
    return found
